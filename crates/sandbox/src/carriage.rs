//! The seam between the supervisor, which sees a connection begin, and the gateway, which takes it.
//!
//! Owns what both say to each other, and the gateway's sockets inside. Does not own the carrying (`supervisor/carry.rs`) or
//! what a connection is for: whoever runs both brings them together.

use crate::sys::socket;
use policy::Endpoint;
use rustix::fd::OwnedFd;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

/// A process inside that wants to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Asker {
    /// As the host counts.
    pub pid: i32,
    /// As it counts itself.
    pub inside: i32,
}

/// Who takes the connections that are carried.
pub trait Carriage: Send + Sync + fmt::Debug {
    /// What a program means by an address: some stand for a name.
    fn meant(&self, address: SocketAddr) -> Endpoint;
    /// The connection that comes from this address inside was begun by `asker`, and means `to`.
    fn expect(&self, from: SocketAddr, to: Endpoint, asker: Asker);
    /// Whoever asks for names from this address inside is `asker`.
    fn asks_names(&self, from: SocketAddr, asker: Asker);
}

/// The gateway's sockets inside, beside those of the plan's ports.
#[derive(Debug)]
pub struct Carriers {
    /// Take what is carried: one for each family of addresses that the inside has.
    pub streams: Vec<TcpListener>,
    /// Names are asked here, by datagram ..
    pub names: UdpSocket,
    /// .. and by stream.
    pub long_names: TcpListener,
}

impl Carriers {
    /// How many descriptors the cell sends where it has every family.
    pub(crate) const MOST: usize = 4;

    /// From the descriptors that the cell sent: names first, then the streams.
    pub(crate) fn of(sent: Vec<OwnedFd>) -> io::Result<Self> {
        let missing = || io::Error::other("the cell made no sockets for what is carried");
        let mut sent = sent.into_iter();
        let names = UdpSocket::from(sent.next().ok_or_else(missing)?);
        let long_names = TcpListener::from(sent.next().ok_or_else(missing)?);
        let streams: Vec<TcpListener> = sent.map(TcpListener::from).collect();
        if streams.is_empty() { Err(missing()) } else { Ok(Self { streams, names, long_names }) }
    }

    /// Where they are, for the supervisor.
    pub(crate) fn places(&self) -> io::Result<Places> {
        let mut places = Places {
            four: None,
            six: None,
            names: self.names.local_addr()?,
            network: socket::network(&self.names)?,
        };
        for stream in &self.streams {
            match stream.local_addr()? {
                at @ SocketAddr::V4(_) => places.four = Some(at),
                at @ SocketAddr::V6(_) => places.six = Some(at),
            }
        }
        Ok(places)
    }
}

/// Where connections are carried to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    pub(crate) four: Option<SocketAddr>,
    pub(crate) six: Option<SocketAddr>,
    /// Where names are asked.
    pub(crate) names: SocketAddr,
    /// The cell's network, as the kernel names it.
    pub(crate) network: u64,
}
