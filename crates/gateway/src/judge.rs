//! From a flow to permits: every question the gateway has goes through here to admission.
//!
//! Owns which actions a flow is, and in which order they are asked: connect, then the request, then credentials, and only then
//! the name's addresses. Owns the events that say what reached the gateway. Does not own the rules (`policy`), the asking
//! (`admission`), or how a no is put (`refusal`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use admission::{Admission, Connect, Denial, Dial, Effect, Http, Outcome, Pending, Permit, Verdict};
use http::{HeaderMap, Method, Uri};
use ledger::Trust;
use ledger::event::{self, Connection, Denied, OsText};
use policy::{Action, Decision, Endpoint, Host};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::bounds::Bounds;
use crate::caps::{Caps, Held};
use crate::carriage::Asker;
use crate::consult::Models;
use crate::credential::{Credentials, Leak, Use};
use crate::dial::{Outside, dial};
use crate::flow::{Canonical, Flow, same_place};
use crate::head;
use crate::meter::{Count, End, Meter, Passage};
use crate::names::{self, Names};
use crate::record::Records;
use crate::refusal::Refusal;
use crate::via::Via;
use crate::wire::Wire;

/// How long a verdict is waited for before the gateway looks whether the asker is still there.
const SOON: Duration = Duration::from_millis(30);

/// Who asks admission.
pub(crate) struct Judge {
    pub(crate) admission: Admission,
    pub(crate) credentials: Credentials,
    pub(crate) names: Arc<dyn Names>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) caps: Caps,
    /// Where models answer, and what may be spent on them.
    pub(crate) models: Models,
    /// What is recorded, and where to.
    pub(crate) records: Records,
    /// A proxy by which the outside is reached.
    pub(crate) via: Option<Via>,
    /// Seats for questions that are read.
    pub(crate) reading: Arc<Semaphore>,
    pub(crate) bounds: Bounds,
}

/// The right to go somewhere: as a connection, or as the one request that rules spoke of.
pub(crate) enum Right {
    Connect(Permit<Connect>, Held),
    Http(Permit<Http>, Held),
}

impl Right {
    /// Where to.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        match self {
            Right::Connect(permit, _) => &permit.of().0,
            Right::Http(permit, _) => &permit.of().0.endpoint,
        }
    }

    /// The path that was judged, where one was.
    pub(crate) fn path(&self) -> Option<&str> {
        match self {
            Right::Connect(..) => None,
            Right::Http(permit, _) => Some(&permit.of().0.path),
        }
    }

    /// What passes by it, as rules speak of it: the connection, and the request where one was judged.
    fn actions(&self) -> Vec<Action> {
        let request = match self {
            Right::Connect(..) => None,
            Right::Http(permit, _) => Some(Action::Http(permit.of().0.clone())),
        };
        std::iter::once(Action::Connect(self.endpoint().clone())).chain(request).collect()
    }

    /// What it is held to.
    fn held(&self) -> &Held {
        match self {
            Right::Connect(_, held) | Right::Http(_, held) => held,
        }
    }

    /// The decision that gave it.
    pub(crate) fn seq(&self) -> u64 {
        match self {
            Right::Connect(permit, _) => permit.seq(),
            Right::Http(permit, _) => permit.seq(),
        }
    }

    fn at(self, found: &[IpAddr]) -> Result<Permit<Dial>, Denial> {
        match self {
            Right::Connect(permit, _) => permit.at(found),
            Right::Http(permit, _) => permit.at(found),
        }
    }

    fn failed(self, because: &str) {
        self.settle(Outcome::failed(because));
    }

    /// It was used on a connection that was there already.
    pub(crate) fn used(self) {
        self.settle(Outcome::done());
    }

    fn settle(self, outcome: Outcome) {
        let receipt = match self {
            Right::Connect(permit, _) => permit.begin().1,
            Right::Http(permit, _) => permit.begin().1,
        };
        receipt.settle(outcome);
    }
}

impl Judge {
    /// May this place be connected to? Nothing is looked up before that.
    pub(crate) async fn connection(&self, flow: &Flow, wire: &Wire) -> Result<Right, Refusal> {
        let permit = self.may_connect(flow, wire).await?;
        let held = self.hold(flow, &[Action::Connect(flow.endpoint.clone())])?;
        Ok(Right::Connect(permit, held))
    }

    async fn may_connect(&self, flow: &Flow, wire: &Wire) -> Result<Permit<Connect>, Refusal> {
        let pending = self.connecting(flow)?;
        self.settled(flow, pending, wire).await
    }

