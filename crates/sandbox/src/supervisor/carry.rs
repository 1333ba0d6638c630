//! Carrying: a connection to the outside becomes one to the gateway, on the caller's own socket.
//!
//! Owns taking the socket, what it must be, connecting it, and telling the gateway what is meant. Does not own whether it may
//! (`sockets.rs`) or what becomes of it (the gateway, which judges it again). The caller's socket stays the caller's: what it
//! set on it, and who waits for it, goes on. Nothing waits here: not for the gateway, and not for a socket that blocks.

use super::Supervisor;
use crate::caller::Identity;
use crate::carriage::{Asker, Carriage, Places};
use crate::sys::notify::{self, Notification};
use crate::sys::socket;
use policy::Endpoint;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, AsRawFd as _, OwnedFd};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, socket_domain, socket_protocol, socket_timeout, socket_type};
use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The way of connections to the outside.
#[derive(Clone, Debug)]
pub(super) struct Carrier {
    pub(super) carriage: Arc<dyn Carriage>,
    pub(super) places: Places,
    /// How many callers wait for a connection that could not be made at once.
    waiters: Arc<AtomicUsize>,
}

/// Most callers that may wait so; the gateway takes connections faster than they can be made.
const WAITERS: usize = 64;
/// How often it is looked whether a caller that waits is still there.
const LOOK: Duration = Duration::from_secs(1);

impl From<(Arc<dyn Carriage>, Places)> for Carrier {
    fn from((carriage, places): (Arc<dyn Carriage>, Places)) -> Self {
        Self { carriage, places, waiters: Arc::default() }
    }
}

/// A caller's socket, held.
#[derive(Debug)]
pub(super) struct Held {
    socket: OwnedFd,
    family: AddressFamily,
}

/// What a caller's socket is.
#[derive(Debug)]
pub(super) enum Kind {
    /// A stream of the cell's own network, which can be carried.
    Stream(Held),
    /// Datagrams of the cell's own network.
    Datagrams(Held),
    /// Anything else of the cell's own network: it has no way out.
    Other,
    /// It belongs to a network that was made inside, from which nothing leads anywhere else.
    Elsewhere,
}

impl Carrier {
    /// Takes hold of the socket that a call is about. An error is the call's own.
    pub(super) fn take(&self, call: &Notification, who: Identity) -> io::Result<Kind> {
        let socket = held(call, who)?;
        let Ok(kind) = socket_type(&socket) else { return Err(Errno::NOTSOCK.into()) };
        let family = socket_domain(&socket)?;
        let internet = family == AddressFamily::INET || family == AddressFamily::INET6;
        if !internet {
            return Ok(Kind::Other);
        }
        if socket::network(&socket)? != self.places.network {
            return Ok(Kind::Elsewhere);
        }
        let held = Held { socket, family };
        Ok(match kind {
            SocketType::STREAM if socket_protocol(&held.socket)? == Some(ipproto::TCP) => Kind::Stream(held),
            SocketType::DGRAM => Kind::Datagrams(held),
            _ => Kind::Other,
        })
    }

    /// The gateway's address for a socket that wants to go to `to`, as the caller wrote it.
    fn place_for(&self, held: &Held, to: SocketAddr) -> io::Result<SocketAddr> {
        let place = match to {
            SocketAddr::V4(_) if held.family != AddressFamily::INET => None,
            SocketAddr::V4(_) => self.places.four,
            SocketAddr::V6(_) if held.family != AddressFamily::INET6 => None,
            SocketAddr::V6(to) if to.ip().to_ipv4_mapped().is_some() => self.places.four.map(within_six),
            SocketAddr::V6(_) => return self.places.six.ok_or_else(|| Errno::NETUNREACH.into()),
        };
        place.ok_or_else(|| Errno::AFNOSUPPORT.into())
    }
}

/// An IPv4 address as a socket of the other family has it.
fn within_six(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(four) => SocketAddr::new(four.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

/// The descriptor that a call names, as another one of the same socket.
fn held(call: &Notification, who: Identity) -> io::Result<OwnedFd> {
    /// `PIDFD_THREAD` of pidfd_open(2): threads may have descriptors of their own (6.9).
    const THREAD: PidfdFlags = PidfdFlags::from_bits_retain(libc::O_EXCL as u32);
    let number = i32::try_from(call.args[0] & 0xffff_ffff).map_err(|_| Errno::BADF)?;
    let open = |pid, flags| {
        Pid::from_raw(pid).ok_or(Errno::SRCH).and_then(|pid| rustix::process::pidfd_open(pid, flags))
    };
    let get = |of: &OwnedFd| rustix::process::pidfd_getfd(of, number, PidfdGetfdFlags::empty());
    match open(call.pid, THREAD) {
        Err(Errno::INVAL) => {
            let socket = get(&open(who.pid, PidfdFlags::empty())?)?;
            is_of_thread(call.pid, number, &socket)?;
            Ok(socket)
        }
        thread => Ok(get(&thread?)?),
    }
}

/// An older kernel gives descriptors of whole processes: the thread's own must be the same one.
fn is_of_thread(thread: i32, number: i32, socket: &OwnedFd) -> io::Result<()> {
    let own = std::fs::read_link(format!("/proc/{thread}/fd/{number}"))?;
    let ours = std::fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd()))?;
    if own == ours { Ok(()) } else { Err(Errno::BADF.into()) }
}

