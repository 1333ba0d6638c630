//! The beginning of TLS: what somebody says before anything is agreed on.
//!
//! Owns that TLS is opened only for the host that was asked for: whoever names another, none or several there is refused. Reading
//! what was said is rustls' part, however many pieces it comes in. Does not own the certificates (`ca`).

use std::io;

use policy::{Endpoint, Host};
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::bounds::Bounds;
use crate::ca::Authority;
use crate::flow::same_place;

/// The first byte of TLS, and of nothing that is HTTP.
pub(crate) const FIRST: u8 = 0x16;
/// A fatal alert: nobody has that name here.
pub(crate) const NO_SUCH_NAME: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 112];

/// Why TLS was not opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotOpened {
    /// The name in it is not the host that was asked for.
    #[error("TLS names {said}, and what was asked for is {host}")]
    Name { said: String, host: Host },
    /// They do not agree: it is no TLS, too old, or the program does not believe the run's own certificates.
    #[error("TLS was not agreed on: {0}")]
    Broken(String),
    /// It took too long.
    #[error("TLS was not agreed on in time")]
    Late,
    /// Whoever began it went away.
    #[error("whoever began TLS went away")]
    Gone,
    /// There is no certificate.
    #[error("there is no certificate for it: {0}")]
    Certificate(String),
}

/// Opens TLS as the host at this place.
pub(crate) async fn open<S>(
    authority: &Authority,
    stream: S,
    to: &Endpoint,
    bounds: &Bounds,
) -> Result<TlsStream<S>, NotOpened>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match timeout(bounds.head, agree(authority, stream, to)).await {
        Ok(opened) => opened,
        Err(_) => Err(NotOpened::Late),
    }
}

async fn agree<S>(authority: &Authority, stream: S, to: &Endpoint) -> Result<TlsStream<S>, NotOpened>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut begun =
        LazyConfigAcceptor::new(Acceptor::default(), stream).await.map_err(|error| broken(&error))?;
    let said = begun.client_hello().server_name().map(str::to_owned);
    if !is_for(said.as_deref(), to) {
        // Whoever does not hear it sees the end of the connection.
        let _ = begun.io.write_all(&NO_SUCH_NAME).await;
        let said = said.map_or_else(|| "no host".to_owned(), |said| format!("`{said}`"));
        return Err(NotOpened::Name { said, host: to.host.clone() });
    }
    let config = authority.as_host(&to.host).map_err(|error| NotOpened::Certificate(error.to_string()))?;
    begun.into_stream(config).await.map_err(|error| broken(&error))
}

/// Whether the name in TLS is the host's. An address is never named there.
fn is_for(said: Option<&str>, to: &Endpoint) -> bool {
    match said.map(Host::parse) {
        None => matches!(to.host, Host::Ip(_)),
        Some(Ok(host)) => same_place(&Endpoint { host, port: to.port }, to),
        Some(Err(_)) => false,
    }
}

fn broken(error: &io::Error) -> NotOpened {
    match error.kind() {
        io::ErrorKind::InvalidData => NotOpened::Broken(error.to_string()),
        _ => NotOpened::Gone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_in_tls_is_the_host_that_was_asked_for() {
        for (said, to, is) in [
            (Some("a.example"), "a.example:443", true),
            (Some("A.Example"), "a.example:443", true),
            (Some("b.example"), "a.example:443", false),
            (Some("x.a.example"), "a.example:443", false),
            (None, "a.example:443", false),
            (None, "192.0.2.1:443", true),
            (Some("a.example"), "192.0.2.1:443", false),
            (Some("localhost"), "127.0.0.1:443", true),
            (Some("127.1"), "127.0.0.1:443", false),
        ] {
            assert_eq!(is_for(said, &Endpoint::parse(to).unwrap()), is, "{said:?} {to}");
        }
    }
}
