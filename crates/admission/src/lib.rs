//! The line: decide, ask, record, permit.
//!
//! Every action that reaches the supervisor, the gateway or the gate goes one way:
//!
//! ```text
//! action -> decide -> [ask] -> event -> Permit -> effect -> outcome event
//! ```
//!
//! [`Admission::admit`], in `admission.rs`, is that line, top to bottom. What it gives is a [`Permit`], and every effect takes one
//! by value: there is no other way to come by one. Where the event cannot be written, there is no permit.
//!
//! * `admission`: the line
//! * [`permit`]: effects, permits, receipts, and what an address must be to be dialled ([`address`])
//! * [`approval`]: the life of an ask, pure; `asks` keeps the open ones and wakes who waits
//! * `recorder`: the thread that owns the ledger's writer, and the barrier
//!
//! No runtime: a [`Pending`] is waited for by a thread, a waker or an await.
#![forbid(unsafe_code)]

pub mod address;
mod admission;
pub mod approval;
mod asks;
mod denial;
mod judged;
mod pending;
pub mod permit;
mod recorder;
mod slot;

pub use admission::{ASK_TIMEOUT, Admission};
pub use approval::Refused;
pub use asks::{Answer, AskView};
pub use denial::{Denial, LedgerClosed};
pub use pending::{Pending, Verdict};
pub use permit::{
    Connect, Dial, Effect, Exec, Http, Land, Launch, Open, Outcome, Permit, Reach, Receipt, Reference,
    Release, WriteThrough,
};
