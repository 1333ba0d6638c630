//! Known ways around rules on hosts and paths, by their number, and the parsers under mutation.

use policy::{Action, Decision, Endpoint, Host, HttpRequest, Layer, LayerKind, Scheme, canonical};

use crate::common::{connect, file, said};

fn is_refused(rule: &str) -> bool {
    let text = format!("version = 1\n[[rule]]\nid = \"x\"\n{rule}\nneed = \"none\"\n");
    Layer::parse("p", LayerKind::File, &text).is_err()
}

fn path(path: &str) -> Result<String, policy::NotCanonical> {
    let endpoint = Endpoint::parse("h.example:443").unwrap();
    HttpRequest::new(Scheme::Https, endpoint, "GET", path).map(|request| request.path)
}

#[test]
fn t04_a_name_beside_the_one_that_is_meant_is_another() {
    let policy =
        file("[[rule]]\nid = \"a\"\nconnect = [\"*.example.com\", \"**.example.org\"]\nneed = \"none\"\n");
    for (host, allowed) in [
        ("a.example.com", true),
        ("a.b.example.org", true),
        ("evilexample.com", false),
        ("example.com", false),
        ("a.b.example.com", false),
        ("example.com.evil.com", false),
        ("a.example.com.evil.com", false),
        ("xexample.org", false),
        ("example.org", false),
    ] {
        let expected = if allowed { "allow: a" } else { "deny: default" };
        assert_eq!(said(&policy, &connect(&format!("{host}:443"))), expected, "{host}");
    }
}

#[test]
fn t05_a_star_beside_letters_is_refused() {
    for host in ["*example.com", "foo*.example.com", "a.*.com", "api*", "*"] {
        assert!(is_refused(&format!("connect = [\"{host}\"]")), "{host}");
        assert!(is_refused(&format!("http = [\"https://{host}/**\"]")), "{host}");
        assert!(is_refused(&format!("http = [\"wss://{host}/**\"]")), "{host}");
    }
}

#[test]
fn t06_hosts_of_strangers_are_refused() {
    for host in ["*.com", "**.com", "*.github.io", "**.co.uk", "*.s3.amazonaws.com"] {
        assert!(is_refused(&format!("connect = [\"{host}\"]")), "{host}");
        assert!(is_refused(&format!("http = [\"https://{host}/**\"]")), "{host}");
        assert!(is_refused(&format!("http = [\"ws://{host}/**\"]")), "{host}");
    }
}

#[test]
fn t20_a_host_without_a_port_is_the_port_of_https() {
    let policy = file("[[rule]]\nid = \"a\"\nconnect = [\"h.example\"]\nneed = \"none\"\n");
    assert_eq!(said(&policy, &connect("h.example:443")), "allow: a");
    for port in [22, 25, 53, 80, 853, 5353, 6443, 8443] {
        assert_eq!(said(&policy, &connect(&format!("h.example:{port}"))), "deny: default", "{port}");
    }
}

#[test]
fn t50_a_method_is_what_it_is_or_none() {
    for method in ["get", "Get", "G ET", "", "GET\0", "GET\r\nX", "GÉT", "1GET"] {
        assert!(canonical::method(method).is_err(), "{method:?}");
    }
    let policy = file(
        "[[rule]]\nid = \"a\"\nhttp = [\"https://h.example/**\"]\nmethods = [\"GET\"]\nneed = \"none\"\n",
    );
    for method in ["TRACE", "PROPFIND", "X", "HEAD", "GETS"] {
        let endpoint = Endpoint::parse("h.example:443").unwrap();
        let request = HttpRequest::new(Scheme::Https, endpoint, method, "/").unwrap();
        assert_eq!(said(&policy, &Action::Http(request)), "deny: default", "{method}");
    }
}

#[test]
fn t51_dots_in_any_spelling_are_refused() {
    for text in [
        "/a/../b",
        "/a/%2e%2e/b",
        "/a/.%2E/b",
        "/a/..;/b",
        "/a/..;x=1/b",
        "/a/%2e%2e;/b",
        "/a/%2e%2e%3b/b",
        "/a/./b",
        "/..",
        "/a/%252e%252e/b",
        "/a/%252E/b",
        "/a/%2%65%2e/b",
        "/.",
        "/a/..",
    ] {
        assert!(path(text).is_err(), "{text}");
    }
    assert_eq!(path("/a/...").as_deref(), Ok("/a/..."));
}

