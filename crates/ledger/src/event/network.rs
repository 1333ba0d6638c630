//! What reached the gateway.
//!
//! Owns these bodies of events. Does not own when they are written.

use serde::{Deserialize, Serialize};

use super::Verdict;

/// Body of `connection`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// The process that connected, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Host and port it wanted.
    pub endpoint: String,
    /// What was decided.
    pub verdict: Verdict,
    /// How it reached the gateway.
    pub ingress: Ingress,
}

/// How a connection reached the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ingress {
    /// HTTP CONNECT.
    Connect,
    /// HTTP in absolute form.
    Http,
    /// A port of the host that policy names.
    Port,
    /// A socket the supervisor carried.
    Socket,
    /// SOCKS5.
    Socks,
}

/// Body of `resolved`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// Host and port that were asked for.
    pub endpoint: String,
    /// Addresses that may be dialled, in the order found.
    pub allowed: Vec<String>,
    /// Addresses that may not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedAddress>,
}

/// An address that may not be dialled.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedAddress {
    /// The address.
    pub address: String,
    /// Why not.
    pub because: String,
}

/// Body of `flow`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Host and port.
    pub endpoint: String,
    /// Bytes from the inside out.
    pub bytes_up: u64,
    /// Bytes from the outside in.
    pub bytes_down: u64,
    /// How long it lasted, in milliseconds.
    pub ms: u64,
    /// The HTTP status, where it was HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The HTTP method, where it was HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The path without its query, where it was HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The body of the request, as far as it left; nothing where there was none, and for tunnels and WebSockets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<SentBody>,
    /// Its number in the run's cassette, where it is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<u64>,
    /// How it ended: `closed`, `reset`, `refused`, `limit`, `used-up` (by a rule's terms), `unrecorded` (a rule wants it recorded, and
    /// that failed), ..
    pub outcome: String,
}

/// What a request's body was: as the inside sent it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentBody {
    /// Its bytes.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: String,
    /// Whether it broke off: then both are of what left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

/// Body of `cassette.closed`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CassetteClosed {
    /// Lines of its `events.jsonl`.
    pub events: u64,
    /// SHA-256 of that file. Lines name blobs by their digests, so it covers the blobs.
    pub sha256: String,
    /// Flows in it.
    pub flows: u64,
    /// Bytes of its lines and blobs.
    pub bytes: u64,
    /// What passed and is not in it; the first 256 places.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<CassetteGap>,
    /// Why it ends before the run did. From then on nothing passed that was to be recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// Traffic that is not in the cassette.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CassetteGap {
    /// Host and port.
    pub endpoint: String,
    /// Why: `tunnel` (nobody looks into it), `not asked` (no rule records it).
    pub because: String,
    /// How many tunnels or requests.
    pub flows: u64,
}

/// Body of `model.answered`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelAnswered {
    /// Host and port.
    pub endpoint: String,
    /// The model, as it names itself; empty where it does not.
    pub model: String,
    /// Tokens of input that were read anew.
    pub input: u64,
    /// Tokens of input that were read from a cache.
    pub cache_read: u64,
    /// Tokens of input that were put in a cache.
    pub cache_write: u64,
    /// Tokens of output, thoughts included.
    pub output: u64,
    /// Searches and fetches that the provider made.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub searches: u64,
    /// What it cost, in millionths of a US dollar.
    pub cost: u64,
    /// Whether the tokens are an estimate: the answer was cut short, or did not say.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
    /// Whether the table of prices does not name the model: then it is counted as the dearest that it names.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unpriced: bool,
    /// The tools that the model wants to be used; the first 256 of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<ModelCall>,
}

/// Body of `login.refresh`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginRefresh {
    /// The login's name.
    pub login: String,
    /// Host and port of its token endpoint.
    pub endpoint: String,
    /// What came of it: `refreshed`, `adopted` (somebody else had refreshed it, and nothing was asked), `refused` (the
    /// person has to log in again), `failed`.
    pub outcome: String,
    /// Why, where it was refused or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// A tool that a model wants to be used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelCall {
    /// The provider's id of the call.
    pub id: String,
    /// The tool's name.
    pub name: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}
