//! After the run: the folder, the review, the landing, and a record that somebody meddled with.
//!
//! Owns these acts. Every command in them is the one a person types, run by this very program.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Output};

use super::{Show, Told};
use crate::failure::Failure;
use crate::render::{Tone, clean, short};

/// The copy of the record that is meddled with.
const COPY: &str = "meddled";
/// What is changed in the record, its last byte.
const NEEDLE: &[u8] = b"/.ssh/id_rsa\",\"reasons\"";
const CHANGED: usize = b"/.ssh/id_rs".len();

/// Plays them.
pub(super) fn play(show: &mut Show<'_>, before: &str) -> Result<(), Failure> {
    untouched(show, before)?;
    review(show)?;
    land(show)?;
    meddle(show)
}

/// The folder on the disk, after all of it.
fn untouched(show: &mut Show<'_>, before: &str) -> Result<(), Failure> {
    let mut told = Told {
        name: "untouched",
        title: "Your folder, after all of that.",
        expected: "the project is the same, byte for byte, as before the run, and its test still fails",
        ..Told::default()
    };
    show.page.title(show.told.len() + 1, told.title)?;
    let now = show.scene.digest().map_err(failed)?;
    let (was, is) = (short(before, 17), short(&now, 17));
    line(show, &mut told, &format!("SHA-256 before {was}  and now {is}"), None)?;
    let (passed, text) = test(show, &mut told)?;
    text.lines().try_for_each(|text| line(show, &mut told, text, None))?;
    told.as_told = now == before && !passed;
    if told.as_told {
        line(
            show,
            &mut told,
            "The same, byte for byte; and so the test still fails here.",
            Some(Tone::Good),
        )?;
    }
    show.over(told)
}

/// What it would change: the agent said "tidy".
fn review(show: &mut Show<'_>) -> Result<(), Failure> {
    let mut told = Told {
        name: "review",
        title: "What it would change. Look at the README.",
        expected: "provost review shows both files as a diff",
        ..Told::default()
    };
    show.page.title(show.told.len() + 1, told.title)?;
    let (_, text) = ran(show, &mut told, show.scene.provost(["review"]), "provost review")?;
    let diff = text.lines().take_while(|line| !line.contains("files changed"));
    for line_of_diff in diff.filter(|line| !line.is_empty()) {
        let tone = match line_of_diff.as_bytes().first() {
            Some(b'+') => Some(Tone::Good),
            Some(b'-') => Some(Tone::Bad),
            Some(b'@') => Some(Tone::Faint),
            _ => None,
        };
        line(show, &mut told, line_of_diff, tone)?;
    }
    told.as_told = text.contains("+echo \"Hello, ${1:-world}!\"") && text.contains("+Install: curl -s");
    show.over(told)
}

/// One file of two.
fn land(show: &mut Show<'_>) -> Result<(), Failure> {
    let mut told = Told {
        name: "land",
        title: "You land one file of the two.",
        expected: "greet.sh is changed in the folder and its test passes there; README.md stays as it was",
        ..Told::default()
    };
    show.page.title(show.told.len() + 1, told.title)?;
    let readme = show.scene.read("README.md");
    let apply = show.scene.provost(["apply", "--only", "greet.sh"]);
    let (landed, text) = ran(show, &mut told, apply, "provost apply --only greet.sh")?;
    text.lines().try_for_each(|text| line(show, &mut told, text, None))?;
    let (passed, text) = test(show, &mut told)?;
    text.lines().try_for_each(|text| line(show, &mut told, text, passed.then_some(Tone::Good)))?;
    let stays = show.scene.read("README.md") == readme;
    if stays {
        line(
            show,
            &mut told,
            "README.md stays as it was. Its change waits, or `provost discard` throws it away.",
            None,
        )?;
    }
    told.as_told = landed && passed && stays && show.scene.read("greet.sh").contains("Hello");
    show.over(told)
}

/// One byte of the record changes.
fn meddle(show: &mut Show<'_>) -> Result<(), Failure> {
    let mut told = Told {
        name: "meddle",
        title: "Somebody changes one byte of the record.",
        expected: "the record is whole; with one byte changed, provost ledger verify says where it is broken",
        ..Told::default()
    };
    show.page.title(show.told.len() + 1, told.title)?;
    let verify = ["ledger", "verify"];
    let (whole, text) = ran(show, &mut told, show.scene.provost(verify), "provost ledger verify")?;
    let text = text.lines().next().and_then(|line| line.split_once(", root ")).map_or("", |(whole, _)| whole);
    line(show, &mut told, text, Some(Tone::Good))?;
    let flipped = show.scene.copy_evidence(COPY).and_then(|copy| flip(&copy));
    let event = match flipped {
        Ok(event) => event,
        Err(error) => {
            line(show, &mut told, &error.to_string(), Some(Tone::Bad))?;
            return show.over(told);
        }
    };
    let what = format!("In a copy, where event {event} tells of the key, id_rsa becomes id_rsb.");
    line(show, &mut told, &what, None)?;
    let copy = show.scene.provost_with(COPY, verify);
    let (still_whole, text) = ran(show, &mut told, copy, "provost ledger verify")?;
    let named = text.lines().next().unwrap_or_default().to_owned();
    line(show, &mut told, &named, Some(Tone::Bad))?;
    told.as_told = whole && !still_whole && named.contains(&format!(" event {event}: "));
    show.over(told)
}

/// Changes the byte; the number of the event it is in.
fn flip(ledger: &Path) -> io::Result<u64> {
    let missing = || io::Error::other("the record does not tell of the key");
    for entry in fs::read_dir(ledger)? {
        let path = entry?.path();
        let mut bytes = fs::read(&path)?;
        let Some(at) = bytes.windows(NEEDLE.len()).position(|window| window == NEEDLE) else { continue };
        let number = number_of_event(bytes.get(..at).unwrap_or_default()).ok_or_else(missing)?;
        *bytes.get_mut(at + CHANGED).ok_or_else(missing)? = b'b';
        fs::write(path, bytes)?;
        return Ok(number);
    }
    Err(missing())
}

/// The `seq` of the event that these bytes end in.
fn number_of_event(bytes: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(bytes);
    let number = text.rsplit_once("\"seq\":")?.1;
    number.split(',').next()?.parse().ok()
}

/// The project's test, on the disk.
fn test(show: &Show<'_>, told: &mut Told) -> Result<(bool, String), Failure> {
    let mut test = show.scene.command("/bin/sh");
    test.arg("test.sh");
    ran(show, told, test, "sh test.sh")
}

/// Runs a command as a person would, shows it, and gives whether it went well and what it printed.
fn ran(
    show: &Show<'_>,
    told: &mut Told,
    mut command: Command,
    typed: &str,
) -> Result<(bool, String), Failure> {
    line(show, told, &format!("$ {typed}"), Some(Tone::Strong))?;
    let Output { status, stdout, stderr } =
        command.stdin(std::process::Stdio::null()).output().map_err(failed)?;
    let text = String::from_utf8_lossy(&stdout).into_owned();
    if text.is_empty() {
        let complained = String::from_utf8_lossy(&stderr);
        complained.lines().try_for_each(|text| line(show, told, text, Some(Tone::Bad)))?;
    }
    Ok((status.success(), text))
}

fn line(show: &Show<'_>, told: &mut Told, text: &str, tone: Option<Tone>) -> Result<(), Failure> {
    let text = clean(text);
    show.page.under(&text, tone)?;
    told.seen.push(text);
    Ok(())
}

fn failed(error: io::Error) -> Failure {
    Failure::of(&error).during("could not go on with the demo")
}
