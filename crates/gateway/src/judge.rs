//! From a flow to permits: every question the gateway has goes through here to admission.
//!
//! Owns which actions a flow is, and in which order they are asked: connect, then the request, then credentials, and only then
//! the name's addresses. Owns the events that say what reached the gateway. Does not own the rules (`policy`), the asking
//! (`admission`), or how a no is put (`refusal`).

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use admission::{Admission, Connect, Denial, Effect, Http, Outcome, Pending, Permit, Receipt, Verdict};
use http::{HeaderMap, Method, Uri};
use ledger::Trust;
use ledger::event::{self, Connection, Denied, OsText};
use policy::{Action, Decision, Endpoint, HttpRequest, Scheme};
use tokio::time::sleep;

use crate::bounds::Bounds;
use crate::credential::{Credentials, Leak, Use};
use crate::dial::{Outside, dial};
use crate::flow::Flow;
use crate::head;
use crate::meter::{End, Meter, Passage};
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

/// A request that rules spoke of, permitted.
pub(crate) struct Looked {
    request: HttpRequest,
    receipt: Receipt,
}

impl Looked {
    /// The path that was judged.
    pub(crate) fn path(&self) -> &str {
        &self.request.path
    }

    /// Records whether it was answered, or why not.
    pub(crate) fn settle(self, failed: Option<&String>) {
        self.receipt.settle(failed.map_or(Outcome::Done, Outcome::failed));
    }
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
    pub(crate) async fn request(
        &self,
        flow: &Flow,
        headers: &HeaderMap,
        wire: &Wire,
    ) -> Result<Option<Looked>, Refusal> {
        let looks = self.looks_inside(&flow.endpoint, Scheme::Http);
        let request = match flow.canonical() {
            Some(Ok(request)) if looks || self.speaks(&Action::Http(request.clone())) => request,
            Some(Err(why)) if looks => {
                let why = format!("a rule looks at requests there, and this one cannot be judged: {why}");
                return Err(self.built_in(flow, "canonical", why));
            }
            Some(_) | None => return Ok(None),
        };
        if head::overrides_method(headers) {
            let why =
                "a rule looks at requests there, and this one tells the server another method".to_owned();
            return Err(self.built_in(flow, "canonical", why));
        }
        let pending = self.admission.admit(Http(request));
        let verdict = self.answer(pending, wire).await.ok_or_else(|| self.withdrawn(flow))?;
        let permit = verdict.permit().map_err(|denial| self.denied(flow, denial))?;
        let (Http(request), receipt) = permit.begin();
        Ok(Some(Looked { request, receipt }))
    }

    /// May these credentials go there?
    pub(crate) async fn release(
        &self,
        flow: &Flow,
        uses: &[Use],
        headers: &mut HeaderMap,
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

    /// May a tunnel be opened there? Not where rules look at what travels in TLS: it is not opened yet.
    pub(crate) fn may_tunnel(&self, flow: &Flow) -> Result<(), Refusal> {
        if self.looks_inside(&flow.endpoint, Scheme::Https) {
            let why = "a rule looks at requests there, and TLS cannot be looked into yet".to_owned();
            return Err(self.built_in(flow, "tls", why));
        }
        Ok(())
    }

    /// Where is it? May that be dialled? Then it is.
    pub(crate) async fn reach(
        &self,
        flow: &Flow,
        permit: Permit<Connect>,
    ) -> Result<(Outside, Passage), Refusal> {
        let seq = permit.seq();
        let permit = match names::addresses(&*self.names, &permit, self.bounds.lookup).await {
            Ok(found) => permit.at(&found).map_err(|denial| self.denied(flow, denial))?,
            Err(because) => {
                permit.begin().1.settle(Outcome::failed(because.clone()));
                return Err(Refusal::unreachable(&flow.endpoint, &because));
            }
        };
        let mut passage = Passage::begin(&self.meter, &self.admission, flow.clone(), Some(seq));
        match dial(permit, self.bounds.dial).await {
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

    /// Whether requests to this place must be seen one by one: rules speak of them, or a credential is exchanged in them.
    pub(crate) fn must_see(&self, endpoint: &Endpoint) -> bool {
        self.credentials.any_for(endpoint) || self.looks_inside(endpoint, Scheme::Http)
    }

    /// Whether rules speak of requests to this place.
    fn looks_inside(&self, _endpoint: &Endpoint, _scheme: Scheme) -> bool {
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
        let why = format!("the placeholder of `{}` was about to leave in {}", leak.credential, leak.place);
        self.built_in(flow, "placeholder", why)
    }

    /// Records a refusal that is the gateway's own.
    pub(crate) fn built_in(&self, flow: &Flow, rule: &str, why: String) -> Refusal {
        let hint = match rule {
            "placeholder" => "a placeholder is only good for the place its credential is bound to",
            "vault" => "look at the credential with `provost credential list`",
            "tls" => "allow the connection as a whole with a `connect` rule alone, or leave it",
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
    pub(crate) fn malformed(&self, method: &Method, uri: &Uri, refusal: &Refusal) {
        self.meter.malformed();
        self.record("http", OsText::from(format!("{method} {uri}")), refusal);
    }

    /// Records bytes that were no request at all; hyper has answered them.
    pub(crate) fn unreadable(&self, error: &hyper::Error) {
        self.meter.malformed();
        let refusal = Refusal::malformed(error.to_string(), "speak HTTP/1.1");
        self.record("http", OsText::default(), &refusal);
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
        Refusal::denied(denial, &flow.endpoint)
    }

    /// Nobody is there to be told.
    fn withdrawn(&self, flow: &Flow) -> Refusal {
        self.meter.denied(&flow.endpoint.to_string());
        Refusal::malformed("the question was withdrawn", "stay until it is answered")
    }
}
