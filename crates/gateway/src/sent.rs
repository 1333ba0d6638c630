//! What of a request's body has left: how much, and its digest.
//!
//! Owns the counting and hashing as it passes. It is the body as the inside sent it: credentials are exchanged in heads alone. Does not own
//! who is told (`meter`).

use std::sync::{Mutex, PoisonError};

use ledger::event::SentBody;
use sha2::{Digest as _, Sha256};

/// The body of one request, as far as it left.
#[derive(Debug, Default)]
pub(crate) struct Sent(Mutex<Sum>);

#[derive(Debug, Clone, Default)]
struct Sum {
    bytes: u64,
    sum: Sha256,
    whole: bool,
}

impl Sent {
    /// The next bytes.
    pub(crate) fn more(&self, piece: &[u8]) {
        let mut sum = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sum.bytes += piece.len() as u64;
        sum.sum.update(piece);
    }

    /// All of it left.
    pub(crate) fn whole(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).whole = true;
    }

    /// What there is to say of it; nothing where nothing left.
    pub(crate) fn so_far(&self) -> Option<SentBody> {
        let sum = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sha256 = sum.sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        (sum.bytes > 0).then_some(SentBody { bytes: sum.bytes, sha256, cut: !sum.whole })
    }
}
