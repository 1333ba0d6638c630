//! HTTP/2 by hand: frames as no well-behaved client would send them.

use std::io::{Read as _, Write as _};

use crate::common::Stage;
use crate::origin::{Opened, believes, in_tls};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const AWAY: u8 = 7;
const CONTINUATION: u8 = 9;

/// What a request came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// An answer, with this body.
    Answer(String),
    /// The stream was reset.
    Reset,
    /// The connection ended.
    Ended,
}

/// A connection of HTTP/2.
pub(crate) struct Frames {
    client: Opened,
    next: u32,
    /// Whether the last answer ended with a head after its body.
    trailed: bool,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header, spelled out.
fn spelled((name, value): &(&str, &str)) -> Vec<u8> {
    let text = |text: &str| {
        let mut length = text.len();
        let mut coded = Vec::new();
        if length < 127 {
            coded.push(u8::try_from(length).unwrap());
        } else {
            coded.push(127);
            length -= 127;
            while length >= 128 {
                coded.push(u8::try_from(length % 128).unwrap() | 128);
                length /= 128;
            }
            coded.push(u8::try_from(length).unwrap());
        }
        coded.extend_from_slice(text.as_bytes());
        coded
    };
    [vec![0], text(name), text(value)].concat()
}

impl Frames {
    pub(crate) fn to(stage: &Stage, to: &str) -> Frames {
        let config = believes(&stage.authority, &["h2"]);
        let client = in_tls(stage.tunnel(to), config, to.rsplit_once(':').unwrap().0).unwrap();
        let mut frames = Frames { client, next: 1, trailed: false };
        frames.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        frames.send(&frame(SETTINGS, 0, 0, &[]));
        frames
    }

    fn send(&mut self, bytes: &[u8]) {
        // Where the other side has hung up already, the answer says so.
        let _ = self.client.0.get_mut().write_all(bytes);
    }

    /// Sends a request; `body` none where it has none.
    pub(crate) fn ask(&mut self, headers: &[(&str, &str)], body: Option<&[u8]>) -> Came {
        let block: Vec<u8> = headers.iter().flat_map(spelled).collect();
        let stream = self.next;
        self.next += 2;
        let end = u8::from(body.is_none());
        let mut pieces = block.chunks(16_000).peekable();
        let mut kind = HEADERS;
        while let Some(piece) = pieces.next() {
            let last = if pieces.peek().is_none() { 4 } else { 0 };
            let flags = last | if kind == HEADERS { end } else { 0 };
            self.send(&frame(kind, flags, stream, piece));
            kind = CONTINUATION;
        }
        if let Some(body) = body {
            self.send(&frame(DATA, 1, stream, body));
        }
        self.came(stream)
    }

    /// Whether the last answer ended with a head after its body.
    pub(crate) fn trailed(&self) -> bool {
        self.trailed
    }

    /// Begins a head and never ends it.
    pub(crate) fn flood(&mut self, pieces: usize) -> Came {
        let piece = spelled(&("x-more", &"y".repeat(1000)));
        let stream = self.next;
        self.send(&frame(HEADERS, 1, stream, &piece));
        for _ in 0..pieces {
            self.send(&frame(CONTINUATION, 0, stream, &piece));
        }
        self.came(stream)
    }

    fn came(&mut self, stream: u32) -> Came {
        let mut body = Vec::new();
        loop {
            let mut head = [0; 9];
            if self.client.0.read_exact(&mut head).is_err() {
                return Came::Ended;
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            if self.client.0.read_exact(&mut payload).is_err() {
                return Came::Ended;
            }
            let (kind, flags) = (head[3], head[4]);
            let of = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            match kind {
                AWAY => return Came::Ended,
                RESET if of == stream => return Came::Reset,
                DATA if of == stream => body.extend(payload),
                _ => {}
            }
            self.trailed = kind == HEADERS && !body.is_empty();
            if of == stream && flags & 1 == 1 && matches!(kind, DATA | HEADERS) {
                return Came::Answer(String::from_utf8_lossy(&body).into_owned());
            }
        }
    }
}

impl Came {
    /// The code of a refusal.
    pub(crate) fn code(&self) -> Option<String> {
        let Came::Answer(body) = self else { return None };
        let answer: serde_json::Value = serde_json::from_str(body).ok()?;
        answer["error"]["code"].as_str().map(str::to_owned)
    }
}
