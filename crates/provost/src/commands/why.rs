//! `provost why`: from a commit, a line or an event back to run, action, decision and person.
//!
//! Owns understanding what was asked, and which run answers it. What cannot be told is said, and not guessed. Does not own
//! reading the run (`why/trail`), lines that are not committed (`why/line`), or how it is shown (`why/text`).

mod line;
mod text;
mod trail;

use std::path::{Path, PathBuf};

use ledger::{Host, HostError, RunId};
use serde::Serialize;

use super::{DONE, find, open};
use crate::cli::Why;
use crate::failure::Failure;
use crate::folders::Folders;
use crate::render::{Out, clean};
use crate::task;
use crate::workspace::{Blamed, GitError, Traced, blame, commit_named};
use line::Line;
use trail::{FileTrail, RunTrail, Told};

/// What was asked, and what is known of it.
#[derive(Debug, Default, Serialize)]
struct Answer {
    /// The line, where one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<Line>,
    /// The commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<CommitTold>,
    /// The event.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<Told>,
    /// What led to it, the first first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    causes: Vec<Told>,
    /// What it led to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    effects: Vec<Told>,
    /// The run.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<RunTrail>,
    /// The files, each with who wrote, decided, accepted and landed it.
    files: Vec<FileTrail>,
    /// What cannot be told, and why.
    unknown: Vec<String>,
}

/// A commit, and what the ledger has to say of it.
#[derive(Debug, Serialize)]
struct CommitTold {
    id: String,
    subject: String,
    author: String,
    /// `provost`: written for what a person accepted. `run`: made by the agent. `nobody`: no run is known that did.
    by: &'static str,
    /// Whether the ledger of its run has the root that it names; absent where it names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    ledger_holds: Option<bool>,
}

pub(super) fn why(order: &Why, out: Out) -> Result<u8, Failure> {
    let folders = Folders::find()?;
    let (host, _) = open(&folders, "why")?;
    let answer = answer(&folders, &host, &order.what)?;
    match out.human() {
        true => text::lines(&answer, out.paint()).into_iter().for_each(|line| out.line(line)),
        false => out.json(&answer),
    }
    Ok(DONE)
}

fn answer(folders: &Folders, host: &Host, what: &str) -> Result<Answer, Failure> {
    if let Some((file, number)) = place(what) {
        if Path::new(file).exists() {
            return of_line(folders, host, Path::new(file), number);
        }
        return of_event(host, Some(file), number as u64).map_err(|failure| match host.find(Some(file)) {
            Err(HostError::NoSuchRun(_)) => Failure::new(format!("no file and no run `{}`", clean(file)))
                .hint("a file is named from the folder that you are in; `provost runs` lists the runs"),
            _ => failure,
        });
    }
    // So short a number cannot be told from an event's; git wants longer names for commits too.
    if what.len() < 7
        && let Ok(seq) = what.parse()
    {
        return of_event(host, None, seq);
    }
    let root = workspace(folders)?;
    let commit = commit_named(&root, what).map_err(|error| git_failed(&error))?;
    let commit = commit.ok_or_else(|| {
        Failure::new(format!("`{}` is no commit, line or event", clean(what))).hint(
            "a commit of this repository, FILE:LINE, RUN:EVENT, or the number of an event of the last run",
        )
    })?;
    of_commit(host, &root, commit, None)
}

