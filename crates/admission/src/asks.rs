//! The open asks: who is told of them, who answers, when they are over.
//!
//! Owns the meeting of an ask's life (`approval`), its events, and the thread or task that waits for its end. An allow counts
//! once it is durable; whatever else ends an ask is a denial. Does not own the surfaces on which people are asked: they
//! listen, and answer by id.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ledger::Trust;
use ledger::event::{Answered, AskAnswered, AskOpened};
use policy::{Action, Kind, Need, Reason};

use crate::approval::{Approval, Refused, State, Vote};
use crate::denial::need_text;
use crate::pending::Settled;
use crate::recorder::Recorder;
use crate::slot::{Slot, lock};
use crate::{Denial, LedgerClosed};

/// The `how` of an answer that no person gave.
const MODEL: &str = "model";

/// An answer to an ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Yes or no.
    pub allow: bool,
    /// Who answers.
    pub by: String,
    /// How the answer came: `terminal`, `command`, ..; `model` where no person gave it.
    pub how: String,
    /// Their words.
    pub why: Option<String>,
}

/// An ask, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskView {
    /// Its id.
    pub ask: String,
    /// The `seq` of the decision that needs it.
    pub decision: u64,
    /// What kind of action is asked for.
    pub kind: Kind,
    /// The action as a person reads it.
    pub text: String,
    /// What is needed: `model`, `human`, `humans(n)`.
    pub need: String,
    /// The rules that ask.
    pub reasons: Vec<Reason>,
    /// When it was opened.
    pub opened: Instant,
    /// How long it stands.
    pub timeout: Duration,
}

/// The open asks of a run.
pub(crate) struct Asks {
    book: Mutex<Book>,
    changed: Condvar,
    recorder: Recorder,
    /// What ids begin with.
    run: String,
    counter: AtomicU64,
    timeout: Duration,
    began: Instant,
}

#[derive(Default)]
struct Book {
    open: BTreeMap<String, Open>,
    listeners: Vec<Sender<AskView>>,
    over: bool,
}

struct Open {
    approval: Approval,
    action: Action,
    view: AskView,
    slot: Arc<Slot<Settled>>,
    /// How many wait for its end.
    waiting: usize,
}

/// An open ask that somebody else waits for too.
pub(crate) struct Joined {
    pub(crate) ask: String,
    /// The decision that opened it.
    pub(crate) decision: u64,
    pub(crate) slot: Arc<Slot<Settled>>,
}

/// How an ask ended, and who says so.
struct End<'a> {
    answer: Answered,
    by: &'a str,
    how: &'a str,
    why: Option<String>,
}

impl Asks {
    /// Keeps the asks of a run, and a thread that lets time pass for them.
    pub(crate) fn start(recorder: Recorder, run: &str, timeout: Duration) -> std::io::Result<Arc<Asks>> {
        let run = run.rsplit('-').next().unwrap_or(run).to_owned();
        let asks = Arc::new(Asks {
            book: Mutex::default(),
            changed: Condvar::new(),
            recorder,
            run,
            counter: AtomicU64::new(1),
            timeout,
            began: Instant::now(),
        });
        let clock = Arc::clone(&asks);
        thread::Builder::new().name("provost-asks".to_owned()).spawn(move || clock.let_time_pass())?;
        Ok(asks)
    }

    /// Somebody who wants to be told of asks: of those that are open now, and those to come.
    pub(crate) fn listen(&self) -> Receiver<AskView> {
        let (sender, receiver) = channel();
        let mut book = lock(&self.book);
        // The receiver is at hand: this cannot fail.
        book.open.values().for_each(|open| drop(sender.send(open.view.clone())));
        book.listeners.push(sender);
        receiver
    }

    /// The asks that are open.
    pub(crate) fn open_asks(&self) -> Vec<AskView> {
        lock(&self.book).open.values().map(|open| open.view.clone()).collect()
    }