    fn connecting(&self, flow: &Flow) -> Result<Pending<Connect>, Refusal> {
        match self.credentials.in_host(&flow.endpoint.host) {
            Some(leak) => Err(self.alarm(flow, &leak)),
            None => Ok(self.admission.admit(Connect(flow.endpoint.clone()))),
        }
    }

    /// Begins something on the terms of every rule that speaks of it.
    pub(crate) fn hold(&self, flow: &Flow, actions: &[Action]) -> Result<Held, Refusal> {
        let terms = actions.iter().flat_map(|action| self.admission.terms(action)).collect();
        self.caps.hold(terms).map_err(|used| {
            self.meter.denied(&flow.endpoint.to_string());
            let refusal = Refusal::used_up(&flow.endpoint, &used);
            self.record((flow.what(), flow.asker), OsText::from(flow.endpoint.to_string()), &refusal);
            refusal
        })
    }

    /// May this be asked there, with these headers that go on? Where rules look at requests, the request itself is judged; what a
    /// rule says of the connection holds beside that.
    pub(crate) async fn request(
        &self,
        flow: &Flow,
        (headers, asked): (&HeaderMap, &Canonical),
        wire: &Wire,
    ) -> Result<Right, Refusal> {
        if !self.admission.looks_inside(&flow.endpoint) {
            return self.connection(flow, wire).await;
        }
        let odd = |why: String| {
            self.built_in(flow, "canonical", format!("rules look at requests there, and {why}"))
        };
        let request = match asked.clone() {
            Some(Ok(request)) => request,
            Some(Err(why)) => return Err(odd(format!("this one cannot be judged: {why}"))),
            None => return Err(odd("this is none".to_owned())),
        };
        if head::overrides_method(headers, &request.query) {
            return Err(odd("this one tells the server another method".to_owned()));
        }
        let permit = self.both(flow, Http(request.clone()), wire).await?;
        let actions = [Action::Connect(flow.endpoint.clone()), Action::Http(request)];
        Ok(Right::Http(permit, self.hold(flow, &actions)?))
    }

    /// Asks for a request, and first for the connection where a rule speaks of that: its permit is not used, the request has one of
    /// its own. Where the connection is allowed at once, both are written to the disk together.
    async fn both(&self, flow: &Flow, request: Http, wire: &Wire) -> Result<Permit<Http>, Refusal> {
        if !self.rule_on_connecting(flow) {
            return self.admit(flow, request, wire).await;
        }
        let connecting = self.connecting(flow)?;
        if !connecting.is_allowed() {
            drop(self.settled(flow, connecting, wire).await?);
            return self.admit(flow, request, wire).await;
        }
        let asked = self.admission.admit(request);
        drop(self.settled(flow, connecting, wire).await?);
        self.settled(flow, asked, wire).await
    }

    /// Asks, and records what reached the gateway and how it was judged.
    async fn admit<E: Effect + Unpin>(
        &self,
        flow: &Flow,
        effect: E,
        wire: &Wire,
    ) -> Result<Permit<E>, Refusal> {
        self.settled(flow, self.admission.admit(effect), wire).await
    }

    /// What comes of what was asked, recorded with what reached the gateway.
    async fn settled<E: Effect + Unpin>(
        &self,
        flow: &Flow,
        pending: Pending<E>,
        wire: &Wire,
    ) -> Result<Permit<E>, Refusal> {
        let verdict = self.answer(pending, wire).await.ok_or_else(|| self.withdrawn(flow))?;
        let (word, seq) = match &verdict {
            Verdict::Pass(permit) => (event::Verdict::Allow, Some(permit.seq())),
            Verdict::Refuse(denial) => (event::Verdict::Deny, denial.seq),
        };
        let endpoint = flow.endpoint.to_string();
        let pid = flow.asker.map(|asker| asker.pid);
        let seen = Connection { pid, endpoint, verdict: word, ingress: flow.ingress };
        let noted = self.admission.note(seen.into(), Trust::Observed, seq);
        let permit = verdict.permit().map_err(|denial| self.denied(flow, denial))?;
        match noted {
            Ok(_) => Ok(permit),
            Err(closed) => Err(self.built_in(flow, "ledger", closed.to_string())),
        }
    }

    /// Asks what is asked beside a request that is recorded already.
    pub(crate) async fn permit<E: Effect + Unpin>(
        &self,
        flow: &Flow,
        effect: E,
        wire: &Wire,
    ) -> Result<Permit<E>, Refusal> {
        let pending = self.admission.admit(effect);
        let verdict = self.answer(pending, wire).await.ok_or_else(|| self.withdrawn(flow))?;
        verdict.permit().map_err(|denial| self.denied(flow, denial))
    }

