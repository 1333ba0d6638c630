//! Responses over a WebSocket, as Codex speaks them: a question a message, and each event of its answer a message.
//!
//! Owns the handshake and what was said before in a conversation, of which a question brings only what is new. Does not
//! own frames (tungstenite), the script, or what an answer says.

use super::exchange::list;
use super::{Exchange, Shared, responses};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::SinkExt as _;
use futures_util::StreamExt as _;
use http::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::Full;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error, Message};

/// What RFC 6455 puts behind every key.
const BEHIND_A_KEY: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Whether a conversation is asked for where one is to be had.
pub(super) fn is_asked_for(head: &Parts) -> bool {
    let upgrade = head.headers.get(UPGRADE).map(HeaderValue::as_bytes);
    head.method == Method::GET
        && head.uri.path() == "/v1/responses"
        && upgrade.is_some_and(|upgrade| upgrade.eq_ignore_ascii_case(b"websocket"))
}

/// Begins one: the answer that says so. What follows happens beside.
pub(super) fn begin(head: Parts, upgrade: OnUpgrade, shared: Arc<Shared>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.extend(accepted(&head.headers).map(|value| (SEC_WEBSOCKET_ACCEPT, value)));
    tokio::spawn(async move {
        // An agent that goes away in the middle is no failure of the server's.
        if let Ok(stream) = upgrade.await {
            drop(Conversation { head, shared, said: Vec::new(), answers: 0 }.hold(stream).await);
        }
    });
    response
}

fn accepted(headers: &HeaderMap) -> Option<HeaderValue> {
    let key = headers.get(SEC_WEBSOCKET_KEY)?.as_bytes();
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, BEHIND_A_KEY].concat());
    HeaderValue::from_str(&STANDARD.encode(hash)).ok()
}

struct Conversation {
    head: Parts,
    shared: Arc<Shared>,
    /// What was said in it, both sides.
    said: Vec<Value>,
    /// How many answers were given: the last one's name.
    answers: usize,
}

impl Conversation {
    async fn hold(mut self, stream: Upgraded) -> Result<(), Error> {
        let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(stream), Role::Server, None).await;
        while let Some(message) = socket.next().await {
            let Message::Text(text) = message? else { continue };
            for event in self.answer(&text) {
                socket.send(Message::text(event.to_string())).await?;
            }
        }
        Ok(())
    }

    /// The events that answer a question.
    fn answer(&mut self, text: &str) -> Vec<Value> {
        let mut exchange = Exchange::of(&self.head, &Bytes::copy_from_slice(text.as_bytes()));
        if exchange.body["type"] != "response.create" {
            return vec![failed(&format!("`{}` is no question", exchange.body["type"]))];
        }
        let before = &exchange.body["previous_response_id"];
        if before.is_null() {
            self.said.clear();
        } else if *before != self.name() {
            return vec![failed(&format!("nothing is known of the answer {before}"))];
        }
        self.said.extend_from_slice(list(&exchange.body["input"]));
        exchange.body["input"] = Value::Array(self.said.clone());
        let answer = match &exchange.body["generate"] {
            // It only gets ready.
            Value::Bool(false) => Ok(responses::silence(&exchange.body)),
            _ => responses::speak(&exchange.body, &self.shared.script),
        };
        self.shared.heard(exchange);
        self.answers += 1;
        let mut spoken = match answer {
            Ok(spoken) => spoken,
            Err(because) => return vec![failed(&because)],
        };
        self.said.extend_from_slice(list(&spoken.whole["output"]));
        for event in &mut spoken.events {
            if let Some(response) = event.get_mut("response") {
                response["id"] = self.name().into();
            }
        }
        spoken.events
    }

    fn name(&self) -> String {
        format!("resp_said_{}", self.answers)
    }
}

fn failed(because: &str) -> Value {
    json!({"type": "error", "status": 400, "error": {"type": "invalid_request_error", "message": because}})
}
