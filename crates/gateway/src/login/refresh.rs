//! A refresh, from the need for it to its record.
//!
//! Owns when there is one, and that it goes by the one dialler like whatever else leaves. Does not own the tokens.

use std::sync::Arc;
use std::time::{Duration, Instant};

use admission::{Connect, Http, Release};
use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, USER_AGENT};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt as _, Limited};
use ledger::Trust;
use ledger::event::{Ingress, LoginRefresh};
use policy::Action;
use tokio::time::timeout;

use super::{Answered, Begun, Ended, LONGEST, Login, PATIENCE, Question, State, TokenPlace, Turn};
use crate::body::Through;
use crate::connection::Carrier;
use crate::credential::Use;
use crate::exchange::Exchange;
use crate::flow::{Asked, Flow, usual_port};
use crate::judge::{Judge, Right};
use crate::meter::{End, Passage};
use crate::refusal::Refusal;
use crate::upstream::Line;

/// How long after a refresh the agent's word for it is not enough for another: each makes the provider give new tokens.
const AGREED: Duration = Duration::from_secs(60);
/// How long after a refresh it is not tried again for any cause: an endpoint may fail, or give tokens that are over at once.
const RESTS: Duration = Duration::from_secs(5);

/// Refreshes what is over, or soon is, of the tokens that a request uses.
pub(crate) async fn fresh(exchange: &Exchange, flow: &Flow, uses: &[Use]) -> Result<(), Refusal> {
    let judge = &exchange.carrier.judge;
    for login in uses.iter().filter_map(|used| judge.credentials.login_of(used)) {
        let state = login.keeper.state();
        if state == State::Good {
            continue;
        }
        match refresh(&exchange.carrier, login, false).await {
            Ok(()) => {}
            // What is good still is used as long as it is.
            Err(_) if login.keeper.state() != State::Over => {}
            Err(Ended::Refused(refused)) => {
                return Err(Refusal::logged_out(&flow.endpoint, &login.over(&refused), &login.hint));
            }
            Err(Ended::Failed(because)) => {
                let because = format!("the login `{}` could not be refreshed: {because}", login.name);
                return Err(Refusal::unanswered(&login.token.endpoint, &because));
            }
        }
    }
    Ok(())
}

/// Refreshes a login. It goes on to its end whoever goes away meanwhile: a token that was given must be written down.
pub(super) async fn refresh(carrier: &Arc<Carrier>, login: &Arc<Login>, demanded: bool) -> Result<(), Ended> {
    let (carrier, login, asked) = (Arc::clone(carrier), Arc::clone(login), Instant::now());
    let turns = carrier.judge.credentials.logins.turns(&login);
    let turn = async move {
        let mut last = turns.lock().await;
        if let Some((when, result)) = &*last {
            // What is good for a while yet need not wait for an endpoint that fails, again and again.
            let patient = demanded && result.is_ok() || login.keeper.state() == State::Ending;
            let rests = if patient { AGREED } else { RESTS };
            if *when >= asked || when.elapsed() < rests {
                return result.clone();
            }
        }
        let result = one(&carrier, &login).await;
        *last = Some((Instant::now(), result.clone()));
        result
    };
    tokio::spawn(turn).await.unwrap_or_else(|_| Err(Ended::Failed("it broke off".to_owned())))
}

/// One refresh, and its record.
async fn one(carrier: &Arc<Carrier>, login: &Arc<Login>) -> Result<(), Ended> {
    let answered = match begin(login).await {
        Ok(Begun::Adopted) => Answered::Adopted,
        Ok(Begun::Refused(refused)) => return Err(Ended::Refused(refused)),
        Ok(Begun::Ask(turn)) => match ask(carrier, login, &*turn).await {
            Ok((status, body)) => tokio::task::spawn_blocking(move || turn.answered(status, &body))
                .await
                .unwrap_or_else(|_| Answered::Failed("it broke off".to_owned())),
            Err(because) => Answered::Failed(because),
        },
        Err(because) => Answered::Failed(because),
    };
    let judge = &carrier.judge;
    // ORDER: whatever they are now, they are looked for before anybody hears of it.
    let learned = judge.credentials.learn(&login.name, login.keeper.tokens());
    let (outcome, because, result) = match answered {
        _ if learned.is_err() => {
            let because = "there is more than can be looked for".to_owned();
            ("failed", Some(because.clone()), Err(Ended::Failed(because)))
        }
        Answered::Refreshed => ("refreshed", None, Ok(())),
        Answered::Adopted => ("adopted", None, Ok(())),
        Answered::Refused(refused) => {
            let because = format!("its token endpoint says `{}`: {}", refused.code, login.hint);
            ("refused", Some(because), Err(Ended::Refused(refused)))
        }
        Answered::Failed(because) => ("failed", Some(because.clone()), Err(Ended::Failed(because))),
    };
    let endpoint = login.token.endpoint.to_string();
    let event = LoginRefresh { login: login.name.clone(), endpoint, outcome: outcome.to_owned(), because };
    // It has happened; a ledger that takes nothing more is noticed by the gateway's watch.
    let _ = judge.admission.note(event.into(), Trust::Observed, None);
    result
}

