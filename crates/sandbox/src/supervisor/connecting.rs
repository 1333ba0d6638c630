//! Connecting: the caller's own socket, taken, and connected to what was judged.
//!
//! Owns taking the socket and what connects it. A connect is never let go: the descriptor and the address that the kernel would
//! take then are whatever another thread has put there meanwhile. Does not own where to (`sockets.rs`, `carry.rs`). The
//! supervisor does not wait here, whatever the caller does with its socket: what may wait has a thread of its own.

use super::Supervisor;
use crate::caller::Identity;
use crate::open::by_descriptor;
use crate::sys::notify::{self, Notification};
use crate::sys::socket;
use crate::view::Found;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, socket_domain, socket_protocol, socket_timeout, socket_type};
use rustix::net::{AddressFamily, SocketType, ipproto};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Most callers that may wait for somebody to take their connection up.
const WAITERS: usize = 256;
/// How often it is looked whether a caller that waits is still there.
const LOOK: Duration = Duration::from_secs(1);

/// A caller's socket, held.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) socket: OwnedFd,
    pub(super) family: AddressFamily,
    pub(super) kind: SocketType,
}

impl Held {
    /// Takes hold of the socket that a call is about. An error is the call's own.
    pub(super) fn take(call: &Notification, who: Identity) -> io::Result<Self> {
        let socket = taken(call, who)?;
        let Ok(kind) = socket_type(&socket) else { return Err(Errno::NOTSOCK.into()) };
        Ok(Self { family: socket_domain(&socket)?, kind, socket })
    }

    pub(super) fn is_local(&self) -> bool {
        self.family == AddressFamily::UNIX
    }

    pub(super) fn is_internet(&self) -> bool {
        self.family == AddressFamily::INET || self.family == AddressFamily::INET6
    }

    pub(super) fn is_tcp(&self) -> bool {
        self.is_internet()
            && self.kind == SocketType::STREAM
            && socket_protocol(&self.socket) == Ok(Some(ipproto::TCP))
    }
}

/// The descriptor that a call names, as another one of the same socket.
fn taken(call: &Notification, who: Identity) -> io::Result<OwnedFd> {
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
    let ours = std::fs::read_link(by_descriptor(socket))?;
    if own == ours { Ok(()) } else { Err(Errno::BADF.into()) }
}

/// The bytes of an address.
pub(super) fn bytes_of(address: SocketAddr) -> Vec<u8> {
    let port = address.port().to_be_bytes();
    match address {
        SocketAddr::V4(four) => {
            let family = (libc::AF_INET as u16).to_ne_bytes();
            [&family[..], &port, &four.ip().octets(), &[0; 8]].concat()
        }
        SocketAddr::V6(six) => {
            let family = (libc::AF_INET6 as u16).to_ne_bytes();
            let (flow, scope) = (six.flowinfo().to_ne_bytes(), six.scope_id().to_ne_bytes());
            [&family[..], &port, &flow, &six.ip().octets(), &scope].concat()
        }
    }
}

/// Whether an address ends what was connected. That never waits.
fn dissolves(address: &[u8]) -> bool {
    address.get(..2) == Some(&(libc::AF_UNSPEC as u16).to_ne_bytes())
}

impl Supervisor {
    /// Connects a socket to the address that was read, whatever the caller's memory says by now.
    pub(super) fn connect_as_read(
        &self,
        call: &Notification,
        held: Held,
        address: Vec<u8>,
    ) -> io::Result<()> {
        if dissolves(&address) || !(held.is_local() || held.is_tcp()) || held.kind == SocketType::DGRAM {
            answer(self.listener.as_fd(), call.id, socket::connect(&held.socket, &address));
            return Ok(());
        }
        if held.is_local() {
            self.wait_beside(call, move |_, _| Some(socket::connect(&held.socket, &address)));
            return Ok(());
        }
        let reached = socket::begin(&held.socket, &address);
        self.see_through(call, held, address, reached)
    }

