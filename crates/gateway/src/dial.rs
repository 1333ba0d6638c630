//! The one way out: a permit goes in, a connection comes out.
//!
//! Owns the only place of this crate where a connection to the outside is made, straight or through a proxy of the organisation. It takes the addresses from the permit, where
//! admission put them after judging them, and from nowhere else.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use admission::{Dial, Outcome, Permit};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::meter::Counted;
use crate::via::Via;

/// An outer connection.
pub(crate) type Outside = Counted<TcpStream>;

/// Nobody answered at any address.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unreachable(pub(crate) String);

/// Dials the permitted addresses in their order, each for at most `patience`, through the proxy that stands before them.
pub(crate) async fn dial(
    permit: Permit<Dial>,
    via: Option<&Via>,
    patience: Duration,
) -> Result<Outside, Unreachable> {
    let (dial, receipt) = permit.begin();
    let mut because = "it has no address".to_owned();
    for address in dial.addresses() {
        let towards = via.and_then(|via| Some((via, via.towards(dial.endpoint(), *address)?)));
        match timeout(patience, one(*address, towards)).await.unwrap_or_else(|_| Err(late())) {
            Ok(stream) => {
                receipt.settle(Outcome::done());
                // A socket that does not know the option is a slow one, no wrong one.
                let _ = stream.set_nodelay(true);
                return Ok(Counted::new(stream));
            }
            Err(error) => because = format!("{address}: {error}"),
        }
    }
    receipt.settle(Outcome::failed(because.clone()));
    Err(Unreachable(because))
}

async fn one(address: SocketAddr, by: Option<(&Via, &[SocketAddr])>) -> io::Result<TcpStream> {
    let first = by.map_or(std::slice::from_ref(&address), |(_, proxy)| proxy);
    let connected = TcpStream::connect(first).await;
    let mut stream = connected.map_err(|error| match by {
        Some((via, _)) => via.is_away(&error),
        None => error,
    })?;
    if let Some((via, _)) = by {
        via.ask(&mut stream, address).await?;
    }
    Ok(stream)
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Lines of the crate's own code, without its tests, that could make a connection.
    fn connecting(dir: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                connecting(&path, found);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            if path.components().any(|part| part.as_os_str() == "tests") {
                continue;
            }
            let words = [["Stream::", "connect"], ["Socket", "::new_"], ["Udp", "Socket"], [".conn", "ect("]];
            let suspect = |line: &&str| words.iter().any(|word| line.contains(&word.concat()));
            found.extend(product.lines().filter(suspect).map(|line| format!("{}: {line}", path.display())));
        }
    }

    #[test]
    fn nothing_else_in_this_crate_connects() {
        let mut found = Vec::new();
        connecting(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        // Who asks at the door runs inside, where there is no way but to the door.
        // Datagrams come in by sockets that were made there, and are answered.
        let datagrams = |line: &&String| line.contains("resolver.rs:") || line.contains("gateway.rs:");
        let made = [["Udp", "Socket::bind"], [".conn", "ect("]].map(|words| words.concat());
        assert!(!found.iter().filter(datagrams).any(|line| made.iter().any(|word| line.contains(word))));
        // It speaks on a connection that was dialled here.
        let spoken = |line: &String| line.contains("upstream.rs:") && line.contains("TlsConnector::from(");
        found.retain(|line| !datagrams(&line) && !spoken(line));
        let (inside, outside): (Vec<_>, Vec<_>) = found.iter().partition(|line| line.contains("ask.rs:"));
        assert!(inside.len() == 1 && outside.len() == 1, "{found:#?}");
        assert!(outside[0].contains("dial.rs:"));
    }
}
