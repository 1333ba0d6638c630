//! The open asks: who is told of them, who answers, when they are over.
//!
//! Owns the meeting of an ask's life (`approval`), its events, and the thread or task that waits for its end. An allow counts
//! once it is durable; whatever else ends an ask is a denial. Asks for the same are one. Does not own the surfaces on which people
//! are asked: they listen, and answer by id. Nor how much may be asked (`flood`), or what a yes leaves behind (`grants`).

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt;
use std::hash::BuildHasher as _;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ledger::Trust;
use ledger::event::{Answered, AskAnswered, AskOpened};
use policy::{Grant, Selector};

use crate::approval::{Approval, Refused, State, Vote};
use crate::ask::{Answer, AskView, EndedAsk, Looks, Question, Said, Scope, Terms, Told, Wanted};
use crate::clock::{self, millis};
use crate::crowd::Crowd;
use crate::denial::{Worded, need_text};
use crate::flood::{Before, Bounds, Flood, Turned};
use crate::grants::{Gift, Grants};
use crate::pending::Settled;
use crate::recorder::Recorder;
use crate::slot::{Slot, lock};
use crate::{Denial, LedgerClosed};

/// The `how` of an answer that no person gave.
const MODEL: &str = "model";
/// So many asks that ended are remembered, for whoever showed them.
const MOST_ENDED: usize = 128;
/// What ids are spelled with: nothing that looks like another.
const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The open asks of a run.
pub(crate) struct Asks {
    book: Mutex<Book>,
    changed: Condvar,
    recorder: Recorder,
    timeout: Duration,
    bounds: Bounds,
    crowd: Arc<Crowd>,
    /// What was given beyond the one action.
    pub(crate) grants: Grants,
}

struct Book {
    open: BTreeMap<String, Open>,
    /// The open ask about each thing.
    about: HashMap<Wanted, String>,
    /// What is being opened: its event is on the way.
    opening: HashSet<Wanted>,
    flood: Flood<Looks>,
    ended: VecDeque<EndedAsk>,
    listeners: Vec<Sender<AskView>>,
    over: bool,
}

struct Open {
    approval: Approval,
    question: Question,
    view: AskView,
    slot: Arc<Slot<Settled>>,
    /// The decisions that wait for the answer.
    waiting: Vec<u64>,
    /// What all who said yes agree to.
    scope: Option<Scope>,
}

/// Where the answer to an ask will be known.
pub(crate) struct Asked {
    pub(crate) ask: String,
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
    pub(crate) fn start(recorder: Recorder, timeout: Duration, bounds: Bounds) -> std::io::Result<Arc<Asks>> {
        let book = Book {
            open: BTreeMap::new(),
            about: HashMap::new(),
            opening: HashSet::new(),
            flood: Flood::new(bounds),
            ended: VecDeque::new(),
            listeners: Vec::new(),
            over: false,
        };
        let crowd = Arc::new(Crowd::new());
        let grants = Grants::new(recorder.clone(), Arc::clone(&crowd));
        let (book, changed) = (Mutex::new(book), Condvar::new());
        let asks = Arc::new(Asks { book, changed, recorder, timeout, bounds, crowd, grants });
        let clock = Arc::clone(&asks);
        thread::Builder::new().name("provost-asks".to_owned()).spawn(move || clock.let_time_pass())?;
        Ok(asks)
    }

    /// Somebody who wants to be told of asks: of those that are open now, and those to come.
    pub(crate) fn listen(&self) -> Receiver<AskView> {
        let (sender, receiver) = channel();
        let mut book = lock(&self.book);
        // The receiver is at hand: this cannot fail.
        book.open.values().for_each(|open| drop(sender.send(open.seen())));
        if !book.over {
            book.listeners.push(sender);
        }
        receiver
    }