    /// Opens an ask about a recorded decision; gives its id, and where its end will be known.
    pub(crate) fn open(
        &self,
        need: Need,
        action: &Action,
        reasons: Vec<Reason>,
        decision: u64,
    ) -> Result<(String, Arc<Slot<Settled>>), LedgerClosed> {
        let ask = format!("{}-{}", self.run, self.counter.fetch_add(1, Ordering::Relaxed));
        let (text, timeout_ms) = (action.to_string(), millis(self.timeout));
        let opened = AskOpened { ask: ask.clone(), decision, text: text.clone(), timeout_ms };
        // The book is never locked while an event waits for room: those who make room may want the book.
        self.recorder.record(opened.into(), Trust::Observed, Some(decision), None)?;
        let view = AskView {
            ask: ask.clone(),
            decision,
            kind: action.kind(),
            text,
            need: need_text(need),
            reasons,
            opened: Instant::now(),
            timeout: self.timeout,
        };
        let slot = Slot::new();
        let approval = Approval::open(need, self.now(), timeout_ms);
        let open = Open { approval, action: action.clone(), view, slot: Arc::clone(&slot), waiting: 1 };
        let mut book = lock(&self.book);
        if book.over {
            drop(book);
            self.end(open, End { answer: Answered::Expired, by: "run", how: "ended", why: None });
            return Ok((ask, slot));
        }
        book.listeners.retain(|listener| listener.send(open.view.clone()).is_ok());
        book.open.insert(ask.clone(), open);
        drop(book);
        self.changed.notify_all();
        Ok((ask, slot))
    }

    /// Joins the open ask about the same action, if there is one: whoever waits for it waits for one answer.
    pub(crate) fn join(&self, action: &Action) -> Option<Joined> {
        let mut book = lock(&self.book);
        let (ask, open) = book.open.iter_mut().find(|(_, open)| open.action == *action)?;
        open.waiting += 1;
        Some(Joined { ask: ask.clone(), decision: open.view.decision, slot: Arc::clone(&open.slot) })
    }

    /// Takes an answer. A yes is durable when this returns.
    pub(crate) fn answer(&self, ask: &str, answer: Answer) -> Result<(), Refused> {
        let Some(slot) = self.cast(ask, answer)? else { return Ok(()) };
        // Only a ledger that takes nothing more turns a yes into a no.
        slot.wait().map_err(|denial| LedgerClosed { because: denial.to_string() })?;
        Ok(())
    }

    /// Takes an answer. Where it is a yes that ends the ask, gives what tells whether it became durable: whoever asked waits
    /// for that in any case.
    pub(crate) fn cast(&self, ask: &str, answer: Answer) -> Result<Option<Arc<Slot<Settled>>>, Refused> {
        let vote = Vote { by: &answer.by, person: answer.how != MODEL, allow: answer.allow };
        let mut book = lock(&self.book);
        let open = book.open.get_mut(ask).ok_or_else(|| Refused::NoSuchAsk(ask.to_owned()))?;
        let state = open.approval.vote(&vote, self.now()).cloned();
        let ended = match &state {
            Ok(State::Open(_)) => return Ok(None),
            Ok(_) | Err(Refused::Expired) => book.open.remove(ask),
            Err(_) => None,
        };
        drop(book);
        let Some(open) = ended else { return state.map(|_| None) };
        let slot = Arc::clone(&open.slot);
        let (how, why) = (answer.how.as_str(), answer.why);
        match &state {
            Ok(State::Allowed(by)) => {
                self.end(open, End { answer: Answered::Allow, by: &by.join(", "), how, why });
                return Ok(Some(slot));
            }
            Ok(_) => self.end(open, End { answer: Answered::Deny, by: &answer.by, how, why }),
            Err(_) => self.expire(open),
        }
        state.map(|_| None)
    }