/// Connects, or goes on connecting, and never waits: whether the socket blocks is the caller's and may change at any moment, so
/// connect(2) cannot be used. With this flag an empty message has every one of its effects and answers, and `DONTWAIT` holds
/// for this call alone.
fn reach(socket: impl AsFd, place: SocketAddr) -> Result<(), Errno> {
    const CONNECT: SendFlags = SendFlags::from_bits_retain(libc::MSG_FASTOPEN as u32);
    let flags = CONNECT | SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    rustix::net::sendto(socket, &[], flags, &place).map(drop)
}

impl Supervisor {
    /// Carries a connection that nothing forbids. Whether it was begun by this very call, and not by one before.
    pub(super) fn carry(
        &self,
        call: &Notification,
        who: Identity,
        (carrier, held): (&Carrier, Held),
        (to, meant): (SocketAddr, Endpoint),
    ) -> io::Result<bool> {
        let place = carrier.place_for(&held, to)?;
        let mut reached = reach(&held.socket, place);
        let begun = reached == Err(Errno::INPROGRESS);
        if begun {
            let from = SocketAddr::try_from(rustix::net::getsockname(&held.socket)?)?;
            let asker = Asker { pid: who.pid, inside: who.inside };
            carrier.carriage.expect(plain(from), meant, asker);
        }
        let waits = !rustix::fs::fcntl_getfl(&held.socket)?.contains(OFlags::NONBLOCK);
        if waits && begun {
            reached = reach(&held.socket, place);
        }
        match reached {
            Err(Errno::ALREADY | Errno::INPROGRESS) if waits => {
                self.wait_for_connection(call, carrier, held, place)
            }
            other => answer(self.listener.as_fd(), call.id, other),
        }
        Ok(begun)
    }

    /// For a gateway that is behind. Each such caller has a thread that waits for it: nobody else does.
    fn wait_for_connection(&self, call: &Notification, carrier: &Carrier, held: Held, place: SocketAddr) {
        let (listener, waiters, id) = (Arc::clone(&self.listener), Arc::clone(&carrier.waiters), call.id);
        if waiters.fetch_add(1, Ordering::Relaxed) >= WAITERS {
            waiters.fetch_sub(1, Ordering::Relaxed);
            return answer(self.listener.as_fd(), id, Err(Errno::TIMEDOUT));
        }
        let within = socket_timeout(&held.socket, Timeout::Send).ok().flatten();
        let waiting = move || {
            wait(&listener, id, &held.socket, (place, within));
            waiters.fetch_sub(1, Ordering::Relaxed);
        };
        if std::thread::Builder::new().name("connecting".into()).spawn(waiting).is_err() {
            carrier.waiters.fetch_sub(1, Ordering::Relaxed);
            answer(self.listener.as_fd(), id, Err(Errno::TIMEDOUT));
        }
    }
}

/// Answers a call once its connection stands or failed, or the caller's own patience is over.
fn wait(listener: &OwnedFd, id: u64, socket: &OwnedFd, (place, within): (SocketAddr, Option<Duration>)) {
    let begun = Instant::now();
    loop {
        let left = within.map_or(LOOK, |within| within.saturating_sub(begun.elapsed()).min(LOOK));
        let left = Timespec::try_from(left).ok();
        // However it ends: what stands is asked for next.
        let _ = poll(&mut [PollFd::new(socket, PollFlags::OUT)], left.as_ref());
        if !notify::still_held(listener.as_fd(), id) {
            return;
        }
        match reach(socket, place) {
            Err(Errno::ALREADY | Errno::INPROGRESS)
                if within.is_none_or(|within| begun.elapsed() < within) => {}
            Err(Errno::ALREADY) => return answer(listener.as_fd(), id, Err(Errno::INPROGRESS)),
            other => return answer(listener.as_fd(), id, other),
        }
    }
}

fn answer(listener: rustix::fd::BorrowedFd<'_>, id: u64, reached: Result<(), Errno>) {
    // A caller that was killed meanwhile needs no answer.
    let _ = match reached {
        Ok(()) => notify::succeed(listener, id),
        Err(errno) => notify::refuse(listener, id, errno.raw_os_error()),
    };
}

/// An address as the other end sees it.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

impl Supervisor {
    /// Notes who asks for names from a socket of datagrams, and connects it as the caller wants. Where that fails, the kernel
    /// says why.
    pub(super) fn asks_names(&self, who: Identity, carrier: &Carrier, held: &Held) {
        if held.family != AddressFamily::INET
            || rustix::net::connect(&held.socket, &carrier.places.names).is_err()
        {
            return;
        }
        // Connecting it once more, to the same place, changes nothing, so the call is let go all the same.
        let from =
            rustix::net::getsockname(&held.socket).ok().and_then(|from| SocketAddr::try_from(from).ok());
        if let Some(from) = from {
            carrier.carriage.asks_names(plain(from), Asker { pid: who.pid, inside: who.inside });
        }
    }
}
