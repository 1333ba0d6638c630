//! The grants in being: who gave what, whether it still holds, how often it was used.
//!
//! Owns that a grant is durable before it allows anything, that every use is counted and recorded before the grant's end, and that
//! it ends with its time, its uses, the person's word or the run. Does not own what a grant covers (`policy`), or its life (`term`).
//!
//! ORDER: what is recorded of a grant is recorded under its lock, so that no use stands behind the end. The recorder's thread never
//! takes this lock, so that it can always make the room that whoever holds the lock waits for.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ledger::Trust;
use ledger::event::{GrantEnded, GrantGiven, GrantOver, GrantScope};
use policy::{Action, Decision, Grant, Policy, Reason};

use crate::LedgerClosed;
use crate::approval::Refused;
use crate::ask::{GrantView, Terms, Told};
use crate::clock;
use crate::crowd::Crowd;
use crate::recorder::{Durable, Recorder};
use crate::slot::lock;
use crate::term::Term;

/// The most grants in being; a person gives each of them.
const MOST: usize = 1024;

/// See the module.
pub(crate) struct Grants {
    book: Mutex<Vec<Held>>,
    /// Whether there is any, without a look at the book.
    any: AtomicBool,
    /// Counts whatever changes what is granted.
    changes: AtomicU64,
    recorder: Recorder,
    crowd: Arc<Crowd>,
}

struct Held {
    grant: Grant,
    /// The folder in which a command must start.
    place: Option<PathBuf>,
    scope: GrantScope,
    by: String,
    term: Term,
    /// It stands in the ledger.
    durable: Arc<AtomicBool>,
}

/// A grant that is to be given.
pub(crate) struct Gift {
    pub(crate) grant: Grant,
    pub(crate) place: Option<PathBuf>,
    pub(crate) decision: u64,
    pub(crate) by: String,
    pub(crate) terms: Terms,
}

impl Grants {
    pub(crate) fn new(recorder: Recorder, crowd: Arc<Crowd>) -> Grants {
        let (any, changes) = (AtomicBool::new(false), AtomicU64::new(0));
        Grants { book: Mutex::default(), any, changes, recorder, crowd }
    }

    /// Gives a grant; `then` is told what it is once it is durable and allows things, or that it never will.
    pub(crate) fn give(
        &self,
        gift: Gift,
        then: impl FnOnce(Result<GrantView, LedgerClosed>) + Send + 'static,
    ) -> Result<(), LedgerClosed> {
        let Gift { grant, place, decision, by, terms } = gift;
        let scope = if grant.selector.is_exact() { GrantScope::Run } else { GrantScope::Class };
        let (now, lasts) = (clock::now(), terms.lasts.map(clock::millis));
        let (durable, term) = (Arc::new(AtomicBool::new(false)), Term::begin(now, lasts, terms.uses));
        let held = Held { grant, place, scope, by, term, durable };
        let given = GrantGiven {
            grant: held.grant.id.clone(),
            decision,
            scope,
            selector: held.grant.selector.to_string(),
            by: held.by.clone(),
            uses: terms.uses,
            lasts_ms: lasts,
        };
        let mut book = lock(&self.book);
        if book.len() >= MOST {
            return Err(LedgerClosed { because: format!("{MOST} grants are in being already") });
        }
        let (view, stands) = (held.view(now), Arc::clone(&held.durable));
        let told = Told::Given(Box::new(view.clone()));
        let done = Box::new(move |written: Durable| {
            stands.store(written.is_ok(), Ordering::Release);
            then(written.map(|()| view));
        });
        self.recorder.record(given.into(), Trust::Attested, Some(decision), Some(done))?;
        book.push(held);
        self.any.store(true, Ordering::Release);
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.crowd.tell(&told);
        Ok(())
    }