    /// One that waited for this ask does so no more. The last takes the question with it.
    pub(crate) fn withdraw(&self, ask: &str) {
        let mut book = lock(&self.book);
        let Some(open) = book.open.get_mut(ask) else { return };
        open.waiting = open.waiting.saturating_sub(1);
        let withdrawn = if open.waiting == 0 { book.open.remove(ask) } else { None };
        drop(book);
        if let Some(open) = withdrawn {
            self.end(open, End { answer: Answered::Expired, by: "run", how: "withdrawn", why: None });
        }
    }

    /// The run is over: every open ask is denied, and every later one.
    pub(crate) fn end_all(&self) {
        let mut book = lock(&self.book);
        book.over = true;
        book.listeners.clear();
        let open = std::mem::take(&mut book.open);
        drop(book);
        self.changed.notify_all();
        for open in open.into_values() {
            self.end(open, End { answer: Answered::Expired, by: "run", how: "ended", why: None });
        }
    }

    fn expire(&self, open: Open) {
        self.end(open, End { answer: Answered::Expired, by: "clock", how: "timeout", why: None });
    }

    /// Records how an ask ended, and tells who waits for it.
    fn end(&self, open: Open, end: End<'_>) {
        let Open { view, slot, .. } = open;
        let End { answer, by, how, why } = end;
        let trust =
            if by == "clock" || by == "run" || how == MODEL { Trust::Observed } else { Trust::Attested };
        let denial = refusal(&view, answer, by, how, why.as_deref());
        let (ask, by, how) = (view.ask, by.to_owned(), how.to_owned());
        let event = AskAnswered { ask, decision: view.decision, answer, by, how, why };
        if answer == Answered::Allow {
            let text = view.text;
            let (told, action) = (Arc::clone(&slot), text.clone());
            let then = Box::new(move |durable: Result<(), LedgerClosed>| {
                told.fill(durable.map_err(|closed| Denial::unrecorded(action, &closed)));
            });
            let recorded = self.recorder.record(event.into(), trust, Some(view.decision), Some(then));
            if let Err(closed) = recorded {
                slot.fill(Err(Denial::unrecorded(text, &closed)));
            }
            return;
        }
        // If the ledger takes nothing more the answer is no all the same.
        let _ = self.recorder.record(event.into(), trust, Some(view.decision), None);
        slot.fill(Err(denial));
    }

    fn let_time_pass(&self) {
        let mut book = lock(&self.book);
        while !book.over {
            let now = self.now();
            let late: Vec<String> = book
                .open
                .iter_mut()
                .filter_map(|(ask, open)| open.approval.tick(now).then(|| ask.clone()))
                .collect();
            let late: Vec<Open> = late.iter().filter_map(|ask| book.open.remove(ask)).collect();
            if !late.is_empty() {
                drop(book);
                late.into_iter().for_each(|open| self.expire(open));
                book = lock(&self.book);
                continue;
            }
            let next = book.open.values().map(|open| open.approval.closes()).min();
            book = match next {
                None => self.changed.wait(book).unwrap_or_else(PoisonError::into_inner),
                Some(closes) => {
                    let left = Duration::from_millis(closes.saturating_sub(now).max(1));
                    self.changed.wait_timeout(book, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Milliseconds since the run's asks began to be kept.
    fn now(&self) -> u64 {
        millis(self.began.elapsed())
    }
}

impl fmt::Debug for Asks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asks").field("run", &self.run).finish_non_exhaustive()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What is told to whoever wanted it, if the end is not a yes.
fn refusal(view: &AskView, answer: Answered, by: &str, how: &str, why: Option<&str>) -> Denial {
    let (why, hint) = match (answer, how) {
        (Answered::Deny | Answered::Allow, _) => (
            why.map_or_else(|| format!("{by} said no"), str::to_owned),
            "do it another way, or say why you need it",
        ),
        (Answered::Expired, "timeout") => {
            ("nobody answered in time".to_owned(), "ask again when somebody attends")
        }
        (Answered::Expired, _) => ("the question was withdrawn".to_owned(), "ask again"),
    };
    Denial::answered(view.text.clone(), view.reasons.clone(), why, hint, view.decision)
}
