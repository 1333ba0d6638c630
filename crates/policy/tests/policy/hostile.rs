//! Whatever is written in a file and whatever is asked, the answer comes, in bounded time.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use policy::{AbsPath, Action, Command, Layer, LayerKind};
use proptest::prelude::*;

use crate::common::{compile, connect, exec, file, path, read, said};

/// Far beyond what any of it takes on a busy machine, far below what an explosion would take.
const BOUND: Duration = Duration::from_secs(20);

#[test]
fn many_stars_and_long_inputs_take_bounded_time() {
    let bomb = "/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/*a*a*a*a*";
    let words = "** a ** a ** a ** a ** a ** {a,b}*{a,b}* **";
    let rules: String = (0..100)
        .map(|at| {
            format!(
                "[[rule]]\nid = \"p{at}\"\nread = [\"/x{at}{bomb}\", \"{bomb}b{at}\"]\nneed = \"never\"\n\
                 [[rule]]\nid = \"c{at}\"\nexec = [\"{words} {at}\"]\nneed = \"never\"\n"
            )
        })
        .collect();
    let started = Instant::now();
    let policy = file(&format!(
        "default = {{ exec = \"none\" }}\n[[rule]]\nid = \"r\"\nread = [\"/a/**\"]\nneed = \"none\"\n{rules}"
    ));
    let deep = format!("/a{}", "/aa/a".repeat(2000));
    assert_eq!(said(&policy, &read(&deep)), "allow: r");
    // Words in an order that no cache of states can follow.
    let mut seed = 1_u32;
    let mut word = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if seed >> 16 & 1 == 0 { "a" } else { "b" }
    };
    let line: Vec<&str> = std::iter::once("ls").chain((0..20_000).map(|_| word())).collect();
    assert_eq!(said(&policy, &exec(&line.join(" "))), "allow: default");
    assert!(started.elapsed() < BOUND, "{:?}", started.elapsed());
}

#[test]
fn too_much_is_refused() {
    let refused = |pattern: &str| {
        let text = format!("version = 1\n[[rule]]\nid = \"x\"\nread = [\"{pattern}\"]\nneed = \"never\"\n");
        Layer::parse("p", LayerKind::File, &text).is_err()
    };
    assert!(!refused("/**/a"));
    assert!(refused(&"/**".repeat(17)));
    assert!(refused(&format!("/{}", "a*".repeat(65))));
    assert!(refused(&format!("/{}", "a".repeat(4096))));
    assert!(refused(&format!("/{}", "{".repeat(100))));
    assert!(refused(&format!("/{}{}", "{a,".repeat(20), "}".repeat(20))));
    let hosts = format!(
        "version = 1\n[[rule]]\nid = \"x\"\nconnect = [\"{}.example.com\"]\nneed = \"none\"\n",
        "{a,b}".repeat(7)
    );
    assert!(Layer::parse("p", LayerKind::File, &hosts).is_err());
}

#[test]
fn bytes_that_are_no_text_are_matched_as_they_are() {
    let policy = file(
        "default = { exec = \"none\" }\n[[rule]]\nid = \"r\"\nread = [\"/a/*.rs\", \"/b/**\"]\nneed = \"none\"\n[[rule]]\nid = \"c\"\nexec = [\"ls *\\\\n*\"]\nneed = \"never\"\n",
    );
    let raw = |bytes: &[u8]| Action::Read(AbsPath::new(Path::new(OsStr::from_bytes(bytes))).unwrap());
    assert_eq!(said(&policy, &raw(b"/a/\xff\xfe\n.rs")), "allow: r");
    assert_eq!(said(&policy, &raw(b"/b/\xc3/\x80\x01")), "allow: r");
    assert_eq!(said(&policy, &raw(b"/a\xff/x.rs")), "deny: default");
    let word = |word: &[u8]| {
        Action::Exec(Command::new(path("/bin/ls"), vec![b"ls".to_vec(), word.to_vec()], Vec::new()))
    };
    // `\n` in a pattern is the letter n.
    assert_eq!(said(&policy, &word(b"\xffn\xff")), "deny: c");
    assert_eq!(said(&policy, &word(b"\n")), "allow: default");
}

#[test]
fn long_hosts_and_strange_ones_are_no_hosts() {
    let policy = file("default = { connect = \"none\" }");
    let long = format!("{}:443", "a.".repeat(126) + "b");
    assert_eq!(said(&policy, &connect(&long)), "allow: default");
    assert!(policy::Endpoint::parse(&format!("{}:443", "a.".repeat(127) + "b")).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}|version = 1\n\\PC{0,80}(\n\\PC{0,80}){0,6}") {
        if let Err(error) = Layer::parse("p", LayerKind::File, &text) {
            prop_assert!(error.line <= text.lines().count() + 1 && !error.because.is_empty());
        }
    }

    #[test]
    fn any_pattern_is_read_or_refused_and_what_is_read_can_judge(
        kind in proptest::sample::select(vec!["read", "exec", "connect", "http", "tool", "credential", "spend"]),
        need in proptest::sample::select(vec!["none", "never"]),
        pattern in "[a-c./~*{},\\\\:@ \\[\\]0-9%>='=-]{1,24}|https?://[a-c.*/{},:%]{1,16}",
        other in "[a-c/. *-]{1,16}",
    ) {
        let text = format!("version = 1\n[[rule]]\nid = \"x\"\n{kind} = [{pattern:?}]\nneed = \"{need}\"\n");
        if let Ok(layer) = Layer::parse("p", LayerKind::File, &text) {
            let policy = compile(vec![layer]);
            let _ = policy.confinement();
            let mut actions = vec![exec(&format!("ls {other}")), Action::Tool { name: other.clone() }, Action::Spend { unit: other.clone(), amount: 7 }];
            actions.extend(AbsPath::join_lexical(Path::new("/"), Path::new(&other)).map(Action::Read));
            actions.extend(policy::Endpoint::parse(&format!("{other}:443")).map(Action::Connect));
            for action in actions {
                prop_assert_eq!(&policy.explain(&action).decision, &policy.decide(&action, &[]));
            }
        }
    }
}
