//! Sockets of a run without a network of its own: made by the caller, bound and connected by us, to what we say.
//!
//! Owns: where a socket may lead. TCP leads to the run's doors and nowhere else, a Unix socket to one that lies in the run's
//! own folders. Nothing is let go: an address in the caller's memory can change. Does not own: what the doors do (gateway).

use super::super::sockets::named;
use super::super::{Refusal, Supervisor, built_in};
use super::Guests;
use crate::caller::{self, Memory};
use crate::names::Place;
use crate::sys::notify::{self, Notification};
use ledger::{Access, Reach};
use policy::{Action, Decision, Endpoint, Host, Reason};
use rustix::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, SocketAddrUnix, sockopt};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags};
use std::ffi::OsStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How many connects may wait for the other side at once.
const WAITERS_MAX: usize = 256;

/// What an address names.
enum Named {
    Internet(SocketAddr),
    File(PathBuf),
    /// A name that lies in no folder, or none.
    Abstract,
    /// The kernel, asked about its network.
    Kernel,
}

/// Where a connect leads.
enum Leads {
    Door(SocketAddr),
    Socket(OwnedFd),
}

impl Supervisor {
    /// Connects the caller's own socket, where that may be.
    pub(in super::super) fn connect_bare(&mut self, call: &Notification) -> io::Result<Option<Refusal>> {
        let pid = self.identities.of(call.pid).pid;
        let leads = match self.named(call)? {
            Named::Internet(address) => {
                let door = self.door(address);
                let how = if door.is_some() { Reach::Inside } else { Reach::Refused };
                self.notary.connected(pid, address.to_string().as_str(), how);
                match door {
                    Some(door) => Leads::Door(door),
                    None => return Ok(self.leads_nowhere(call, address)),
                }
            }
            Named::Kernel => return Err(Errno::OPNOTSUPP.into()),
            Named::Abstract => {
                let reasons = vec![built_in("an abstract socket belongs to the machine")];
                return Ok(Some(refused("(abstract socket)".into(), reasons)));
            }
            Named::File(path) => {
                let found = self.view.find(&caller::asked(call.pid, libc::AT_FDCWD, &path)?, true)?;
                let kind = FileType::from_raw_mode(rustix::fs::fstat(&found.object)?.st_mode);
                let own = self.bare.as_ref().is_some_and(|bare| bare.names.of(&found.path).is_some());
                let how = if own { Reach::Inside } else { Reach::Refused };
                let name = named(&self.spoken(&found.path));
                self.notary.connected(pid, name.as_os_str(), how);
                if kind.is_socket() && !own {
                    let reasons = vec![built_in("sockets of the host are never reachable from inside")];
                    return Ok(Some(refused(found.path, reasons)));
                }
                Leads::Socket(found.object)
            }
        };
        let socket = self.socket(call)?;
        if let Leads::Door(_) = leads {
            // What was read before stands in the ledger before what leaves.
            self.notary.settle();
        }
        self.connect_beside(call, socket, leads)?;
        Ok(None)
    }

    /// Waits for the other side on a thread of its own: nobody else waits with it.
    fn connect_beside(&self, call: &Notification, socket: OwnedFd, leads: Leads) -> io::Result<()> {
        let (listener, waiters, id) = (Arc::clone(&self.listener), Arc::clone(&self.waiters), call.id);
        let guests = self.watch.guests.clone();
        if waiters.fetch_add(1, Ordering::Relaxed) >= WAITERS_MAX {
            waiters.fetch_sub(1, Ordering::Relaxed);
            return Err(Errno::AGAIN.into());
        }
        let connect = move || {
            let connected = match &leads {
                Leads::Socket(object) => to_socket(&socket, object),
                Leads::Door(door) => to_door(&socket, *door, guests.as_deref()),
            };
            // A caller that was killed meanwhile needs no answer.
            let _ = match connected {
                Ok(()) => notify::succeed(listener.as_fd(), id),
                Err(error) => notify::refuse(listener.as_fd(), id, error.raw_os_error()),
            };
            waiters.fetch_sub(1, Ordering::Relaxed);
        };
        std::thread::Builder::new().name("connect".into()).spawn(connect).map(drop)
    }

