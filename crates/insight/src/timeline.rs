//! Events into a story: what happened, in order, under what; and what it comes to.
//!
//! Owns the order, what belongs together (a denial and the decision that led to it are one), and the sums. Does not own
//! whether the events can be believed: `ledger::verify` does, and a story of a broken ledger is told all the same.

mod commits;
mod network;
mod sent;
mod sums;

use std::collections::{BTreeMap, HashMap};

use ledger::event::{self, Answered, Body, Event, Verdict};
use ledger::{OsText, Trust};

pub use commits::MadeCommits;
pub use network::Consulted;
pub use sent::{Sent, SentBody};
pub use sums::{Changed, Counts, End, Fate, Folder, Moved, Opens, Reached};

use crate::denial::Denial;
use crate::process::{Processes, Telling};

/// A moment of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Moment {
    /// The event.
    pub seq: u64,
    /// Nanoseconds since the run was opened.
    pub at: u64,
    /// Who vouches for it.
    pub trust: Trust,
    /// How deep in the process tree; 0 for what is not of a process.
    pub depth: usize,
    /// What happened.
    pub what: What,
}

/// What happened in a moment.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// The agent was started.
    Launch {
        /// Its arguments.
        argv: Vec<OsText>,
    },
    /// A program was started.
    Exec {
        /// Its arguments.
        argv: Vec<OsText>,
        /// Where it lies.
        program: OsText,
        /// How many more like it the same parent started.
        more: u64,
    },
    /// Something was not allowed.
    Denied(Denial),
    /// A person was asked.
    Asked {
        /// The ask.
        ask: String,
        /// What they read.
        text: String,
    },
    /// An ask found its answer.
    Answered {
        /// The ask.
        ask: String,
        /// The answer.
        answer: Answered,
        /// Who gave it.
        by: String,
        /// Their words.
        why: Option<String>,
    },
    /// A yes holds for longer than once.
    Granted(event::GrantGiven),
    /// It does not any more.
    Over(event::GrantEnded),
    /// A host was reached for the first time.
    Reached {
        /// Host and port.
        endpoint: String,
    },
    /// A credential came within reach.
    Credential {
        /// Its name.
        name: String,
        /// Whether the agent holds the secret itself.
        real: bool,
    },
    /// The tokens of a login had to be refreshed.
    Login(event::LoginRefresh),
    /// The agent asked for something.
    Requested {
        /// What kind of thing.
        what: String,
        /// Which.
        text: String,
        /// Why, in its words.
        why: String,
    },
    /// Output was kept from the terminal.
    Filtered {
        /// What kind.
        kind: String,
        /// How often.
        count: u64,
    },
    /// A limit was reached.
    Limit {
        /// Which.
        what: String,
    },
    /// Somebody changed the workspace outside.
    Moved {
        /// How many files.
        count: u64,
        /// Some of their names.
        files: Vec<OsText>,
        /// How many of those the run changed too.
        both: usize,
        /// How many of those the run does not see.
        stale: usize,
    },
    /// Changes wait to be landed.
    Staged {
        /// How many files.
        files: usize,
    },
    /// Writes go to the workspace itself: what was there is kept.
    PreimagesKept {
        /// How many files.
        files: u64,
        /// How many bytes they hold.
        bytes: u64,
    },
    /// Changes are in the workspace itself.
    Direct {
        /// How many files.
        files: usize,
    },
    /// A person accepted changes.
    Accepted {
        /// Who.
        by: String,
        /// All that may land, or these patterns, paths and hunks.
        named: Option<Vec<String>>,
    },
    /// A person rejected a change.
    Rejected {
        /// Which file.
        path: OsText,
        /// Which hunk of it, if not all.
        hunk: Option<String>,
        /// Who.
        by: String,
        /// Why.
        why: String,
    },
    /// A file landed.
    Landed {
        /// Which.
        path: OsText,
        /// How it compares with what the agent left.
        manner: event::Manner,
    },
    /// A landing that was cut short was put in order.
    Recovered(event::LandRecovered),
    /// What had landed was put back as it was.
    Undone {
        /// Which file.
        path: OsText,
    },
    /// A file was kept back.
    Kept {
        /// Which.
        path: OsText,
        /// Why.
        because: String,
    },
    /// The run made commits of its own.
    Committed {
        /// How many.
        commits: u64,
        /// Why they cannot be taken over, if they cannot.
        refused: Option<String>,
    },
    /// A reference was set, moved or removed in the repository.
    RefMoved {
        /// Which.
        name: String,
        /// Where it leads now, if it is there.
        to: Option<String>,
        /// What for.
        by: event::MovedBy,
    },
    /// What was staged was thrown away.
    Discarded {
        /// How many files.
        files: u64,
    },
    /// The run was taken up again.
    Reopened {
        /// What for.
        by: String,
    },
    /// The run was found dead.
    Interrupted {
        /// Who found it.
        by: String,
    },
    /// The run ended.
    Ended(End),
}

