//! Connections: where a process tried to go.
//!
//! Owns: reading addresses and recording those that lead nowhere. Does not own: the network, which has nothing but its
//! own loopback, so that nothing rests on what is decided here.

use super::{Refusal, Supervisor, built_in, on_host, spoken};
use crate::caller::Memory;
use crate::sys::notify::Notification;
use ledger::{Access, Reach};
use policy::{Action, Decision, Endpoint, Host, Reason};
use std::ffi::OsStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

impl Supervisor {
    /// Records where a process tried to go. The network namespace has only its own loopback, so nothing rests on it.
    pub(super) fn connect(&mut self, call: &Notification) -> io::Result<Option<Refusal>> {
        let mut raw = [0_u8; 128];
        let length = (call.args[2] as usize).min(raw.len());
        let address = raw.get_mut(..length).unwrap_or_default();
        let read = Memory::of(call.pid).raw(call.args[1], address)?;
        let target = parse_address(raw.get(..read).unwrap_or_default());
        let who = self.identities.of(call.pid);
        match target {
            // The way to the proxy: what was read before stands in the ledger before what leaves.
            Some(Target::Internet(address)) if address.ip().is_loopback() => {
                self.notary.connected(who.pid, address.to_string().as_str(), Reach::Inside);
                self.notary.settle();
            }
            Some(Target::Internet(address)) if address.port() == 0 => {}
            Some(Target::Internet(address)) => {
                let reasons = self.reasons_against(address);
                self.strayed(call, who.pid, PathBuf::from(address.to_string()), &reasons);
            }
            Some(Target::Socket(path)) if !self.view.stands(&path) && on_host(&path) => {
                let reasons = [built_in("sockets of the host are never reachable from inside")];
                self.strayed(call, who.pid, path, &reasons);
            }
            Some(Target::Socket(path)) if self.is_shown(&path) => {
                let reasons = vec![built_in("a socket that is shown belongs to the host")];
                return Ok(Some(Refusal::of(path, Access::Write, reasons)));
            }
            _ => {}
        }
        self.let_go(call);
        Ok(None)
    }

    /// Whether a socket lies where the host's own files are shown: what listens there is outside. Those that are bound
    /// when the view is made are masked; this is for those that come later.
    fn is_shown(&self, path: &Path) -> bool {
        self.view.find(path, true).is_ok_and(|found| {
            let shown = self.own.iter().rev().find(|(place, _)| found.path.starts_with(place));
            shown.is_some_and(|(place, own)| !own && *place != self.workspace)
        })
    }

    fn strayed(&mut self, call: &Notification, pid: i32, target: PathBuf, reasons: &[Reason]) {
        self.notary.connected(pid, target.as_path(), Reach::Refused);
        let told =
            self.is_news(pid, &target, Access::Write) && self.say(call, &spoken("connect", &target, reasons));
        self.notary.denied(pid, "connect", target.as_os_str(), reasons, None, told);
    }

    fn reasons_against(&self, address: SocketAddr) -> Vec<Reason> {
        let endpoint = Endpoint { host: Host::Ip(address.ip()), port: address.port() };
        match self.admission.decide(&Action::Connect(endpoint)) {
            Decision::Allow { .. } => vec![built_in("only the proxy leads out: HTTPS_PROXY names it")],
            Decision::Ask { reasons, .. } | Decision::Deny { reasons } => reasons,
        }
    }
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
            let octets: [u8; 4] = raw.get(4..8)?.try_into().ok()?;
            Some(Target::Internet(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(octets)), port()?)))
        }
        libc::AF_INET6 => {
            let octets: [u8; 16] = raw.get(8..24)?.try_into().ok()?;
            let address = Ipv6Addr::from(octets);
            let address = address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4);
            Some(Target::Internet(SocketAddr::new(address, port()?)))
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