#[test]
fn t52_slashes_in_other_spellings_are_refused() {
    for text in ["/a%5cb", "/a%5Cb", "/a\\b", "/a%252fb", "/a/%00", "/a%0d%0ab"] {
        assert!(path(text).is_err(), "{text}");
    }
}

#[test]
fn t52_an_escaped_slash_passes_only_where_both_readings_are_allowed() {
    assert_eq!(path("/a%2fb").as_deref(), Ok("/a%2Fb"), "it stays one");
    for text in [
        "/a%2f..%2fb",
        "/a%2f%2e%2e/b",
        "/..%2fb",
        "/a%2f.",
        "/%2fa",
        "/a%2f/b",
        "/a%2f%2fb",
        "/a;%2f..;x/b",
        "/a%252fb",
    ] {
        assert!(path(text).is_err(), "{text}");
    }
    let policy = file(
        r#"
        [[rule]]
        id = "whole"
        http = ["https://whole.example/**"]
        need = "none"
        [[rule]]
        id = "acme"
        http = ["https://h.example/repos/acme/**", "https://h.example/*/one"]
        need = "none"
        [[rule]]
        id = "secret"
        http = ["https://whole.example/secret/**", "https://whole.example/asks/**"]
        need = "never"
        "#,
    );
    let allowed = |host: &str, path: &str| {
        let endpoint = Endpoint::parse(host).unwrap();
        let request = HttpRequest::new(Scheme::Https, endpoint, "GET", path).unwrap();
        matches!(policy.decide(&Action::Http(request), &[]), Decision::Allow { .. })
    };
    for path in ["/@scope%2fname", "/@scope%2Fname/x", "/a%2Fb%2Fc"] {
        assert!(allowed("whole.example:443", path), "{path}");
    }
    for path in ["/secret%2fname", "/asks%2fa;v=1", "/secret;v=1%2fa"] {
        assert!(!allowed("whole.example:443", path), "{path}");
    }
    assert!(allowed("h.example:443", "/repos/acme/a%2Fb"));
    for path in ["/repos%2Facme/a", "/repos/acme%2Fa", "/a%2Fb/one", "/repos/acme%2F"] {
        assert!(!allowed("h.example:443", path), "{path}");
    }
    let rule = "[[rule]]\nid = \"a\"\nhttp = [\"https://h.example/a%2Fb\"]\nneed = \"none\"\n";
    assert!(policy::Layer::parse("x", policy::LayerKind::User, &format!("version = 1\n{rule}")).is_err());
}

#[test]
fn t54_a_prefix_ends_at_a_slash() {
    let policy =
        file("[[rule]]\nid = \"a\"\nhttp = [\"https://h.example/repos/acme/**\"]\nneed = \"none\"\n");
    for (path, allowed) in [
        ("/repos/acme", true),
        ("/repos/acme/", true),
        ("/repos/acme/x/y", true),
        ("/repos/acme-evil", false),
        ("/repos/acme-evil/x", false),
        ("/repos/acmex/y", false),
        ("/repos/ACME/x", false),
        ("/repos", false),
    ] {
        let endpoint = Endpoint::parse("h.example:443").unwrap();
        let request = HttpRequest::new(Scheme::Https, endpoint, "GET", path).unwrap();
        let expected = if allowed { "allow: a" } else { "deny: default" };
        assert_eq!(said(&policy, &Action::Http(request)), expected, "{path}");
    }
}

#[test]
fn t55_bytes_that_are_no_text_are_refused() {
    for text in ["/%c0%ae", "/%ff", "/%c3", "/%ed%a0%80", "/%e0%80%af", "/%", "/%2", "/%zz", "/ä"] {
        assert!(path(text).is_err(), "{text}");
    }
    assert_eq!(path("/%c3%a4").as_deref(), Ok("/%C3%A4"));
}

