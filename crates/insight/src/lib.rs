//! Events in, story out. Pure.
//!
//! [`timeline`] puts a run's events into the order in which a person wants to hear them; [`processes`] says which processes ran, who
//! started whom and what each did; [`exposure`] what it could have seen; [`traffic`] what went through the gateway; [`places`] what a path is to a person. All take what the ledger holds as it is and decide
//! nothing: no event is left out of a count because it looks odd.
//!
//! Owns what a run's events mean together. Does not own reading them (`ledger`), or how they are shown (`provost`). Texts
//! that come out of here are the agent's own bytes: whoever shows them makes them harmless.
#![forbid(unsafe_code)]

mod denial;
pub mod exposure;
pub mod places;
pub mod process;
pub mod processes;
pub mod timeline;
pub mod traffic;

pub use denial::Denial;
pub use timeline::{
    Changed, Consulted, Counts, End, Fate, Folder, MadeCommits, Moment, Moved, Opens, Reached, Sent,
    SentBody, Story, What,
};