    /// Binds the caller's socket to a name of the run's own, or to ask the kernel.
    pub(in super::super) fn bind_bare(&mut self, call: &Notification) -> io::Result<Option<Refusal>> {
        let path = match self.named(call)? {
            Named::File(path) => caller::asked(call.pid, libc::AT_FDCWD, &path)?,
            Named::Internet(address) => {
                let reasons =
                    vec![built_in("no server of the run may be reached from the machine's network")];
                return Ok(Some(refused(address.to_string().into(), reasons)));
            }
            Named::Kernel => {
                // A number of the kernel's choice, and no news of what others change.
                rustix::net::bind(self.socket(call)?, &SocketAddrNetlink::new(0, 0))?;
                let _ = notify::succeed(self.listener.as_fd(), call.id);
                return Ok(None);
            }
            Named::Abstract => {
                let reasons = vec![built_in("an abstract name is one for the whole machine")];
                return Ok(Some(refused("(abstract socket)".into(), reasons)));
            }
        };
        let socket = self.socket(call)?;
        let place = Place::find(&self.view, &path)?;
        if let Some(reasons) = self.against(call, &place.path()) {
            return Ok(Some(refused(place.path(), reasons)));
        }
        let name = Path::new(&by_descriptor(&place.folder.object)).join(&place.name);
        // Its mode is open to all: nobody else comes into the run's own folders. To change it by name would be a race.
        rustix::net::bind(&socket, &SocketAddrUnix::new(&name)?)?;
        let _ = notify::succeed(self.listener.as_fd(), call.id);
        Ok(None)
    }

    /// Lets a Unix socket be connected to. One of the network would be reachable for others, and would lead out.
    pub(in super::super) fn listen_bare(&self, call: &Notification) -> io::Result<Option<Refusal>> {
        let socket = self.socket(call)?;
        if sockopt::socket_domain(&socket)? != AddressFamily::UNIX {
            let reasons = vec![built_in("no server of the run may be reached from the machine's network")];
            return Ok(Some(refused("(network socket)".into(), reasons)));
        }
        rustix::net::listen(&socket, call.args[1] as i32)?;
        let _ = notify::succeed(self.listener.as_fd(), call.id);
        Ok(None)
    }

    /// The caller's socket, whatever its number means afterwards.
    fn socket(&self, call: &Notification) -> io::Result<OwnedFd> {
        let process = caller::identity(call.pid).pid;
        let process = Pid::from_raw(process).ok_or(Errno::SRCH)?;
        let process = rustix::process::pidfd_open(process, PidfdFlags::empty())?;
        let number = call.args[0] as i32;
        let socket = rustix::process::pidfd_getfd(&process, number, PidfdGetfdFlags::empty())?;
        if !notify::still_held(self.listener.as_fd(), call.id) {
            return Err(Errno::INTR.into());
        }
        Ok(socket)
    }

    /// The address that the caller passes, read once.
    fn named(&self, call: &Notification) -> io::Result<Named> {
        let mut raw = [0_u8; 128];
        let length = usize::try_from(call.args[2]).unwrap_or(usize::MAX).min(raw.len());
        let address = raw.get_mut(..length).unwrap_or_default();
        let read = Memory::of(call.pid).raw(call.args[1], address)?;
        parse(raw.get(..read.min(length)).unwrap_or_default()).ok_or_else(|| Errno::AFNOSUPPORT.into())
    }

    fn door(&self, address: SocketAddr) -> Option<SocketAddr> {
        let doors = &self.bare.as_ref()?.doors;
        let is_here = address.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST);
        let door = doors.iter().find(|(port, _)| is_here && *port == address.port());
        door.map(|(_, door)| *door)
    }

    /// A place that no door leads to.
    fn leads_nowhere(&mut self, call: &Notification, address: SocketAddr) -> Option<Refusal> {
        if address.port() == 0 {
            self.fail(call, libc::ECONNREFUSED);
            return None;
        }
        let target = PathBuf::from(address.to_string());
        if address.ip().is_loopback() || address.ip().is_unspecified() {
            let reasons = vec![built_in("the machine's own loopback is not the run's")];
            return Some(Refusal { errno: Some(libc::ECONNREFUSED), ..refused(target, reasons) });
        }
        let meant = Endpoint { host: Host::Ip(address.ip()), port: address.port() };
        let reasons = match self.admission.decide(&Action::Connect(meant)) {
            Decision::Allow { .. } => vec![built_in("only the proxy leads out: HTTPS_PROXY names it")],
            Decision::Ask { reasons, .. } | Decision::Deny { reasons } => reasons,
        };
        Some(Refusal { errno: Some(libc::ENETUNREACH), ..refused(target, reasons) })
    }
}

