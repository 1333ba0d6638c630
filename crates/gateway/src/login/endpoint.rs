//! The token endpoint as the inside sees it.
//!
//! Owns that nothing which is asked there leaves: a refresh is answered with stand-ins, all else is refused. Does not own the
//! refresh itself (`refresh`).

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode, request};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::refresh::refresh;
use super::{Ended, LONGEST, Login, PATIENCE, TokenPlace};
use crate::body::Answer;
use crate::credential::{is_covered, unescaped};
use crate::exchange::Exchange;
use crate::flow::{Flow, same_place};
use crate::refusal::Refusal;

/// What the gateway answers by itself: all that is asked of a token endpoint. None of it leaves.
pub(crate) async fn answer(
    exchange: &Exchange,
    flow: &Flow,
    head: &request::Parts,
    body: &mut Option<Incoming>,
) -> Option<Result<Response<Answer>, Refusal>> {
    let judge = &exchange.carrier.judge;
    let login = judge.credentials.logins.at(&flow.endpoint)?;
    let asked = flow.canonical(&head.headers).and_then(Result::ok);
    if let Some(asked) = &asked {
        let here = |place: &&TokenPlace| same_place(&place.endpoint, &flow.endpoint);
        if asked.method == "POST" && login.places().filter(here).any(|place| place.path == asked.path) {
            return Some(tokens(exchange, flow, login, body).await);
        }
        // Where models answer at the same place, what is not about logins goes its own way.
        let about = login.places().filter(here).any(|place| place.is_about(&asked.path));
        if judge.credentials.any_for(&flow.endpoint) && !about {
            return None;
        }
    }
    let why =
        format!("logging in, logging out and whatever else is there for `{}` is not for a run", login.name);
    Some(Err(judge.built_in(flow, "login", why)))
}

/// The agent wants new tokens: the real ones are refreshed, and it is told of stand-ins.
async fn tokens(
    exchange: &Exchange,
    flow: &Flow,
    login: &Arc<Login>,
    body: &mut Option<Incoming>,
) -> Result<Response<Answer>, Refusal> {
    let judge = &exchange.carrier.judge;
    if !is_covered(&flow.endpoint, flow.scheme()) {
        return Err(judge.built_in(flow, "login", "tokens are asked for in TLS alone".to_owned()));
    }
    let body = body.take().ok_or_else(|| Refusal::malformed("it has no body", "send one"))?;
    let read = timeout(PATIENCE, Limited::new(body, LONGEST).collect()).await;
    let read = read.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes);
    let read = read.ok_or_else(|| Refusal::malformed("it did not come whole and in time", "send less"))?;
    if !is_refresh(&read, &login.stand) {
        let why =
            format!("it is no refresh of `{}`, and nothing else is asked there from inside", login.name);
        return Err(judge.built_in(flow, "login", why));
    }
    match refresh(&exchange.carrier, login, true).await {
        Ok(()) => Ok(told(StatusCode::OK, &login.answer)),
        Err(Ended::Refused(refused)) => {
            let status = StatusCode::from_u16(refused.status).unwrap_or(StatusCode::BAD_REQUEST);
            let said = format!("provost: {}", login.over(&refused));
            Ok(told(status, &json!({ "error": refused.code, "error_description": said })))
        }
        Err(Ended::Failed(because)) => Err(Refusal::unanswered(&login.token.endpoint, &because)),
    }
}

/// Whether it asks for new tokens in exchange for this one.
fn is_refresh(body: &[u8], stand: &str) -> bool {
    let is = |grant: &str, token: &str| grant == "refresh_token" && token == stand;
    if let Ok(value) = serde_json::from_slice::<Value>(body) {
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
        return is(text("grant_type"), text("refresh_token"));
    }
    let form = String::from_utf8_lossy(body);
    let text = |name: &str| {
        let found = form.split('&').find_map(|part| part.split_once('=').filter(|(known, _)| *known == name));
        found.map(|(_, value)| String::from_utf8_lossy(&unescaped(value)).into_owned()).unwrap_or_default()
    };
    is(&text("grant_type"), &text("refresh_token"))
}

fn told(status: StatusCode, said: &Value) -> Response<Answer> {
    let mut response = Response::new(Answer::Own(Bytes::from(said.to_string()).into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_is_known_in_both_forms_and_by_its_very_token() {
        let stand = "rt_stand+in";
        assert!(is_refresh(br#"{"grant_type":"refresh_token","refresh_token":"rt_stand+in"}"#, stand));
        assert!(is_refresh(b"grant_type=refresh_token&client_id=x&refresh_token=rt_stand%2Bin", stand));
        for odd in [
            &br#"{"grant_type":"authorization_code","code":"x","refresh_token":"rt_stand+in"}"#[..],
            br#"{"grant_type":"refresh_token","refresh_token":"another"}"#,
            br#"{"refresh_token":"rt_stand+in"}"#,
            b"grant_type=refresh_token",
            b"",
            b"[]",
        ] {
            assert!(!is_refresh(odd, stand), "{}", String::from_utf8_lossy(odd));
        }
    }
}
