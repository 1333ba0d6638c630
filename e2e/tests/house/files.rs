//! Files: how they open, how long they are, where unsafe code lives, and what no file may say.

use super::repository::{files, members, sources, text};

const LONGEST: usize = 600;

/// The one folder where unsafe code is at home.
const UNSAFE_HOME: &str = "crates/sandbox/src/sys";

/// The hostile program that the tests run inside: it calls the kernel around every library, and nothing links it.
const HOSTILE: &str = "e2e/src/bin/e2e-probe/";

/// Registries by the hosts they answer on, in two halves, so that this page does not name them either.
const REGISTRIES: &[(&str, &str)] = &[
    ("crates", ".io"),
    ("npmjs", ".org"),
    ("npmjs", ".com"),
    ("yarnpkg", ".com"),
    ("pypi", ".org"),
    ("pythonhosted", ".org"),
    ("deb.debian", ".org"),
    ("security.debian", ".org"),
    ("archive.ubuntu", ".com"),
    ("proxy.golang", ".org"),
    ("repo1.maven", ".org"),
];

/// Folders of the machines this was built on, in two halves as well.
const PLACES: &[(&str, &str)] = &[
    ("/work", "/wt/"),
    ("/work", "/main"),
    ("/work", "/target"),
    ("/work", "/shared"),
    ("/tmp", "/h/"),
    ("/root", "/.cargo"),
    ("/root", "/.rustup"),
    ("/root", "/.pyenv"),
    ("/home/runner", "/"),
];

#[test]
fn every_source_file_opens_with_what_it_owns() {
    for file in sources() {
        let opens = text(&file).unwrap();
        assert!(opens.starts_with("//!"), "{file} opens with `//!` and says what it owns");
    }
}

#[test]
fn no_source_file_is_too_long_or_called_mod() {
    for file in sources() {
        assert!(!file.ends_with("/mod.rs"), "{file}: a module lives in NAME.rs");
        let lines = text(&file).unwrap().lines().count();
        assert!(lines <= LONGEST, "{file} has {lines} lines, at most {LONGEST}: split it");
    }
}

/// The code of a line: without strings and comments, as far as a line shows them.
fn code(line: &str) -> String {
    let mut kept = String::new();
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if quoted => drop(chars.next()),
            '"' => quoted = !quoted,
            '/' if !quoted && chars.peek() == Some(&'/') => break,
            _ if !quoted => kept.push(c),
            _ => {}
        }
    }
    kept
}

fn is_unsafe(line: &str) -> bool {
    let code = code(line);
    let mut words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.any(|word| word == "unsafe")
        || ["allow(unsafe_code", "expect(unsafe_code"].iter().any(|way| code.contains(way))
}

#[test]
fn unsafe_code_lives_in_one_place() {
    assert!(is_unsafe("let x = unsafe { y() };") && is_unsafe("#![expect(unsafe_code, reason = \"\")]"));
    assert!(!is_unsafe("// unsafe {") && !is_unsafe("\"unsafe {\"") && !is_unsafe("#![forbid(unsafe_code)]"));
    let elsewhere = |file: &&String| ![UNSAFE_HOME, HOSTILE].iter().any(|home| file.starts_with(home));
    for file in sources().iter().filter(elsewhere) {
        for (at, line) in text(file).unwrap().lines().enumerate() {
            assert!(!is_unsafe(line), "{file}:{}: unsafe code outside {UNSAFE_HOME}: {line}", at + 1);
        }
    }
}

#[test]
fn every_crate_but_the_sandbox_forbids_unsafe_code() {
    for member in members().iter().filter(|member| member.name != "sandbox") {
        let lib = text(&format!("{}/src/lib.rs", member.folder)).unwrap();
        assert!(lib.contains("#![forbid(unsafe_code)]"), "{} forbids unsafe code at its root", member.name);
    }
}

#[test]
fn no_file_names_a_registry_or_a_folder_of_one_machine() {
    // The lock file is cargo's own and names where packages come from.
    for file in files().iter().filter(|file| *file != "Cargo.lock") {
        let Some(text) = text(file) else { continue };
        for (at, line) in text.lines().enumerate() {
            for (first, second) in REGISTRIES.iter().chain(PLACES) {
                assert!(!line.contains(&format!("{first}{second}")), "{file}:{}: {line}", at + 1);
            }
        }
    }
}
