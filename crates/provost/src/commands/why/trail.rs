//! What a run's ledger says of files: who wrote them, who decided, accepted and landed them.
//!
//! Owns reading it out of the events, each named by its number. A program is named as the writer only where an open of the
//! file for writing is recorded; programs that were started with the file's name among their words are told apart.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ledger::event::{Access, Body, Event, Exec, MovedBy, OsText, Reason, RefMoved};
use ledger::{Host, RunId};
use serde::Serialize;

use crate::commands::each;
use crate::failure::Failure;
use crate::render::{clean, ground, short};
use crate::task::person;

/// Writers of a file that are told, the last ones.
const WRITERS: usize = 5;

/// An event, told.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Told {
    pub(super) seq: u64,
    /// Nanoseconds since 1970.
    pub(super) ts: u64,
    pub(super) trust: ledger::Trust,
    /// Its type.
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// What it says, in words.
    pub(super) text: String,
}

/// A run, as far as it answers.
#[derive(Debug, Serialize)]
pub(super) struct RunTrail {
    pub(super) run: String,
    pub(super) task: String,
    pub(super) agent: String,
    pub(super) principal: String,
    pub(super) workspace: String,
    pub(super) profile: Option<String>,
    /// When it began: nanoseconds since 1970.
    pub(super) began: u64,
}

/// A file of a run.
#[derive(Debug, Default, Serialize)]
pub(super) struct FileTrail {
    pub(super) path: OsText,
    /// Programs that opened it for writing, the last first.
    pub(super) wrote: Vec<Told>,
    /// Programs that were started with its name among their words, the last first.
    pub(super) named: Vec<Told>,
    /// The decision that let it land.
    pub(super) decided: Option<Told>,
    /// Who answered, where it asked.
    pub(super) answered: Option<Told>,
    /// Who accepted it.
    pub(super) accepted: Option<Told>,
    /// Its landing.
    pub(super) landed: Option<Told>,
    #[serde(skip)]
    pub(super) unknown: Vec<String>,
}

/// An event and those around it.
#[derive(Debug, Default)]
pub(super) struct Around {
    pub(super) event: Option<Told>,
    pub(super) causes: Vec<Told>,
    pub(super) effects: Vec<Told>,
    /// The file that it is about, beneath the workspace.
    pub(super) paths: Vec<PathBuf>,
}

/// A commit that a run made.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) run: RunId,
    pub(super) staged: Told,
    pub(super) moved: Vec<Told>,
}

/// A reference that was moved to a commit.
#[derive(Debug)]
pub(super) struct Moved {
    pub(super) told: Told,
    pub(super) files: Vec<PathBuf>,
    /// How many files more the commit has.
    pub(super) more: u64,
}

/// The run, and what it says of these files; of what landed, what came before an event if one is named.
pub(super) fn of(
    host: &Host,
    run: &RunId,
    paths: &[PathBuf],
    before: Option<u64>,
) -> Result<(RunTrail, Vec<FileTrail>), Failure> {
    let mut seeing = Seeing::new(paths, before);
    each(host, run, |event| seeing.see(event))?;
    Ok(seeing.told(run))
}

struct Seeing<'a> {
    paths: &'a [PathBuf],
    before: Option<u64>,
    run: Option<RunTrail>,
    workspace: PathBuf,
    profile: Option<String>,
    files: Vec<FileTrail>,
    /// What each process ran last.
    ran: HashMap<u32, Told>,
    decisions: HashMap<u64, (Told, PathBuf)>,
    answers: HashMap<u64, Told>,
    accepted: Option<Told>,
}

