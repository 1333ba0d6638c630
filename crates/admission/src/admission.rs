//! The line, top to bottom: `action -> decide -> [ask] -> event -> Permit -> effect -> outcome event`.
//!
//! Owns that order, and that every fault along it ends in a refusal. Does not own the rules (`policy`), how an ask ends
//! (`approval`), or when an event is durable (`recorder`).

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use ledger::event::{self, Resolved};
use ledger::{Body, Head, Sealed, Trust, Writer};
use policy::{Action, Command, Decision, Endpoint, Host, Need, Policy, Reason, RuleTerms};

use crate::approval::Refused;
use crate::ask::{Answer, AskView, EndedAsk, GrantView, Question, Told, Wanted};
use crate::asks::Asks;
use crate::denial::Worded;
use crate::flood::{Bounds, Turned};
use crate::judged::Judged;
use crate::pending::{On, Pending, Verdict};
use crate::permit::{Effect, Permit, Reach};
use crate::recorder::{Durable, Owner, Recorder};
use crate::slot::{Slot, lock};
use crate::{Denial, LedgerClosed, address};

/// How long an ask stands before it is denied.
pub const ASK_TIMEOUT: Duration = Duration::from_secs(120);

/// How people are asked in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asking {
    /// Whether somebody attends who can be asked.
    pub attended: bool,
    /// How long an ask stands before it is denied.
    pub timeout: Duration,
    /// How much may be asked.
    pub bounds: Bounds,
}

impl Asking {
    /// As usual.
    pub fn usual(attended: bool) -> Asking {
        Asking { attended, timeout: ASK_TIMEOUT, bounds: Bounds::default() }
    }
}

/// An allowance that stands in the ledger, or is on its way there.
type Allowed = Result<(u64, Option<Arc<Slot<Durable>>>), LedgerClosed>;

/// The one way of every action. Clones are the same line.
#[derive(Clone)]
pub struct Admission {
    line: Arc<Line>,
}

struct Line {
    policy: Arc<Policy>,
    recorder: Recorder,
    owner: Mutex<Option<Owner>>,
    /// The open asks; none if nobody attends.
    asks: Option<Arc<Asks>>,
    /// The variables that the agent started with, as far as they steer. A question need not tell what every command has.
    usual: OnceLock<Vec<(Vec<u8>, Vec<u8>)>>,
}

impl Admission {
    /// Starts the line of a run: its policy, its ledger, and whether somebody attends who can be asked.
    pub fn start(policy: Arc<Policy>, writer: Writer, attended: bool) -> Admission {
        Admission::start_with(policy, writer, Asking::usual(attended))
    }

    /// Starts the line, with a manner of asking.
    pub fn start_with(policy: Arc<Policy>, writer: Writer, asking: Asking) -> Admission {
        let owner = Owner::start(writer);
        let recorder = owner.recorder();
        let Asking { attended, timeout, bounds } = asking;
        // Without the thread that keeps the time nobody can be asked: the run goes on as if nobody attended.
        let asks = attended.then(|| Asks::start(recorder.clone(), timeout, bounds).ok()).flatten();
        let owner = Mutex::new(Some(owner));
        Admission { line: Arc::new(Line { policy, recorder, owner, asks, usual: OnceLock::new() }) }
    }

    /// Asks for a permit. This is the only way to one.
    pub fn admit<E: Effect>(&self, effect: E) -> Pending<E> {
        self.admit_because(effect, None)
    }

    /// Asks for a permit for something that the event `cause` led to.
    pub fn admit_because<E: Effect>(&self, effect: E, cause: Option<u64>) -> Pending<E> {
        let action = match effect.action() {
            // What no rule asks about is no part of what is agreed to, nor of the record.
            Action::Http(request) => Action::Http(self.line.policy.heeding(request)),
            action => action,
        };
        if let Action::Launch(command) = &action {
            self.know(command);
        }
        let (need, reasons) = match self.decide(&action) {
            Decision::Allow { reasons } => {
                let allowed = self.allow(&effect, &action, reasons, None, cause);
                return self.pass(effect, &action, allowed);
            }
            Decision::Ask { need, reasons } => (Some(need), reasons),
            Decision::Deny { reasons } => (None, reasons),
        };
        if let (Some(asks), Some(need)) = (&self.line.asks, need) {
            let by_grant =
                asks.grants.allow(&self.line.policy, (&action, effect.place()), |grant, reasons| {
                    self.allow(&effect, &action, reasons, Some(grant), cause)
                });
            return match by_grant {
                Some(allowed) => self.pass(effect, &action, allowed),
                None => self.ask(asks, effect, action, need, reasons, cause),
            };
        }
        let judged = Judged { verdict: event::Verdict::Deny, need, reasons, grant: None };
        let event = effect.event(&action, &judged);
        Pending::decided(Verdict::Refuse(self.deny(event, &action, judged, cause)))
    }

