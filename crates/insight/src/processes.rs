//! Events into processes: which ran, who started whom, and what each did.
//!
//! One event at a time, in the ledger's order, with bounded memory for each process. What ended is known from `exited`; a number
//! that the kernel gives out again is another process. Reads and exits come in batches, so they may be told a little later than
//! the exec that they belong before; what comes of a number belongs to whoever held it last.
//!
//! Owns who a process is, whose child, and what is put down to it. Does not own which of them are worth a line (`fold`), and
//! what belongs to which call of the agent (`calls`).

mod calls;
mod files;
mod fold;
mod process;

use std::collections::HashMap;
use std::sync::Arc;

use ledger::OsText;
use ledger::action::{ActionRecord, CommandRecord};
use ledger::event::{self, Answered, Body, Event, Exec, OutcomeResult, Verdict};

pub use calls::{Call, Calls, Ground};
pub use files::{Files, Name, Touch, Touched};
pub use fold::{Folding, Row, Rows, Sum};
pub use process::{Image, Link, Linked, Process};

use crate::denial::Denial;
use files::Names;
use process::Count;

/// How far up is looked before a late word on who started whom is believed.
const ANCESTORS: usize = 1000;

/// The processes of a run.
#[derive(Debug, Default)]
pub struct ProcessTree {
    list: Vec<Process>,
    /// Who holds a number, or held it last: places in `list`.
    holders: HashMap<u32, usize>,
    names: Names,
    programs: HashMap<OsText, Content>,
    /// Execs that are spoken of again: by number, whose.
    execs: HashMap<u64, usize>,
    /// Execs that wait for an answer.
    waiting: HashMap<u64, (usize, Image, Denial)>,
    /// What the gateway refused, until it says whose it was.
    refused: HashMap<u64, Denial>,
    /// The program that is to be launched, and its variables.
    launching: Option<CommandRecord>,
    /// The agent's first process.
    root: Option<usize>,
    /// The number of the process that adopts orphans.
    init: Option<u32>,
    /// Whether any end was recorded.
    ends: bool,
    agent: String,
    mono: u64,
    began: u64,
}

/// What is known of the content of a program.
#[derive(Debug, Default)]
struct Content {
    digest: Option<Arc<str>>,
    /// Those that wait to be told, and the last that was started.
    of: Vec<(usize, usize)>,
}

impl ProcessTree {
    /// The processes of these events.
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> ProcessTree {
        let mut tree = ProcessTree::default();
        for event in events {
            tree.see(event);
        }
        tree
    }

    /// All of them, in the order in which they were first seen.
    pub fn all(&self) -> &[Process] {
        &self.list
    }

    /// One by its number in this run.
    pub fn get(&self, id: usize) -> Option<&Process> {
        self.list.get(id.checked_sub(1)?)
    }

    /// Those that the kernel gave this number, in order.
    pub fn by_pid(&self, pid: u32) -> impl Iterator<Item = &Process> {
        self.list.iter().filter(move |process| process.pid == pid)
    }

    /// Whoever the kernel gave this number last.
    pub fn by_pid_last(&self, pid: u32) -> Option<&Process> {
        self.list.get(*self.holders.get(&pid)?)
    }

    /// The agent's first process.
    pub fn root(&self) -> Option<&Process> {
        self.list.get(self.root?)
    }

    /// The agent that was recognised, or `command`.
    pub fn agent(&self) -> &str {
        &self.agent
    }

    /// Whether ends are recorded in this run.
    pub fn knows_ends(&self) -> bool {
        self.ends
    }

    /// How many processes above this one are programs or did something.
    pub fn depth(&self, id: usize) -> usize {
        let above = |process: &&Process| process.parent.and_then(|id| self.get(id));
        let mut depth = 0;
        let mut at = self.get(id);
        while let Some(parent) = at.as_ref().and_then(above).filter(|_| depth < ANCESTORS) {
            depth += usize::from(parent.did_something());
            at = Some(parent);
        }
        depth
    }

    /// Takes the next event; whom it is about, where it is about one process.
    pub fn see(&mut self, event: &Event) -> Option<usize> {
        if self.list.is_empty() && self.began == 0 {
            (self.began, self.mono) = (event.ts, event.mono);
        }
        let at = match event.mono.checked_sub(self.mono) {
            Some(at) => at,
            None => event.ts.saturating_sub(self.began),
        };
        let place = match &event.body {
            Body::RunOpened(opened) => {
                self.agent = opened.agent.name.clone();
                None
            }
            Body::Launch(launch) => Some(self.launched(event.seq, launch, at)),
            Body::Exec(exec) => Some(self.exec(event.seq, exec, at)),
            Body::Program(program) => {
                self.content(program);
                None
            }
            Body::Opened(opened) => {
                opened.entries.iter().for_each(|entry| self.opened(entry, at));
                None
            }
            Body::Exited(exited) => {
                exited.entries.iter().for_each(|entry| self.exited(*entry, at));
                None
            }
            Body::Connected(connected) => {
                connected.entries.iter().for_each(|entry| self.connected(entry, at));
                None
            }
            _ => self.judged(event, at),
        };
        place.map(|place| place + 1)
    }

