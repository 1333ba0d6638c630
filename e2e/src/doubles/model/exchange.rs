//! One request as the server got it, and what an agent says in it.

use bytes::Bytes;
use http::Method;
use http::request::Parts;
use serde_json::{Value, json};

/// A request.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Its method.
    pub method: Method,
    /// Its target as it came: path and query, or a whole address.
    pub target: String,
    /// Its headers, names in lowercase, in order.
    pub headers: Vec<(String, String)>,
    /// Its body, read as JSON; null if it has none, a text if it is no JSON.
    pub body: Value,
}

impl Exchange {
    pub(super) fn of(head: &Parts, body: &Bytes) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = head
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes())))
            .collect();
        let body = match body.as_ref() {
            [] => Value::Null,
            bytes => serde_json::from_slice(bytes).unwrap_or_else(|_| Value::String(text(bytes))),
        };
        Self { method: head.method.clone(), target: head.uri.to_string(), headers, body }
    }

    /// The path, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        let rest = self.target.split_once("://").map_or(self.target.as_str(), |(_, rest)| {
            rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
        });
        rest.split('?').next().unwrap_or_default()
    }

    /// The first header of a name in lowercase.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The key it came with: `authorization: Bearer`, or `x-api-key`.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        let bearer = self.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        bearer.or_else(|| self.header("x-api-key"))
    }

    /// How the body is encoded, if it is.
    pub(super) fn encoding(&self) -> Option<&str> {
        self.header("content-encoding").filter(|encoding| *encoding != "identity")
    }

    /// The results of tools that it brings, in order, as texts.
    #[must_use]
    pub fn results(&self) -> Vec<String> {
        let responses = list(&self.body["input"])
            .iter()
            .filter(|item| item["type"].as_str().is_some_and(|kind| kind.ends_with("_call_output")));
        let messages = list(&self.body["messages"])
            .iter()
            .flat_map(|message| list(&message["content"]))
            .filter(|block| block["type"] == "tool_result");
        responses
            .map(|item| text(&item["output"]))
            .chain(messages.map(|block| text(&block["content"])))
            .collect()
    }

    /// The request as one line of JSON.
    #[must_use]
    pub fn line(&self) -> String {
        let headers: Value = self.headers.iter().map(|(name, value)| json!([name, value])).collect();
        json!({"method": self.method.as_str(), "target": self.target, "headers": headers, "body": self.body})
            .to_string()
    }
}

/// An array's elements; nothing if it is none.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The text of what may be a text, or blocks with texts.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => blocks.iter().filter_map(|block| block["text"].as_str()).collect(),
        other => other.to_string(),
    }
}
