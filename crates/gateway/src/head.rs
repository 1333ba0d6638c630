//! Heads of messages: what of them belongs to one hop only, and what must not be there at all.
//!
//! Owns what is taken out before a message goes on, and the shapes by which two readers could be made to read two different
//! messages. Does not own reading: hyper does, strictly, and writes every message anew.

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue,
    SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{Method, response};

use crate::refusal::DENIED;

/// Headers of one hop, besides those that `connection` names and all that begin with `proxy-`.
const HOP: [HeaderName; 6] = [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, EXPECT];
/// By these a server is told another method than the one that was judged.
const OVERRIDES: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];
/// The same in a query.
const OVERRIDES_IN_QUERY: &str = "_method";

/// What makes this head one that two readers could read differently; `None` if nothing does.
pub(crate) fn ambiguous(method: &Method, headers: &HeaderMap) -> Option<&'static str> {
    let more_than_one = |name: &HeaderName| headers.get_all(name).iter().count() > 1;
    if more_than_one(&HOST) {
        return Some("it has more than one `host` header");
    }
    if headers.contains_key(CONTENT_LENGTH) && headers.contains_key(TRANSFER_ENCODING) {
        return Some("it has both `content-length` and `transfer-encoding`");
    }
    if more_than_one(&CONTENT_LENGTH) || more_than_one(&TRANSFER_ENCODING) {
        return Some("it has more than one header for its length");
    }
    let unusual = |value: &HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"chunked");
    if headers.get_all(TRANSFER_ENCODING).iter().any(unusual) {
        return Some("it has a `transfer-encoding` other than `chunked`");
    }
    if *method == Method::CONNECT && (has_body(headers) || headers.contains_key(UPGRADE)) {
        return Some("a CONNECT has no body and is no upgrade");
    }
    None
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING) || headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0")
}

/// Whether the server is told another method than the head's own, by a header or in the query.
pub(crate) fn overrides_method(headers: &HeaderMap, query: &str) -> bool {
    let in_query = match policy::canonical::query(query) {
        Ok(pairs) => pairs.iter().any(|(key, _)| key.eq_ignore_ascii_case(OVERRIDES_IN_QUERY)),
        // Servers differ in what they read there.
        Err(_) => query.to_ascii_lowercase().contains("method"),
    };
    in_query || OVERRIDES.iter().any(|name| headers.contains_key(*name))
}

/// Whether a WebSocket is asked for. It is the one upgrade that is carried: others would leave what was judged behind.
pub(crate) fn wants_websocket(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::GET && upgrades_to_websocket(headers)
}

/// Whether the answer is that the WebSocket begins.
pub(crate) fn begins_websocket(head: &response::Parts) -> bool {
    head.status == http::StatusCode::SWITCHING_PROTOCOLS && upgrades_to_websocket(&head.headers)
}

fn upgrades_to_websocket(headers: &HeaderMap) -> bool {
    let mut upgrades = headers.get_all(UPGRADE).iter();
    let only = upgrades.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    only && upgrades.next().is_none() && nominated(headers).any(|name| name == UPGRADE)
}

