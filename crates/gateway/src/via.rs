//! The way out by a proxy that an organisation has put between its machines and the world.
//!
//! Owns which places are reached by it and what is said to it: the address that was judged, never a name that it would look up by
//! itself, so that it leads nowhere else than a connection of our own would. Does not own whether a place may be reached
//! (`judge`), or connecting (`dial`).

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use ipnet::IpNet;
use percent_encoding::percent_decode_str;
use policy::{Endpoint, Host};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use zeroize::Zeroizing;

/// Bytes of the longest answer that such a proxy may give before it lets through.
const ANSWER: usize = 8 * 1024;

/// A proxy outside, by which everything is reached but what is excepted.
#[derive(Clone)]
pub struct Via {
    /// Its name and port, as a person knows it.
    name: String,
    at: Vec<SocketAddr>,
    /// What it is shown.
    pass: Option<Zeroizing<String>>,
    except: Vec<Except>,
}

/// A proxy that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ViaError {
    /// It is spoken to in another way than HTTP without TLS.
    #[error("a proxy is reached by `http://`, and this one by `{0}://`, which is not supported")]
    Scheme(String),
    /// It is no address of a proxy. The text is not shown: it may hold a password.
    #[error("it is not of the form `http://HOST:PORT`")]
    Form,
    /// Its port is none.
    #[error("`{0}` is no port: 1 to 65535")]
    Port(String),
    /// Its name leads nowhere.
    #[error("`{0}` cannot be looked up: {1}")]
    Unknown(String, String),
}

/// Places that are reached without it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Except {
    All,
    /// A host and whatever is beneath it, at this port or at each.
    Domain(String, Option<u16>),
    Net(IpNet),
}

impl Via {
    /// The proxy at `http://[USER:PASSWORD@]HOST[:PORT]`, but for the places of `except`, as `NO_PROXY` lists them: `*`, hosts with
    /// all beneath them, addresses and networks, by commas. Its name is looked up here and now.
    ///
    /// # Errors
    /// It cannot be used, and why.
    pub fn new(url: &str, except: &str) -> Result<Via, ViaError> {
        let full = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let uri: Uri = full.parse().map_err(|_| ViaError::Form)?;
        match uri.scheme_str() {
            Some("http") => {}
            Some(other) => return Err(ViaError::Scheme(other.to_owned())),
            None => return Err(ViaError::Form),
        }
        let authority = uri.authority().ok_or(ViaError::Form)?;
        let place = authority.as_str().rsplit('@').next().unwrap_or_default();
        let (host, port) = match place.rsplit_once(':').filter(|_| !place.ends_with(']')) {
            None | Some((_, "")) => (place.trim_end_matches(':'), 80),
            Some((host, text)) => {
                let port = text.parse().ok().filter(|port: &u16| *port > 0);
                (host, port.ok_or_else(|| ViaError::Port(text.to_owned()))?)
            }
        };
        let name = format!("{host}:{port}");
        let unknown = |why: String| ViaError::Unknown(name.clone(), why);
        let at: Vec<_> = name.to_socket_addrs().map_err(|error| unknown(error.to_string()))?.collect();
        if at.is_empty() {
            return Err(unknown("it has no address".to_owned()));
        }
        let pass = authority.as_str().rsplit_once('@').map(|(person, _)| {
            let person = Zeroizing::new(percent_decode_str(person).collect::<Vec<u8>>());
            Zeroizing::new(format!("Basic {}", STANDARD.encode(&*person)))
        });
        let except = except.split([',', ' ']).map(str::trim).filter(|part| !part.is_empty());
        Ok(Via { at, pass, except: except.map(Except::read).collect(), name })
    }

    /// Its name and port.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is, if this place is reached by it.
    pub(crate) fn towards(&self, to: &Endpoint, address: SocketAddr) -> Option<&[SocketAddr]> {
        // What is on this machine is reached by no way outside.
        let is_here = address.ip().to_canonical().is_loopback();
        let is_excepted = || self.except.iter().any(|except| except.holds(to, address.ip()));
        (!is_here && !is_excepted()).then_some(&*self.at)
    }

