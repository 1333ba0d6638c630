//! Names to addresses.
//!
//! Owns the one place where a name is looked up. A name gets here only with a permit for it, so that a denied name causes no
//! packet. What comes back is judged before it is used (`Permit::at`), so nobody who answers for a name is trusted.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::time::Duration;

use policy::Host;
use tokio::time::timeout;

use crate::judge::Right;

/// Addresses of one name that are used; whoever answers with more is not worth more.
const ADDRESSES: usize = 16;

/// A lookup under way.
pub type Lookup = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Who knows addresses.
pub trait Names: Send + Sync {
    /// The addresses of a name.
    fn lookup(&self, name: &str) -> Lookup;
}

/// The host's own resolver.
#[derive(Debug)]
pub struct System;

impl Names for System {
    fn lookup(&self, name: &str) -> Lookup {
        let name = name.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).take(ADDRESSES).collect())
        })
    }
}

/// Where the permitted endpoint is. An error says why it is nowhere.
pub(crate) async fn addresses(
    names: &dyn Names,
    right: &Right,
    patience: Duration,
) -> Result<Vec<IpAddr>, String> {
    let name = match &right.endpoint().host {
        Host::Ip(address) => return Ok(vec![*address]),
        // Never asked of anybody: an answer from outside would not be this host.
        Host::Name(name) if name == "localhost" => {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        Host::Name(name) => name,
    };
    match timeout(patience, names.lookup(name)).await {
        Ok(Ok(found)) if found.is_empty() => Err(format!("`{name}` has no address")),
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(format!("`{name}` was not found: {error}")),
        Err(_) => Err(format!("`{name}` was not found in time")),
    }
}
