//! SOCKS5, spoken to the proxy's port.
//!
//! Owns reading what is asked for, strictly: CONNECT, without a user, to a name or an address that has one spelling; and saying
//! how it went. What is asked for is a flow like any other. Does not own what becomes of it (`connection`).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use policy::{Endpoint, Host};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::carriage::Carriage;
use crate::target::is_inside;
use crate::wire::Wire;

/// The version, which is the first byte; no request of HTTP and no TLS begins with it.
pub(crate) const FIRST: u8 = 5;
/// The one way to log in: not at all.
const NO_USER: u8 = 0;
/// None of the ways offered.
const NO_WAY: u8 = 0xff;
/// Connect, the one command that is taken.
const CONNECT: u8 = 1;

/// How it went, in the protocol's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    Done = 0,
    Failed = 1,
    Forbidden = 2,
    Unreachable = 4,
    NoSuchCommand = 7,
    NoSuchAddress = 8,
}

/// What was sent is no request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoRequest {
    #[error("whoever spoke SOCKS went away: {0}")]
    Gone(#[from] io::Error),
    /// It was said so.
    #[error("{0}")]
    Refused(String),
}

/// Reads what is asked for. An address that stands for a name means the name.
pub(crate) async fn read(wire: &mut Wire, carriage: Option<&Carriage>) -> Result<Endpoint, NoRequest> {
    greet(wire).await?;
    let [version, command, _, kind] = bytes(wire).await?;
    if version != FIRST || command != CONNECT {
        return refuse(wire, Reply::NoSuchCommand, "SOCKS is for CONNECT only").await;
    }
    let host = match kind {
        1 => Ok(IpAddr::from(Ipv4Addr::from(bytes::<4>(wire).await?))),
        4 => Ok(IpAddr::from(Ipv6Addr::from(bytes::<16>(wire).await?))),
        3 => Err(name(wire).await?),
        _ => return refuse(wire, Reply::NoSuchAddress, "SOCKS names no kind of address that there is").await,
    };
    let port = wire.read_u16().await?;
    let meant = match host {
        Ok(ip) => match carriage {
            Some(carriage) => Some(carriage.meant(SocketAddr::new(ip, port))),
            None => Some(Endpoint { host: Host::Ip(ip.to_canonical()), port }),
        },
        Err(name) => Host::parse(&name).ok().map(|host| Endpoint { host, port }),
    };
    match meant.filter(|endpoint| endpoint.port != 0 && !is_inside(&endpoint.host)) {
        Some(endpoint) => Ok(endpoint),
        None => refuse(wire, Reply::Failed, "SOCKS names no host that can be connected to").await,
    }
}

/// Says how it went.
pub(crate) async fn reply(wire: &mut Wire, reply: Reply) -> io::Result<()> {
    wire.write_all(&[FIRST, reply as u8, 0, 1, 0, 0, 0, 0, 0, 0]).await
}

async fn greet(wire: &mut Wire) -> Result<(), NoRequest> {
    let [_, count] = bytes(wire).await?;
    let mut ways = vec![0; usize::from(count)];
    wire.read_exact(&mut ways).await?;
    if !ways.contains(&NO_USER) {
        wire.write_all(&[FIRST, NO_WAY]).await?;
        return Err(NoRequest::Refused("SOCKS is for those who need not log in".to_owned()));
    }
    Ok(wire.write_all(&[FIRST, NO_USER]).await?)
}

/// A name, as long as it says. What is no text is no name.
async fn name(wire: &mut Wire) -> Result<String, NoRequest> {
    let mut name = vec![0; usize::from(wire.read_u8().await?)];
    wire.read_exact(&mut name).await?;
    Ok(String::from_utf8(name).unwrap_or_default())
}

async fn bytes<const COUNT: usize>(wire: &mut Wire) -> io::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    wire.read_exact(&mut bytes).await?;
    Ok(bytes)
}

async fn refuse(wire: &mut Wire, how: Reply, why: &str) -> Result<Endpoint, NoRequest> {
    reply(wire, how).await?;
    Err(NoRequest::Refused(why.to_owned()))
}