    /// May these credentials go there, with what passes by this right?
    pub(crate) async fn release(
        &self,
        (flow, right): (&Flow, &Right),
        uses: &[Use],
        headers: &mut HeaderMap,
        wire: &Wire,
    ) -> Result<(), Refusal> {
        for used in uses {
            if !self.admission.goes_with(&used.release.name, &right.actions()) {
                let why =
                    format!("rules say with which requests `{}` goes, and this is none", used.release.name);
                return Err(self.built_in(flow, "credential", why));
            }
            let permit = self.permit(flow, used.release.clone(), wire).await?;
            let exchanged = self.credentials.exchange(headers, used, permit);
            exchanged.map_err(|error| self.built_in(flow, "vault", error.to_string()))?;
        }
        Ok(())
    }

    /// May this be a tunnel? `None` where the requests in it are to be judged instead, each for itself; nothing of it leaves
    /// before that, so a question is put with the request. What nobody could say yes to is refused at once.
    pub(crate) async fn tunnel(&self, flow: &Flow, wire: &Wire) -> Result<Option<Right>, Refusal> {
        if !self.must_see(&flow.endpoint) {
            return self.connection(flow, wire).await.map(Some);
        }
        let connect = Action::Connect(flow.endpoint.clone());
        let counts = !self.admission.looks_inside(&flow.endpoint) || self.rule_on(&connect);
        if counts && matches!(self.admission.decide(&connect), Decision::Deny { .. }) {
            drop(self.may_connect(flow, wire).await?);
        }
        match self.credentials.in_host(&flow.endpoint.host) {
            Some(leak) => Err(self.alarm(flow, &leak)),
            None => Ok(None),
        }
    }

    /// Where is it? May that be dialled? Then it is.
    pub(crate) async fn reach(&self, flow: &Flow, right: Right) -> Result<(Outside, Passage), Refusal> {
        let (seq, held) = (right.seq(), right.held().clone());
        let permit = match names::addresses(&*self.names, &right, self.bounds.lookup).await {
            Ok(found) => right.at(&found).map_err(|denial| self.denied(flow, denial))?,
            Err(because) => {
                right.failed(&because);
                return Err(Refusal::unreachable(&flow.endpoint, &because));
            }
        };
        let mut passage = self.begin(flow, seq, held);
        match dial(permit, self.via.as_ref(), self.bounds.dial).await {
            Ok(outside) => {
                passage.counts(&outside.count());
                Ok((outside, passage))
            }
            Err(unreachable) => {
                passage.ends(End::Unreachable);
                Err(Refusal::unreachable(&flow.endpoint, &unreachable.0))
            }
        }
    }

    /// What passes by this right on a connection that is there already.
    pub(crate) fn passage(&self, flow: &Flow, right: &Right, on: &Arc<Count>) -> Passage {
        let mut passage = self.begin(flow, right.seq(), right.held().clone());
        passage.counts(on);
        passage
    }

    fn begin(&self, flow: &Flow, seq: u64, held: Held) -> Passage {
        Passage::begin((&self.meter, &self.admission), flow.clone(), Some(seq), held)
    }

    /// Whether requests to this place must be seen one by one, in TLS or not: rules speak of them, a credential is exchanged in
    /// them, a login is refreshed there, a model answers them, or they are recorded. This is the one place where that is decided,
    /// whatever way somebody comes.
    pub(crate) fn must_see(&self, endpoint: &Endpoint) -> bool {
        self.admission.looks_inside(endpoint)
            || self.credentials.any_for(endpoint)
            || self.credentials.logins.at(endpoint).is_some()
            || self.models.answer_at(endpoint)
            || self.records(endpoint)
    }

    /// Whether TLS in a tunnel to this place may name this host.
    pub(crate) fn may_name(&self, to: &Endpoint, named: &str) -> bool {
        let Ok(host) = Host::parse(named) else { return false };
        let named = Endpoint { host, port: to.port };
        match to.host {
            Host::Name(_) => same_place(&named, to),
            // Whoever may go to an address may go to whatever is there, but not around the rules on requests.
            Host::Ip(_) => !self.must_see(&named),
        }
    }

