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
//! * [`approval`]: the life of an ask, pure; `asks` keeps the open ones and wakes who waits; `flood` keeps them few
//! * `grants`: what a yes leaves behind for more than the one action; `term` is the life of one, pure
//! * `request`: what the inside asks for beforehand, and questions to a person
//! * `recorder`: the thread that owns the ledger's writer, and the barrier
//!
//! No runtime: a [`Pending`] is waited for by a thread, a waker or an await.
#![forbid(unsafe_code)]

pub mod address;
mod admission;
pub mod approval;
mod ask;
mod asks;
mod clock;
mod crowd;
mod denial;
mod flood;
mod grants;
mod judged;
mod pending;
pub mod permit;
mod recorder;
mod request;
mod slot;
mod term;

pub use admission::{ASK_TIMEOUT, Admission, Asking};
pub use approval::Refused;
pub use ask::{Answer, AskView, EndedAsk, GrantView, Said, Scope, Terms, Told};
pub use denial::{Denial, LedgerClosed};
pub use flood::Bounds;
pub use pending::{Pending, Verdict};
pub use permit::{
    Connect, Dial, Effect, Exec, Http, Land, Launch, Open, Outcome, Permit, Reach, Receipt, Reference,
    Release, Tool, WriteThrough,
};
pub use request::{Requested, Waiting};
