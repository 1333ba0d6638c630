//! Carrying: a connection to the outside becomes one to the gateway, on the caller's own socket.
//!
//! Owns what the socket must be, where it is connected to, and telling the gateway what is meant. Does not own whether it may
//! (`sockets.rs`), the connecting (`connecting.rs`) or what becomes of it (the gateway, which judges it again). The caller's
//! socket stays the caller's: what it set on it, and who waits for it, goes on.

use super::Supervisor;
use super::connecting::{Held, bytes_of};
use crate::caller::Identity;
use crate::carriage::{Asker, Carriage, Places};
use crate::sys::notify::Notification;
use crate::sys::socket;
use policy::Endpoint;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The way of connections to the outside.
#[derive(Clone, Debug)]
pub(super) struct Carrier {
    pub(super) carriage: Arc<dyn Carriage>,
    pub(super) places: Places,
}

impl From<(Arc<dyn Carriage>, Places)> for Carrier {
    fn from((carriage, places): (Arc<dyn Carriage>, Places)) -> Self {
        Self { carriage, places }
    }
}

/// What a caller's socket is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A stream of the cell's own network, which can be carried.
    Stream,
    /// Datagrams of the cell's own network.
    Datagrams,
    /// Anything else of the cell's own network: it has no way out.
    Other,
    /// It belongs to a network that was made inside, from which nothing leads anywhere else.
    Elsewhere,
}

impl Carrier {
    /// What can be done with a socket.
    pub(super) fn kind(&self, held: &Held) -> io::Result<Kind> {
        if !held.is_internet() {
            return Ok(Kind::Other);
        }
        if socket::network(&held.socket)? != self.places.network {
            return Ok(Kind::Elsewhere);
        }
        Ok(match held.kind {
            _ if held.is_tcp() => Kind::Stream,
            SocketType::DGRAM => Kind::Datagrams,
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
        let address = bytes_of(place);
        let reached = socket::begin(&held.socket, &address);
        let begun = reached == Err(Errno::INPROGRESS);
        if begun {
            let from = SocketAddr::try_from(rustix::net::getsockname(&held.socket)?)?;
            let asker = Asker { pid: who.pid, inside: who.inside };
            carrier.carriage.expect(plain(from), meant, asker);
        }
        self.see_through(call, held, address, reached)?;
        Ok(begun)
    }
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
        // Connecting it once more, to the same place, changes nothing.
        let from =
            rustix::net::getsockname(&held.socket).ok().and_then(|from| SocketAddr::try_from(from).ok());
        if let Some(from) = from {
            carrier.carriage.asks_names(plain(from), Asker { pid: who.pid, inside: who.inside });
        }
    }
}
