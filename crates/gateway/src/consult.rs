//! A model is asked: what of the question is judged beside the request itself, and on whose account the answer goes.
//!
//! Owns that a question to a model is read whole before any of it leaves, that the provider's own tools in it are judged one by
//! one, and that there is money left for it. Does not own how questions and answers are understood (`models`), the request's own
//! judgement (`judge`), or its way (`forward`, `messages`).

use std::sync::Arc;

use admission::{Outcome, Tool};
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderValue};
use http::{Method, request};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use policy::{Endpoint, Limits};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::bounds::Bounds;
use crate::flow::{Canonical, Flow, same_place};
use crate::head;
use crate::judge::{Judge, Right};
use crate::models::{Account, Api, Asked, Budget, Call, Prices, Spent, Tap};
use crate::refusal::Refusal;
use crate::wire::Wire;

/// Where models answer, and what may be spent on them.
#[derive(Debug)]
pub struct Models {
    places: Vec<Endpoint>,
    budget: Arc<Budget>,
}

impl Models {
    /// Models that answer at these places, paid by these prices, within these limits: those on tokens and cost.
    #[must_use]
    pub fn new(places: Vec<Endpoint>, prices: Prices, limits: &Limits) -> Models {
        Models { places, budget: Arc::new(Budget::new(limits, prices)) }
    }

    /// Whether a model answers there.
    pub(crate) fn answer_at(&self, endpoint: &Endpoint) -> bool {
        self.places.iter().any(|place| same_place(place, endpoint))
    }
}

/// Room for one question that was read and is not sent yet: while a person is asked about it, it stands in memory whole.
pub(crate) type Seat = OwnedSemaphorePermit;

/// A question that may be put, and where its answer is counted.
pub(crate) struct Question {
    api: Api,
    account: Account,
    /// The model that is asked; nothing yet where a WebSocket begins.
    model: String,
    /// The question as it was read, with its seat; none where it comes in messages.
    pub(crate) body: Option<(Bytes, Seat)>,
}

impl Question {
    /// Beside its answer.
    pub(crate) fn tap(&self, content_type: &str) -> Tap {
        Tap::new(self.api, self.account.clone(), self.model.clone(), content_type)
    }

    /// Beside the answer to a question that came as a message.
    pub(crate) fn tap_of(&self, asked: &Asked) -> Tap {
        Tap::new(self.api, self.account.clone(), asked.model.clone(), "text/event-stream")
    }

    /// Which API it speaks.
    pub(crate) fn api(&self) -> Api {
        self.api
    }

    /// Which API it speaks, and the decision that let it.
    pub(crate) fn whose(&self) -> (Api, u64) {
        (self.api, self.account.cause.unwrap_or_default())
    }
}

impl Judge {
    /// May this be asked of a model? None where no model is asked. What was read of the body is in the answer; what is left
    /// was not read.
    pub(crate) async fn question(
        &self,
        (flow, asked): (&Flow, &Canonical),
        head: &mut request::Parts,
        body: &mut Option<Incoming>,
        (wire, right): (&Wire, &Right),
    ) -> Result<Option<Question>, Refusal> {
        if !self.models.answer_at(&flow.endpoint) {
            return Ok(None);
        }
        let odd = |why: String| self.built_in(flow, "model", format!("a model answers there, and {why}"));
        let request = match asked {
            Some(Ok(request)) => request,
            Some(Err(why)) => return Err(odd(format!("this cannot be judged: {why}"))),
            None => return Err(odd("this is no request".to_owned())),
        };
        if head::overrides_method(&head.headers, &request.query) {
            return Err(odd("this one tells it another method".to_owned()));
        }
        if request.slashed().is_some() {
            // What it is a question of, or none, would be the provider's to say.
            return Err(odd("this one has an escaped slash in its path".to_owned()));
        }
        let websocket = head::wants_websocket(&head.method, &head.headers);
        let api = match Call::of(&request.method, &request.path) {
            Call::Model(api) if websocket || head.method == Method::POST => api,
            Call::Upload(api) => {
                self.tool(flow, api, &format!("{}/upload", api.provider()), wire).await?;
                return Ok(None);
            }
            _ if websocket => return Err(odd("messages are understood at `/responses` alone".to_owned())),
            Call::Model(_) | Call::Other => return Ok(None),
            // Whatever a provider offers next runs there, and may reach anything from there.
            Call::Unknown if matches!(right, Right::Http(..)) => return Ok(None),
            Call::Unknown => {
                return Err(odd(format!("`{} {}` is not known", request.method, request.path)));
            }
        };
        let seq = right.seq();
        self.afford(flow, api, seq, Spent::default())?;
        head.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let account = self.account(flow, seq);
        let mut question = Question { api, account, model: String::new(), body: None };
        if websocket {
            // A message that is compressed could not be read.
            head.headers.remove("sec-websocket-extensions");
            return Ok(Some(question));
        }
        if head.headers.get_all(CONTENT_ENCODING).iter().any(|coding| coding != "identity") {
            return Err(odd("this one is compressed: it cannot be read".to_owned()).shaped(api));
        }
        let (read, seat) = self.read(body, wire).await?;
        let asked = self.judged(flow, (api, seq), &read, wire).await?;
        (question.model, question.body) = (asked.model, Some((read, seat)));
        Ok(Some(question))
    }