/// A run, told.
#[derive(Debug, Default)]
pub struct Story {
    /// The run's id; empty before the first event.
    pub run: String,
    /// When it was opened: nanoseconds since 1970-01-01 UTC.
    pub began: u64,
    /// When its last event was: nanoseconds since 1970-01-01 UTC.
    pub last: u64,
    /// How it began.
    pub opened: Option<event::RunOpened>,
    /// The policy the agent was judged by, all layers.
    pub policy: Option<event::PolicyLoaded>,
    /// What the kernel gave.
    pub enforcement: Option<serde_json::Value>,
    /// What happened, in order.
    pub moments: Vec<Moment>,
    /// How it ended, if it did.
    pub ended: Option<End>,
    /// Who found it dead, if somebody did.
    pub interrupted: Option<String>,
    /// The limits it ran into.
    pub limits: Vec<String>,
    /// The limit that ended it, if one did: `memory`, `time`, ..
    pub ended_by: Option<String>,
    /// The commits that it made, if it made any.
    pub commits: Option<MadeCommits>,
    /// What of its traffic was recorded, where that is closed.
    pub cassette: Option<event::CassetteClosed>,
    /// What was counted.
    pub counts: Counts,
    /// What was opened, by folder.
    pub opens: Opens,
    /// What was changed outside while it went on.
    pub moved: Moved,
    denied: BTreeMap<(String, String, String), Denial>,
    reached: BTreeMap<String, Reached>,
    models: BTreeMap<(String, String), Consulted>,
    changes: BTreeMap<OsText, Changed>,
    processes: Processes,
    /// Decisions that are spoken of again: by number, what was decided about.
    decided: HashMap<u64, Denial>,
    /// Refusals of files by a decision whose call was not seen to fail yet.
    judged: HashMap<(String, String), u64>,
    mono: u64,
    /// Whether it was taken up again: what is loaded then is for what lands.
    taken_up: bool,
}

impl Story {
    /// The story of these events.
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> Story {
        let mut story = Story::default();
        events.into_iter().for_each(|event| story.see(event));
        story
    }

    /// What was not allowed, alike ones together, in the order of kind and target.
    pub fn denials(&self) -> impl Iterator<Item = &Denial> {
        self.denied.values()
    }

    /// The hosts that were reached or wanted, by name.
    pub fn reached(&self) -> impl Iterator<Item = &Reached> {
        self.reached.values()
    }

    /// The files that the run changed, by path.
    pub fn changes(&self) -> impl Iterator<Item = &Changed> {
        self.changes.values()
    }

    /// Whether something is staged that neither landed nor was thrown away.
    pub fn waits(&self) -> bool {
        self.changes.values().any(|changed| changed.fate.waits())
            || self.commits.as_ref().is_some_and(MadeCommits::waits)
    }