    /// Connects a socket to the very one that was found.
    pub(super) fn connect_to(&self, call: &Notification, held: Held, found: Found) {
        let family = (libc::AF_UNIX as u16).to_ne_bytes();
        let address = [&family[..], by_descriptor(&found.object).as_bytes(), &[0]].concat();
        self.wait_beside(call, move |_, _| {
            let reached = socket::connect(&held.socket, &address);
            drop(found);
            Some(reached)
        });
    }

    /// Answers what was begun: at once where the caller does not wait or nothing is left to wait for.
    pub(super) fn see_through(
        &self,
        call: &Notification,
        held: Held,
        address: Vec<u8>,
        mut reached: Result<(), Errno>,
    ) -> io::Result<()> {
        let waits = !rustix::fs::fcntl_getfl(&held.socket)?.contains(OFlags::NONBLOCK);
        if waits && reached == Err(Errno::INPROGRESS) {
            reached = socket::begin(&held.socket, &address);
        }
        if waits && matches!(reached, Err(Errno::ALREADY | Errno::INPROGRESS)) {
            self.wait_beside(call, move |listener, id| wait(listener, id, &held.socket, &address));
        } else {
            answer(self.listener.as_fd(), call.id, reached);
        }
        Ok(())
    }

    /// Has a thread of its own wait, with no more rights than the caller has, and answer the call unless nobody is there.
    fn wait_beside(
        &self,
        call: &Notification,
        connect: impl FnOnce(BorrowedFd<'_>, u64) -> Option<Result<(), Errno>> + Send + 'static,
    ) {
        let (listener, waiters, id) = (Arc::clone(&self.listener), Arc::clone(&self.connecting), call.id);
        let full = || answer(self.listener.as_fd(), id, Err(Errno::AGAIN));
        if waiters.fetch_add(1, Ordering::Relaxed) >= WAITERS {
            waiters.fetch_sub(1, Ordering::Relaxed);
            return full();
        }
        let left = Leaving(Arc::clone(&waiters));
        let waiting = move || {
            let _left = left;
            let reached = if give_up_rights().is_ok() {
                connect(listener.as_fd(), id)
            } else {
                Some(Err(Errno::ACCESS))
            };
            if let Some(reached) = reached {
                answer(listener.as_fd(), id, reached);
            }
        };
        if std::thread::Builder::new().name("connecting".into()).spawn(waiting).is_err() {
            full();
        }
    }
}

/// One fewer waits, however that ended.
struct Leaving(Arc<AtomicUsize>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What this thread may by capabilities, no caller may.
fn give_up_rights() -> rustix::io::Result<()> {
    let mut sets = capabilities(None)?;
    sets.effective = CapabilitySet::empty();
    set_capabilities(None, sets)
}

/// Waits until a connection stands or failed, or the caller's own patience is over; `None` where the caller is gone.
fn wait(listener: BorrowedFd<'_>, id: u64, socket: &OwnedFd, address: &[u8]) -> Option<Result<(), Errno>> {
    let within = socket_timeout(socket, Timeout::Send).ok().flatten();
    let begun = Instant::now();
    loop {
        let left = within.map_or(LOOK, |within| within.saturating_sub(begun.elapsed()).min(LOOK));
        let left = Timespec::try_from(left).ok();
        // However it ends: what stands is asked for next.
        let _ = poll(&mut [PollFd::new(socket, PollFlags::OUT)], left.as_ref());
        if !notify::still_held(listener, id) {
            return None;
        }
        match socket::begin(socket, address) {
            Err(Errno::ALREADY | Errno::INPROGRESS)
                if within.is_none_or(|within| begun.elapsed() < within) => {}
            Err(Errno::ALREADY) => return Some(Err(Errno::INPROGRESS)),
            other => return Some(other),
        }
    }
}

fn answer(listener: BorrowedFd<'_>, id: u64, reached: Result<(), Errno>) {
    // A caller that was killed meanwhile needs no answer.
    let _ = match reached {
        Ok(()) => notify::succeed(listener, id),
        Err(errno) => notify::refuse(listener, id, errno.raw_os_error()),
    };
}
