//! How no is said to a program.
//!
//! Owns the one form of it: a status line a person understands, a header with the rule, and JSON for whoever reads on. Every
//! answer that the gateway gives in its own name is made here. Does not own who decides.

use std::fmt::Write as _;

use admission::Denial;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use hyper::ext::ReasonPhrase;
use policy::{Endpoint, Reason};
use serde_json::{Map, Value};

use crate::caps::UsedUp;
use crate::models::Api;

/// The header that names the rule.
pub(crate) const DENIED: &str = "x-provost-denied";
/// Characters of a status line's words; some clients cut them, none needs more.
const PHRASE: usize = 240;

/// A no, before it is put into words for a protocol.
#[derive(Debug, Clone)]
pub(crate) struct Refusal(Box<Said>);

/// What it says.
#[derive(Debug, Clone)]
struct Said {
    status: StatusCode,
    code: &'static str,
    action: Option<String>,
    reason: Option<Reason>,
    why: Option<String>,
    hint: String,
    /// The command that asks for it.
    ask: Option<String>,
    /// The API whose clients must understand it.
    shape: Option<Api>,
}

impl Refusal {
    /// Admission forbids something on the way to this place.
    pub(crate) fn denied(denial: Denial) -> Refusal {
        let reason = denial.reasons.into_iter().next();
        let why = reason.as_ref().and_then(|reason| reason.why.clone());
        let (status, action, hint) = (StatusCode::FORBIDDEN, Some(denial.action), denial.hint);
        Refusal(Box::new(Said {
            status,
            code: "denied",
            action,
            reason,
            why,
            hint,
            ask: denial.ask,
            shape: None,
        }))
    }

    /// The gateway itself forbids it, whatever policy says.
    pub(crate) fn built_in(action: String, rule: &str, why: impl Into<String>, hint: &str) -> Refusal {
        let why = why.into();
        let reason = Reason { layer: "built-in".into(), rule: rule.into(), why: Some(why.clone()) };
        let (status, hint) = (StatusCode::FORBIDDEN, hint.to_owned());
        let (action, reason, why) = (Some(action), Some(reason), Some(why));
        Refusal(Box::new(Said { status, code: "denied", action, reason, why, hint, ask: None, shape: None }))
    }

    /// Policy lets nobody connect to this name, whatever the port.
    pub(crate) fn of_name(name: &str, reasons: Vec<Reason>) -> Refusal {
        let reason = reasons.into_iter().next();
        let why = reason.as_ref().and_then(|reason| reason.why.clone());
        let (status, action) = (StatusCode::FORBIDDEN, Some(format!("connect {name}")));
        let hint = "a `connect` rule could allow it".to_owned();
        Refusal(Box::new(Said { status, code: "denied", action, reason, why, hint, ask: None, shape: None }))
    }

    /// What a rule lets pass is used up.
    pub(crate) fn used_up(endpoint: &Endpoint, used: &UsedUp) -> Refusal {
        let (status, hint) = match used.again {
            true => (StatusCode::TOO_MANY_REQUESTS, "wait, then try again more slowly"),
            false => (
                StatusCode::FORBIDDEN,
                "nothing more of it comes back in this run; say so to whoever set the rule",
            ),
        };
        let (action, reason, why) =
            (Some(format!("connect {endpoint}")), Some(used.reason.clone()), used.reason.why.clone());
        Refusal(Box::new(Said {
            status,
            code: "used-up",
            action,
            reason,
            why,
            hint: hint.to_owned(),
            ask: None,
            shape: None,
        }))
    }

    /// It is no request that can be judged.
    pub(crate) fn malformed(why: impl Into<String>, hint: &str) -> Refusal {
        Refusal::failure(StatusCode::BAD_REQUEST, "malformed", None, why.into(), hint)
    }

    /// It is for another host than the connection.
    pub(crate) fn misdirected() -> Refusal {
        let why = "it is for another host than the connection was opened for".to_owned();
        let hint = "open a connection for each host";
        Refusal::failure(StatusCode::MISDIRECTED_REQUEST, "misdirected", None, why, hint)
    }

    /// It was reached, and cannot be trusted to be what was asked for.
    pub(crate) fn untrusted(endpoint: &Endpoint, because: &str) -> Refusal {
        let (status, what) = (StatusCode::BAD_GATEWAY, Some(format!("connect {endpoint}")));
        let hint = "nothing was sent; a certificate is trusted where this machine, or SSL_CERT_FILE outside, trusts it";
        Refusal::failure(status, "untrusted", what, because.to_owned(), hint)
    }