    /// Judges an action that asks by the grants in being. If one allows it, it is used once and `record` records that.
    pub(crate) fn allow<T>(
        &self,
        policy: &Policy,
        (action, place): (&Action, Option<&Path>),
        record: impl FnOnce(String, Vec<Reason>) -> T,
    ) -> Option<T> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let mut book = lock(&self.book);
        let now = clock::now();
        self.let_go(&mut book, now);
        let live = |held: &&Held| {
            held.durable.load(Ordering::Acquire) && held.place.as_deref().is_none_or(|at| Some(at) == place)
        };
        let grants: Vec<Grant> = book.iter().filter(live).map(|held| held.grant.clone()).collect();
        let Decision::Allow { reasons } = policy.decide(action, &grants) else { return None };
        let id = reasons.last()?.rule.clone();
        let held = book.iter_mut().find(|held| held.grant.id == id)?;
        if !held.term.spend(now) {
            return None;
        }
        let recorded = record(id, reasons);
        self.let_go(&mut book, now);
        Some(recorded)
    }

    /// Takes a grant back; how often it was used.
    pub(crate) fn revoke(&self, id: &str, by: &str, why: Option<String>) -> Result<u64, Refused> {
        let mut book = lock(&self.book);
        self.let_go(&mut book, clock::now());
        let at = book.iter().position(|held| held.grant.id == id);
        let at = at.ok_or_else(|| Refused::NoSuchAsk(id.to_owned()))?;
        let held = book.remove(at);
        let used = held.term.used();
        self.end(held, GrantOver::Revoked, by, why);
        Ok(used)
    }

    /// Lets time pass; the moment when the next is over.
    pub(crate) fn tick(&self) -> Option<u64> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let mut book = lock(&self.book);
        self.let_go(&mut book, clock::now());
        book.iter().filter_map(|held| held.term.closes()).min()
    }

    /// The run is over, and every grant with it.
    pub(crate) fn end_all(&self) {
        let mut book = lock(&self.book);
        let all: Vec<Held> = book.drain(..).collect();
        all.into_iter().for_each(|held| self.end(held, GrantOver::Ended, "run", None));
    }

    /// Those in being.
    pub(crate) fn views(&self) -> Vec<GrantView> {
        let now = clock::now();
        let mut book = lock(&self.book);
        self.let_go(&mut book, now);
        book.iter().filter(|held| held.durable.load(Ordering::Acquire)).map(|held| held.view(now)).collect()
    }

    /// A grant in being for this very action.
    pub(crate) fn exactly(&self, action: &Action, place: Option<&Path>) -> Option<GrantView> {
        let now = clock::now();
        let mut book = lock(&self.book);
        self.let_go(&mut book, now);
        let same = |held: &&Held| {
            let selector = &held.grant.selector;
            selector.is_exact() && selector.covers(action) && held.place.as_deref() == place
        };
        book.iter().filter(|held| held.durable.load(Ordering::Acquire)).find(same).map(|held| held.view(now))
    }

    /// A number that is another one whenever something else is granted.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    fn let_go(&self, book: &mut Vec<Held>, now: u64) {
        let ended = book.extract_if(.., |held| held.term.tick(now).is_some());
        let ended: Vec<Held> = ended.collect();
        ended.into_iter().for_each(|held| self.end(held, GrantOver::Expired, "clock", None));
    }

    fn end(&self, mut held: Held, because: GrantOver, by: &str, why: Option<String>) {
        let because = held.term.end(because);
        let by = if because == GrantOver::Used { "run" } else { by };
        let (grant, used) = (held.grant.id, held.term.used());
        let trust = if because == GrantOver::Revoked { Trust::Attested } else { Trust::Observed };
        let told = Told::Over { grant: grant.clone(), because, used, by: by.to_owned() };
        let event = GrantEnded { grant, because, by: by.to_owned(), used, why };
        // If the ledger takes nothing more, nothing more is allowed either.
        let _ = self.recorder.record(event.into(), trust, None, None);
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.crowd.tell(&told);
    }
}

impl Held {
    fn view(&self, now: u64) -> GrantView {
        GrantView {
            grant: self.grant.id.clone(),
            scope: self.scope,
            selector: self.grant.selector.to_string(),
            folder: self.place.clone(),
            by: self.by.clone(),
            used: self.term.used(),
            uses: self.term.left(),
            left: self.term.closes().map(|closes| Duration::from_millis(closes.saturating_sub(now))),
        }
    }
}
