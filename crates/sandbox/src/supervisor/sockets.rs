//! Connections: where a process tries to go.
//!
//! Owns reading the address, once, and what follows from it: what is inside is connected to, what no rule allows fails,
//! everything else is carried. Does not own the connecting (`connecting.rs`), the carrying (`carry.rs`), or the network, which
//! has nothing but its own loopback.

use super::carry::{Carrier, Kind};
use super::connecting::Held;
use super::{Refusal, Supervisor, built_in, on_host, spoken};
use crate::caller::{self, Identity, Memory};
use crate::cell::OWN_ADDRESS;
use crate::open::Goal;
use crate::plan::Whose;
use crate::sys::notify::{self, Notification};
use crate::view::View;
use ledger::{Access, Reach};
use policy::{Action, Decision, Endpoint, Host, Reason};
use rustix::fd::AsFd as _;
use std::ffi::{OsStr, OsString};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Longest address that the kernel takes.
const LONGEST: usize = 128;

/// A connection as it was asked for, each part read once.
struct Wish {
    who: Identity,
    held: Held,
    address: Vec<u8>,
}

impl Supervisor {
    /// Judges a connection on the socket and the address that were read, and makes it on these.
    pub(super) fn connect(&mut self, call: &Notification) -> io::Result<Option<Refusal>> {
        let who = self.identities.of(call.pid);
        let held = Held::take(call, who)?;
        let wish = Wish { who, held, address: read_address(call)? };
        if !notify::still_held(self.listener.as_fd(), call.id) {
            // Whose socket it was cannot be said any more.
            return Ok(None);
        }
        match parse_address(&wish.address) {
            Some(Target::Internet(to)) if wish.held.is_internet() => {
                self.connect_internet(call, wish, to).map(|()| None)
            }
            Some(Target::Socket(path)) if wish.held.is_local() => self.connect_local(call, wish, &path),
            // Such names belong to the cell's network: there are none of the host.
            Some(Target::Abstract(name)) if wish.held.is_local() => {
                self.notary.connected(wish.who.pid, name.as_os_str(), Reach::Inside);
                self.connect_as_read(call, wish.held, wish.address).map(|()| None)
            }
            _ => self.connect_as_read(call, wish.held, wish.address).map(|()| None),
        }
    }

