//! From a flow to permits: every question the gateway has goes through here to admission.
//!
//! Owns which actions a flow is, and in which order they are asked: connect, then the request, then credentials, and only then
//! the name's addresses. Owns the events that say what reached the gateway. Does not own the rules (`policy`), the asking
//! (`admission`), or how a no is put (`refusal`).

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use admission::{Admission, Connect, Denial, Dial, Effect, Http, Outcome, Pending, Permit, Receipt, Verdict};
use ledger::Trust;
use ledger::event::{self, Connection, Denied, OsText};
use policy::{Action, Decision, Endpoint};
use tokio::time::sleep;

use crate::bounds::Bounds;
use crate::credential::{Credentials, Leak, Use};
use crate::flow::Flow;
use crate::meter::Meter;
use crate::names::{self, Names};
use crate::refusal::Refusal;
use crate::wire::Wire;

/// How long a verdict is waited for before the gateway looks whether the asker is still there.
const SOON: Duration = Duration::from_millis(30);

/// Who asks admission.
pub(crate) struct Judge {
    pub(crate) admission: Admission,
    pub(crate) credentials: Credentials,
    pub(crate) names: Arc<dyn Names>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) bounds: Bounds,
}

impl Judge {
    /// May this place be connected to? Nothing is looked up before that.
    pub(crate) async fn connect(&self, flow: &Flow, wire: &Wire) -> Result<Permit<Connect>, Refusal> {
        if let Some(leak) = self.credentials.in_host(&flow.endpoint.host) {
            return Err(self.alarm(flow, &leak));
        }
        let pending = self.admission.admit(Connect(flow.endpoint.clone()));
        let verdict = self.answer(pending, wire).await.ok_or_else(|| self.withdrawn(flow))?;
        let (word, seq) = match &verdict {
            Verdict::Pass(permit) => (event::Verdict::Allow, Some(permit.seq())),
            Verdict::Refuse(denial) => (event::Verdict::Deny, denial.seq),
        };
        let endpoint = flow.endpoint.to_string();
        let seen = Connection { pid: None, endpoint, verdict: word, ingress: flow.ingress };
        let noted = self.admission.note(seen.into(), Trust::Observed, seq);
        let permit = verdict.permit().map_err(|denial| self.denied(flow, denial))?;
        match noted {
            Ok(_) => Ok(permit),
            Err(closed) => Err(self.built_in(flow, "ledger", closed.to_string())),
        }
    }

    /// May this be asked there? `None` where no rule looks at requests: then the connection's permit is all there is.
    pub(crate) async fn request(&self, flow: &Flow, wire: &Wire) -> Result<Option<Receipt>, Refusal> {
        let request = match flow.canonical() {
            Some(Ok(request)) => request,
            None => return Ok(None),
            Some(Err(_)) if !self.looks_inside(&flow.endpoint) => return Ok(None),
            Some(Err(why)) => {
                let why = format!("a rule looks at requests there, and this one cannot be judged: {why}");
                return Err(self.built_in(flow, "canonical", why));
            }
        };
        if !self.speaks(&Action::Http(request.clone())) && !self.looks_inside(&flow.endpoint) {
            return Ok(None);
        }
        let pending = self.admission.admit(Http(request));
        let verdict = self.answer(pending, wire).await.ok_or_else(|| self.withdrawn(flow))?;
        let permit = verdict.permit().map_err(|denial| self.denied(flow, denial))?;
        Ok(Some(permit.begin().1))
    }

    /// May these credentials go there?
    pub(crate) async fn release(
        &self,
        flow: &Flow,
        uses: &[Use],
        headers: &mut http::HeaderMap,
        wire: &Wire,
    ) -> Result<(), Refusal> {
        for used in uses {
            let pending = self.admission.admit(used.release.clone());
            let verdict = self.answer(pending, wire).await.ok_or_else(|| self.withdrawn(flow))?;
            let permit = verdict.permit().map_err(|denial| self.denied(flow, denial))?;
            let exchanged = self.credentials.exchange(headers, used, permit);
            exchanged.map_err(|error| self.built_in(flow, "vault", error.to_string()))?;
        }
        Ok(())
    }

    /// Where is it? And may that be dialled?
    pub(crate) async fn locate(
        &self,
        flow: &Flow,
        permit: Permit<Connect>,
    ) -> Result<Permit<Dial>, Refusal> {
        match names::addresses(&*self.names, &permit, self.bounds.lookup).await {
            Ok(found) => permit.at(&found).map_err(|denial| self.denied(flow, denial)),
            Err(because) => {
                permit.begin().1.settle(Outcome::failed(because.clone()));
                Err(Refusal::unreachable(&flow.endpoint, &because))
            }
        }
    }

    /// Whether requests to this place must be seen one by one, because rules speak of them.
    pub(crate) fn looks_inside(&self, _endpoint: &Endpoint) -> bool {
        false
    }

    /// Whether a rule, and not only the default, speaks of this.
    fn speaks(&self, action: &Action) -> bool {
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
        let why = format!("placeholder seen leaving: `{}` in {}", leak.credential, leak.place);
        self.built_in(flow, "placeholder", why)
    }

    /// Records a refusal that is the gateway's own.
    pub(crate) fn built_in(&self, flow: &Flow, rule: &str, why: String) -> Refusal {
        let hint = match rule {
            "placeholder" => "a placeholder is only good for the place its credential is bound to",
            "vault" => "look at the credential with `provost credential list`",
            "ledger" => "nothing happens that is not recorded; end this run and look at the disk",
            _ => "ask for it plainly",
        };
        self.meter.denied(&flow.endpoint.to_string());
        let refusal = Refusal::built_in(format!("connect {}", flow.endpoint), rule, why, hint);
        let target = OsText::from(flow.endpoint.to_string());
        self.record(if flow.request.is_some() { "http" } else { "connect" }, target, &refusal);
        refusal
    }

    /// Records a request that is none.
    pub(crate) fn malformed(&self, head: &http::request::Parts, refusal: &Refusal) {
        self.meter.malformed();
        self.record("http", OsText::from(format!("{} {}", head.method, head.uri)), refusal);
    }

    fn record(&self, what: &str, target: OsText, refusal: &Refusal) {
        let line = || event::Reason {
            layer: "built-in".into(),
            rule: "malformed".into(),
            why: Some(refusal.line()),
        };
        let reasons = vec![refusal.reason().map_or_else(line, event::Reason::from)];
        let denied = Denied { pid: None, what: what.into(), target, reasons, errno: None, spoken: false };
        // It is refused all the same; a ledger that takes nothing more is noticed by the gateway's watch.
        let _ = self.admission.note(denied.into(), Trust::Observed, None);
    }

    fn denied(&self, flow: &Flow, denial: Denial) -> Refusal {
        self.meter.denied(&flow.endpoint.to_string());
        denial.into()
    }

    /// Nobody is there to be told.
    fn withdrawn(&self, flow: &Flow) -> Refusal {
        self.meter.denied(&flow.endpoint.to_string());
        Refusal::malformed("the question was withdrawn", "stay until it is answered")
    }
}
