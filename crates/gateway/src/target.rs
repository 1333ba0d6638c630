//! What a request line and its `host` header ask for.
//!
//! Pure. Owns reading a target strictly: three forms, each at the door where it belongs, and every place where the target is said
//! must say the same. Anything else is no request. Does not own hosts' canonical form (`policy`).

use http::header::HOST;
use http::{Method, Request, Uri, Version};
use ledger::event::Ingress;
use policy::{Endpoint, Host, Scheme};

use crate::flow::{Asked, Flow, same_place, usual_port};
use crate::head;
use crate::refusal::Refusal;

/// The host that is not on any network: whoever asks it talks to Provost.
pub const INSIDE_HOST: &str = "provost.internal";
/// The port of `http` where none is said.
const HTTP_PORT: u16 = 80;

/// Where a connection came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Door {
    /// The proxy: each request says where it goes.
    Proxy,
    /// Every request goes to this place, in TLS or not.
    Fixed(Endpoint, Ingress, Scheme),
}

/// What is asked for.
#[derive(Debug)]
pub(crate) enum Target {
    /// A connection whose content is the asker's.
    Tunnel(Flow),
    /// A request.
    Request(Flow),
    /// Something of Provost itself: the path.
    Inside(String),
}

/// Reads what is asked for.
pub(crate) fn read<B>(head: &Request<B>, door: &Door) -> Result<Target, Refusal> {
    let host = said_host(head)?;
    match door {
        Door::Fixed(endpoint, ingress, scheme) => fixed(head, host, (endpoint, *ingress, *scheme)),
        Door::Proxy if *head.method() == Method::CONNECT => tunnel(head.uri(), host),
        Door::Proxy if head.uri().scheme().is_some() => absolute(head, host),
        Door::Proxy => origin(head, host),
    }
}

/// The host header: a host, and a port if it says one.
struct Said {
    host: Host,
    port: Option<u16>,
}

impl Said {
    fn is(&self, endpoint: &Endpoint, usual: u16) -> bool {
        let said = Endpoint { host: self.host.clone(), port: self.port.unwrap_or(usual) };
        said == *endpoint
    }
}

fn said_host<B>(head: &Request<B>) -> Result<Option<Said>, Refusal> {
    let Some(value) = head.headers().get(HOST) else {
        return match head.version() {
            // The newer one says it elsewhere.
            Version::HTTP_10 | Version::HTTP_2 => Ok(None),
            _ => Err(Refusal::malformed("it has no `host` header", "send one, as HTTP/1.1 demands")),
        };
    };
    let said = value.to_str().ok().and_then(authority);
    said.map(Some).ok_or_else(|| {
        Refusal::malformed("its `host` header is not a host", "send the host as it stands in the URL")
    })
}

/// A host with or without a port. No user, no other spelling of an address.
fn authority(text: &str) -> Option<Said> {
    if let Ok(host) = Host::parse(text) {
        return Some(Said { host, port: None });
    }
    let Endpoint { host, port } = Endpoint::parse(text).ok()?;
    Some(Said { host, port: Some(port) })
}

pub(crate) fn is_inside(host: &Host) -> bool {
    let beneath = |name: &str| name.strip_suffix(INSIDE_HOST).is_some_and(|rest| rest.ends_with('.'));
    matches!(host, Host::Name(name) if name == INSIDE_HOST || beneath(name))
}

fn tunnel(uri: &Uri, host: Option<Said>) -> Result<Target, Refusal> {
    let only_authority = uri.scheme().is_none() && uri.path_and_query().is_none();
    let text = uri.authority().filter(|_| only_authority).map(http::uri::Authority::as_str);
    let endpoint = text.map(Endpoint::parse).and_then(Result::ok).ok_or_else(|| {
        Refusal::malformed(
            "it does not say `host:port`",
            "CONNECT takes a host and a port, as in example.com:443",
        )
    })?;
    if is_inside(&endpoint.host) {
        let why = format!("`{INSIDE_HOST}` is no host that can be connected to");
        return Err(Refusal::malformed(why, "send it a plain HTTP request through this proxy"));
    }
    if host.is_some_and(|said| !said.is(&endpoint, endpoint.port)) {
        return Err(mismatch());
    }
    Ok(Target::Tunnel(Flow::opaque(endpoint, Ingress::Connect)))
}

