//! Rules about hosts: how many labels a star is, what is never implied, what is refused.

use policy::{Layer, LayerKind};

use crate::common::{connect, file, said};

fn rule(pattern: &str, need: &str) -> String {
    format!("[[rule]]\nid = \"x\"\nconnect = [\"{pattern}\"]\nneed = \"{need}\"\n")
}

#[test]
fn patterns_speak_of_exactly_these_hosts() {
    for (pattern, yes, no) in [
        (
            "example.com",
            vec!["example.com:443", "EXAMPLE.com.:443"],
            vec!["www.example.com:443", "example.com:80", "example.co:443", "xexample.com:443"],
        ),
        (
            "*.example.com",
            vec!["a.example.com:443"],
            vec!["example.com:443", "a.b.example.com:443", "aexample.com:443"],
        ),
        (
            "**.example.com",
            vec!["a.example.com:443", "a.b.example.com:443"],
            vec!["example.com:443", "aexample.com:443", "a.example.com.evil.net:443"],
        ),
        ("example.com:*", vec!["example.com:1", "example.com:65535"], vec!["a.example.com:1"]),
        (
            "example.com:{80,443}",
            vec!["example.com:80", "example.com:443"],
            vec!["example.com:8443", "example.com:8"],
        ),
        ("{a,b}.example.com", vec!["a.example.com:443", "b.example.com:443"], vec!["c.example.com:443"]),
        ("b\u{fc}cher.example", vec!["xn--bcher-kva.example:443"], vec!["bucher.example:443"]),
        ("10.0.0.0/8", vec!["10.0.0.1:443", "10.255.255.255:443"], vec!["11.0.0.1:443", "9.255.255.255:443"]),
        (
            "172.16.0.0/12:*",
            vec!["172.31.255.255:1", "172.16.0.0:1"],
            vec!["172.32.0.0:1", "172.15.255.255:1"],
        ),
        (
            "127.0.0.1:8080",
            vec!["127.0.0.1:8080", "[::ffff:127.0.0.1]:8080"],
            vec!["localhost:8080", "127.0.0.2:8080"],
        ),
        ("[2001:db8::]/32:443", vec!["[2001:db8:1::1]:443"], vec!["[2001:db9::1]:443"]),
        ("[::1]:80", vec!["[::1]:80"], vec!["[::2]:80", "127.0.0.1:80"]),
        ("*.corp", vec!["git.corp:443"], vec!["corp:443"]),
        ("*.acme.github.io", vec!["x.acme.github.io:443"], vec!["other.github.io:443"]),
    ] {
        let policy = file(&rule(pattern, "none"));
        yes.iter().for_each(|host| assert_eq!(said(&policy, &connect(host)), "allow: x", "{pattern} {host}"));
        no.iter()
            .for_each(|host| assert_eq!(said(&policy, &connect(host)), "deny: default", "{pattern} {host}"));
    }
}

#[test]
fn patterns_that_speak_of_strangers_or_of_nothing_are_refused() {
    for pattern in [
        "*",
        "**",
        "*:443",
        "*.com",
        "**.com",
        "**.co.uk",
        "*.github.io",
        "a*.example.com",
        "*a.example.com",
        "*example.com",
        "a.*.example.com",
        "**.*.example.com",
        "exam_*",
        "https://example.com",
        "example.com/x",
        "user@example.com",
        "example..com",
        "127.1",
        "0x7f.0.0.1",
        "2130706433",
        "010.0.0.1",
        "10.0.0.1/8",
        "0.0.0.0/0",
        "fd00::1",
        "[::ffff:10.0.0.0]/104",
        "example.com:0",
        "example.com:99999",
        "example.com:+1",
        "[::1",
        "{a,b",
        "",
        " ",
        "exa mple.com",
        "*.127.0.0.1",
    ] {
        let text = format!("version = 1\n{}", rule(pattern, "none"));
        let error = Layer::parse("p", LayerKind::File, &text).map(drop).expect_err(pattern);
        assert_eq!(error.line, 4, "{pattern} {error}");
    }
}

#[test]
fn what_is_too_wide_to_allow_can_still_forbid() {
    for pattern in ["**", "**.com", "0.0.0.0/0:25", "**:25"] {
        let policy = file(&format!("default = {{ connect = \"none\" }}\n{}", rule(pattern, "never")));
        let host = if pattern.starts_with('0') {
            "8.8.8.8:25"
        } else if pattern.ends_with("25") {
            "a.com:25"
        } else {
            "a.com:443"
        };
        assert_eq!(said(&policy, &connect(host)), "deny: x", "{pattern}");
    }
    // A hole in what is forbidden is no wider than a rule that allows.
    let hole = |need: &str| {
        format!(
            "version = 1\n[[rule]]\nid = \"x\"\nconnect = [\"{}\"]\nexcept = [\"**.com\"]\nneed = \"{need}\"\n",
            if need == "never" { "**" } else { "a.example.com" }
        )
    };
    assert!(Layer::parse("p", LayerKind::File, &hole("never")).is_err());
    assert!(Layer::parse("p", LayerKind::File, &hole("none")).is_ok());
}