fn git_failed(error: &GitError) -> Failure {
    let failure = Failure::of(error);
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// What is before the last colon, and the number behind it.
fn place(what: &str) -> Option<(&str, usize)> {
    let (before, number) = what.rsplit_once(':')?;
    let number = number.parse().ok()?;
    (!before.is_empty()).then_some((before, number))
}

/// The repository around the current folder, or that folder.
fn workspace(folders: &Folders) -> Result<PathBuf, Failure> {
    let here = std::env::current_dir()
        .map_err(|error| Failure::of(&error).during("could not tell the current folder"))?;
    Ok(task::place(None, &here, &folders.home)?.0)
}

fn of_event(host: &Host, run: Option<&str>, seq: u64) -> Result<Answer, Failure> {
    let run = find(host, run)?.run;
    let events = trail::around(host, &run, seq)?;
    let Some(event) = events.event else {
        return Err(Failure::new(format!("run {run} has no event {seq}"))
            .hint(format!("`provost show {run} --events` lists them")));
    };
    let mut answer =
        Answer { event: Some(event), causes: events.causes, effects: events.effects, ..Answer::default() };
    let paths: Vec<PathBuf> = events.paths;
    tell(host, &run, &mut answer, &paths, None)?;
    Ok(answer)
}

/// Tells of the run, and of these files in it.
fn tell(
    host: &Host,
    run: &RunId,
    answer: &mut Answer,
    paths: &[PathBuf],
    before: Option<u64>,
) -> Result<(), Failure> {
    let (told, files) = trail::of(host, run, paths, before)?;
    answer.unknown.extend(files.iter().flat_map(|file| file.unknown.iter().cloned()));
    answer.run = Some(told);
    answer.files = files;
    Ok(())
}

fn of_commit(host: &Host, root: &Path, commit: Traced, only: Option<&Path>) -> Result<Answer, Failure> {
    let mut answer = Answer::default();
    let mut told = CommitTold {
        id: commit.id.clone(),
        subject: clean(&String::from_utf8_lossy(&commit.subject)),
        author: clean(&String::from_utf8_lossy(&commit.author)),
        by: "nobody",
        ledger_holds: None,
    };
    let named = commit.run.as_deref();
    let known = named.and_then(|named| host.find(Some(named)).ok().filter(|run| run.run.as_str() == named));
    let places = (&mut told, &mut answer);
    if !known.as_ref().map_or(Ok(false), |run| written(host, &run.run, (&commit, only), places))? {
        // What it names itself is the word of whoever made it, and an agent may have.
        match (trail::who_made(host, root, &commit.id)?, known) {
            (Some(made), _) => {
                told.by = "run";
                let paths: Vec<PathBuf> = only.map(Path::to_owned).into_iter().collect();
                tell(host, &made.run, &mut answer, &paths, None)?;
                answer.event = Some(made.staged);
                answer.effects = made.moved;
            }
            (None, Some(run)) => tell(host, &run.run, &mut answer, &[], None)?,
            (None, None) => {}
        }
        answer.unknown.extend(unknown(named, &answer, told.by));
    }
    answer.commit = Some(told);
    Ok(answer)
}

/// What there is to say of the run that a commit names, where that did not write it.
fn unknown(named: Option<&str>, answer: &Answer, by: &str) -> Option<String> {
    let told = answer.run.as_ref().map(|run| run.run.as_str());
    match named {
        None if by == "run" => None,
        None => Some(
            "it names no run, and no run of this machine that is known to have made commits here has it"
                .to_owned(),
        ),
        Some(named) if by == "run" => Some(format!(
            "it names run {}, and those are the words of the run that made it: Provost did not write it",
            clean(named)
        )),
        Some(named) if told == Some(named) => Some(format!(
            "it names run {named}, whose ledger does not know this commit: it was amended or moved since, or somebody else wrote those lines"
        )),
        Some(named) => Some(format!("it names run {}, which this machine does not know", clean(named))),
    }
}

/// A commit that says that Provost wrote it: whether the ledger of that run says so too, and what it says then.
fn written(
    host: &Host,
    run: &RunId,
    (commit, only): (&Traced, Option<&Path>),
    (told, answer): (&mut CommitTold, &mut Answer),
) -> Result<bool, Failure> {
    if let Some((size, root)) = &commit.ledger {
        let there = host.root_at(run, *size).map_err(Failure::from)?;
        told.ledger_holds = Some(there.is_some_and(|there| crate::layers::hex(&there) == *root));
        if told.ledger_holds == Some(false) {
            answer.unknown.push(format!("the ledger of run {run} never had the root that the commit names"));
        }
    }
    let Some(moved) = trail::moved_to(host, run, &commit.id)? else { return Ok(false) };
    told.by = "provost";
    // A commit of very many files does not name them all in the ledger.
    let unnamed = only.filter(|only| moved.more > 0 && !moved.files.iter().any(|file| file == only));
    let files: Vec<PathBuf> = match unnamed {
        Some(only) => vec![only.to_owned()],
        None => moved.files.into_iter().filter(|file| only.is_none_or(|only| only == file)).collect(),
    };
    tell(host, run, answer, &files, Some(moved.told.seq))?;
    if let Some(only) = only.filter(|_| files.is_empty()) {
        answer
            .unknown
            .push(format!("the commit does not change {} by that run", clean(&only.to_string_lossy())));
    }
    if moved.more > 0 && only.is_none() {
        answer
            .unknown
            .push(format!("the commit has {} more files, which the event does not name", moved.more));
    }
    answer.event = Some(moved.told);
    Ok(true)
}

fn of_line(folders: &Folders, host: &Host, file: &Path, number: usize) -> Result<Answer, Failure> {
    let missing =
        |error: std::io::Error| Failure::of(&error).during(format!("cannot read `{}`", file.display()));
    let real = std::fs::canonicalize(file).map_err(missing)?;
    let folder = real.parent().unwrap_or(&real).to_owned();
    let (root, _) = task::place(None, &folder, &folders.home)?;
    let path = real.strip_prefix(&root).unwrap_or(&real).to_owned();
    if !std::fs::metadata(&real).map_err(missing)?.is_file() {
        return Err(Failure::new(format!("`{}` is no file with lines", file.display())));
    }
    let content = std::fs::read(&real).map_err(missing)?;
    let text = content
        .split_inclusive(|byte| *byte == b'\n')
        .nth(number.wrapping_sub(1))
        .ok_or_else(|| Failure::new(format!("`{}` has no line {number}", file.display())))?;
    let told = Line {
        path: path.as_path().into(),
        number,
        text: clean(String::from_utf8_lossy(text).trim_end()),
        committed: None,
    };
    let blamed = match root.join(".git").exists() {
        true => blame(&root, &path, (number, &content)).map_err(|error| git_failed(&error))?,
        false => Blamed::NotYet,
    };
    match blamed {
        Blamed::Commit(id, then) => {
            let commit = commit_named(&root, &id).map_err(|error| git_failed(&error))?;
            let commit = commit.ok_or_else(|| Failure::new("git does not find the commit that it named"))?;
            let answer = of_commit(host, &root, commit, Some(&then))?;
            Ok(Answer { line: Some(Line { committed: Some(true), ..told }), ..answer })
        }
        Blamed::NotYet => {
            let mut answer =
                Answer { line: Some(Line { committed: Some(false), ..told }), ..Answer::default() };
            let place = line::Place { root: &root, path: &path, number, content: &content };
            match line::landed_by(host, &place, &mut answer.unknown)? {
                Some(run) => tell(host, &run, &mut answer, &[path], None)?,
                None => answer
                    .unknown
                    .push("no landing of a run in this folder is known to have written it".to_owned()),
            }
            Ok(answer)
        }
    }
}