    /// It may be reached, and is not there.
    pub(crate) fn unreachable(endpoint: &Endpoint, because: &str) -> Refusal {
        let (status, what) = (StatusCode::BAD_GATEWAY, Some(format!("connect {endpoint}")));
        Refusal::failure(
            status,
            "unreachable",
            what,
            because.to_owned(),
            "it is allowed, but it did not answer",
        )
    }

    /// It was reached, and did not answer as HTTP has it.
    pub(crate) fn unanswered(endpoint: &Endpoint, because: &str) -> Refusal {
        let (status, what) = (StatusCode::BAD_GATEWAY, Some(format!("connect {endpoint}")));
        Refusal::failure(status, "unanswered", what, because.to_owned(), "the fault is on the other side")
    }

    /// A login is over: the person has to log in again.
    pub(crate) fn logged_out(endpoint: &Endpoint, because: &str, hint: &str) -> Refusal {
        let (status, what) = (StatusCode::UNAUTHORIZED, Some(format!("connect {endpoint}")));
        Refusal::failure(status, "logged-out", what, because.to_owned(), hint)
    }

    /// There are too many connections.
    pub(crate) fn busy(limit: usize) -> Refusal {
        let why = format!("{limit} connections are open already");
        Refusal::failure(StatusCode::SERVICE_UNAVAILABLE, "busy", None, why, "close some, then try again")
    }

    /// The door inside does not take it.
    pub(crate) fn not_taken(status: StatusCode, why: &str) -> Refusal {
        Refusal::failure(status, "not-taken", None, why.to_owned(), "send less, or ask again")
    }

    fn failure(
        status: StatusCode,
        code: &'static str,
        action: Option<String>,
        why: String,
        hint: &str,
    ) -> Refusal {
        let (why, hint) = (Some(why), hint.to_owned());
        Refusal(Box::new(Said { status, code, action, reason: None, why, hint, ask: None, shape: None }))
    }

    /// Said so that the clients of a model API understand it.
    pub(crate) fn shaped(mut self, api: Api) -> Refusal {
        if self.0.status == StatusCode::FORBIDDEN {
            self.0.status = api.refused();
        }
        self.0.shape = Some(api);
        self
    }

    /// The reason, where policy or the gateway itself forbids it.
    pub(crate) fn reason(&self) -> Option<&Reason> {
        self.0.reason.as_ref()
    }

    /// The status of the answer.
    pub(crate) fn status(&self) -> StatusCode {
        self.0.status
    }

    /// One line for a person.
    pub(crate) fn line(&self) -> String {
        let mut line = format!("provost: {}", self.0.code);
        if let Some(action) = &self.0.action {
            let _ = write!(line, " {action}");
        }
        let _ = match (&self.0.reason, &self.0.why) {
            (Some(reason), _) => write!(line, " ({reason})"),
            (None, Some(why)) => write!(line, ": {why}"),
            (None, None) => Ok(()),
        };
        line
    }

    /// The line for whoever reads only a process's standard error.
    pub(crate) fn told(&self) -> String {
        let line: String =
            self.line().chars().map(|char| if char.is_control() { '?' } else { char }).collect();
        match &self.0.ask {
            Some(ask) => format!("{line}  ask: {ask}\n"),
            None => format!("{line}\n"),
        }
    }

    /// The answer.
    pub(crate) fn response(&self) -> Response<Full<Bytes>> {
        let body = Bytes::from(self.json());
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = self.0.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let rule = self.0.reason.as_ref().map(|reason| plain(&reason.rule));
        if let Some(rule) = rule.and_then(|rule| HeaderValue::from_str(&rule).ok()) {
            headers.insert(DENIED, rule);
        }
        if let Ok(phrase) = ReasonPhrase::try_from(self.phrase().into_bytes()) {
            response.extensions_mut().insert(phrase);
        }
        response
    }

