//! One file for a stranger: a run's ledger with all that is needed to verify it on another machine.
//!
//! Owns what is in it and in which order. It is a tar of plain files, in this order, each byte of which is vouched for:
//!
//! * `bundle`: three lines: `provost.bundle/v1`, the run, the host's verifier key
//! * `register/N.json`, `register/N.tlog-proof`: every entry of the host's register about the run, byte for byte, and the proof
//!   (C2SP tlog-proof) that the register has it at N; all proofs are against one checkpoint by the host's key
//! * `chapter/N/certificate`, `chapter/N/checkpoint`: the host's word for the key that signs from some event on, and the last
//!   checkpoint by that key, or by the host's where it ended a run that died
//! * `log/checkpoint`, `log/tile/..`: the events, byte for byte, and their Merkle tree, as C2SP's tlog-tiles has them; each
//!   tile follows as soon as the events before it fill it
//!
//! Does not own the container (`tar`), or what makes a ledger whole (`verify`).

mod export;
mod open;

pub use export::{ExportError, Exported};
pub use open::{Opened, verify};

use crate::note::Verifier;
use crate::run::RunId;

/// The first line of the first file.
const FIRST_LINE: &str = "provost.bundle/v1";
/// The first file.
const HEAD: &str = "bundle";
/// The last checkpoint.
const CHECKPOINT: &str = "log/checkpoint";

/// What the first file says.
fn head(run: &RunId, host: &Verifier) -> String {
    format!("{FIRST_LINE}\n{run}\n{host}\n")
}

/// A file of the register.
fn register(index: u64, what: &str) -> String {
    format!("register/{index}.{what}")
}

/// A file of a chapter.
fn chapter(number: usize, what: &str) -> String {
    format!("chapter/{number}/{what}")
}

/// A tile.
fn log(path: &str) -> String {
    format!("log/{path}")
}
