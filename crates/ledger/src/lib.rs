//! The evidence: what happened, in an order nobody can quietly change.
//!
//! A run's ledger is a list of [`event`]s. Each is a leaf of a Merkle tree ([`tree`]), framed into segment files, and every
//! group of leaves that is made durable is followed by a checkpoint ([`note`]) signed by the run's own key. That key is made
//! when the run begins, lives in the memory of the process that runs it and nowhere else, and is vouched for by the host's
//! key. The host's own ledger, the register, says which runs there were and how long each was when it ended, so that a run
//! that is cut short or gone shows.
//!
//! * [`event`]: the one schema; [`action`]: an action and its digest within it
//! * [`tree`]: hashing and proofs, as RFC 6962 has them; [`note`]: signed checkpoints, as C2SP has them
//! * [`writer`]: append, make durable, seal; [`reader`]: read, tell a torn tail from damage
//! * [`host`]: the state directory: host key, register, runs, which of them were interrupted
//! * [`mod@verify`]: whole, or what is broken and where
//! * [`bundle`]: one file with which a stranger verifies a run; [`proof`]: that one event is in it
//!
//! Without an outside witness this convinces against the agent, not against the person who owns the machine.
#![forbid(unsafe_code)]

pub mod action;
pub mod bundle;
mod chance;
mod crew;
mod ending;
pub mod event;
mod frame;
mod hex;
pub mod host;
mod key;
mod log;
pub mod note;
pub mod proof;
pub mod reader;
mod register;
mod run;
mod scan;
mod story;
mod tar;
mod tiles;
pub mod tree;
pub mod verify;
pub mod writer;

pub use bundle::{ExportError, Exported};
pub use event::*;
pub use frame::Fault;
pub use host::{Host, HostError};
pub use reader::Reader;
pub use run::{Head, Run, RunId, Standing};
pub use scan::Place;
pub use story::{Breach, Taped};
pub use verify::{Broken, Verified, verify};
pub use writer::{Sealed, Stamp, WriteError, Writer};