    /// What was decided, and what came of it.
    fn judged(&mut self, event: &Event, at: u64) -> Option<usize> {
        match &event.body {
            Body::Denied(denied) => self.denied(event.cause, denied, at),
            Body::AskAnswered(answered) => self.answered(answered),
            Body::Outcome(outcome) => {
                let place = *self.execs.get(&outcome.of)?;
                if outcome.result == OutcomeResult::Failed {
                    self.list.get_mut(place)?.never_became(outcome.of);
                }
                Some(place)
            }
            Body::Decision(decision) => {
                if let ActionRecord::Launch(command) = &decision.action {
                    self.launching = Some(command.clone());
                }
                let about = decision.action.kind();
                if decision.verdict == Verdict::Deny && matches!(about, "connect" | "http") {
                    let target = decision.text.strip_prefix(about).unwrap_or(&decision.text).trim_start();
                    self.refused.insert(event.seq, Denial::new(about, target, &decision.reasons));
                }
                None
            }
            Body::Connection(connection) => self.connection(event.cause, connection, at),
            _ => None,
        }
    }

    // === who ===

    fn add(&mut self, pid: u32, parent: Option<usize>, at: u64) -> usize {
        let place = self.list.len();
        let parent = parent.map(|place| place + 1);
        self.list.push(Process { id: place + 1, pid, parent, seen: at, ..Process::default() });
        self.holders.insert(pid, place);
        place
    }

    /// Whoever holds a number now. One that was never seen, or whose last holder is known to be gone, is another process.
    fn holder(&mut self, pid: u32, at: u64) -> usize {
        match self.holders.get(&pid) {
            Some(place) if self.list.get(*place).is_some_and(|process| process.ended.is_none()) => *place,
            _ => self.add(pid, None, at),
        }
    }

    /// Whoever held a number last, dead or alive.
    fn last_holder(&mut self, pid: u32, at: u64) -> usize {
        match self.holders.get(&pid) {
            Some(place) => *place,
            None => self.add(pid, None, at),
        }
    }

    fn launched(&mut self, seq: u64, launch: &event::Launch, at: u64) -> usize {
        let place = self.holder(launch.pid, at);
        self.root = self.root.or(Some(place));
        let (argv, cwd) = (launch.argv.clone(), launch.cwd.clone());
        // The launch does not say where its program lies; the decision that it rests on does.
        let CommandRecord { program, env, .. } = self.launching.take().unwrap_or(CommandRecord {
            program: OsText::default(),
            argv: Vec::new(),
            env: Vec::new(),
        });
        let image = Image { seq, at, argv, program, digest: None, cwd, env };
        self.becomes(place, image);
        place
    }

    /// The process of an exec. A parent changes only when it dies: then whoever is above it, or nobody who is known, comes in its
    /// place. Any other parent means another process.
    fn caller(&mut self, pid: u32, ppid: u32, at: u64) -> usize {
        let place = match self.holders.get(&pid) {
            Some(place) if self.is_still(*place, ppid) => *place,
            _ => {
                let parent = self.parent(ppid, at);
                return self.add(pid, parent, at);
            }
        };
        if self.list.get(place).is_some_and(|process| process.parent.is_none()) && self.root != Some(place) {
            self.hangs_beneath(place, ppid, at);
        }
        place
    }

    fn is_still(&self, place: usize, ppid: u32) -> bool {
        let Some(process) = self.list.get(place) else { return false };
        if process.ended.is_some() {
            return false;
        }
        let Some(parent) = process.parent.and_then(|id| self.get(id)) else { return true };
        parent.pid == ppid || parent.ended.is_some() || !self.holders.contains_key(&ppid)
    }

    fn parent(&mut self, ppid: u32, at: u64) -> Option<usize> {
        if ppid == 0 || self.init == Some(ppid) {
            return None;
        }
        Some(self.holder(ppid, at))
    }

    /// Says late who started a process, unless that would go round in a circle.
    fn hangs_beneath(&mut self, place: usize, ppid: u32, at: u64) {
        let Some(parent) = self.parent(ppid, at) else { return };
        let mut above = Some(parent);
        for _ in 0..ANCESTORS {
            match above {
                Some(above) if above == place => return,
                Some(next) => above = self.list.get(next).and_then(|it| it.parent).map(|id| id - 1),
                None => break,
            }
        }
        if above.is_none()
            && let Some(process) = self.list.get_mut(place)
        {
            process.parent = Some(parent + 1);
        }
    }