fn absolute<B>(head: &Request<B>, host: Option<Said>) -> Result<Target, Refusal> {
    if head.uri().scheme() != Some(&http::uri::Scheme::HTTP) {
        let why = format!("a proxy does not take `{}` URLs", head.uri().scheme_str().unwrap_or_default());
        return Err(Refusal::malformed(why, "for https open a tunnel with CONNECT host:443"));
    }
    let named = head.uri().authority().and_then(|text| authority(text.as_str())).ok_or_else(|| {
        Refusal::malformed("the URL has no canonical host", "write the host plainly, without a user name")
    })?;
    let endpoint = Endpoint { host: named.host, port: named.port.unwrap_or(HTTP_PORT) };
    if host.is_some_and(|said| !said.is(&endpoint, HTTP_PORT)) {
        return Err(mismatch());
    }
    if is_inside(&endpoint.host) {
        return inside(head, &endpoint.host);
    }
    Ok(Target::Request(request(head, endpoint, Ingress::Http, Scheme::Http)))
}

fn origin<B>(head: &Request<B>, host: Option<Said>) -> Result<Target, Refusal> {
    match host {
        Some(said) if is_inside(&said.host) => inside(head, &said.host),
        _ => Err(Refusal::malformed(
            "this is a proxy, and the request does not say where it goes",
            "send the whole URL in the request line, or CONNECT host:port",
        )),
    }
}

fn inside<B>(head: &Request<B>, host: &Host) -> Result<Target, Refusal> {
    let exactly = matches!(host, Host::Name(name) if name == INSIDE_HOST);
    if !exactly || !head.uri().path().starts_with('/') {
        return Err(Refusal::malformed(
            format!("nothing answers there but `{INSIDE_HOST}`"),
            "drop what is before it",
        ));
    }
    Ok(Target::Inside(head.uri().path().to_owned()))
}

fn fixed<B>(
    head: &Request<B>,
    host: Option<Said>,
    (endpoint, ingress, scheme): (&Endpoint, Ingress, Scheme),
) -> Result<Target, Refusal> {
    if *head.method() == Method::CONNECT {
        return Err(no_proxy());
    }
    let is_here = |said: &Said| {
        let port = said.port.unwrap_or(usual_port(scheme));
        same_place(&Endpoint { host: said.host.clone(), port }, endpoint)
    };
    let said = match head.version() {
        Version::HTTP_2 => Some(named_in_two(head, host, scheme, is_here)?),
        _ if head.uri().scheme().is_some() || head.uri().authority().is_some() => return Err(no_proxy()),
        _ => host,
    };
    if !head.uri().path().starts_with('/') {
        return Err(Refusal::malformed("its path does not begin with `/`", "name one resource"));
    }
    if said.is_some_and(|said| !is_here(&said)) {
        return Err(mismatch());
    }
    Ok(Target::Request(request(head, endpoint.clone(), ingress, scheme)))
}

fn no_proxy() -> Refusal {
    let hint = "send the path alone; the whole URL and CONNECT are for the proxy";
    Refusal::malformed("there is no proxy here", hint)
}

/// The host that a request of HTTP/2 names: in its own place, in the header, or the same in both.
fn named_in_two<B>(
    head: &Request<B>,
    host: Option<Said>,
    scheme: Scheme,
    is_here: impl Fn(&Said) -> bool,
) -> Result<Said, Refusal> {
    let uri = head.uri();
    if uri.scheme_str().is_some_and(|said| said != scheme.to_string()) {
        return Err(Refusal::malformed("its scheme is not the one it came by", "say `https` within TLS"));
    }
    let Some(named) = uri.authority() else {
        return host.ok_or_else(|| Refusal::malformed("it names no host", "name one"));
    };
    let named = authority(named.as_str()).ok_or_else(|| {
        Refusal::malformed("its host is none", "write the host plainly, without a user name")
    })?;
    if !is_here(&named) {
        return Err(Refusal::misdirected());
    }
    match host {
        Some(said) if !is_here(&said) => Err(mismatch()),
        _ => Ok(named),
    }
}

fn request<B>(head: &Request<B>, endpoint: Endpoint, ingress: Ingress, scheme: Scheme) -> Flow {
    let (method, path) = (head.method().as_str().to_owned(), head.uri().path().to_owned());
    let query = head.uri().query().unwrap_or_default().to_owned();
    let websocket = head::wants_websocket(head.method(), head.headers());
    Flow { endpoint, ingress, request: Some(Asked { scheme, method, path, query, websocket }), asker: None }
}

