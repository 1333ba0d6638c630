//! Which API a request speaks, by its method and path; how a refusal must look so that its clients understand it.
//!
//! Owns the paths. The host decides nothing here: whether it is a model's is known from the run's agent.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value, json};

/// What OpenAI's clients do not try again.
const DENIED: &str = "insufficient_quota";

/// A model API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    /// OpenAI Responses, over HTTP or a WebSocket.
    Responses,
    /// OpenAI Chat Completions, which many others speak too.
    Chat,
    /// Anthropic Messages.
    Messages,
    /// Gemini `generateContent`.
    Gemini,
}

/// What a request to a model's host is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// The model is asked.
    Model(Api),
    /// Something is left with the provider: a file, a batch.
    Upload(Api),
    /// Something that asks nothing of a model and leaves nothing: a list of models, a count of tokens.
    Other,
    /// Anything else. Providers have more every month: agents that run there, searches, sessions.
    Unknown,
}

/// How paths end at which nothing but numbers comes of what is sent.
const HARMLESS: [&str; 6] =
    ["/count_tokens", ":countTokens", "/embeddings", ":embedContent", ":batchEmbedContents", "/moderations"];

impl Call {
    /// By method and canonical path. A WebSocket begins with a GET.
    pub(crate) fn of(method: &str, path: &str) -> Call {
        let path = path.trim_end_matches('/');
        let ends = |end: &str| path.ends_with(end);
        let is_post = method == "POST";
        if ends("/responses") && (is_post || method == "GET") || is_post && ends("/responses/compact") {
            Call::Model(Api::Responses)
        } else if is_post && ends("/chat/completions") {
            Call::Model(Api::Chat)
        } else if is_post && ends("/messages") {
            Call::Model(Api::Messages)
        } else if is_post && (ends(":generateContent") || ends(":streamGenerateContent")) {
            Call::Model(Api::Gemini)
        } else if matches!(method, "GET" | "HEAD" | "OPTIONS") || is_post && HARMLESS.into_iter().any(ends) {
            Call::Other
        } else {
            Call::upload(path)
        }
    }

    fn upload(path: &str) -> Call {
        let has = |part: &str| path.split('/').any(|segment| segment.split(':').next() == Some(part));
        if path.starts_with("/upload/") || has("fileSearchStores") || has("cachedContents") {
            Call::Upload(Api::Gemini)
        } else if path.ends_with("/messages/batches") || has("skills") {
            Call::Upload(Api::Messages)
        } else if ["files", "uploads", "batches", "vector_stores", "containers", "conversations"]
            .into_iter()
            .any(has)
        {
            Call::Upload(Api::Responses)
        } else {
            Call::Unknown
        }
    }
}

impl Api {
    /// Who made it, as policy writes it before a tool's name.
    pub(crate) fn provider(self) -> &'static str {
        match self {
            Api::Responses | Api::Chat => "openai",
            Api::Messages => "anthropic",
            Api::Gemini => "google",
        }
    }

    /// The status of a refusal that its clients do not try again: Codex does that with all but 400.
    pub(crate) fn refused(self) -> StatusCode {
        match self {
            Api::Responses => StatusCode::BAD_REQUEST,
            Api::Chat | Api::Messages | Api::Gemini => StatusCode::FORBIDDEN,
        }
    }

    /// What its clients take for "no more of this". `more` is for whoever reads on.
    pub(crate) fn refusal(self, message: &str, more: Map<String, Value>) -> Value {
        let mut error = more;
        let mut say = |name: &str, value: Value| error.insert(name.to_owned(), value);
        say("message", message.into());
        match self {
            Api::Responses | Api::Chat => {
                say("type", DENIED.into());
                say("code", DENIED.into());
            }
            Api::Messages => {
                say("type", "permission_error".into());
            }
            Api::Gemini => {
                say("code", 403.into());
                say("status", "PERMISSION_DENIED".into());
            }
        }
        match self {
            Api::Messages => json!({ "type": "error", "error": error }),
            Api::Responses | Api::Chat | Api::Gemini => json!({ "error": error }),
        }
    }

    /// The same as the last event of a stream that has begun.
    pub(crate) fn last_words(self, message: &str) -> Bytes {
        let (name, data) = match self {
            Api::Responses => ("response.failed", self.failed(message)),
            Api::Messages | Api::Chat | Api::Gemini => ("error", self.refusal(message, Map::new())),
        };
        // What was begun before is ended by the empty line.
        Bytes::from(format!("\n\nevent: {name}\ndata: {data}\n\n"))
    }

    /// The same as an event of Responses, in a stream or a WebSocket.
    pub(crate) fn failed(self, message: &str) -> Value {
        let error = json!({ "code": DENIED, "message": message });
        json!({ "type": "response.failed", "response": { "id": "", "status": "failed", "error": error } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_known_by_its_path() {
        let model = |api| Call::Model(api);
        for (method, path, call) in [
            ("POST", "/v1/responses", model(Api::Responses)),
            ("GET", "/v1/responses", model(Api::Responses)),
            ("POST", "/backend-api/codex/responses", model(Api::Responses)),
            ("POST", "/backend-api/codex/responses/compact", model(Api::Responses)),
            ("POST", "/v1/chat/completions", model(Api::Chat)),
            ("POST", "/v1/messages", model(Api::Messages)),
            ("POST", "/v1/messages/", model(Api::Messages)),
            ("POST", "/v1beta/models/g-1:generateContent", model(Api::Gemini)),
            ("POST", "/v1beta/models/g-1:streamGenerateContent", model(Api::Gemini)),
            ("POST", "/v1/messages/count_tokens", Call::Other),
            ("GET", "/v1/messages", Call::Other),
            ("GET", "/v1/models", Call::Other),
            ("GET", "/v1/files", Call::Other),
            ("POST", "/v1/embeddings", Call::Other),
            ("POST", "/v1beta/models/g-1:countTokens", Call::Other),
            ("POST", "/v1/threads/t/runs", Call::Unknown),
            ("POST", "/v1/sessions", Call::Unknown),
            ("POST", "/v1beta/interactions", Call::Unknown),
            ("POST", "/v1/messages;x", Call::Unknown),
            ("DELETE", "/v1/responses/r", Call::Unknown),
            ("PROPFIND", "/v1/responses", Call::Unknown),
            ("POST", "/v1/files", Call::Upload(Api::Responses)),
            ("POST", "/v1/uploads/upload_1/parts", Call::Upload(Api::Responses)),
            ("POST", "/v1/messages/batches", Call::Upload(Api::Messages)),
            ("POST", "/upload/v1beta/files", Call::Upload(Api::Gemini)),
            ("POST", "/v1beta/cachedContents", Call::Upload(Api::Gemini)),
        ] {
            assert_eq!(Call::of(method, path), call, "{method} {path}");
        }
    }
}