/// Takes out what belongs to one hop; leaves a WebSocket's handshake in if asked to.
pub(crate) fn strip(headers: &mut HeaderMap, websocket: bool) {
    let named: Vec<HeaderName> = nominated(headers).collect();
    let of_proxies: Vec<HeaderName> = headers.keys().filter(|name| for_proxies(name)).cloned().collect();
    // `content-length` frames the message and `host` says whose it is: neither is a hop's to take away.
    let kept = |name: &&HeaderName| *name != CONTENT_LENGTH && *name != HOST;
    for name in HOP.iter().chain(&named).chain(&of_proxies).filter(kept) {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    if websocket {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
}

/// Takes out of what follows a body whatever would have changed the head, had it stood there.
pub(crate) fn strip_trailers(trailers: &mut HeaderMap) {
    strip(trailers, false);
    for name in [CONTENT_LENGTH, HOST, AUTHORIZATION, COOKIE, SET_COOKIE] {
        trailers.remove(name);
    }
    trailers.remove(DENIED);
}

/// Whether the sender listens for what follows a body.
pub(crate) fn takes_trailers(headers: &HeaderMap) -> bool {
    headers.get_all(TE).iter().any(|value| value.as_bytes().eq_ignore_ascii_case(b"trailers"))
}

/// Names a header as one of this hop.
pub(crate) fn nominate(headers: &mut HeaderMap, name: HeaderName) {
    headers.append(CONNECTION, name.into());
}

/// HTTP/2 may cut a cookie header into pieces, HTTP/1 has it in one.
pub(crate) fn one_cookie(headers: &mut HeaderMap) {
    let pieces: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if pieces.len() < 2 {
        return;
    }
    let whole = HeaderValue::from_bytes(&pieces.join(&b"; "[..]));
    headers.remove(COOKIE);
    if let Ok(whole) = whole {
        headers.insert(COOKIE, whole);
    }
}

fn for_proxies(name: &HeaderName) -> bool {
    name.as_str().starts_with("proxy-")
}

/// The headers that `connection` names as its own.
fn nominated(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(method: &str, headers: &[(&str, &str)]) -> http::request::Parts {
        let builder = http::Request::builder().method(method).uri("/");
        let builder = headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
        builder.body(()).unwrap().into_parts().0
    }

    fn stripped(headers: &[(&str, &str)], websocket: bool) -> Vec<String> {
        let mut headers = parts("GET", headers).headers;
        strip(&mut headers, websocket);
        let line =
            |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
        let mut lines: Vec<String> = headers.iter().map(line).collect();
        lines.sort();
        lines
    }

    #[test]
    fn what_is_of_one_hop_stays_there() {
        let left = stripped(
            &[
                ("connection", "close, x-secret"),
                ("connection", "X-Other"),
                ("keep-alive", "5"),
                ("proxy-authorization", "Basic eA=="),
                ("proxy-connection", "keep-alive"),
                ("proxy-whatever", "x"),
                ("te", "trailers"),
                ("trailer", "host"),
                ("transfer-encoding", "chunked"),
                ("upgrade", "h2c"),
                ("expect", "100-continue"),
                ("x-secret", "a"),
                ("x-other", "b"),
                ("accept", "*/*"),
            ],
            false,
        );
        assert_eq!(left, ["accept: */*"]);
    }

    #[test]
    fn length_and_host_cannot_be_nominated_away() {
        let left = stripped(
            &[("connection", "content-length, host"), ("content-length", "3"), ("host", "a")],
            false,
        );
        assert_eq!(left, ["content-length: 3", "host: a"]);
    }

    #[test]
    fn only_a_websocket_is_an_upgrade() {
        let asks = |method: &str, upgrade: &[&str], connection: &str| {
            let mut headers: Vec<_> = upgrade.iter().map(|value| ("upgrade", *value)).collect();
            headers.push(("connection", connection));
            let head = parts(method, &headers);
            wants_websocket(&head.method, &head.headers)
        };
        assert!(asks("GET", &["WebSocket"], "keep-alive, Upgrade"));
        assert!(!asks("GET", &["websocket"], "keep-alive"));
        assert!(!asks("GET", &["h2c"], "upgrade"));
        assert!(!asks("GET", &["websocket, h2c"], "upgrade"));
        assert!(!asks("GET", &["websocket", "h2c"], "upgrade"));
        assert!(!asks("POST", &["websocket"], "upgrade"));
        let kept = stripped(&[("upgrade", "WEBSOCKET"), ("connection", "upgrade, x"), ("x", "1")], true);
        assert_eq!(kept, ["connection: upgrade", "upgrade: websocket"]);
    }

    #[test]
    fn what_two_readers_could_read_differently_is_named() {
        let odd: [(&str, &[(&str, &str)]); 8] = [
            ("GET", &[("host", "a"), ("host", "a")]),
            ("POST", &[("content-length", "3"), ("transfer-encoding", "chunked")]),
            ("POST", &[("content-length", "3"), ("content-length", "3")]),
            ("POST", &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")]),
            ("POST", &[("transfer-encoding", "gzip, chunked")]),
            ("POST", &[("transfer-encoding", "xchunked")]),
            ("CONNECT", &[("content-length", "3")]),
            ("CONNECT", &[("upgrade", "websocket")]),
        ];
        let reason = |method: &str, headers: &[(&str, &str)]| {
            let head = parts(method, headers);
            ambiguous(&head.method, &head.headers)
        };
        for (method, headers) in odd {
            assert!(reason(method, headers).is_some(), "{method} {headers:?}");
        }
        assert_eq!(reason("CONNECT", &[("host", "a:443"), ("content-length", "0")]), None);
        assert_eq!(reason("POST", &[("host", "a"), ("transfer-encoding", "Chunked")]), None);
    }
}
