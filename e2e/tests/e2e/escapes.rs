//! Ways out that others have found, tried by a hostile program in a real sandbox, by root and by an ordinary person.
//!
//! Where an attempt is refused, the same attempt is made outside first, or beside it with what the rules allow: so that
//! the refusal shows something.

mod approvals;
mod attacks;
mod evidence;
mod handoff;
mod kernel;
mod network;
mod patches;
mod paths;
mod policy;
mod programs;
mod races;
mod sockets;
mod terminal;

use e2e::person::Person;
use e2e::stage::{SECRET, Stage};
use e2e::tree::Tree;
use std::path::Path;

/// Plays a scene for root and for an ordinary person, each with the hostile program as `./probe`.
fn everybody(scene: impl Fn(&mut Stage)) {
    for person in Person::everybody() {
        println!("as {person}");
        let mut stage = Stage::new(person);
        let probe = stage.workspace.join("probe");
        std::fs::copy(env!("CARGO_BIN_EXE_e2e-probe"), &probe).unwrap();
        person.owns(&probe);
        scene(&mut stage);
    }
}

/// What a line tells of the secret outside, it does not tell inside; and nothing of the workspace changes.
#[track_caller]
fn keeps_the_secret(stage: &Stage, options: &[&str], line: &str) {
    let before = Tree::of(&stage.workspace);
    let inside = stage.inside_with(options, line);
    assert_ne!(inside.status, 125, "it did not run: {inside}");
    assert!(
        !inside.stdout.contains(SECRET) && !inside.stderr.contains(SECRET),
        "the secret came out: {inside}"
    );
    Tree::of(&stage.workspace).same_as(&before);
    let outside = stage.outside(line);
    assert!(outside.stdout.contains(SECRET), "no attempt at all: it fails outside too: {outside}");
}

/// Whether any process of the machine was started with this word.
pub(crate) fn is_running(word: &str) -> bool {
    processes().into_iter().any(|pid| {
        let words =
            std::fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline")).unwrap_or_default();
        words.split(|byte| *byte == 0).any(|known| known == word.as_bytes())
    })
}

/// The processes of the machine.
pub(crate) fn processes() -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}