    /// allow -> event
    fn allow<E: Effect>(
        &self,
        effect: &E,
        action: &Action,
        reasons: Vec<Reason>,
        grant: Option<String>,
        cause: Option<u64>,
    ) -> Allowed {
        let event =
            effect.event(action, &Judged { verdict: event::Verdict::Allow, need: None, reasons, grant });
        match E::REACH {
            Reach::Contained => self.record(event, cause).map(|seq| (seq, None)),
            Reach::Crossing => {
                self.line.recorder.record_durably(event, cause).map(|(seq, durable)| (seq, Some(durable)))
            }
        }
    }

    /// event -> Permit
    fn pass<E: Effect>(&self, effect: E, action: &Action, allowed: Allowed) -> Pending<E> {
        match allowed {
            Ok((seq, None)) => Pending::decided(Verdict::Pass(Permit::new(effect, seq, self.clone()))),
            Ok((seq, Some(durable))) => {
                Pending::waiting(effect, seq, On::Durable(durable), self.clone(), None)
            }
            Err(closed) => refuse(action, &closed),
        }
    }

    /// ask -> event -> (somebody answers) -> event -> Permit
    fn ask<E: Effect>(
        &self,
        asks: &Asks,
        effect: E,
        action: Action,
        need: Need,
        reasons: Vec<Reason>,
        cause: Option<u64>,
    ) -> Pending<E> {
        let wanted = Wanted::Action(action.clone(), effect.place().map(Path::to_owned));
        let worded = self.worded(&action);
        if let Err(turned) = asks.may_ask(&wanted, &worded.text) {
            return self.turn_away(&effect, &action, reasons, &turned, cause);
        }
        let judged = Judged { verdict: event::Verdict::Ask, need: Some(need), reasons, grant: None };
        let asked = self.record(effect.event(&action, &judged), cause).and_then(|seq| {
            let class = self.line.policy.class_of(&action);
            let offer = self.line.policy.offer(&action, &judged.reasons);
            let question =
                Question { wanted, worded, need, reasons: judged.reasons, class, offer, claim: None };
            Ok((seq, asks.open(question, seq)?))
        });
        match asked {
            Ok((seq, asked)) => {
                Pending::waiting(effect, seq, On::Answer(asked.slot), self.clone(), Some(asked.ask))
            }
            Err(closed) => refuse(&action, &closed),
        }
    }

    /// There are too many questions, or this one was answered a moment ago.
    fn turn_away<E: Effect>(
        &self,
        effect: &E,
        action: &Action,
        reasons: Vec<Reason>,
        turned: &Turned,
        cause: Option<u64>,
    ) -> Pending<E> {
        let reasons = std::iter::once(turned.reason()).chain(reasons).collect();
        let judged = Judged { verdict: event::Verdict::Deny, need: None, reasons, grant: None };
        let denial = match self.record(effect.event(action, &judged), cause) {
            Ok(seq) => Denial::turned_away(self.worded(action).text, turned, Some(seq)),
            Err(closed) => Denial::unrecorded(action.to_string(), &closed),
        };
        Pending::decided(Verdict::Refuse(denial))
    }

    /// deny -> event
    fn deny(&self, event: Body, action: &Action, judged: Judged, cause: Option<u64>) -> Denial {
        match self.record(event, cause) {
            Ok(seq) => match judged.need {
                Some(need) => Denial::unattended(self.worded(action), need, judged.reasons, seq),
                None => Denial::by_policy(self.worded(action), judged.reasons, seq),
            },
            Err(closed) => Denial::unrecorded(action.to_string(), &closed),
        }
    }

    /// The second half of a connect: the addresses a permitted name led to.
    pub(crate) fn judge_addresses(
        &self,
        permitted: &Action,
        endpoint: &Endpoint,
        found: &[IpAddr],
        seq: u64,
    ) -> Result<Vec<IpAddr>, Denial> {
        let judged = address::judge(&self.line.policy, (permitted, endpoint), found);
        let because = match judged.refused.first() {
            Some(refused) => format!("{} leads to {}: {}", endpoint.host, refused.address, refused.because),
            None => format!("{} leads to no address", endpoint.host),
        };
        let allowed = judged.allowed.iter().map(IpAddr::to_string).collect();
        let resolved = Resolved { endpoint: endpoint.to_string(), allowed, refused: judged.refused };
        let text = Action::Connect(endpoint.clone()).to_string();
        match self.record(resolved.into(), Some(seq)) {
            Ok(_) if !judged.allowed.is_empty() => Ok(judged.allowed),
            Ok(at) => Err(Denial::by_address(text, because, Some(at))),
            Err(closed) => Err(Denial::unrecorded(text, &closed)),
        }
    }

