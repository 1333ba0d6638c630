//! Calls that wait for somebody's answer: held by their id, each with what it would do, at the cost of no thread.
//!
//! Owns: how many there are, taking up answers, and that a question goes with its caller. Does not own: what follows from an
//! answer about a program (`exec.rs`), the question (`admission`).

use super::files::Came;
use super::{Refusal, Supervisor, built_in, exec, word};
use crate::deed::Deed;
use crate::sys::notify::{self, Notification};
use admission::{Denial, Open, Outcome, Pending, Permit, Receipt, Verdict};
use ledger::Access;
use policy::{AbsPath, Reason};
use rustix::fd::AsFd as _;
use std::path::Path;
use std::task::Poll;
use std::time::{Duration, Instant};

/// How many calls may wait at once. What they would use is held open meanwhile, and a process has only so many descriptors.
const HELD_MAX: usize = 256;
/// How long a question may outlive its caller where nobody else asks.
const GLANCE: Duration = Duration::from_secs(1);
/// Why nothing comes of a yes.
const MOVED: &str = "it was moved or replaced while somebody was asked";

/// The held calls.
#[derive(Debug)]
pub(super) struct Held {
    calls: std::collections::HashMap<u64, Waiting>,
    /// When it was last looked whether they are still there.
    looked: Instant,
}

impl Default for Held {
    fn default() -> Self {
        Self { calls: std::collections::HashMap::new(), looked: Instant::now() }
    }
}

/// What waits.
#[derive(Debug)]
pub(super) enum Waiting {
    Exec(exec::Asked),
    Start(Start),
    Deed(Asked),
}

/// An exec of a program that is read with somebody's yes alone.
#[derive(Debug)]
pub(super) struct Start {
    call: Notification,
    seen: exec::Seen,
    pending: Pending<Open>,
}

/// A deed that somebody is asked about.
#[derive(Debug)]
pub(super) struct Asked {
    call: Notification,
    deed: Deed,
    /// What is asked now.
    about: (AbsPath, Access),
    pending: Pending<Open>,
    /// What must be asked after this.
    left: Vec<(AbsPath, Access)>,
    /// What was said yes to.
    permits: Vec<Permit<Open>>,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Drops every question.
    pub(super) fn clear(&mut self) {
        self.calls.clear();
    }

    /// Why no more can wait, if so.
    pub(super) fn full(&self) -> Option<Reason> {
        let why = "too many calls wait for an answer already";
        (self.calls.len() >= HELD_MAX).then(|| built_in(why))
    }

    /// Whether it is time to look whether those who wait are still there.
    pub(super) fn is_due(&self) -> bool {
        !self.is_empty() && self.looked.elapsed() >= GLANCE
    }
}

impl Supervisor {
    pub(super) fn hold(&mut self, id: u64, waiting: Waiting) {
        self.held.calls.insert(id, waiting);
    }

    /// Takes up what was answered meanwhile, and drops what nobody waits for any more.
    pub(super) fn take_answers(&mut self) {
        self.answers.hush();
        self.drop_the_gone();
        let ids: Vec<u64> = self.held.calls.keys().copied().collect();
        for id in ids {
            let Some(waiting) = self.held.calls.remove(&id) else { continue };
            match waiting {
                Waiting::Exec(asked) => self.take_up_exec(asked),
                Waiting::Start(start) => self.take_up_start(start),
                Waiting::Deed(asked) => self.take_up(asked),
            }
        }
    }

    /// Drops what nobody waits for any more. Whoever asks next asks for themselves, and takes up no question of the dead.
    pub(super) fn drop_the_gone(&mut self) {
        self.held.looked = Instant::now();
        let listener = self.listener.as_fd();
        let gone = self.held.calls.extract_if(|id, _| !notify::still_held(listener, *id));
        for (_, waiting) in gone {
            // Dropping the pending verdict withdraws the question.
            if let Waiting::Deed(asked) = waiting {
                asked.give_up("its caller ended while somebody was asked");
            }
        }
    }

    /// Has somebody asked about all of this, one after the other. `Some` where nobody can be.
    pub(super) fn ask(
        &mut self,
        call: &Notification,
        deed: Deed,
        mut needed: Vec<(AbsPath, Access)>,
    ) -> Option<Refusal> {
        needed.reverse();
        let about = needed.pop()?;
        self.drop_the_gone();
        if let Some(full) = self.held.full() {
            return Some(Refusal::of(about.0.as_path().to_owned(), about.1, vec![full]));
        }
        let pending = self.admission.admit(opening(&about));
        self.take_up(Asked { call: *call, deed, about, pending, left: needed, permits: Vec::new() });
        None
    }