    /// Asks it for a way to the address, and reads nothing of what comes after its yes.
    pub(crate) async fn ask<S>(&self, stream: &mut S, to: SocketAddr) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let pass = self.pass.as_ref().map(|pass| format!("proxy-authorization: {}\r\n", pass.as_str()));
        let pass = Zeroizing::new(pass.unwrap_or_default());
        let asked = Zeroizing::new(format!("CONNECT {to} HTTP/1.1\r\nhost: {to}\r\n{}\r\n", pass.as_str()));
        stream.write_all(asked.as_bytes()).await?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() == ANSWER {
                return Err(self.says("it answers at too great length"));
            }
            answer.push(stream.read_u8().await.map_err(|_| self.says("it closed the connection"))?);
        }
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut read = httparse::Response::new(&mut headers);
        match read.parse(&answer).map(|_| read.code) {
            Ok(Some(200..=299)) => Ok(()),
            Ok(Some(code)) => Err(self.says(&format!("it refuses, with status {code}"))),
            _ => Err(self.says("its answer is no HTTP")),
        }
    }

    /// It cannot be reached itself.
    pub(crate) fn is_away(&self, error: &io::Error) -> io::Error {
        self.says(&format!("it does not answer: {error}"))
    }

    fn says(&self, what: &str) -> io::Error {
        io::Error::other(format!("the proxy at {}: {what}", self.name))
    }
}

impl Except {
    fn read(part: &str) -> Except {
        if part == "*" {
            return Except::All;
        }
        let net = part.parse().or_else(|_| part.parse::<IpAddr>().map(IpNet::from));
        if let Ok(net) = net {
            return Except::Net(net);
        }
        let (host, port) = match part.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
            Some((host, Ok(port))) => (host, Some(port)),
            _ => (part, None),
        };
        let host = host.trim_start_matches("*.").trim_start_matches('.').trim_end_matches('.');
        Except::Domain(host.to_ascii_lowercase(), port)
    }

    fn holds(&self, to: &Endpoint, address: IpAddr) -> bool {
        match self {
            Except::All => true,
            Except::Net(net) => net.contains(&address.to_canonical()),
            Except::Domain(domain, port) => {
                let name = match &to.host {
                    Host::Name(name) => name.clone(),
                    Host::Ip(address) => address.to_string(),
                };
                let beneath = name.strip_suffix(domain.as_str());
                port.is_none_or(|port| port == to.port)
                    && beneath.is_some_and(|above| above.is_empty() || above.ends_with('.'))
            }
        }
    }
}

impl std::fmt::Debug for Via {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.debug_struct("Via").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_it(except: &str, to: &str, address: &str) -> bool {
        let via = Via::new("http://127.0.0.1:3128", except).unwrap();
        via.towards(&Endpoint::parse(to).unwrap(), address.parse().unwrap()).is_some()
    }

    #[test]
    fn what_is_excepted_is_reached_without_it() {
        let public = "93.184.216.34:443";
        assert!(by_it("", "a.example:443", public));
        assert!(!by_it("", "a.example:443", "127.0.0.1:443"), "this machine is not outside");
        assert!(!by_it("*", "a.example:443", public));
        for except in ["example", ".example", "*.example", "b, a.example ,c", "A.Example.", "a.example:443"] {
            assert!(!by_it(except, "a.example:443", public), "{except}");
        }
        for except in ["xample", "b.example", "a.example:80", "a.example.org", "10.0.0.0/8"] {
            assert!(by_it(except, "a.example:443", public), "{except}");
        }
        assert!(!by_it("10.0.0.0/8", "a.example:443", "10.1.2.3:443"));
        assert!(!by_it("10.1.2.3", "a.example:443", "[::ffff:10.1.2.3]:443"));
        assert!(!by_it("93.184.216.34", "93.184.216.34:443", public));
    }

    #[test]
    fn what_is_no_proxy_of_ours_is_refused_and_no_password_is_shown() {
        let refused = |url: &str| Via::new(url, "").unwrap_err();
        assert_eq!(refused("https://127.0.0.1:1"), ViaError::Scheme("https".into()));
        assert_eq!(refused("socks5://127.0.0.1:1"), ViaError::Scheme("socks5".into()));
        assert_eq!(refused("http://"), ViaError::Form);
        for port in ["99999", "0", "abc"] {
            assert_eq!(refused(&format!("http://me:secret@127.0.0.1:{port}")), ViaError::Port(port.into()));
        }
        for url in ["https://me:hunter2@127.0.0.1:1", "http://me:hunter2@a b"] {
            assert!(!refused(url).to_string().contains("hunter2"), "{url}");
        }
        let via = Via::new("me:hunter%402@127.0.0.1:8080", "").unwrap();
        assert_eq!(via.name(), "127.0.0.1:8080");
        assert_eq!(via.pass.as_deref().map(String::as_str), Some("Basic bWU6aHVudGVyQDI="));
        assert!(!format!("{via:?}").contains("hunter"));
    }
}