    /// May this question be put, with all the tools of the provider that it brings?
    pub(crate) async fn judged(
        &self,
        flow: &Flow,
        (api, seq): (Api, u64),
        question: &[u8],
        wire: &Wire,
    ) -> Result<Asked, Refusal> {
        let asked = Asked::read(api, question)
            .map_err(|error| self.built_in(flow, "model", error.to_string()).shaped(api))?;
        for tool in &asked.tools {
            self.tool(flow, api, tool, wire).await?;
        }
        self.afford(flow, api, seq, Spent { tokens: asked.least_input, cost: 0 })?;
        Ok(asked)
    }

    async fn tool(&self, flow: &Flow, api: Api, tool: &str, wire: &Wire) -> Result<(), Refusal> {
        let permit = self.permit(flow, Tool(tool.to_owned()), wire).await;
        // What the provider does with it nobody here can see; that it may begin is what was permitted.
        permit.map(|permit| permit.begin().1.settle(Outcome::done())).map_err(|refusal| refusal.shaped(api))
    }

    /// Is there anything left to pay it from?
    fn afford(&self, flow: &Flow, api: Api, seq: u64, at_least: Spent) -> Result<(), Refusal> {
        let Some(exceeded) = self.models.budget.exceeded(at_least) else { return Ok(()) };
        self.account(flow, seq).note(&exceeded);
        Err(self.built_in(flow, exceeded.limit.word(), exceeded.says()).shaped(api))
    }

    fn account(&self, flow: &Flow, seq: u64) -> Account {
        Account {
            budget: Arc::clone(&self.models.budget),
            admission: self.admission.clone(),
            endpoint: flow.endpoint.to_string(),
            cause: Some(seq),
        }
    }

    /// All of a body, before any of it leaves.
    async fn read(&self, body: &mut Option<Incoming>, wire: &Wire) -> Result<(Bytes, Seat), Refusal> {
        let bounds = &self.bounds;
        let body = body.take().ok_or_else(|| Refusal::malformed("it has no body", "send one"))?;
        let gone = || Refusal::malformed("it ended before its end", "send all of it");
        let whole = async {
            // INVARIANT: nobody closes the semaphore.
            let seat = Arc::clone(&self.reading).acquire_owned().await.ok();
            (seat, timeout(bounds.question, Limited::new(body, bounds.question_bytes).collect()).await)
        };
        let (seat, read) = tokio::select! {
            biased;
            read = whole => read,
            () = wire.gone() => return Err(gone()),
        };
        let most = bounds.question_bytes >> 20;
        match read {
            Ok(Ok(read)) => Ok((read.to_bytes(), seat.ok_or_else(gone)?)),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                let why =
                    format!("a question to a model is read whole, up to {most} MiB, and this one is longer");
                Err(Refusal::not_taken(http::StatusCode::PAYLOAD_TOO_LARGE, &why))
            }
            Ok(Err(error)) => Err(Refusal::malformed(error.to_string(), "send all of it")),
            Err(_) => Err(Refusal::malformed("it did not come in time", "send all of it at once")),
        }
    }
}

/// How many questions are kept at once.
pub(crate) fn seats(bounds: &Bounds) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(bounds.questions))
}
