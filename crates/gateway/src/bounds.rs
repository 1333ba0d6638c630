//! How much, how many, how long.
//!
//! Owns every limit of the gateway, in one place, so that a test can make them small. Does not own what happens at a limit.

use std::time::Duration;

/// The limits of a gateway. Whatever the inside sends, no more than this is kept for it.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Connections from the inside at once; whoever comes then is told so and let go.
    pub connections: usize,
    /// Bytes of a request's or a response's head.
    pub head_bytes: usize,
    /// Headers of a head.
    pub headers: usize,
    /// How long a head may take to come in, and a connection be idle between requests.
    pub head: Duration,
    /// How long a port waits for the first bytes before it takes them for something else than HTTP.
    pub first_bytes: Duration,
    /// How long it may take until it is told what a carried connection means; it is told as it comes.
    pub word: Duration,
    /// How long the lookup of a name may take.
    pub lookup: Duration,
    /// How long one address may take to answer.
    pub dial: Duration,
    /// How long nothing may move on a connection: a model may think for long, a WebSocket be silent for longer.
    pub idle: Duration,
    /// How long a connection may last.
    pub total: Duration,
    /// Bytes of its body that whoever is refused may still send before the answer.
    pub refused_bytes: usize,
    /// And how long that may take.
    pub refused: Duration,
    /// Bytes of a request to the one door of the inside.
    pub inside_bytes: usize,
    /// Requests to that door that are answered at once; the next wait.
    pub inside_at_once: usize,
    /// Requests to that door at all, those for whose answer somebody is waited for included; more are refused.
    pub inside_waiting: usize,
    /// Bytes of a question to a model, or of one message to it: each is read whole before any of it leaves.
    pub question_bytes: usize,
    /// How long a question may take to come in.
    pub question: Duration,
    /// Questions that are read at once; the next wait.
    pub questions: usize,
    /// Destinations that are metered apart; what goes anywhere else is metered as one.
    pub destinations: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            // Each takes up to three descriptors, and a process has 1024 where nobody raised that.
            connections: 256,
            head_bytes: 64 * 1024,
            headers: 128,
            head: Duration::from_secs(30),
            first_bytes: Duration::from_millis(500),
            word: Duration::from_secs(2),
            lookup: Duration::from_secs(15),
            dial: Duration::from_secs(10),
            idle: Duration::from_secs(60 * 60),
            total: Duration::from_secs(24 * 60 * 60),
            refused_bytes: 4 * 1024 * 1024,
            refused: Duration::from_secs(2),
            inside_bytes: 4 * 1024 * 1024,
            inside_at_once: 8,
            inside_waiting: 32,
            question_bytes: 64 << 20,
            question: Duration::from_secs(5 * 60),
            questions: 8,
            destinations: 4096,
        }
    }
}