    // === what ===

    fn exec(&mut self, seq: u64, exec: &Exec, at: u64) -> usize {
        let place = self.caller(exec.pid, exec.ppid, at);
        self.execs.insert(seq, place);
        let Exec { argv, program, cwd, env, .. } = exec.clone();
        let refusal = |argv: &[OsText]| Denial::new("exec", &spoken(argv), &exec.reasons);
        match exec.verdict {
            Verdict::Allow => {
                let image = Image { seq, at, argv, program, digest: None, cwd, env };
                self.becomes(place, image);
            }
            Verdict::Ask => {
                let refusal = refusal(&argv);
                let image = Image { seq, at, argv, program, digest: None, cwd, env };
                self.waiting.insert(seq, (place, image, refusal));
            }
            Verdict::Deny => {
                let refusal = refusal(&argv);
                if let Some(process) = self.list.get_mut(place) {
                    process.refuse(refusal);
                }
            }
        }
        place
    }

    fn becomes(&mut self, place: usize, mut image: Image) {
        let content = self.programs.entry(image.program.clone()).or_default();
        image.digest.clone_from(&content.digest);
        if content.digest.is_some() {
            content.of.clear();
        }
        if let Some(number) = self.list.get_mut(place).and_then(|process| process.becomes(image)) {
            content.of.push((place, number));
        }
    }

    /// The content of a program is told after the first exec that took it.
    fn content(&mut self, program: &event::Program) {
        let digest: Arc<str> = program.digest.as_str().into();
        let content = self.programs.entry(program.path.clone()).or_default();
        for (place, number) in std::mem::take(&mut content.of) {
            let image = self.list.get_mut(place).and_then(|process| process.images.get_mut(number));
            image.into_iter().for_each(|image| image.digest = Some(Arc::clone(&digest)));
        }
        content.digest = Some(digest);
    }

    fn opened(&mut self, entry: &event::OpenEntry, at: u64) {
        let name = self.names.of(&entry.path);
        let place = self.last_holder(entry.pid, at);
        if let Some(process) = self.list.get_mut(place) {
            process.files.add(&name, Touch::of(entry), entry.count);
        }
    }

    fn exited(&mut self, entry: event::ExitEntry, at: u64) {
        let place = self.holder(entry.pid, at);
        self.ends = true;
        if self.root == Some(place) {
            self.init = Some(entry.ppid);
        } else if self.list.get(place).is_some_and(|process| process.parent.is_none()) {
            self.hangs_beneath(place, entry.ppid, at);
        }
        if let Some(process) = self.list.get_mut(place) {
            (process.ended, process.exit) = (Some(at), Some(entry));
        }
    }

    fn connected(&mut self, entry: &event::ConnectEntry, at: u64) {
        let place = self.last_holder(entry.pid, at);
        if let Some(process) = self.list.get_mut(place) {
            process.link(entry.target.to_string(), entry.how.into(), Count::SoFar(entry.count));
        }
    }

    fn connection(&mut self, cause: Option<u64>, seen: &event::Connection, at: u64) -> Option<usize> {
        let place = self.last_holder(seen.pid?, at);
        let refusal = cause.and_then(|cause| self.refused.remove(&cause));
        let process = self.list.get_mut(place)?;
        let how = if seen.verdict == Verdict::Deny { Linked::Denied } else { Linked::Reached };
        process.link(seen.endpoint.clone(), how, Count::More(1));
        refusal.into_iter().for_each(|refusal| process.refuse(refusal));
        Some(place)
    }

    fn denied(&mut self, cause: Option<u64>, denied: &event::Denied, at: u64) -> Option<usize> {
        // What was decided by an event of its own is known from there.
        if cause.is_some_and(|cause| self.execs.contains_key(&cause)) {
            return None;
        }
        let place = self.last_holder(denied.pid?, at);
        let refusal = Denial::new(&denied.what, &denied.target.to_string(), &denied.reasons);
        self.list.get_mut(place)?.refuse(refusal);
        Some(place)
    }

    fn answered(&mut self, answered: &event::AskAnswered) -> Option<usize> {
        let (place, image, refusal) = self.waiting.remove(&answered.decision)?;
        match answered.answer {
            Answered::Allow => self.becomes(place, image),
            Answered::Deny | Answered::Expired => self.list.get_mut(place)?.refuse(refusal),
        }
        Some(place)
    }
}

/// Words as one text, each apart from the next.
fn spoken(argv: &[OsText]) -> String {
    let words: Vec<String> = argv.iter().map(ToString::to_string).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests;
