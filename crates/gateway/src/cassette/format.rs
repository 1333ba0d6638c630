//! What stands in a cassette.
//!
//! Owns the names and shapes of `manifest.json` and of the lines of `events.jsonl`. They are an interface: `docs/cassette.md` says
//! each, and a change that an older reader would misread raises [`VERSION`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// The version of the format.
pub(crate) const VERSION: u32 = 1;
/// Bytes of the longest payload that stands in its line; longer ones are blobs.
pub(crate) const INLINE: usize = 2048;

/// `manifest.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of the format: 1.
    pub schema: u32,
    /// The run.
    pub run: String,
    /// The digest of the policy that it was judged by, as in its ledger.
    pub policy: String,
    /// When it began: nanoseconds since 1970-01-01 UTC. `t_us` of every line counts from here.
    pub started: u64,
    /// What is recorded: rules as `layer/rule`, and `models`.
    pub records: Vec<String>,
    /// Names the key of the digests that stand for credentials; cassettes of one workspace have the same.
    pub key: String,
    /// What passed and is not in it. Known when it is closed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    /// How it was closed. Nothing: the run goes on, or was cut short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Settled>,
}

/// Traffic that is not in the cassette.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Host and port.
    pub endpoint: String,
    /// Why not: `tunnel` (nobody looks into it), `not asked` (no rule records it).
    pub because: String,
    /// How many tunnels or requests.
    pub flows: u64,
}

/// The end of a cassette.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// Lines of `events.jsonl`.
    pub events: u64,
    /// Its bytes.
    pub bytes: u64,
    /// Its SHA-256. Lines name blobs by their digests, so it covers these too.
    pub sha256: String,
    /// Flows in it.
    pub flows: u64,
    /// Different blobs, and their bytes.
    pub blobs: u64,
    /// Bytes of all blobs.
    pub blob_bytes: u64,
    /// Why it ends before the run did; nothing where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// One line of `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its number, from 0, without a gap.
    pub seq: u64,
    /// Microseconds since the cassette began, by the monotonic clock: when it passed, not when it was written.
    pub t_us: u64,
    /// The flow (one request and all that follows from it), from 1.
    pub flow: u64,
    /// What it is.
    #[serde(flatten)]
    pub what: Entry,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Entry {
    /// The head of a request, as it came from inside: the first line of a flow.
    #[serde(rename = "req.head")]
    ReqHead(ReqHead),
    /// It goes out by this connection.
    #[serde(rename = "connect")]
    Connect {
        /// Host and port.
        endpoint: String,
        /// Whether the connection was there already.
        again: bool,
    },
    /// TLS outside was agreed on.
    #[serde(rename = "tls")]
    Tls {
        /// What is spoken in it: `h2`, `http/1.1`.
        alpn: String,
    },
    /// A piece of the request's body, cut by its content.
    #[serde(rename = "req.chunk")]
    ReqChunk(Body),
    /// The request's body is over.
    #[serde(rename = "req.end")]
    ReqEnd(Side),
    /// The head of the answer, as it went in.
    #[serde(rename = "resp.head")]
    RespHead {
        /// Its status.
        status: u16,
        /// Its headers.
        headers: Vec<(String, String)>,
    },
    /// A piece of the answer's body, as it came.
    #[serde(rename = "resp.chunk")]
    RespChunk(Body),
    /// What followed the answer's body.
    #[serde(rename = "resp.trailers")]
    RespTrailers {
        /// As headers.
        headers: Vec<(String, String)>,
    },
    /// The answer's body is over.
    #[serde(rename = "resp.end")]
    RespEnd(Side),
    /// A frame of a WebSocket, or the next piece of one.
    #[serde(rename = "ws.frame")]
    WsFrame {
        /// `up` (out of the run) or `down`.
        dir: String,
        /// As RFC 6455 numbers them: 1 text, 2 binary, 0 more of the last, 8 close, 9 ping, 10 pong.
        opcode: u8,
        /// Whether its message ends with it.
        fin: bool,
        /// Bytes of the frame that are still to come; its next pieces have the same `opcode`.
        rest: u64,
        /// Its payload, without mask.
        #[serde(flatten)]
        payload: Body,
    },
    /// It was refused, and this is what was answered.
    #[serde(rename = "refused")]
    Refused {
        /// The status.
        status: u16,
        /// The line that says why.
        line: String,
    },
    /// The flow is over: its last line.
    #[serde(rename = "close")]
    Close(Close),
}

/// The head of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReqHead {
    /// The method, as sent.
    pub method: String,
    /// The whole URL, host and path in their one spelling where they have one.
    pub url: String,
    /// `HTTP/1.1`, `HTTP/2.0`.
    pub version: String,
    /// Its headers, in order.
    pub headers: Vec<(String, String)>,
    /// The process that asks, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
}

/// How a side of a flow ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// Bytes of its body.
    pub bytes: u64,
    /// SHA-256 of its body.
    pub sha256: String,
    /// Whether it broke off.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

/// How a flow ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Close {
    /// As in the ledger's `flow`.
    pub outcome: String,
    /// Bytes out, on the wire.
    pub bytes_up: u64,
    /// Bytes in.
    pub bytes_down: u64,
}

/// A payload: its parts, one after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    /// The parts.
    pub body: Vec<Part>,
}

/// A part of a payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// It is text, and short.
    Text(String),
    /// It is short and no text: in base64.
    Base64(String),
    /// It is the blob of this SHA-256, so many bytes long.
    Blob(String, u64),
}

impl Part {
    /// A short part, as it stands in a line.
    #[must_use]
    pub fn short(bytes: &[u8]) -> Part {
        match std::str::from_utf8(bytes) {
            Ok(text) => Part::Text(text.to_owned()),
            Err(_) => Part::Base64(STANDARD.encode(bytes)),
        }
    }
}