    fn take_up(&mut self, mut asked: Asked) {
        loop {
            match asked.pending.or_wake(self.answers.clone().into()) {
                Poll::Pending => return self.hold(asked.call.id, Waiting::Deed(asked)),
                Poll::Ready(Verdict::Refuse(denial)) => return self.turn_away(asked, &denial),
                Poll::Ready(Verdict::Pass(permit)) => asked.permits.push(permit),
            }
            let Some(about) = asked.left.pop() else { return self.go_on(asked) };
            asked.pending = self.admission.admit(opening(&about));
            asked.about = about;
        }
    }

    /// Has somebody asked whether a program may be read; then its start is judged.
    pub(super) fn ask_to_read(&mut self, call: &Notification, seen: exec::Seen, path: AbsPath) {
        self.drop_the_gone();
        if let Some(full) = self.held.full() {
            return self.refuse(call, &Refusal::of(path.as_path().to_owned(), Access::Read, vec![full]));
        }
        let pending = self.admission.admit(opening(&(path, Access::Read)));
        self.take_up_start(Start { call: *call, seen, pending });
    }

    fn take_up_start(&mut self, mut start: Start) {
        let verdict = match start.pending.or_wake(self.answers.clone().into()) {
            Poll::Pending => return self.hold(start.call.id, Waiting::Start(start)),
            Poll::Ready(verdict) => verdict,
        };
        let Start { call, seen, .. } = start;
        let who = self.identities.of(call.pid);
        let path = seen.program.as_ref().map(|found| found.path.clone()).unwrap_or_default();
        match verdict {
            Verdict::Refuse(denial) => self.tell_no(&call, (&path, Access::Read), &denial),
            Verdict::Pass(permit) => {
                let (_, receipt) = permit.begin();
                if self.is_still(&call, who, &seen) {
                    receipt.settle(Outcome::done());
                    return self.admit_exec(&call, who, seen);
                }
                receipt.settle(Outcome::failed(MOVED));
                self.refuse(&call, &Refusal::of(path, Access::Read, vec![built_in(MOVED)]));
            }
        }
    }

    /// Everybody who was asked said yes: it is done on what is held, if that still lies where it was asked about.
    fn go_on(&mut self, asked: Asked) {
        let Asked { call, deed, about: (path, access), permits, .. } = asked;
        let receipts: Vec<Receipt> = permits.into_iter().map(|permit| permit.begin().1).collect();
        let came = if deed.stands() { self.perform(&call, deed) } else { Ok(Came::Exchanged) };
        let outcome = match came {
            Ok(Came::Done) => Outcome::done(),
            Ok(Came::Exchanged | Came::Refused(_)) => {
                let reasons = vec![built_in(MOVED)];
                self.refuse(&call, &Refusal::of(path.as_path().to_owned(), access, reasons));
                Outcome::failed(MOVED)
            }
            Err(error) => {
                self.fail(&call, error.raw_os_error().unwrap_or(libc::EACCES));
                Outcome::failed(error.to_string())
            }
        };
        for receipt in receipts {
            receipt.settle(outcome.clone());
        }
    }

    /// Somebody said no, or nobody said anything.
    fn turn_away(&mut self, asked: Asked, denial: &Denial) {
        let (path, access) = &asked.about;
        self.tell_no(&asked.call, (path.as_path(), *access), denial);
        asked.give_up("another part of the same call was refused");
    }

    fn tell_no(&mut self, call: &Notification, (path, access): (&Path, Access), denial: &Denial) {
        let pid = self.identities.of(call.pid).pid;
        let told = self.say(call, &denial.told());
        let (what, errno) = (word(access), Some(libc::EACCES));
        self.notary.denied(pid, what, path.as_os_str(), &denial.reasons, errno, told);
        self.fail(call, libc::EACCES);
    }
}

impl Asked {
    /// Nothing comes of what was permitted so far.
    fn give_up(self, why: &str) {
        for permit in self.permits {
            let (_, receipt) = permit.begin();
            receipt.settle(Outcome::failed(why));
        }
    }
}

/// The effect that is asked for.
fn opening((path, access): &(AbsPath, Access)) -> Open {
    Open { path: path.clone(), write: *access == Access::Write }
}