    /// Takes the next event.
    pub fn see(&mut self, event: &Event) {
        if self.run.is_empty() {
            self.run = event.run.clone();
            (self.began, self.mono) = (event.ts, event.mono);
        }
        self.last = event.ts;
        self.counts.events += 1;
        match &event.body {
            Body::RunOpened(opened) => self.opened = Some((**opened).clone()),
            Body::PolicyLoaded(_) if self.taken_up => {}
            Body::PolicyLoaded(loaded) => self.policy_loaded(loaded),
            Body::EnforcementGiven(given) => self.enforcement = Some(given.enforcement.clone()),
            Body::CredentialPassed(passed) => {
                let real = passed.how == event::Passed::Real;
                self.tell(event, 0, What::Credential { name: passed.name.clone(), real });
            }
            Body::LoginRefresh(refresh) => self.tell(event, 0, What::Login(refresh.clone())),
            Body::Decision(_) | Body::Denied(_) | Body::AskOpened(_) | Body::AskAnswered(_) => {
                self.see_line(event);
            }
            Body::GrantGiven(given) => self.tell(event, 0, What::Granted(given.clone())),
            Body::GrantEnded(ended) => self.tell(event, 0, What::Over(ended.clone())),
            Body::Launch(_)
            | Body::Exec(_)
            | Body::Opened(_)
            | Body::Program(_)
            | Body::Exited(_)
            | Body::Connected(_) => self.see_process(event),
            Body::Connection(_) | Body::Resolved(_) | Body::Flow(_) | Body::ModelAnswered(_) => {
                self.see_network(event)
            }
            Body::WorkspaceMoved(moved) => self.see_moved(event, moved),
            Body::ChangeStaged(_)
            | Body::PreimagesKept(_)
            | Body::ChangeDirect(_)
            | Body::Landed(_)
            | Body::LandRefused(_)
            | Body::LandRecovered(_)
            | Body::Undone(_)
            | Body::Discarded(_) => self.see_change(event),
            Body::ChangeAccepted(_) | Body::ChangeRejected(_) => self.see_review(event),
            Body::CommitsStaged(_) | Body::RefMoved(_) => self.see_commits(event),
            Body::RequestInside(request) => {
                let event::RequestInside { what, text, why } = request.clone();
                self.tell(event, 0, What::Requested { what, text, why });
            }
            Body::TerminalFiltered(filtered) => {
                let event::TerminalFiltered { kind, count } = filtered.clone();
                self.counts.filtered += count;
                self.tell(event, 0, What::Filtered { kind, count });
            }
            Body::LimitReached(limit) => {
                self.limits.push(limit.what.clone());
                if limit.done.as_deref() == Some("ended") {
                    self.ended_by.clone_from(&limit.limit);
                }
                self.tell(event, 0, What::Limit { what: limit.what.clone() });
            }
            Body::RunReopened(again) => {
                self.taken_up = true;
                self.tell(event, 0, What::Reopened { by: again.by.clone() });
            }
            Body::RunInterrupted(found) => {
                self.interrupted = Some(found.found_by.clone());
                self.tell(event, 0, What::Interrupted { by: found.found_by.clone() });
            }
            Body::RunEnded(ended) => self.run_ended(event, ended),
            Body::CassetteClosed(closed) => self.cassette = Some(closed.clone()),
            Body::EnvironmentRecorded(_) | Body::ConfinementAsked(_) | Body::Outcome(_) => {}
        }
    }

    fn tell(&mut self, event: &Event, depth: usize, what: What) {
        // The monotonic clock starts anew with the machine: a run taken up days later is told by the other clock.
        let at = match event.mono.checked_sub(self.mono) {
            Some(at) if !matches!(what, What::Reopened { .. }) => at,
            _ => event.ts.saturating_sub(self.began),
        };
        self.moments.push(Moment { seq: event.seq, at, trust: event.trust, depth, what });
    }

    /// A list of layers that was too long for one event goes on in the next.
    fn policy_loaded(&mut self, loaded: &event::PolicyLoaded) {
        match &mut self.policy {
            Some(policy) if policy.digest == loaded.digest => policy.layers.extend(loaded.layers.clone()),
            policy => *policy = Some(loaded.clone()),
        }
    }

    fn run_ended(&mut self, event: &Event, ended: &event::RunEnded) {
        let end =
            End { exit: ended.exit, wall_ms: ended.wall_ms, cpu_ms: ended.cpu_ms, stopped: ended.stopped };
        self.ended = Some(end);
        self.tell(event, 0, What::Ended(end));
    }