    /// The answer as bytes, for a connection that nobody reads from; it is the last on it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let body = self.json();
        let mut bytes = format!(
            "HTTP/1.1 {} {}\r\n{CONTENT_TYPE}: application/json\r\n{CONTENT_LENGTH}: {}\r\nconnection: close\r\n\r\n",
            self.0.status.as_str(),
            self.phrase(),
            body.len(),
        )
        .into_bytes();
        bytes.extend(body);
        bytes
    }

    fn phrase(&self) -> String {
        let mut phrase = plain(&self.line());
        phrase.truncate(PHRASE);
        phrase
    }

    /// All there is to say, in one text: of an error of a model API clients show nothing else.
    pub(crate) fn for_a_model(&self) -> String {
        let ask = self.0.ask.as_ref().map(|ask| format!("; ask: {ask}")).unwrap_or_default();
        format!("{} ({}{ask})", self.line(), self.0.hint)
    }

    /// The members in the order of their use: first what a person reads.
    fn json(&self) -> Vec<u8> {
        let mut error = Map::new();
        let mut say = |key: &str, value: Option<&str>| {
            if let Some(value) = value {
                error.insert(key.to_owned(), Value::from(value));
            }
        };
        say("message", Some(&self.line()));
        say("code", Some(self.0.code));
        say("action", self.0.action.as_deref());
        say("rule", self.0.reason.as_ref().map(|reason| reason.rule.as_str()));
        say("layer", self.0.reason.as_ref().map(|reason| reason.layer.as_str()));
        say("why", self.0.why.as_deref());
        say("hint", Some(&self.0.hint));
        say("ask", self.0.ask.as_deref());
        let whole = match self.0.shape {
            Some(api) => api.refusal(&self.for_a_model(), error),
            None => Value::Object(Map::from_iter([("error".to_owned(), Value::Object(error))])),
        };
        let mut json = serde_json::to_vec_pretty(&whole).unwrap_or_default();
        json.push(b'\n');
        json
    }
}

/// What may stand in a head: printable ASCII.
fn plain(text: &str) -> String {
    text.chars().map(|char| if char == ' ' || char.is_ascii_graphic() { char } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn denial(rule: &str, why: Option<&str>) -> Refusal {
        let reason = Reason { layer: "team".into(), rule: rule.into(), why: why.map(str::to_owned) };
        let denial = Denial {
            action: "connect evil.example:443".into(),
            reasons: vec![reason],
            hint: "look".into(),
            ask: Some("provost request --why \"...\" connect evil.example:443".into()),
            seq: Some(7),
        };
        Refusal::denied(denial)
    }

    fn body(refusal: &Refusal) -> Value {
        let mut response = refusal.response();
        let frame = futures(response.body_mut().frame());
        serde_json::from_slice(frame.unwrap().unwrap().data_ref().unwrap()).unwrap()
    }

    /// The body is whole: what it gives is there at once.
    fn futures<F: Future>(future: F) -> F::Output {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::pin!(future).poll(&mut context) {
            std::task::Poll::Ready(output) => output,
            std::task::Poll::Pending => panic!("not at once"),
        }
    }

    #[test]
    fn a_denial_says_all_there_is_to_say() {
        let refusal = denial("no-evil", Some("It is evil."));
        let error = body(&refusal)["error"].clone();
        assert_eq!(error["message"], "provost: denied connect evil.example:443 (rule no-evil: It is evil.)");
        assert_eq!(error["code"], "denied");
        assert_eq!(error["action"], "connect evil.example:443");
        assert_eq!((&error["rule"], &error["layer"]), (&"no-evil".into(), &"team".into()));
        assert_eq!((&error["why"], &error["hint"]), (&"It is evil.".into(), &"look".into()));
        assert_eq!(error["ask"], "provost request --why \"...\" connect evil.example:443");
        let response = refusal.response();
        assert_eq!(response.status(), 403);
        assert_eq!(response.headers()[DENIED], "no-evil");
        let phrase = response.extensions().get::<ReasonPhrase>().unwrap();
        assert!(phrase.as_bytes().starts_with(b"provost: denied connect evil.example:443"));
    }

    #[test]
    fn what_an_author_wrote_does_not_leave_its_place() {
        for why in ["a\r\nset-cookie: x\r\n\r\n", "ü\u{202e}\0\x1b[2J", &"x".repeat(9000)] {
            let refusal = denial(why, Some(why));
            let text = String::from_utf8(refusal.bytes()).unwrap();
            let (head, rest) = text.split_once("\r\n\r\n").unwrap();
            assert_eq!(head.lines().count(), 4, "{head}");
            assert!(head.chars().all(|char| char == '\r' || char == '\n' || !char.is_control()));
            assert_eq!(serde_json::from_str::<Value>(rest).unwrap()["error"]["why"], *why);
            assert!(head.lines().next().unwrap().len() < 300);
            let denied = refusal.response().headers()[DENIED].clone();
            assert!(denied.as_bytes().iter().all(|byte| *byte == b' ' || byte.is_ascii_graphic()));
        }
    }

    #[test]
    fn the_default_is_said_in_words() {
        assert!(denial("default", None).line().ends_with("(no rule allows it)"));
    }
}
