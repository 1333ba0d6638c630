//! Where people are asked: on the run's own terminal, and at its socket, from any other.
//!
//! Owns what a question says, in which order, and carrying the answer back. Does not own when something is asked
//! (`policy`), how an ask ends (`admission`), or that only a person's keys count on a terminal (`sandbox::terminal`).
//!
//! * `terminal`: the run's own, one question after the other
//! * `socket`: the run's end of the line to other terminals; `callers` is theirs; `words` is what they speak

pub mod callers;
pub mod socket;
pub mod terminal;
pub mod words;

pub use socket::Socket;
pub use terminal::{Parties, Terminal};

use policy::Kind;

/// What it comes to, what it reaches, how it is taken back.
pub(crate) fn effect(kind: Option<Kind>) -> (&'static str, &'static str, &'static str) {
    let Some(kind) = kind else {
        return (
            "the agent has a question",
            "what the agent does with the answer",
            "say something else next time",
        );
    };
    match kind {
        Kind::Launch => ("an agent starts", "the inside of the sandbox", "stop the run"),
        Kind::Exec => ("a program starts inside", "the staged copy and what it may reach", "discard the run"),
        Kind::Read => ("a file of yours is read", "whatever the agent may send anywhere", "cannot be undone"),
        Kind::Write => ("a file is written", "the staged copy", "discard the run"),
        Kind::Connect => {
            ("data may leave this machine", "that host, and whoever else it serves", "cannot be undone")
        }
        Kind::Http => ("a request leaves this machine", "that host", "cannot be undone"),
        Kind::Tool => ("a tool is used", "whatever the tool reaches", "depends on the tool"),
        Kind::Credential => ("a credential is used", "that host, in your name", "revoke the credential"),
        Kind::Land => ("a change lands in your folder", "your folder", "with your version control"),
        Kind::Spend => ("money or tokens are spent", "your account", "cannot be undone"),
    }
}
