//! The cassette of a run: its traffic as the agent's side saw it, kept so that it can be read, and later played again.
//!
//! Owns the format (`docs/cassette.md` says it exactly), its one writer, and its reader. Nothing is dropped: who records waits while the disk is
//! behind, and where it fails what was to be recorded does not pass. Does not own which traffic is recorded (`record`), or the
//! folder's place.

mod cut;
mod folder;
mod format;
mod reader;
mod redact;
mod writer;

pub use folder::{Folder, Store};
pub use format::{Body, Close, Entry, Gap, Line, Manifest, Part, ReqHead, Settled, Side};
pub use reader::{Fault, Flow, Frame, Piece, Tape, check};
pub use redact::Key;
pub(crate) use redact::Redaction;
pub use writer::{Cassette, CassetteError, Ended, Recorder};
pub(crate) use writer::{Draft, Room};