    /// What policy says, without a trace and without grants: for what the confinement already holds. Where it asks, only
    /// [`Admission::admit`] knows whether somebody has agreed, because a grant that is used is counted.
    pub fn decide(&self, action: &Action) -> Decision {
        self.line.policy.decide(action, &[])
    }

    /// The command that asks for an action inside the run; none where no yes could allow it.
    pub fn how_to_ask(&self, action: &Action) -> Option<String> {
        let asks = matches!(self.decide(action), Decision::Ask { .. });
        asks.then(|| self.worded(action).ask).flatten()
    }

    /// What the agent starts with is known from then on. Where a rule looks at variables, each is told.
    fn know(&self, launched: &Command) {
        let usual = if self.line.policy.looks_at_variables() { Vec::new() } else { launched.env.clone() };
        // Only the first start of a run is the agent's.
        let _ = self.line.usual.set(usual);
    }

    /// An action in words.
    pub(crate) fn worded(&self, action: &Action) -> Worded {
        let usual = self.line.usual.get().map_or(&[][..], Vec::as_slice);
        let ask = action.typed_beside(usual).map(|words| format!("provost request --why \"...\" {words}"));
        Worded { kind: Some(action.kind()), text: action.text_beside(usual), ask }
    }

    /// The programs that rules on commands name: names, and absolute paths.
    pub fn named_programs(&self) -> Vec<PathBuf> {
        self.line.policy.named_programs()
    }

    /// Why nobody may connect to this host, whatever the port; `None` where somebody may, or may ask.
    pub fn never_connects(&self, host: &Host) -> Option<Vec<Reason>> {
        let mut because = Vec::new();
        for port in self.line.policy.telling_ports() {
            let endpoint = Endpoint { host: host.clone(), port };
            if self.looks_inside(&endpoint) {
                return None;
            }
            match self.decide(&Action::Connect(endpoint)) {
                Decision::Deny { reasons } if because.is_empty() || names_a_rule(&reasons) => {
                    because = reasons
                }
                Decision::Deny { .. } => {}
                Decision::Allow { .. } | Decision::Ask { .. } => return None,
            }
        }
        Some(because)
    }

    /// Whether rules look at the requests to this place one by one.
    pub fn looks_inside(&self, endpoint: &Endpoint) -> bool {
        self.line.policy.looks_inside(endpoint)
    }

    /// The terms of every rule that speaks of an action: what it lets pass is held to them.
    pub fn terms(&self, action: &Action) -> Vec<RuleTerms> {
        self.line.policy.terms(action)
    }

    /// Whether something is recorded, heads and bodies.
    pub fn records(&self) -> bool {
        self.line.policy.records()
    }

    /// Whether what models are asked and answer is recorded, heads and bodies.
    pub fn records_models(&self) -> bool {
        self.line.policy.records_models()
    }

    /// Whether a credential may go with what these actions are together, as far as rules say with what it goes.
    pub fn goes_with(&self, credential: &str, actions: &[Action]) -> bool {
        self.line.policy.goes_with(credential, actions)
    }

    /// Records an observation, in order; waits while there is no room. A list too long for one event goes on in the next;
    /// gives the number of the last.
    ///
    /// # Errors
    /// The ledger takes nothing more.
    pub fn note(&self, body: Body, trust: Trust, cause: Option<u64>) -> Result<u64, LedgerClosed> {
        let mut last = Ok(0);
        for part in body.split() {
            last = self.line.recorder.record(part, trust, cause, None);
            if last.is_err() {
                break;
            }
        }
        last
    }

    /// Waits until everything accepted so far is durable.
    ///
    /// # Errors
    /// The ledger takes nothing more; what was accepted last may be lost.
    pub fn barrier(&self) -> Result<(), LedgerClosed> {
        self.line.recorder.barrier()
    }

    /// How long the ledger is, and the root over it, with everything accepted so far in it and durable.
    ///
    /// # Errors
    /// The ledger takes nothing more.
    pub fn head(&self) -> Result<Head, LedgerClosed> {
        self.line.recorder.head()
    }

    /// Listens for asks: those that are open, and those to come. It ends with the run; at once if nobody attends.
    pub fn asks(&self) -> Receiver<AskView> {
        self.line.asks.as_ref().map_or_else(|| channel().1, |asks| asks.listen())
    }