    /// Somebody who wants to be told of everything: of what stands now, and what comes.
    pub(crate) fn follow(&self) -> Receiver<Told> {
        let grants = self.grants.views().into_iter().map(|grant| Told::Given(Box::new(grant)));
        let grants: Vec<Told> = grants.collect();
        let book = lock(&self.book);
        let asked = book.open.values().map(|open| Told::Asked(Box::new(open.seen())));
        self.crowd.join(asked.chain(grants))
    }

    /// The asks that are open, the oldest first.
    pub(crate) fn open_asks(&self) -> Vec<AskView> {
        let mut open: Vec<AskView> = lock(&self.book).open.values().map(Open::seen).collect();
        open.sort_by_key(|ask| ask.opened);
        open
    }

    /// How an ask ended, if that was lately.
    pub(crate) fn ended(&self, ask: &str) -> Option<EndedAsk> {
        lock(&self.book).ended.iter().rev().find(|ended| ended.ask == ask).cloned()
    }

    /// Whether this may be asked: not if there are too many questions, or it was answered a moment ago. What may is opened
    /// at once, by [`Asks::open`].
    pub(crate) fn may_ask(&self, wanted: &Wanted, text: &str) -> Result<(), Turned> {
        let mut book = lock(&self.book);
        if !wanted.is_the_agents() {
            return Ok(());
        }
        if let Some(open) = book.about.get(wanted).and_then(|ask| book.open.get(ask)) {
            let waiting = open.waiting.len();
            return if waiting < self.bounds.joined { Ok(()) } else { Err(Turned::Open(waiting)) };
        }
        let open = book.open.len();
        book.flood.put(&wanted.looks(text), open, clock::now())
    }

    /// Opens an ask about a recorded decision, or joins the one that is open about the same.
    pub(crate) fn open(&self, question: Question, decision: u64) -> Result<Asked, LedgerClosed> {
        if let Some(asked) = self.join(&question.wanted, decision) {
            return Ok(asked);
        }
        let wanted = question.wanted.clone();
        let opened = self.open_new(question, decision);
        lock(&self.book).opening.remove(&wanted);
        self.changed.notify_all();
        opened
    }

    fn open_new(&self, question: Question, decision: u64) -> Result<Asked, LedgerClosed> {
        let (text, timeout_ms) = (question.worded.text.clone(), millis(self.timeout));
        let class = question.class.as_ref().ok().map(Selector::to_string);
        let folder = question.wanted.place().cloned();
        let ask = self.new_id();
        let opened = AskOpened {
            ask: ask.clone(),
            decision,
            text: text.clone(),
            folder: folder.as_deref().map(Into::into),
            class: class.clone(),
            timeout_ms,
        };
        // The book is never locked while an event waits for room: those who make room may want the book.
        self.recorder.record(opened.into(), Trust::Observed, Some(decision), None)?;
        let view = AskView {
            ask: ask.clone(),
            decision,
            kind: question.wanted.action().map(policy::Action::kind),
            text,
            folder,
            need: need_text(question.need),
            reasons: question.reasons.clone(),
            class,
            offer: question.offer.clone(),
            requested: !matches!(question.wanted, Wanted::Action(..)),
            claim: question.claim.clone(),
            waiting: 1,
            said_yes: Vec::new(),
            opened: Instant::now(),
            timeout: self.timeout,
            left: self.timeout,
        };
        let slot = Slot::new();
        let approval = Approval::open(question.need, clock::now(), timeout_ms);
        let (waiting, scope) = (vec![decision], None);
        let open = Open { approval, question, view, slot: Arc::clone(&slot), waiting, scope };
        let mut book = lock(&self.book);
        if book.over {
            self.end(book, open, End { answer: Answered::Expired, by: "run", how: "ended", why: None });
            return Ok(Asked { ask, slot });
        }
        book.listeners.retain(|listener| listener.send(open.seen()).is_ok());
        self.crowd.tell(&Told::Asked(Box::new(open.seen())));
        if open.question.wanted.is_the_agents() {
            book.about.insert(open.question.wanted.clone(), ask.clone());
        }
        book.open.insert(ask.clone(), open);
        drop(book);
        self.changed.notify_all();
        Ok(Asked { ask, slot })
    }