#[test]
fn t56_a_query_and_a_fragment_are_no_part_of_a_path() {
    assert!(path("/a#b").is_err() && path("/a#b?c").is_err());
    assert_eq!(path("/a?b/../c").as_deref(), Ok("/a"));
    assert_eq!(path("/a%3fb").as_deref(), Ok("/a%3Fb"), "an escaped mark is part of the path");
    assert_eq!(path("/a%23b").as_deref(), Ok("/a%23b"));
}

#[test]
fn t58_what_is_no_path_is_no_request() {
    for text in ["*", "", "a", "http://h.example/", "//", "//h.example/", "?a"] {
        assert!(path(text).is_err(), "{text}");
    }
}

#[test]
fn t61_a_number_is_an_address_in_one_spelling_only() {
    for text in [
        "127.1",
        "0177.0.0.1",
        "0x7f.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "0",
        "127.0.0.01",
        "1.2.3.4.5",
        "1.2.3",
        "0x",
        "127.0.0.0x1",
        "256.1.1.1",
        "１２７.0.0.1",
        "127。0。0。1",
    ] {
        assert!(Host::parse(text).is_err(), "{text}");
    }
    assert_eq!(Host::parse("127.0.0.1").unwrap().to_string(), "127.0.0.1");
    assert_eq!(Host::parse("[::ffff:127.0.0.1]").unwrap().to_string(), "127.0.0.1");
}

/// Changes a text in a few places; the same text and number give the same change.
fn mutate(text: &str, seed: &mut u64) -> String {
    let mut random = |below: usize| {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(*seed >> 33).unwrap() % below.max(1)
    };
    const PIECES: [&str; 24] = [
        "%2e", "%2F", "%25", "%", "..", "/", "//", ";", "?", "#", "&", "=", "\\", "\0", "\r\n", " ", "@",
        ":", "[", "]", "é", "%c3", "*", ".",
    ];
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=random(3) {
        let at = random(bytes.len() + 1);
        match random(4) {
            0 if at < bytes.len() => drop(bytes.remove(at)),
            1 if at < bytes.len() => bytes[at] ^= 1 << random(7),
            2 => {
                let piece = bytes[at.min(bytes.len() / 2)..].to_vec();
                bytes.extend(piece.into_iter().take(16));
            }
            _ => drop(bytes.splice(at..at, PIECES[random(PIECES.len())].bytes())),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn whatever_a_mutation_makes_of_a_text_its_spelling_is_one_or_none() {
    let corpus = [
        "/repos/acme/web/issues",
        "/a/%C3%A4/b",
        "/a;v=1/b",
        "/%40me/x",
        "/",
        "a=1&b=2",
        "per_page=5&per%5Fpage=50&x[]=%20+",
        "q=a%26b",
        "api.example.com",
        "127.0.0.1",
        "[2001:db8::1]",
        "xn--fa-hia.de",
        "host_name.example",
        "h.example:443",
        "[::1]:80",
    ];
    let (mut seed, mut read) = (7_u64, [0_usize; 4]);
    for at in 0..40_000 {
        let text = mutate(corpus[at % corpus.len()], &mut seed);
        if let Ok(path) = canonical::url_path(&text) {
            read[0] += 1;
            assert_eq!(canonical::url_path(&path), Ok(path.clone()), "{text:?}");
            assert!(
                path.starts_with('/') && !path.contains(['?', '#', '\\', ' ']) && path.is_ascii(),
                "{text:?}"
            );
            assert!(
                path.split('/').all(|name| !matches!(name.split(';').next(), Some("." | ".."))),
                "{text:?} {path:?}"
            );
        }
        if let Ok(pairs) = canonical::query(&text) {
            read[1] += 1;
            assert!(
                pairs.iter().all(|(key, value)| !key.contains('%') && !(key.clone() + value).contains('\0')),
                "{text:?}"
            );
        }
        if let Ok(host) = Host::parse(&text) {
            read[2] += 1;
            assert_eq!(Host::parse(&host.to_string()), Ok(host), "{text:?}");
        }
        if let Ok(endpoint) = Endpoint::parse(&text) {
            read[3] += 1;
            assert_eq!(Endpoint::parse(&endpoint.to_string()), Ok(endpoint), "{text:?}");
        }
    }
    assert!(read.iter().all(|read| *read > 500), "mutations must leave some whole: {read:?}");
}