fn mismatch() -> Refusal {
    Refusal::malformed("its `host` header names another place than the request line", "name one place")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_one(method: &str, uri: &str, host: &str, door: &Door) -> Result<String, Refusal> {
        let mut builder = http::Request::builder().method(method).uri(uri);
        if !host.is_empty() {
            builder = builder.header(HOST, host);
        }
        let head = builder.body(()).expect(uri);
        read(&head, door).map(|target| match target {
            Target::Tunnel(flow) => format!("tunnel {}", flow.endpoint),
            Target::Request(flow) => format!("request {} {}", flow.endpoint, flow.request.unwrap().path),
            Target::Inside(path) => format!("inside {path}"),
        })
    }

    fn port() -> Door {
        Door::Fixed(Endpoint::parse("127.0.0.1:8080").unwrap(), Ingress::Port, Scheme::Http)
    }

    #[test]
    fn each_form_at_its_door() {
        let proxy = Door::Proxy;
        for (method, uri, host, door, what) in [
            ("CONNECT", "example.com:443", "example.com:443", &proxy, "tunnel example.com:443"),
            ("CONNECT", "EXAMPLE.com.:443", "example.COM", &proxy, "tunnel example.com:443"),
            ("CONNECT", "[::1]:443", "[::1]:443", &proxy, "tunnel [::1]:443"),
            ("GET", "http://example.com/a?b", "example.com", &proxy, "request example.com:80 /a"),
            ("GET", "http://example.com:8080/", "example.com:8080", &proxy, "request example.com:8080 /"),
            ("GET", "http://example.com", "example.com:80", &proxy, "request example.com:80 /"),
            ("POST", "/v1/ask", "provost.internal", &proxy, "inside /v1/ask"),
            ("POST", "http://provost.internal/v1/ask?x", "provost.internal", &proxy, "inside /v1/ask"),
            ("GET", "/x", "127.0.0.1:8080", &port(), "request 127.0.0.1:8080 /x"),
            ("GET", "/x", "localhost:8080", &port(), "request 127.0.0.1:8080 /x"),
            ("GET", "/x", "[::1]:8080", &port(), "request 127.0.0.1:8080 /x"),
        ] {
            assert_eq!(read_one(method, uri, host, door).unwrap(), what);
        }
    }

    #[test]
    fn everything_else_is_no_request() {
        let proxy = Door::Proxy;
        for (method, uri, host, door) in [
            // No port, no host, a user, a number that some read as an address, two dots, a path.
            ("CONNECT", "example.com", "example.com", &proxy),
            ("CONNECT", "example.com:0", "example.com", &proxy),
            ("CONNECT", "allowed.example@evil.example:443", "evil.example:443", &proxy),
            ("CONNECT", "127.1:443", "127.1:443", &proxy),
            ("CONNECT", "0x7f.1:443", "0x7f.1:443", &proxy),
            ("CONNECT", "2130706433:443", "2130706433:443", &proxy),
            ("CONNECT", "0177.0.0.1:443", "0177.0.0.1:443", &proxy),
            ("CONNECT", "example.com..:443", "example.com..:443", &proxy),
            ("CONNECT", "http://example.com:443/", "example.com:443", &proxy),
            ("CONNECT", "provost.internal:80", "provost.internal:80", &proxy),
            ("CONNECT", "a.provost.internal:80", "a.provost.internal:80", &proxy),
            // The header names another place.
            ("CONNECT", "example.com:443", "evil.example:443", &proxy),
            ("CONNECT", "example.com:443", "example.com:8443", &proxy),
            ("GET", "http://example.com/", "evil.example", &proxy),
            ("GET", "http://example.com:8080/", "example.com", &proxy),
            ("GET", "http://example.com/", "example.com:8080", &proxy),
            ("GET", "http://example.com/", "user@example.com", &proxy),
            ("GET", "http://example.com/", "", &proxy),
            ("GET", "http://allowed.example@evil.example/", "evil.example", &proxy),
            ("GET", "http://provost.internal/", "example.com", &proxy),
            ("GET", "http://x.provost.internal/", "x.provost.internal", &proxy),
            // Another scheme, or none.
            ("GET", "https://example.com/", "example.com", &proxy),
            ("GET", "ftp://example.com/", "example.com", &proxy),
            ("GET", "/", "example.com", &proxy),
            ("OPTIONS", "*", "provost.internal", &proxy),
            // A port is one place.
            ("GET", "/", "evil.example:8080", &port()),
            ("GET", "/", "127.0.0.1:8081", &port()),
            ("GET", "/", "127.0.0.1", &port()),
            ("GET", "/", "127.0.0.2:8080", &port()),
            ("GET", "/", "provost.internal", &port()),
            ("GET", "http://127.0.0.1:8080/", "127.0.0.1:8080", &port()),
            ("CONNECT", "example.com:443", "127.0.0.1:8080", &port()),
            ("OPTIONS", "*", "127.0.0.1:8080", &port()),
        ] {
            let read = read_one(method, uri, host, door);
            assert!(read.is_err(), "{method} {uri} host {host}: {read:?}");
        }
    }

    #[test]
    fn the_old_version_needs_no_host_header() {
        let head = http::Request::builder().version(Version::HTTP_10).uri("http://example.com/");
        let head = head.body(()).unwrap();
        assert!(matches!(read(&head, &Door::Proxy), Ok(Target::Request(_))));
    }
}