async fn begin(login: &Arc<Login>) -> Result<Begun, String> {
    let keeper = Arc::clone(&login.keeper);
    let begun = tokio::task::spawn_blocking(move || keeper.begin()).await;
    begun.unwrap_or_else(|_| Err("it broke off".to_owned()))
}

/// Asks the token endpoint: permitted, dialled and trusted as whatever else leaves.
async fn ask(carrier: &Arc<Carrier>, login: &Login, turn: &dyn Turn) -> Result<(u16, Bytes), String> {
    let (judge, place) = (&carrier.judge, &login.token);
    let flow = flow(place);
    let said = |refusal: Refusal| refusal.line();
    let right = judge.right_of_ours(&flow).await.map_err(said)?;
    let release = Release { name: login.name.clone(), to: place.endpoint.clone() };
    let permit = judge.admission.admit(release).await.permit();
    let permit = permit.map_err(|denial| said(judge.denied(&flow, denial)))?;
    let question = turn.question(permit);
    let whole = async {
        let (mut line, mut passage) = open(carrier, &flow, place, right).await.map_err(said)?;
        let asked = asked(place, question).map_err(|error| error.to_string());
        let result = match asked {
            Ok(request) => answer_to(carrier, &mut line, request, &mut passage).await,
            Err(because) => Err(because),
        };
        passage.ends(if result.is_ok() { End::Closed } else { End::Reset });
        result
    };
    let late = |_| Err(format!("{} did not answer in time", place.endpoint));
    timeout(PATIENCE, whole).await.unwrap_or_else(late)
}

fn flow(place: &TokenPlace) -> Flow {
    let asked = Asked {
        scheme: place.scheme(),
        method: "POST".to_owned(),
        path: place.path.clone(),
        query: String::new(),
        websocket: false,
    };
    Flow { request: Some(asked), ..Flow::opaque(place.endpoint.clone(), Ingress::Http) }
}

async fn open(
    carrier: &Arc<Carrier>,
    flow: &Flow,
    place: &TokenPlace,
    right: Right,
) -> Result<(Line, Passage), Refusal> {
    let (to, bounds) = (&place.endpoint, &carrier.judge.bounds);
    let seat = carrier.upstream.seat().ok_or_else(|| Refusal::busy(bounds.connections))?;
    let (outside, mut passage) = carrier.judge.reach(flow, right).await?;
    let count = outside.count();
    let opened = match place.secure {
        true => {
            let opened = carrier.upstream.open(outside, seat, (to, false, false), bounds).await;
            opened.map_err(|because| Refusal::untrusted(to, &because))
        }
        false => Line::one(outside, count, bounds).await.map_err(|because| Refusal::unanswered(to, &because)),
    };
    let line = opened.inspect_err(|_| passage.ends(End::Reset))?;
    Ok((line, passage))
}

fn asked(place: &TokenPlace, question: Question) -> Result<Request<Through>, http::Error> {
    let usual = place.endpoint.port == usual_port(place.scheme());
    let host = if usual { place.endpoint.host.to_string() } else { place.endpoint.to_string() };
    let body = Through::new(Bytes::from(question.body), PATIENCE, None);
    Request::builder()
        .method(Method::POST)
        .uri(Uri::try_from(place.path.as_str())?)
        .header(HOST, host)
        .header(CONTENT_TYPE, question.media_type)
        .header(ACCEPT, "application/json")
        .header(ACCEPT_ENCODING, "identity")
        .header(USER_AGENT, concat!("provost/", env!("CARGO_PKG_VERSION")))
        .body(body)
}

async fn answer_to(
    carrier: &Arc<Carrier>,
    line: &mut Line,
    request: Request<Through>,
    passage: &mut Passage,
) -> Result<(u16, Bytes), String> {
    let answer = line.send(request, carrier.judge.bounds.idle).await.map_err(|unsent| unsent.because())?;
    let status = answer.status().as_u16();
    passage.answered(status);
    let body = Limited::new(answer.into_body(), LONGEST).collect().await;
    let body = body.map_err(|error| format!("its answer did not come whole: {error}"))?;
    Ok((status, body.to_bytes()))
}

impl Judge {
    /// The right to make a request of our own, which nobody inside asked for.
    async fn right_of_ours(&self, flow: &Flow) -> Result<Right, Refusal> {
        let connect = Action::Connect(flow.endpoint.clone());
        let request = flow.canonical(&HeaderMap::new()).and_then(Result::ok);
        match (self.admission.looks_inside(&flow.endpoint), request) {
            (true, None) => {
                let why = "rules look at requests there, and this one cannot be judged".to_owned();
                Err(self.built_in(flow, "canonical", why))
            }
            (false, _) => {
                let permit = self.admission.admit(Connect(flow.endpoint.clone())).await.permit();
                let permit = permit.map_err(|denial| self.denied(flow, denial))?;
                Ok(Right::Connect(permit, self.hold(flow, &[connect])?))
            }
            (true, Some(request)) => {
                let permit = self.admission.admit(Http(request.clone())).await.permit();
                let permit = permit.map_err(|denial| self.denied(flow, denial))?;
                Ok(Right::Http(permit, self.hold(flow, &[connect, Action::Http(request)])?))
            }
        }
    }
}