    fn see_line(&mut self, event: &Event) {
        match &event.body {
            Body::Decision(decision) => self.see_decision(event, decision),
            Body::Denied(denied) => {
                let pid = denied.pid;
                let depth = pid.and_then(|pid| self.processes.known_depth(pid)).unwrap_or(0);
                let told = event.cause.is_some_and(|cause| self.decided.contains_key(&cause));
                if !told && !self.was_judged(denied) {
                    let denial = Denial::new(&denied.what, &denied.target.to_string(), &denied.reasons);
                    self.deny(event, depth, denial);
                }
            }
            Body::AskOpened(opened) => {
                self.counts.asks += 1;
                let event::AskOpened { ask, text, .. } = opened.clone();
                self.tell(event, 0, What::Asked { ask, text });
            }
            Body::AskAnswered(answered) => {
                let event::AskAnswered { ask, answer, by, why, .. } = answered.clone();
                self.tell(event, 0, What::Answered { ask, answer, by, why });
                for seq in std::iter::once(&answered.decision).chain(&answered.also) {
                    if answered.answer != Answered::Allow
                        && let Some(denial) = self.decided.get(seq).cloned()
                    {
                        self.judge(&denial);
                        self.count_denial(denial);
                    }
                }
            }
            _ => {}
        }
    }

    fn see_decision(&mut self, event: &Event, decision: &event::Decision) {
        let kind = decision.action.kind();
        let target = decision.text.strip_prefix(kind).map_or(decision.text.as_str(), str::trim_start);
        let denial = Denial::new(kind, target, &decision.reasons);
        match decision.verdict {
            Verdict::Allow => {}
            Verdict::Ask => drop(self.decided.insert(event.seq, denial)),
            // That a change is kept back is told by an event of its own.
            Verdict::Deny if kind == "land" => {}
            Verdict::Deny => {
                self.decided.insert(event.seq, denial.clone());
                self.judge(&denial);
                self.deny(event, 0, denial);
            }
        }
    }

    /// A file was refused by a decision: that the call then failed is the same refusal.
    fn judge(&mut self, denial: &Denial) {
        if matches!(&*denial.kind, "read" | "write") {
            *self.judged.entry((denial.kind.clone(), denial.target.clone())).or_default() += 1;
        }
    }

    /// Whether this refusal was told by the decision that led to it.
    fn was_judged(&mut self, denied: &event::Denied) -> bool {
        let judged = self.judged.get_mut(&(denied.what.clone(), denied.target.to_string()));
        judged.filter(|left| **left > 0).map(|left| *left -= 1).is_some()
    }

    fn deny(&mut self, event: &Event, depth: usize, denial: Denial) {
        self.tell(event, depth, What::Denied(denial.clone()));
        self.count_denial(denial);
    }

    fn count_denial(&mut self, denial: Denial) {
        self.counts.denials += 1;
        let key = (denial.kind.clone(), denial.target.clone(), denial.rule.clone());
        self.denied.entry(key).and_modify(|known| known.count += 1).or_insert(denial);
    }

    fn see_process(&mut self, event: &Event) {
        match &event.body {
            Body::Launch(launch) => {
                self.processes.launched(launch.pid);
                self.tell(event, 0, What::Launch { argv: launch.argv.clone() });
            }
            Body::Exec(exec) => self.see_exec(event, exec),
            Body::Opened(opened) => opened.entries.iter().for_each(|entry| self.opens.add(entry)),
            Body::Program(_) => self.counts.programs += 1,
            Body::Exited(exited) => exited.entries.iter().for_each(|entry| self.opens.ended(entry.pid)),
            _ => {}
        }
    }

