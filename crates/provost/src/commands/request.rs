//! `provost request`, from inside a run: ask for a capability, or put a question to a person.
//!
//! Owns what the words mean where they are typed: paths, the program on PATH, the variables that steer it. Does not own whether
//! that is so (`inside`, which believes nothing of it), or the answer.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use policy::action::is_steering;
use serde_json::Value;

use super::DONE;
use crate::cli::Request;
use crate::failure::{Failure, NO};
use crate::inside::{Asked, DOOR_VARIABLE, KINDS, REQUEST, Want};
use crate::render::{Out, clean};

/// The port that a host without one means.
const PORT: u16 = 443;

pub(super) fn request(order: &Request, out: Out) -> Result<u8, Failure> {
    let Some((what, words)) = order.what.split_first().filter(|(what, _)| KINDS.contains(&what.as_str()))
    else {
        return Err(
            Failure::new("no such kind of request").hint("ask for connect, read, exec, or put a question")
        );
    };
    let outside = || {
        Failure::new("this is not the inside of a run")
            .hint("from outside, give a policy: provost run --policy FILE")
    };
    let door = std::env::var(DOOR_VARIABLE).map_err(|_| outside())?;
    let asked = Asked { want: wanted(what, words)?, why: order.why.clone(), wait: !order.no_wait };
    let body = serde_json::to_vec(&asked).map_err(|error| Failure::of(&error))?;
    let answer = gateway::ask_inside(&door, REQUEST, &body)
        .map_err(|error| Failure::of(&error).during("could not reach the door of this run"))?;
    match out.human() {
        true => told(out, &answer.json),
        false => out.json(&answer.json),
    }
    Ok(if (200..300).contains(&answer.status) { DONE } else { NO })
}

fn told(out: Out, answer: &Value) {
    let field =
        |name: &str| answer.get(name).and_then(Value::as_str).map(clean).filter(|text| !text.is_empty());
    let status = field("status").unwrap_or_else(|| "refused".to_owned());
    // To a question the words are the answer; of a no they stand in its reason already.
    let why = field("why").filter(|_| status != "denied");
    let by = field("by").map(|by| format!("by {by}"));
    let said: Vec<String> = [field("message"), field("because"), by, why].into_iter().flatten().collect();
    out.line(format!("{status}: {}", said.join(": ")));
    if let Some(holds) = field("holds") {
        out.line(format!("    holds for {holds}"));
    }
    if let Some(hint) = field("hint") {
        out.line(format!("    {hint}"));
    }
}

fn wanted(what: &str, words: &[String]) -> Result<Want, Failure> {
    let one = || match words {
        [word] => Ok(word),
        _ => Err(Failure::new(format!("`{what}` is about one thing")).hint("quote what has blanks in it")),
    };
    Ok(match what {
        "connect" => Want::Connect(place(one()?)),
        "read" => Want::Read(file(Path::new(one()?))?),
        "exec" => command(words)?,
        _ => Want::Question(words.join(" ")),
    })
}

/// `HOST`, `HOST:PORT`, `[ADDRESS]`, `[ADDRESS]:PORT`.
fn place(text: &str) -> String {
    let has_port =
        text.rsplit_once(':').is_some_and(|(host, _)| !host.starts_with('[') || host.ends_with(']'));
    if has_port { text.to_owned() } else { format!("{text}:{PORT}") }
}

fn here() -> Result<PathBuf, Failure> {
    std::env::current_dir().map_err(|error| Failure::of(&error).during("this folder has no name"))
}

/// A file as an open of it from here would find it: links are followed as far as there are any.
fn file(given: &Path) -> Result<PathBuf, Failure> {
    let path = here()?.join(given);
    let by_folder = || {
        let (folder, name) = (path.parent()?.canonicalize().ok()?, path.file_name()?);
        Some(folder.join(name))
    };
    Ok(path.canonicalize().ok().or_else(by_folder).unwrap_or(path))
}

/// A command as an exec of it from here would be.
fn command(words: &[String]) -> Result<Want, Failure> {
    let variable = |word: &&String| word.split_once('=').is_some_and(|(name, _)| is_name(name));
    let count = words.iter().take_while(variable).count();
    let (before, words) = words.split_at(count);
    let called = words.first().ok_or_else(|| Failure::new("a command has no program"))?;
    let before = before.iter().filter_map(|word| word.split_once('='));
    let program = program(called)?;
    let mut variables = Vec::new();
    for (name, value) in std::env::vars_os() {
        if !is_steering(name.as_encoded_bytes()) {
            continue;
        }
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => variables.push((name, value)),
            (name, _) => {
                let name = name.unwrap_or_else(|name| name.to_string_lossy().into_owned());
                return Err(Failure::new(format!("the variable {} is no text", clean(&name))));
            }
        }
    }
    for (name, value) in before {
        variables.retain(|(known, _)| known != name);
        variables.push((name.to_owned(), value.to_owned()));
    }
    Ok(Want::Exec { program, words: words.to_vec(), variables, folder: here()? })
}

/// Whether it names a variable, as a shell would have it.
fn is_name(text: &str) -> bool {
    !text.starts_with(|first: char| first.is_ascii_digit())
        && !text.is_empty()
        && text.chars().all(|one| one.is_ascii_alphanumeric() || one == '_')
}

/// The program that a word starts: a path, or the first on PATH.
fn program(called: &str) -> Result<PathBuf, Failure> {
    let none = || Failure::new(format!("no program `{}` is found here", clean(called)));
    if called.contains('/') {
        return here()?.join(called).canonicalize().map_err(|_| none());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let here = here()?;
    let starts = |path: &PathBuf| {
        path.metadata().is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
    };
    let found = std::env::split_paths(&path).map(|folder| here.join(folder).join(called)).find(starts);
    found.and_then(|found| found.canonicalize().ok()).ok_or_else(none)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_a_port_means_the_usual_one() {
        for (given, meant) in [
            ("example.org", "example.org:443"),
            ("example.org:80", "example.org:80"),
            ("[::1]", "[::1]:443"),
            ("[::1]:80", "[::1]:80"),
        ] {
            assert_eq!(place(given), meant);
        }
    }

    #[test]
    fn a_command_is_the_program_on_the_path_with_its_variables() {
        let words = ["GIT_DIR=x", "sh", "-c", "A=b true"].map(str::to_owned);
        let Ok(Want::Exec { program, words, variables, .. }) = command(&words) else { panic!("no command") };
        assert!(program.is_absolute() && program.exists() && !program.is_symlink());
        assert_eq!(words, ["sh", "-c", "A=b true"]);
        assert!(variables.contains(&("GIT_DIR".to_owned(), "x".to_owned())));
        assert!(command(&["GIT_DIR=x".to_owned()]).is_err());
        assert!(command(&["no-such-program-anywhere".to_owned()]).is_err());
    }
}
