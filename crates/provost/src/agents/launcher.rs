//! A command that starts an agent through something else: `npx @openai/codex`, `node .../codex.js`.
//!
//! Owns: finding the word after which the agent's own arguments begin. Does not own: those arguments.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// How an agent is called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names {
    /// Its program.
    pub(super) program: &'static str,
    /// Its npm package.
    pub(super) package: &'static str,
    /// Files that its package has Node run, each with a part of the path it must have.
    pub(super) scripts: &'static [(&'static str, &'static str)],
}

/// How many words lead up to the agent's own arguments, if the command starts this agent.
pub(super) fn lead(argv: &[OsString], names: Names) -> Option<usize> {
    let first = file_name(argv.first()?)?;
    if first == names.program || script(argv.first()?, names) {
        return Some(1);
    }
    match first {
        "npx" | "pnpx" | "bunx" => package(argv, 1, names),
        "npm" => word_in(argv, &["exec", "x"]).and_then(|at| package(argv, at, names)),
        "pnpm" | "yarn" => word_in(argv, &["dlx", "exec"]).and_then(|at| package(argv, at, names)),
        "bun" => {
            word_in(argv, &["x"]).and_then(|at| package(argv, at, names)).or_else(|| run_script(argv, names))
        }
        "node" | "nodejs" => run_script(argv, names),
        _ => None,
    }
}

fn file_name(word: &OsStr) -> Option<&str> {
    Path::new(word).file_name()?.to_str()
}

/// The place after the second word, if it is one of these.
fn word_in(argv: &[OsString], words: &[&str]) -> Option<usize> {
    let word = argv.get(1)?.to_str()?;
    words.contains(&word).then_some(2)
}

/// Skips options up to the package; an option that names the package makes the next word the program.
fn package(argv: &[OsString], from: usize, names: Names) -> Option<usize> {
    let mut at = from;
    let mut named = false;
    loop {
        let word = argv.get(at)?.to_str()?;
        at += 1;
        match word {
            "-p" | "--package" => {
                named |= is_package(argv.get(at)?.to_str()?, names);
                at += 1;
            }
            "--" => {}
            _ if word.starts_with('-') => {
                named |= word.strip_prefix("--package=").is_some_and(|word| is_package(word, names))
            }
            _ => return (is_package(word, names) || (named && word == names.program)).then_some(at),
        }
    }
}

fn is_package(word: &str, names: Names) -> bool {
    word.strip_prefix(names.package).is_some_and(|rest| rest.is_empty() || rest.starts_with('@'))
}

fn run_script(argv: &[OsString], names: Names) -> Option<usize> {
    let at = argv.iter().skip(1).position(|word| !word.as_encoded_bytes().starts_with(b"-"))? + 1;
    script(argv.get(at)?, names).then_some(at + 1)
}

fn script(word: &OsStr, names: Names) -> bool {
    names
        .scripts
        .iter()
        .any(|(file, within)| file_name(word) == Some(file) && word.to_string_lossy().contains(within))
}