/// A refusal to connect, bind or listen.
fn refused(target: PathBuf, reasons: Vec<Reason>) -> Refusal {
    Refusal { what: Some("connect"), ..Refusal::of(target, Access::Write, reasons) }
}

fn by_descriptor(object: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", object.as_raw_fd())
}

/// To the very socket that was found, whatever its name leads to now.
fn to_socket(socket: &OwnedFd, object: &OwnedFd) -> rustix::io::Result<()> {
    rustix::net::connect(socket, &SocketAddrUnix::new(by_descriptor(object))?)
}

/// To a door, which is told before it can hear of it.
fn to_door(socket: &OwnedFd, door: SocketAddr, guests: Option<&dyn Guests>) -> rustix::io::Result<()> {
    let SocketAddr::V4(door) = door else { return Err(Errno::AFNOSUPPORT) };
    let is_old = sockopt::socket_domain(socket)? == AddressFamily::INET;
    let mapped = |address: &Ipv4Addr, port| SocketAddrV6::new(address.to_ipv6_mapped(), port, 0, 0);
    match is_old {
        true => bind_once(socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?,
        false => bind_once(socket, &mapped(&Ipv4Addr::LOCALHOST, 0))?,
    }
    let from = whence(socket)?;
    guests.iter().for_each(|guests| guests.expect(from));
    let connected = match is_old {
        true => rustix::net::connect(socket, &door),
        false => rustix::net::connect(socket, &mapped(door.ip(), door.port())),
    };
    if connected.is_err_and(|error| error != Errno::INPROGRESS) {
        // Somebody else may have this port next.
        guests.iter().for_each(|guests| guests.forget(from));
    }
    connected
}

/// Gives a socket a port on the loopback, unless it has one: it is asked about a connect that is under way.
fn bind_once(socket: &OwnedFd, to: &impl rustix::net::addr::SocketAddrArg) -> rustix::io::Result<()> {
    if whence(socket)?.port() != 0 { Ok(()) } else { rustix::net::bind(socket, to) }
}

fn whence(socket: &OwnedFd) -> rustix::io::Result<SocketAddr> {
    let address = SocketAddr::try_from(rustix::net::getsockname(socket)?)?;
    Ok(match address.ip() {
        IpAddr::V6(ip) => {
            SocketAddr::new(ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4), address.port())
        }
        IpAddr::V4(_) => address,
    })
}

fn parse(raw: &[u8]) -> Option<Named> {
    let family = u16::from_ne_bytes(raw.get(..2)?.try_into().ok()?);
    let port = || Some(u16::from_be_bytes(raw.get(2..4)?.try_into().ok()?));
    match i32::from(family) {
        libc::AF_INET => {
            let octets: [u8; 4] = raw.get(4..8)?.try_into().ok()?;
            Some(Named::Internet(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(octets)), port()?)))
        }
        libc::AF_INET6 => {
            let octets: [u8; 16] = raw.get(8..24)?.try_into().ok()?;
            let address = Ipv6Addr::from(octets);
            let address = address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4);
            Some(Named::Internet(SocketAddr::new(address, port()?)))
        }
        libc::AF_UNIX => {
            let path = raw.get(2..)?;
            let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
            let path = path.get(..end).unwrap_or_default();
            if path.is_empty() {
                return Some(Named::Abstract);
            }
            Some(Named::File(PathBuf::from(OsStr::from_bytes(path))))
        }
        libc::AF_NETLINK => Some(Named::Kernel),
        _ => None,
    }
}