    /// The asks that are open now.
    pub fn open_asks(&self) -> Vec<AskView> {
        self.line.asks.as_ref().map_or_else(Vec::new, |asks| asks.open_asks())
    }

    /// Listens for everything that is asked, answered and granted: for what stands now, and what comes. It ends with the run; at
    /// once if nobody attends, or for whoever falls far behind.
    pub fn follow(&self) -> Receiver<Told> {
        self.line.asks.as_ref().map_or_else(|| sync_channel(0).1, |asks| asks.follow())
    }

    /// The grants in being.
    pub fn grants(&self) -> Vec<GrantView> {
        self.line.asks.as_ref().map_or_else(Vec::new, |asks| asks.grants.views())
    }

    /// A grant in being for this very action, in this folder.
    pub fn granted(&self, action: &Action, place: Option<&Path>) -> Option<GrantView> {
        self.line.asks.as_ref()?.grants.exactly(action, place)
    }

    /// A number that is another one whenever something else is granted.
    pub fn grants_changed(&self) -> u64 {
        self.line.asks.as_ref().map_or(0, |asks| asks.grants.changes())
    }

    /// How an ask ended, if that was lately.
    pub fn ended(&self, ask: &str) -> Option<EndedAsk> {
        self.line.asks.as_ref()?.ended(ask)
    }

    /// Whether somebody can be asked.
    pub fn is_attended(&self) -> bool {
        self.line.asks.is_some()
    }

    /// Takes a grant back: it allows nothing more from then on. How often it was used.
    ///
    /// # Errors
    /// There is no such grant in being.
    pub fn revoke(&self, grant: &str, by: &str, why: Option<String>) -> Result<u64, Refused> {
        match &self.line.asks {
            Some(asks) => asks.grants.revoke(grant, by, why),
            None => Err(Refused::NoSuchAsk(grant.to_owned())),
        }
    }

    /// Answers an ask. The first valid answer wins; a yes is durable when this returns.
    ///
    /// # Errors
    /// The answer does not count.
    pub fn answer(&self, ask: &str, answer: Answer) -> Result<(), Refused> {
        match &self.line.asks {
            Some(asks) => asks.answer(ask, answer),
            None => Err(Refused::NoSuchAsk(ask.to_owned())),
        }
    }

    /// Answers an ask, and does not wait for the disk: whoever asked does. Many answers become durable together.
    ///
    /// # Errors
    /// The answer does not count.
    pub fn cast(&self, ask: &str, answer: Answer) -> Result<(), Refused> {
        match &self.line.asks {
            Some(asks) => asks.cast(ask, answer).map(drop),
            None => Err(Refused::NoSuchAsk(ask.to_owned())),
        }
    }

    /// Ends the run: denies what is still asked, records its last event, and seals its ledger. Every clone refuses from then on.
    ///
    /// # Errors
    /// The ledger could not be finished; the run then looks interrupted, which it is.
    pub fn close(self, ended: Body) -> Result<Sealed, LedgerClosed> {
        self.seal(Some(ended))
    }

    /// Puts a run down that was taken up again after its end: as [`Admission::close`], but it has ended before.
    ///
    /// # Errors
    /// The ledger could not be finished; the run then looks interrupted, which it is.
    pub fn put_down(self) -> Result<Sealed, LedgerClosed> {
        self.seal(None)
    }

    fn seal(self, last: Option<Body>) -> Result<Sealed, LedgerClosed> {
        if let Some(asks) = &self.line.asks {
            asks.end_all();
        }
        let owner = lock(&self.line.owner).take();
        let owner = owner.ok_or_else(|| LedgerClosed { because: "the run is over".to_owned() })?;
        owner.seal(last)
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.line.policy
    }

    pub(crate) fn asking(&self) -> Option<&Asks> {
        self.line.asks.as_deref()
    }

    pub(crate) fn withdraw(&self, ask: &str, decision: u64) {
        if let Some(asks) = &self.line.asks {
            asks.withdraw(ask, decision);
        }
    }

    pub(crate) fn record(&self, event: Body, cause: Option<u64>) -> Result<u64, LedgerClosed> {
        self.line.recorder.record(event, Trust::Observed, cause, None)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(asks) = &self.asks {
            asks.end_all();
        }
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").field("recorder", &self.line.recorder).finish_non_exhaustive()
    }
}

fn names_a_rule(reasons: &[Reason]) -> bool {
    reasons.iter().any(|reason| reason.rule != "default")
}

fn refuse<E: Effect>(action: &Action, closed: &LedgerClosed) -> Pending<E> {
    Pending::decided(Verdict::Refuse(Denial::unrecorded(action.to_string(), closed)))
}
