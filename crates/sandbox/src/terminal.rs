//! The person's side of a run: their terminal and the terminal that the agent sees, joined by a careful relay.
//!
//! Two terminals, never one: the agent's is made inside the jail, so nothing inside can reach the person's input queue,
//! change its modes or hear what is typed to anything else. Keys go in as they are (so ^C and ^Z act inside); what comes
//! out passes [`Filter`]. While a person is asked something, the relay stands still ([`Control::pause`]).
//!
//! * [`filter`]: bytes into characters and sequences; `screen`: which of them may be shown
//! * `raw`: the terminal's own modes, given back whatever happens; [`relay`](mod@relay): the loop
//! * [`ask`]: a question that only a person can answer
//!
//! Does not own: making the agent's terminal (`cell.rs`), what is asked and by whom (the desk).

pub mod ask;
pub mod filter;
mod filtered;
mod line;
mod raw;
pub mod relay;
mod screen;
mod sequence;

pub use ask::{ask_on_terminal, explains, hear_on_terminal, printable, say_on_terminal};
pub use filter::Filter;
pub use filtered::{Filtered, Kind};
pub use relay::{Control, Paused, Relayed, relay};

use std::io;

/// Why the person's terminal could not be used.
#[derive(Debug, thiserror::Error)]
pub enum TerminalError {
    /// This process is not in the foreground; touching the terminal would stop it.
    #[error("not in the foreground of this terminal")]
    Background,
    /// The terminal's modes could not be read or set.
    #[error("could not set the modes of the terminal")]
    Modes(#[source] io::Error),
    /// Waiting for, reading or writing a terminal failed.
    #[error("lost the terminal")]
    Lost(#[source] io::Error),
    /// The terminal takes no more output.
    #[error("the terminal takes no output")]
    Stuck,
}

impl TerminalError {
    /// What the person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Background => Some("bring it to the foreground with `fg`, or run it with --unattended"),
            Self::Stuck => Some("is the output held by ^S or by a stopped viewer?"),
            Self::Modes(_) | Self::Lost(_) => None,
        }
    }
}