    fn see_exec(&mut self, event: &Event, exec: &event::Exec) {
        self.counts.execs += 1;
        let depth = self.processes.depth(exec.pid, exec.ppid);
        if exec.verdict != Verdict::Allow {
            let denial = Denial::new("exec", &sums::words(&exec.argv), &exec.reasons);
            self.decided.insert(event.seq, denial.clone());
            if exec.verdict == Verdict::Deny {
                self.deny(event, depth, denial);
            }
            return;
        }
        let place = self.moments.len();
        match self.processes.tell(exec.ppid, exec.program.as_bytes(), place) {
            Telling::Alone => {
                let what = What::Exec { argv: exec.argv.clone(), program: exec.program.clone(), more: 0 };
                self.tell(event, depth, what);
            }
            Telling::AsOneMoreOf(place) => {
                if let Some(Moment { what: What::Exec { more, .. }, .. }) = self.moments.get_mut(place) {
                    *more += 1;
                }
            }
        }
    }

    fn see_change(&mut self, event: &Event) {
        match &event.body {
            Body::ChangeStaged(staged) => {
                for file in &staged.files {
                    self.changes.insert(file.path.clone(), Changed::staged(file));
                }
                self.tell(event, 0, What::Staged { files: staged.files.len() });
            }
            Body::PreimagesKept(kept) => {
                let (files, bytes) = (kept.files, kept.bytes);
                self.tell(event, 0, What::PreimagesKept { files, bytes });
            }
            Body::ChangeDirect(direct) => {
                for file in &direct.files {
                    self.changes.insert(file.path.clone(), Changed::direct(file));
                }
                self.tell(event, 0, What::Direct { files: direct.files.len() });
            }
            Body::Landed(landed) => {
                let changed = self.changes.entry(landed.path.clone());
                let fate = if landed.hunks.is_empty() { Fate::Landed } else { Fate::Part };
                changed.or_insert_with(|| Changed::landed(landed)).fate = fate;
                self.tell(event, 0, What::Landed { path: landed.path.clone(), manner: landed.manner });
            }
            Body::Undone(undone) => {
                if let Some(changed) = self.changes.get_mut(&undone.path) {
                    changed.fate = Fate::Waiting;
                }
                self.tell(event, 0, What::Undone { path: undone.path.clone() });
            }
            Body::LandRefused(refused) => {
                let because = refused.because.clone();
                if let Some(changed) = self.changes.get_mut(&refused.path) {
                    changed.fate = Fate::Kept(because.clone());
                }
                self.tell(event, 0, What::Kept { path: refused.path.clone(), because });
            }
            Body::LandRecovered(recovered) => self.tell(event, 0, What::Recovered(recovered.clone())),
            Body::Discarded(discarded) => {
                let waiting = self.changes.values_mut().filter(|changed| changed.fate.waits());
                waiting.for_each(|changed| changed.fate = Fate::Discarded);
                let commits = self.commits.as_mut().filter(|commits| commits.fate.waits());
                commits.into_iter().for_each(|commits| commits.fate = Fate::Discarded);
                self.cassette = self.cassette.take().filter(|_| !discarded.cassette);
                self.tell(event, 0, What::Discarded { files: discarded.files });
            }
            _ => {}
        }
    }

    fn see_moved(&mut self, event: &Event, moved: &event::WorkspaceMoved) {
        for file in &moved.files {
            self.moved.files.insert(file.path.clone(), (file.both, file.stale));
        }
        self.moved.unnamed += moved.count.saturating_sub(moved.files.len() as u64);
        let count = |is: fn(&event::MovedFile) -> bool| moved.files.iter().filter(|file| is(file)).count();
        let (both, stale) = (count(|file| file.both), count(|file| file.stale));
        let files = moved.files.iter().map(|file| file.path.clone()).collect();
        self.tell(event, 0, What::Moved { count: moved.count, files, both, stale });
    }

    fn see_review(&mut self, event: &Event) {
        match &event.body {
            Body::ChangeAccepted(accepted) => {
                let edited = accepted.edited.iter().map(|edit| format!("{} edited by hand", edit.hunk));
                let named = accepted.only.iter().chain(&accepted.hunks).cloned().chain(edited).collect();
                let named = (!accepted.all).then_some(named);
                self.tell(event, 0, What::Accepted { by: accepted.by.clone(), named });
            }
            Body::ChangeRejected(rejected) => {
                let event::ChangeRejected { path, hunk, by, why, .. } = rejected.clone();
                self.tell(event, 0, What::Rejected { path, hunk, by, why });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