    /// Waits with the others for the answer to the same question; none for the first, who opens it.
    fn join(&self, wanted: &Wanted, decision: u64) -> Option<Asked> {
        let mut book = lock(&self.book);
        loop {
            if let Some(ask) = book.about.get(wanted).cloned()
                && let Some(open) = book.open.get_mut(&ask)
            {
                open.waiting.push(decision);
                return Some(Asked { ask, slot: Arc::clone(&open.slot) });
            }
            if !wanted.is_the_agents() || book.opening.insert(wanted.clone()) {
                return None;
            }
            book = self.changed.wait(book).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes an answer. A yes is durable when this returns.
    pub(crate) fn answer(&self, ask: &str, answer: Answer) -> Result<(), Refused> {
        let Some(slot) = self.cast(ask, answer)? else { return Ok(()) };
        // Only a ledger that takes nothing more turns a yes into a no.
        slot.wait().map_err(|denial| LedgerClosed { because: denial.to_string() })?;
        Ok(())
    }

    /// Takes an answer; where it is a yes, gives where it will be known that it is durable.
    pub(crate) fn cast(&self, ask: &str, answer: Answer) -> Result<Option<Arc<Slot<Settled>>>, Refused> {
        let vote = Vote { by: &answer.by, person: answer.how != MODEL, allow: answer.allow };
        let mut book = lock(&self.book);
        let open = book.open.get_mut(ask).ok_or_else(|| Refused::NoSuchAsk(ask.to_owned()))?;
        if answer.allow {
            open.can_give(answer.scope)?;
        }
        let state = open.approval.vote(&vote, clock::now()).cloned();
        if answer.allow && state.is_ok() {
            open.scope = Some(open.scope.map_or(answer.scope, |scope| scope.narrower(answer.scope)));
        }
        let ended = match &state {
            Ok(State::Open(_)) => return Ok(None),
            Ok(_) | Err(Refused::Expired) => book.take(ask),
            Err(_) => None,
        };
        let Some(open) = ended else { return state.map(|_| None) };
        let slot = Arc::clone(&open.slot);
        let (how, why) = (answer.how.as_str(), answer.why);
        match &state {
            Ok(State::Allowed(by)) => {
                self.end(book, open, End { answer: Answered::Allow, by: &by.join(", "), how, why });
                return Ok(Some(slot));
            }
            Ok(_) => self.end(book, open, End { answer: Answered::Deny, by: &answer.by, how, why }),
            Err(_) => self.expire(book, open),
        }
        state.map(|_| None)
    }

    /// One who waited for this ask does so no more. The last takes the question along.
    pub(crate) fn withdraw(&self, ask: &str, decision: u64) {
        let mut book = lock(&self.book);
        let Some(open) = book.open.get_mut(ask) else { return };
        open.waiting.retain(|waiting| *waiting != decision);
        let withdrawn = if open.waiting.is_empty() { book.take(ask) } else { None };
        if let Some(open) = withdrawn {
            self.end(book, open, End { answer: Answered::Expired, by: "run", how: "withdrawn", why: None });
        }
    }

    /// The run is over: every open ask is denied, and every later one; nothing is granted any more.
    pub(crate) fn end_all(&self) {
        let mut book = lock(&self.book);
        book.over = true;
        book.listeners.clear();
        book.about.clear();
        self.changed.notify_all();
        while let Some((_, open)) = book.open.pop_first() {
            self.end(book, open, End { answer: Answered::Expired, by: "run", how: "ended", why: None });
            book = lock(&self.book);
        }
        drop(book);
        self.grants.end_all();
        self.crowd.disperse();
    }

    fn expire(&self, book: MutexGuard<'_, Book>, open: Open) {
        self.end(book, open, End { answer: Answered::Expired, by: "clock", how: "timeout", why: None });
    }

    /// Records how an ask ended that was taken out of the book, and tells who waits for it.
    //
    // ORDER: the end is kept in mind before the book is let go of, so that whoever answers too late is told who was first.
    fn end(&self, mut book: MutexGuard<'_, Book>, open: Open, end: End<'_>) {
        self.remember(&mut book, &open, &end);
        drop(book);
        let (said, gift) =
            (Said { by: end.by.to_owned(), why: end.why.clone(), grant: None }, open.gift(&end));
        let End { answer, by, how, why } = end;
        let trust =
            if by == "clock" || by == "run" || how == MODEL { Trust::Observed } else { Trust::Attested };
        let denial = open.refusal(answer, by, how, why.as_deref());
        let Open { view, slot, waiting, .. } = open;
        let (ask, by, how, decision) = (view.ask, by.to_owned(), how.to_owned(), view.decision);
        let also = waiting.into_iter().filter(|waiting| *waiting != decision).collect();
        let event = AskAnswered { ask, decision, answer, by, how, why, also };
        if answer != Answered::Allow {
            // If the ledger takes nothing more the answer is no all the same.
            let _ = self.recorder.record(event.into(), trust, Some(decision), None);
            slot.fill(Err(denial));
            return;
        }
        let unrecorded = move |closed: LedgerClosed| Denial::unrecorded(view.text.clone(), &closed);
        let told = Arc::clone(&slot);
        let recorded = match gift {
            None => {
                let unrecorded = unrecorded.clone();
                let then = Box::new(move |durable: Result<(), LedgerClosed>| {
                    told.fill(durable.map(|()| said).map_err(unrecorded));
                });
                self.recorder.record(event.into(), trust, Some(decision), Some(then)).map(drop)
            }
            // The yes counts once what it gives does.
            Some(gift) => self.recorder.record(event.into(), trust, Some(decision), None).and_then(|_| {
                let unrecorded = unrecorded.clone();
                self.grants.give(gift, move |given| {
                    told.fill(given.map(|view| Said { grant: Some(view), ..said }).map_err(unrecorded));
                })
            }),
        };
        // Whoever lets time pass looks again: it may be on its way to sleep.
        drop(lock(&self.book));
        self.changed.notify_all();
        if let Err(closed) = recorded {
            slot.fill(Err(unrecorded(closed)));
        }
    }

    /// Keeps an end in mind: for whoever showed the question, and for whoever asks the same again.
    fn remember(&self, book: &mut Book, open: &Open, end: &End<'_>) {
        let ended = EndedAsk {
            ask: open.view.ask.clone(),
            answer: end.answer,
            by: end.by.to_owned(),
            how: end.how.to_owned(),
            why: end.why.clone(),
        };
        // That nobody answered is as good as a no: whoever tries the next folder of a PATH would be asked about at once.
        let silent = end.how == "timeout";
        if (end.answer == Answered::Deny || silent) && open.question.wanted.is_the_agents() {
            let before = Before { by: (!silent).then(|| end.by.to_owned()), why: end.why.clone() };
            book.flood.refused(open.question.wanted.looks(&open.view.text), before, clock::now());
        }
        if book.ended.len() >= MOST_ENDED {
            book.ended.pop_front();
        }
        book.ended.push_back(ended.clone());
        self.crowd.tell(&Told::Answered(ended));
    }

    fn let_time_pass(&self) {
        let mut book = lock(&self.book);
        while !book.over {
            drop(book);
            let changes = self.grants.changes();
            let grants = self.grants.tick();
            book = lock(&self.book);
            let now = clock::now();
            let mut ticking = book.open.iter_mut();
            let late = ticking.find_map(|(ask, open)| open.approval.tick(now).then(|| ask.clone()));
            if let Some(open) = late.and_then(|ask| book.take(&ask)) {
                self.expire(book, open);
                book = lock(&self.book);
                continue;
            }
            let next = book.open.values().map(|open| open.approval.closes()).chain(grants).min();
            book = match next {
                _ if book.over => return,
                _ if self.grants.changes() != changes => continue,
                None => self.changed.wait(book).unwrap_or_else(PoisonError::into_inner),
                Some(closes) => {
                    let left = Duration::from_millis(closes.saturating_sub(now).max(1));
                    self.changed.wait_timeout(book, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Drawn by chance, so that it names one ask among all runs, and nobody inside knows it before it is there.
    fn new_id(&self) -> String {
        loop {
            let mut number = RandomState::new().hash_one(clock::now());
            let id: String = (0..8)
                .map(|_| {
                    let letter = LETTERS.get((number & 31) as usize).copied().unwrap_or(b'0');
                    number >>= 5;
                    char::from(letter)
                })
                .collect();
            let grants = self.grants.views();
            let book = lock(&self.book);
            let known = book.open.contains_key(&id) || book.ended.iter().any(|ended| ended.ask == id);
            if !known && !grants.iter().any(|grant| grant.grant == id) {
                return id;
            }
        }
    }
}

impl Book {
    /// Takes an ask out.
    fn take(&mut self, ask: &str) -> Option<Open> {
        let open = self.open.remove(ask)?;
        if self.about.get(&open.question.wanted).is_some_and(|known| known == ask) {
            self.about.remove(&open.question.wanted);
        }
        Some(open)
    }
}

impl Open {
    /// As it is shown now.
    fn seen(&self) -> AskView {
        let said_yes = match self.approval.state() {
            State::Open(said_yes) => said_yes.clone(),
            _ => Vec::new(),
        };
        let left = Duration::from_millis(self.approval.closes().saturating_sub(clock::now()));
        AskView { waiting: self.waiting.len(), said_yes, left, ..self.view.clone() }
    }

    /// Whether a yes can be good for so much.
    fn can_give(&self, scope: Scope) -> Result<(), Refused> {
        match scope {
            Scope::Once => Ok(()),
            _ if !self.question.wanted.can_be_granted() => Err(Refused::OnlyOnce),
            Scope::Class(_) => self.question.class.as_ref().map(drop).map_err(|why| Refused::NoClass(why)),
            Scope::Run(_) => Ok(()),
        }
    }

    /// What a yes gives beyond the one action. What was asked for beforehand is given to be used.
    fn gift(&self, end: &End<'_>) -> Option<Gift> {
        let scope = self.scope.filter(|_| end.answer == Answered::Allow)?;
        let action = self.question.wanted.action()?;
        let once = Terms { uses: Some(1), lasts: None };
        let exact = || Selector::exact(action).shown_as(&self.question.worded.text);
        let (selector, terms) = match scope {
            Scope::Once if self.view.requested => (exact(), once),
            Scope::Once => return None,
            Scope::Run(terms) => (exact(), terms),
            Scope::Class(terms) => (self.question.class.clone().ok()?, terms),
        };
        let (id, need) = (self.view.ask.clone(), self.question.need);
        let grant = Grant { id, selector, need, asked: self.question.reasons.clone() };
        let (place, decision) = (self.question.wanted.place().cloned(), self.view.decision);
        Some(Gift { grant, place, decision, by: end.by.to_owned(), terms })
    }
}

impl fmt::Debug for Asks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asks").finish_non_exhaustive()
    }
}

impl Open {
    /// What is told to whoever wanted it, if the end is not a yes.
    fn refusal(&self, answer: Answered, by: &str, how: &str, why: Option<&str>) -> Denial {
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
        let worded = &self.question.worded;
        // Who said no is not asked for it again by another door.
        let ask = worded.ask.clone().filter(|_| answer == Answered::Expired);
        Denial::answered(
            Worded { ask, ..worded.clone() },
            self.view.reasons.clone(),
            why,
            hint,
            self.view.decision,
        )
    }
}