impl<'a> Seeing<'a> {
    fn new(paths: &'a [PathBuf], before: Option<u64>) -> Seeing<'a> {
        let file = |path: &PathBuf| FileTrail { path: path.as_path().into(), ..FileTrail::default() };
        let files = paths.iter().map(file).collect();
        Seeing {
            paths,
            before,
            run: None,
            workspace: PathBuf::new(),
            profile: None,
            files,
            ran: HashMap::new(),
            decisions: HashMap::new(),
            answers: HashMap::new(),
            accepted: None,
        }
    }

    fn see(&mut self, event: &Event) {
        if self.before.is_some_and(|before| event.seq > before) {
            return;
        }
        match &event.body {
            Body::RunOpened(opened) => {
                self.workspace = opened.workspace.to_path();
                let version = opened.agent.version.as_ref().map(|version| format!(" {version}"));
                self.run = Some(RunTrail {
                    run: event.run.clone(),
                    task: opened.task.clone(),
                    agent: format!("{}{}", opened.agent.name, version.unwrap_or_default()),
                    principal: person(&opened.principal),
                    workspace: opened.workspace.to_string(),
                    profile: None,
                    began: event.ts,
                });
            }
            Body::PolicyLoaded(policy) if self.profile.is_none() => self.profile.clone_from(&policy.profile),
            Body::Launch(launch) => drop(self.ran.insert(launch.pid, told(event))),
            Body::Exec(exec) => self.see_exec(event, exec),
            Body::Opened(opened) => {
                for entry in opened.entries.iter().filter(|entry| entry.access == Access::Write) {
                    let Some(at) = self.at(&entry.path.to_path()) else { continue };
                    let ran = self.ran.get(&entry.pid).cloned();
                    let told =
                        ran.unwrap_or_else(|| Told { text: format!("process {}", entry.pid), ..told(event) });
                    if let Some(file) = self.files.get_mut(at) {
                        file.wrote.retain(|known| known.seq != told.seq);
                        file.wrote.insert(0, told);
                    }
                }
            }
            _ => self.see_gate(event),
        }
    }

    fn see_exec(&mut self, event: &Event, exec: &Exec) {
        if exec.verdict == ledger::event::Verdict::Deny {
            return;
        }
        let told = told(event);
        for (path, file) in self.paths.iter().zip(&mut self.files) {
            let names =
                |word: &OsText| path.ends_with(word.to_path().strip_prefix("./").unwrap_or(&word.to_path()));
            let whole = |word: &OsText| word.to_path() == self.workspace.join(path);
            let words = exec.argv.iter().skip(1).filter(|word| !word.as_bytes().is_empty());
            if words.clone().any(|word| names(word) || whole(word)) {
                file.named.insert(0, told.clone());
            }
        }
        self.ran.insert(exec.pid, told);
    }

    fn see_gate(&mut self, event: &Event) {
        match &event.body {
            Body::Decision(decision) => {
                if let ledger::action::ActionRecord::Land { path } = &decision.action {
                    let path = path.to_path();
                    if let Some(file) = self.at(&path).and_then(|at| self.files.get_mut(at)) {
                        // One that is named by a landing takes its place.
                        file.decided = Some(told(event));
                    }
                    self.decisions.insert(event.seq, (told(event), path));
                }
            }
            Body::AskAnswered(answer) => {
                let decisions = std::iter::once(&answer.decision).chain(&answer.also);
                decisions.for_each(|decision| drop(self.answers.insert(*decision, told(event))));
            }
            Body::ChangeAccepted(_) => self.accepted = Some(told(event)),
            Body::Landed(landed) => self.landing(event, &landed.path),
            Body::Undone(undone) => {
                let at = self.paths.iter().position(|path| *path == undone.path.to_path());
                if let Some(file) = at.and_then(|at| self.files.get_mut(at)) {
                    (file.landed, file.accepted, file.decided) = (None, None, None);
                    file.unknown.push(format!("its landing was undone (event {})", event.seq));
                }
            }
            _ => {}
        }
    }

    fn landing(&mut self, event: &Event, path: &OsText) {
        let at = self.paths.iter().position(|known| *known == path.to_path());
        let Some(file) = at.and_then(|at| self.files.get_mut(at)) else { return };
        file.unknown.clear();
        file.landed = Some(told(event));
        file.accepted.clone_from(&self.accepted);
        file.decided = event.cause.and_then(|cause| self.decisions.get(&cause)).map(|(told, _)| told.clone());
    }

    fn at(&self, path: &Path) -> Option<usize> {
        let path = path.strip_prefix(&self.workspace).ok()?;
        self.paths.iter().position(|known| known == path)
    }

    fn told(mut self, run: &RunId) -> (RunTrail, Vec<FileTrail>) {
        for file in &mut self.files {
            file.answered = file.decided.as_ref().and_then(|decided| self.answers.get(&decided.seq)).cloned();
            if file.landed.is_none() && file.decided.is_some() {
                file.accepted.clone_from(&self.accepted);
            }
            file.wrote.truncate(WRITERS);
            file.named.truncate(WRITERS);
            let name = clean(&file.path.to_string());
            if file.wrote.is_empty() {
                file.unknown.push(format!(
                    "which program wrote {name} is not recorded: a file that is put in place by a rename, or removed, is not opened by its name"
                ));
            }
        }
        let run = self.run.unwrap_or_else(|| RunTrail {
            run: run.to_string(),
            task: String::new(),
            agent: String::new(),
            principal: String::new(),
            workspace: String::new(),
            profile: None,
            began: 0,
        });
        (RunTrail { profile: self.profile, ..run }, self.files)
    }
}

/// An event, what led to it, and what it led to.
pub(super) fn around(host: &Host, run: &RunId, seq: u64) -> Result<Around, Failure> {
    let mut around = Around::default();
    let mut causes: HashMap<u64, (Told, Option<u64>)> = HashMap::new();
    let mut root = PathBuf::new();
    each(host, run, |event| {
        if let Body::RunOpened(opened) = &event.body {
            root = opened.workspace.to_path();
        }
        if event.seq < seq {
            causes.insert(event.seq, (told(event), cause(event)));
        } else if event.seq == seq {
            around.event = Some(told(event));
            let mut next = cause(event);
            while let Some((told, earlier)) = next.and_then(|seq| causes.remove(&seq)) {
                around.causes.insert(0, told);
                next = earlier;
            }
            around.paths.extend(about(event, &root));
        } else if cause(event) == Some(seq) {
            around.effects.push(told(event));
        }
    })?;
    Ok(around)
}

/// The event that led to another, whatever it calls it.
fn cause(event: &Event) -> Option<u64> {
    match &event.body {
        Body::AskOpened(asked) => Some(asked.decision),
        Body::AskAnswered(answer) => Some(answer.decision),
        _ => event.cause,
    }
}

/// The file that an event is about, beneath the workspace.
fn about(event: &Event, root: &Path) -> Option<PathBuf> {
    match &event.body {
        Body::Landed(landed) => Some(landed.path.to_path()),
        Body::Undone(undone) => Some(undone.path.to_path()),
        Body::ChangeRejected(rejected) => Some(rejected.path.to_path()),
        Body::Decision(decision) => match &decision.action {
            ledger::action::ActionRecord::Land { path } => {
                path.to_path().strip_prefix(root).map(Path::to_owned).ok()
            }
            _ => None,
        },
        _ => None,
    }
}

/// The reference that a run moved to a commit that it wrote.
pub(super) fn moved_to(host: &Host, run: &RunId, id: &str) -> Result<Option<Moved>, Failure> {
    let mut found = None;
    each(host, run, |event| {
        if let Body::RefMoved(RefMoved {
            to: Some(to),
            by: MovedBy::Commit | MovedBy::Branch,
            files,
            more,
            ..
        }) = &event.body
            && to == id
        {
            let files = files.iter().map(OsText::to_path).collect();
            found = Some(Moved { told: told(event), files, more: *more });
        }
    })?;
    Ok(found)
}

/// The run in this workspace that made a commit, the newest first. Only runs that made commits are read.
pub(super) fn who_made(host: &Host, root: &Path, id: &str) -> Result<Option<Made>, Failure> {
    for run in host.runs()? {
        let folder = host.run_dir(&run.run);
        if !folder.join("commits").exists() && !folder.join("commits-landed.json").exists() {
            continue;
        }
        let (mut is_here, mut staged, mut moved) = (false, None, Vec::new());
        each(host, &run.run, |event| match &event.body {
            Body::RunOpened(opened) => is_here = opened.workspace.to_path() == root,
            Body::CommitsStaged(commits) if commits.ids.iter().any(|known| known == id) => {
                staged = Some(told(event))
            }
            Body::RefMoved(reference) if reference.by == MovedBy::Import || reference.by == MovedBy::Undo => {
                moved.push(told(event));
            }
            _ => {}
        })?;
        if let Some(staged) = staged.filter(|_| is_here) {
            return Ok(Some(Made { run: run.run, staged, moved }));
        }
    }
    Ok(None)
}

/// An event in words.
fn told(event: &Event) -> Told {
    let value = serde_json::to_value(&event.body).unwrap_or_default();
    let kind = value["type"].as_str().unwrap_or_default().to_owned();
    Told { seq: event.seq, ts: event.ts, trust: event.trust, kind, text: text(&event.body, &value) }
}

fn text(body: &Body, value: &serde_json::Value) -> String {
    match body {
        Body::Launch(launch) => words(&launch.argv),
        Body::Exec(exec) => format!("{} (process {}{})", words(&exec.argv), exec.pid, rules(&exec.reasons)),
        Body::Decision(decision) => {
            let verdict = value["verdict"].as_str().unwrap_or_default();
            format!("{verdict}: {}{}", clean(&decision.text), rules(&decision.reasons))
        }
        Body::AskAnswered(answer) => {
            let word = value["answer"].as_str().unwrap_or_default();
            let why = answer.why.as_ref().map(|why| format!(": {}", clean(why))).unwrap_or_default();
            format!("{word} by {} ({}){why}", clean(&answer.by), clean(&answer.how))
        }
        Body::ChangeAccepted(accepted) => {
            let named = [accepted.only.as_slice(), accepted.hunks.as_slice()].concat();
            let what = if accepted.all { "all that may land".to_owned() } else { clean(&named.join(", ")) };
            format!("{what} accepted by {} ({})", clean(&accepted.by), clean(&accepted.how))
        }
        Body::Landed(landed) => {
            let manner = value["manner"].as_str().unwrap_or_default();
            let hunks = if landed.hunks.is_empty() {
                String::new()
            } else {
                format!(", hunks {}", clean(&landed.hunks.join(", ")))
            };
            format!("{} ({manner}{hunks})", clean(&landed.path.to_string()))
        }
        Body::RefMoved(moved) => {
            let by = value["by"].as_str().unwrap_or_default();
            format!("{} to {} ({by})", clean(&moved.name), clean(moved.to.as_deref().unwrap_or("nothing")))
        }
        Body::CommitsStaged(staged) => crate::render::count(staged.commits, "commit"),
        _ => {
            let mut members = value.clone();
            if let Some(members) = members.as_object_mut() {
                members.remove("type");
            }
            short(&clean(&members.to_string()), 200)
        }
    }
}

fn words(argv: &[OsText]) -> String {
    let words: Vec<String> = argv.iter().map(|word| clean(&word.to_string())).collect();
    short(&words.join(" "), 100)
}

fn rules(reasons: &[Reason]) -> String {
    let rule =
        |reason: &Reason| format!(", {}", ground::brief(&reason.layer, &reason.rule, reason.why.as_deref()));
    reasons.first().map(rule).unwrap_or_default()
}
