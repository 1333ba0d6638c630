//! What each agent needs to work inside: its program, settings without secrets, switches that turn its own sandbox and
//! side traffic off, the way to its model.
//!
//! An adapter knows one agent; [`any`] knows none and is for every other command. The order of things: recognise,
//! [`Agent::wants`] (which credentials), placeholders are made (`secrets`), [`Agent::outfit`].
//!
//! Does not own: what is allowed (an outfit proposes a layer of policy), the toolchains (`toolchains`), credentials.

pub mod any;
pub mod claude;
pub mod codex;
mod endpoint;
mod launcher;
mod program;
mod settings;

use crate::logins::Found;
use crate::secrets::{Credentials, Wanted};
use crate::toolchains::{Environment, Shown};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// The host as an adapter sees it.
#[derive(Clone, Copy, Debug)]
pub struct Host<'a> {
    /// Variables, home, workspace.
    pub environment: &'a Environment,
    /// The command, as the person wrote it.
    pub argv: &'a [OsString],
    /// Where it is to start.
    pub folder: &'a Path,
}

/// What an agent gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outfit {
    /// The program, where it lies on the host and inside.
    pub program: PathBuf,
    /// Its words, the first included.
    pub argv: Vec<OsString>,
    /// Its version, as its package says.
    pub version: Option<String>,
    /// Variables beside those of the toolchains; they win over them.
    pub environment: Vec<(String, String)>,
    /// Private copies: a path beneath the home, and the content.
    pub files: Vec<(PathBuf, Vec<u8>)>,
    /// Where the program is installed.
    pub shown: Vec<Shown>,
    /// A layer of policy of the kind Agent, as text; empty if the agent needs nothing.
    pub layer: String,
    /// What the person should know, one sentence each.
    pub notes: Vec<String>,
}

/// Why an agent could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// No command was given.
    #[error("no command to run")]
    NoCommand,
    /// The program is nowhere.
    #[error("cannot find `{program}`: {because}")]
    NotFound {
        /// As the person wrote it.
        program: String,
        /// Where was looked.
        because: String,
        /// How to get it.
        hint: Option<&'static str>,
    },
    /// The program is there, but lies where nothing may be shown.
    #[error("cannot show `{program}`: {because}")]
    NotShown {
        /// Its path.
        program: String,
        /// Why not.
        because: String,
    },
    /// The agent's own settings cannot be read.
    #[error("cannot read the settings `{path}`: {because}")]
    Settings {
        /// The file, or the word of the command.
        path: String,
        /// What is wrong.
        because: String,
    },
}

impl AgentError {
    /// What the person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoCommand => Some("give a command: provost run -- COMMAND"),
            Self::NotFound { hint, .. } => *hint,
            Self::NotShown { .. } => Some("install it in a folder of its own, and put that on PATH"),
            Self::Settings { .. } => {
                Some("start the agent once by itself: it says what is wrong with its settings")
            }
        }
    }
}

/// An adapter for one agent.
pub trait Agent: fmt::Debug + Send + Sync {
    /// One lowercase word; policies and ledgers use it.
    fn name(&self) -> &'static str;

    /// Whether a command starts this agent.
    fn recognises(&self, argv: &[OsString]) -> bool;

    /// The credentials that this command uses, whether the person has them or not.
    fn wants(&self, host: &Host<'_>) -> Result<Vec<Wanted>, AgentError>;

    /// The person's login with this agent, where this command would use it.
    fn login(&self, _host: &Host<'_>) -> Result<Option<Found>, AgentError> {
        Ok(None)
    }

    /// Everything else it needs. `credentials` is what became of the wanted.
    fn outfit(&self, host: &Host<'_>, credentials: &Credentials) -> Result<Outfit, AgentError>;
}

/// The adapters, most particular first; the last takes any command.
pub const AGENTS: [&dyn Agent; 3] = [&codex::Codex, &claude::Claude, &any::Any];

/// The adapter for a command.
#[must_use]
pub fn recognise(argv: &[OsString]) -> &'static dyn Agent {
    AGENTS.into_iter().find(|agent| agent.recognises(argv)).unwrap_or(&any::Any)
}

#[cfg(test)]
mod tests;