    /// A socket that has a path: it is found once, and what was found is judged and connected to.
    fn connect_local(&mut self, call: &Notification, wish: Wish, path: &Path) -> io::Result<Option<Refusal>> {
        let pid = wish.who.pid;
        let asked = caller::asked(call.pid, libc::AT_FDCWD, path)?;
        let found = self.goal(call, asked.clone()).and_then(|goal| match goal {
            Goal::Held(found) => Ok(found),
            Goal::Path(path) => View::of(call.pid)?.find(&path, true),
        });
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                if error.kind() == io::ErrorKind::NotFound && on_host(&asked) {
                    let reasons = [built_in("sockets of the host are never reachable from inside")];
                    self.notary.connected(pid, named(&asked).as_os_str(), Reach::Refused);
                    self.strayed(call, pid, asked, &reasons);
                } else {
                    self.notary.connected(pid, named(&asked).as_os_str(), Reach::Inside);
                }
                return Err(error);
            }
        };
        if self.is_shown(&found.path) {
            let reasons = vec![built_in("a socket that is shown belongs to the host")];
            self.notary.connected(pid, named(&found.path).as_os_str(), Reach::Refused);
            return Ok(Some(Refusal::of(found.path, Access::Write, reasons)));
        }
        self.notary.connected(pid, named(&found.path).as_os_str(), Reach::Inside);
        self.connect_to(call, wish.held, found);
        Ok(None)
    }

    fn connect_internet(&mut self, call: &Notification, wish: Wish, to: SocketAddr) -> io::Result<()> {
        let carrier = self.carrier.clone();
        let plain = SocketAddr::new(to.ip().to_canonical(), to.port());
        if is_inside(plain.ip()) {
            self.notary.connected(wish.who.pid, plain.to_string().as_str(), Reach::Inside);
            // The way to the proxy: what was read before stands in the ledger before what leaves.
            self.notary.settle();
            if let Some(carrier) = carrier.filter(|carrier| plain == carrier.places.names)
                && let Ok(Kind::Datagrams) = carrier.kind(&wish.held)
            {
                self.asks_names(wish.who, &carrier, &wish.held);
            }
            return self.connect_as_read(call, wish.held, wish.address);
        }
        let Some(carrier) = carrier else {
            return self.nowhere(call, wish, Endpoint { host: Host::Ip(plain.ip()), port: plain.port() });
        };
        let kind = carrier.kind(&wish.held)?;
        let meant = carrier.carriage.meant(plain);
        match kind {
            Kind::Stream if plain.port() != 0 => self.outwards(call, wish, &carrier, (to, meant)),
            Kind::Elsewhere => {
                self.notary.connected(wish.who.pid, plain.to_string().as_str(), Reach::Inside);
                self.connect_as_read(call, wish.held, wish.address)
            }
            // Whoever only asks by which address it would go is told nothing, and goes nowhere.
            Kind::Datagrams if matches!(meant.host, Host::Name(_)) => {
                self.connect_as_read(call, wish.held, wish.address)
            }
            _ => self.nowhere(call, wish, meant),
        }
    }

    /// A stream to the outside: refused at once where that is certain, else carried.
    fn outwards(
        &mut self,
        call: &Notification,
        Wish { who, held, .. }: Wish,
        carrier: &Carrier,
        (to, meant): (SocketAddr, Endpoint),
    ) -> io::Result<()> {
        let text = meant.to_string();
        if let Some(reasons) = self.reasons_against(&meant) {
            let target = PathBuf::from(&text);
            let ask = self.admission.how_to_ask(&Action::Connect(meant));
            let told = self.is_news(who.pid, &target, Access::Write)
                && self.say(call, &spoken(("connect", &target), &reasons, ask));
            self.notary.connected(who.pid, text.as_str(), Reach::Refused);
            self.notary.denied(who.pid, "connect", target.as_os_str(), &reasons, Some(libc::EACCES), told);
            self.fail(call, libc::EACCES);
            return Ok(());
        }
        // What was read before stands in the ledger before what leaves.
        self.notary.settle();
        if self.carry(call, who, (carrier, held), (to, meant))? {
            self.notary.connected(who.pid, text.as_str(), Reach::Carried);
        }
        Ok(())
    }

    /// Why this connection would be refused whatever is asked there; `None` where the gateway has something to judge.
    fn reasons_against(&self, meant: &Endpoint) -> Option<Vec<Reason>> {
        if self.admission.looks_inside(meant) {
            return None;
        }
        match self.admission.decide(&Action::Connect(meant.clone())) {
            Decision::Allow { .. } => None,
            Decision::Ask { .. } if self.admission.is_attended() => None,
            Decision::Ask { reasons, .. } | Decision::Deny { reasons } => Some(reasons),
        }
    }

    /// Whatever is no stream, or has nobody who carries it, has no way out: the kernel says so.
    fn nowhere(&mut self, call: &Notification, wish: Wish, meant: Endpoint) -> io::Result<()> {
        let pid = wish.who.pid;
        if meant.port != 0 {
            let reasons = match self.admission.decide(&Action::Connect(meant.clone())) {
                Decision::Allow { .. } => vec![built_in("only streams of TCP lead out, by the gateway")],
                Decision::Ask { reasons, .. } | Decision::Deny { reasons } => reasons,
            };
            self.notary.connected(pid, meant.to_string().as_str(), Reach::Refused);
            self.strayed(call, pid, PathBuf::from(meant.to_string()), &reasons);
        }
        self.connect_as_read(call, wish.held, wish.address)
    }

    /// Whether something lies where the host's own files are shown: a socket there is the host's. Those that are bound
    /// when the view is made are masked; this is for those that come later.
    fn is_shown(&self, path: &Path) -> bool {
        let shown = self.own.iter().rev().find(|(place, _)| path.starts_with(place));
        shown.is_some_and(|(place, whose)| *whose == Whose::Host && *place != self.workspace)
    }

    fn strayed(&mut self, call: &Notification, pid: i32, target: PathBuf, reasons: &[Reason]) {
        let told = self.is_news(pid, &target, Access::Write)
            && self.say(call, &spoken(("connect", &target), reasons, None));
        self.notary.denied(pid, "connect", target.as_os_str(), reasons, None, told);
    }
}

/// A socket with a path, as the ledger has it.
pub(super) fn named(path: &Path) -> OsString {
    let mut name = OsString::from("unix:");
    name.push(path);
    name
}

/// Whether an address is the inside's own.
fn is_inside(address: IpAddr) -> bool {
    address.is_loopback() || address.is_unspecified() || address == IpAddr::V4(OWN_ADDRESS)
}

/// The address that a call was given.
fn read_address(call: &Notification) -> io::Result<Vec<u8>> {
    let length = usize::try_from(call.args[2] as i32).ok().filter(|length| *length <= LONGEST);
    let mut address = vec![0; length.ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?];
    if !address.is_empty() && Memory::of(call.pid).raw(call.args[1], &mut address)? != address.len() {
        return Err(io::Error::from_raw_os_error(libc::EFAULT));
    }
    Ok(address)
}

enum Target {
    Internet(SocketAddr),
    Socket(PathBuf),
    /// A name that lies in no folder, as the ledger has it.
    Abstract(OsString),
}

fn parse_address(raw: &[u8]) -> Option<Target> {
    let family = u16::from_ne_bytes(raw.get(..2)?.try_into().ok()?);
    let port = || Some(u16::from_be_bytes(raw.get(2..4)?.try_into().ok()?));
    match i32::from(family) {
        libc::AF_INET => {
            let octets: [u8; 4] = raw.get(..16)?.get(4..8)?.try_into().ok()?;
            Some(Target::Internet(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(octets)), port()?)))
        }
        libc::AF_INET6 => {
            let octets: [u8; 16] = raw.get(8..24)?.try_into().ok()?;
            Some(Target::Internet(SocketAddr::new(IpAddr::V6(Ipv6Addr::from(octets)), port()?)))
        }
        libc::AF_UNIX => {
            let path = raw.get(2..)?;
            if let [0, name @ ..] = path {
                return Some(Target::Abstract(OsStr::from_bytes(&[b"unix:@", name].concat()).to_owned()));
            }
            let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
            let path = path.get(..end).filter(|path| !path.is_empty())?;
            Some(Target::Socket(PathBuf::from(OsStr::from_bytes(path))))
        }
        _ => None,
    }
}