    /// This port of the host, by the one of its names that a rule speaks of.
    pub(crate) fn host_port(&self, port: u16) -> Endpoint {
        let usual = Endpoint { host: Host::Ip(Ipv4Addr::LOCALHOST.into()), port };
        let others = [Host::Name("localhost".to_owned()), Host::Ip(Ipv6Addr::LOCALHOST.into())];
        let named = others.map(|host| Endpoint { host, port });
        let spoken_of = |endpoint: &&Endpoint| self.rule_on(&Action::Connect((*endpoint).clone()));
        std::iter::once(&usual).chain(&named).find(spoken_of).unwrap_or(&usual).clone()
    }

    fn rule_on_connecting(&self, flow: &Flow) -> bool {
        self.rule_on(&Action::Connect(flow.endpoint.clone()))
    }

    /// Whether a rule, and not only the default, speaks of this.
    fn rule_on(&self, action: &Action) -> bool {
        let (Decision::Allow { reasons } | Decision::Ask { reasons, .. } | Decision::Deny { reasons }) =
            self.admission.decide(action);
        reasons.iter().any(|reason| reason.rule != "default")
    }

    /// The verdict; none if the asker went away before it came. The question is then withdrawn.
    async fn answer<E: Effect + Unpin>(&self, pending: Pending<E>, wire: &Wire) -> Option<Verdict<E>> {
        let mut pending = pin!(pending);
        let gone = async {
            sleep(SOON).await;
            wire.gone().await;
        };
        tokio::select! {
            biased;
            verdict = &mut pending => Some(verdict),
            () = gone => None,
        }
    }

    /// Records a placeholder where it must not be, and refuses.
    pub(crate) fn alarm(&self, flow: &Flow, leak: &Leak) -> Refusal {
        let why = format!("{} was about to leave in {}", leak.what, leak.place);
        self.built_in(flow, "placeholder", why)
    }

    /// Records a refusal that is the gateway's own.
    pub(crate) fn built_in(&self, flow: &Flow, rule: &str, why: String) -> Refusal {
        let hint = match rule {
            "placeholder" => "a placeholder is only good for the place its credential is bound to",
            "credential" => "`provost policy show` lists the rules that name it",
            "login" => "log in and out outside of a run, with the agent's own command",
            "vault" => "look at the credential with `provost credential list`",
            "tls" => {
                "speak TLS for the very host that was asked for, trust the run's own certificates, or speak HTTP"
            }
            "model" => "ask it as its own client does, or name the request in a rule on `http`",
            "tokens" | "cost" => "stop here: the run has used up what it was given for models",
            "record" => "a rule says that it is recorded, so it does not pass unrecorded; look at the disk",
            "ledger" => "nothing happens that is not recorded; end this run and look at the disk",
            _ => "ask for it plainly",
        };
        self.meter.denied(&flow.endpoint.to_string());
        let refusal = Refusal::built_in(format!("connect {}", flow.endpoint), rule, why, hint);
        let target = OsText::from(flow.endpoint.to_string());
        self.record((flow.what(), flow.asker), target, &refusal);
        refusal
    }

    /// Records a request that is none.
    pub(crate) fn malformed(&self, method: &Method, uri: &Uri, refusal: &Refusal) {
        self.meter.malformed();
        self.record(("http", None), OsText::from(format!("{method} {uri}")), refusal);
    }

    /// Records bytes that were no request at all; hyper has answered them.
    pub(crate) fn unreadable(&self, error: &hyper::Error) {
        self.misspoken(&Refusal::malformed(error.to_string(), "speak HTTP/1.1"));
    }

    /// Records bytes that were no request at all, and answered.
    pub(crate) fn misspoken(&self, refusal: &Refusal) {
        self.meter.malformed();
        self.record(("http", None), OsText::default(), refusal);
    }

    fn record(&self, (what, asker): (&str, Option<Asker>), target: OsText, refusal: &Refusal) {
        let line = || event::Reason {
            layer: "built-in".into(),
            rule: "malformed".into(),
            why: Some(refusal.line()),
        };
        let reasons = vec![refusal.reason().map_or_else(line, event::Reason::from)];
        let pid = asker.map(|asker| asker.pid);
        let denied = Denied { pid, what: what.into(), target, reasons, errno: None, spoken: false };
        // It is refused all the same; a ledger that takes nothing more is noticed by the gateway's watch.
        let _ = self.admission.note(denied.into(), Trust::Observed, None);
    }

    pub(crate) fn denied(&self, flow: &Flow, denial: Denial) -> Refusal {
        self.meter.denied(&flow.endpoint.to_string());
        Refusal::denied(denial)
    }

    /// Nobody is there to be told.
    fn withdrawn(&self, flow: &Flow) -> Refusal {
        self.meter.denied(&flow.endpoint.to_string());
        Refusal::malformed("the question was withdrawn", "stay until it is answered")
    }
}
