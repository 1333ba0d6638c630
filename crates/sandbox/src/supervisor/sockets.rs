//! Connections: where a process tries to go.
//!
//! Owns reading the address, once, and what follows from it: what is inside goes on, what no rule allows fails, everything
//! else is carried. Does not own the carrying (`carry.rs`), or the network, which has nothing but its own loopback: whatever a
//! process puts in an address that was read already leads nowhere but there.

use super::carry::{Carrier, Held, Kind};
use super::{Refusal, Supervisor, built_in, on_host, spoken};
use crate::caller::{Identity, Memory};
use crate::cell::OWN_ADDRESS;
use crate::plan::Whose;
use crate::sys::notify::{self, Notification};
use ledger::{Access, Reach};
use policy::{Action, Decision, Endpoint, Host, Reason};
use rustix::fd::AsFd as _;
use std::ffi::{OsStr, OsString};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

impl Supervisor {
    /// Judges a connection on the address that was read, and answers it. A call that goes on in the kernel leads nowhere but
    /// to the inside, whatever its memory says by then.
    pub(super) fn connect(&mut self, call: &Notification) -> io::Result<Option<Refusal>> {
        let mut raw = [0_u8; 128];
        // The kernel takes none that is longer; of that nothing is read, and it says so.
        let length = usize::try_from(call.args[2] & 0xffff_ffff).unwrap_or(usize::MAX);
        let address = raw.get_mut(..length).unwrap_or_default();
        let read = Memory::of(call.pid).raw(call.args[1], address)?;
        let target = parse_address(raw.get(..read).unwrap_or_default());
        let who = self.identities.of(call.pid);
        match target {
            Some(Target::Internet(to)) => return self.connect_internet(call, who, to).map(|()| None),
            Some(Target::Socket(path)) if !self.view.stands(&path) && on_host(&path) => {
                let reasons = [built_in("sockets of the host are never reachable from inside")];
                self.notary.connected(who.pid, named(&path).as_os_str(), Reach::Refused);
                self.strayed(call, who.pid, path, &reasons);
            }
            Some(Target::Socket(path)) if self.is_shown(&path) => {
                let reasons = vec![built_in("a socket that is shown belongs to the host")];
                self.notary.connected(who.pid, named(&path).as_os_str(), Reach::Refused);
                return Ok(Some(Refusal::of(path, Access::Write, reasons)));
            }
            Some(Target::Socket(path)) => {
                self.notary.connected(who.pid, named(&path).as_os_str(), Reach::Inside);
            }
            None => {}
        }
        self.let_go(call);
        Ok(None)
    }

    fn connect_internet(&mut self, call: &Notification, who: Identity, to: SocketAddr) -> io::Result<()> {
        let carrier = self.carrier.clone();
        let plain = SocketAddr::new(to.ip().to_canonical(), to.port());
        if is_inside(plain.ip()) {
            self.notary.connected(who.pid, plain.to_string().as_str(), Reach::Inside);
            // The way to the proxy: what was read before stands in the ledger before what leaves.
            self.notary.settle();
            if let Some(carrier) = carrier.filter(|carrier| plain == carrier.places.names)
                && let Ok(Kind::Datagrams(held)) = carrier.take(call, who)
            {
                self.asks_names(who, &carrier, &held);
            }
            self.let_go(call);
            return Ok(());
        }
        let Some(carrier) = carrier else {
            self.nowhere(call, who, Endpoint { host: Host::Ip(plain.ip()), port: plain.port() });
            return Ok(());
        };
        let kind = carrier.take(call, who)?;
        if !notify::still_held(self.listener.as_fd(), call.id) {
            // Whose socket it was cannot be said any more.
            return Ok(());
        }
        let meant = carrier.carriage.meant(plain);
        match kind {
            Kind::Stream(held) if plain.port() != 0 => {
                self.outwards(call, who, (&carrier, held), (to, meant))
            }
            Kind::Elsewhere => {
                self.notary.connected(who.pid, plain.to_string().as_str(), Reach::Inside);
                self.let_go(call);
                Ok(())
            }
            // Whoever only asks by which address it would go is told nothing, and goes nowhere.
            Kind::Datagrams(_) if matches!(meant.host, Host::Name(_)) => {
                self.let_go(call);
                Ok(())
            }
            _ => {
                self.nowhere(call, who, meant);
                Ok(())
            }
        }
    }

    /// A stream to the outside: refused at once where that is certain, else carried.
    fn outwards(
        &mut self,
        call: &Notification,
        who: Identity,
        (carrier, held): (&Carrier, Held),
        (to, meant): (SocketAddr, Endpoint),
    ) -> io::Result<()> {
        let text = meant.to_string();
        if let Some(reasons) = self.reasons_against(&meant) {
            let target = PathBuf::from(&text);
            let told = self.is_news(who.pid, &target, Access::Write)
                && self.say(call, &spoken("connect", &target, &reasons));
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
    fn nowhere(&mut self, call: &Notification, who: Identity, meant: Endpoint) {
        if meant.port != 0 {
            let reasons = match self.admission.decide(&Action::Connect(meant.clone())) {
                Decision::Allow { .. } => vec![built_in("only streams of TCP lead out, by the gateway")],
                Decision::Ask { reasons, .. } | Decision::Deny { reasons } => reasons,
            };
            self.notary.connected(who.pid, meant.to_string().as_str(), Reach::Refused);
            self.strayed(call, who.pid, PathBuf::from(meant.to_string()), &reasons);
        }
        self.let_go(call);
    }

    /// Whether a socket lies where the host's own files are shown: what listens there is outside. Those that are bound
    /// when the view is made are masked; this is for those that come later.
    fn is_shown(&self, path: &Path) -> bool {
        self.view.find(path, true).is_ok_and(|found| {
            let shown = self.own.iter().rev().find(|(place, _)| found.path.starts_with(place));
            shown.is_some_and(|(place, whose)| *whose == Whose::Host && *place != self.workspace)
        })
    }

    fn strayed(&mut self, call: &Notification, pid: i32, target: PathBuf, reasons: &[Reason]) {
        let told =
            self.is_news(pid, &target, Access::Write) && self.say(call, &spoken("connect", &target, reasons));
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

enum Target {
    Internet(SocketAddr),
    Socket(PathBuf),
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
            let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
            let path = path.get(..end).filter(|path| path.first() == Some(&b'/'))?;
            Some(Target::Socket(PathBuf::from(OsStr::from_bytes(path))))
        }
        _ => None,
    }
}
