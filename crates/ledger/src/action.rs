//! An action as the ledger keeps it: its canonical JSON, and the digest by which a decision, an ask and an effect are
//! known to speak of the same thing.
//!
//! Owns that form. Does not own what an action is or which spelling of a resource is canonical: `policy` does.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use policy::{Action, Command};

use crate::event::OsText;
use crate::hex;

/// An action, told apart by `kind`. Members stand in the order given here, without blanks: that is the canonical JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum ActionRecord {
    /// The agent's first process.
    Launch(CommandRecord),
    /// A program started inside.
    Exec(CommandRecord),
    /// A file read.
    Read {
        /// Its path on the host.
        path: OsText,
    },
    /// A file written in place.
    Write {
        /// Its path on the host.
        path: OsText,
    },
    /// A connection.
    Connect {
        /// Host and port.
        endpoint: String,
    },
    /// An HTTP request.
    Http {
        /// `http` or `https`; `ws` or `wss` where it becomes a WebSocket.
        scheme: String,
        /// Host and port.
        endpoint: String,
        /// The method.
        method: String,
        /// The path without its query.
        path: String,
        /// The pairs of the query that rules ask about, as they were sent.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        query: String,
        /// The headers that rules ask about, as `name: value`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        headers: Vec<OsText>,
    },
    /// A tool used.
    Tool {
        /// Its name.
        name: String,
    },
    /// A credential released.
    Credential {
        /// Its name.
        name: String,
        /// The host and port it goes to.
        to: String,
    },
    /// A change landed.
    Land {
        /// Its path on the host.
        path: OsText,
    },
    /// Something spent.
    Spend {
        /// Of what: `tokens`, `usd_micros`, `bytes`, ..
        unit: String,
        /// How much.
        amount: u64,
    },
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandRecord {
    /// The program, links resolved.
    pub program: OsText,
    /// Its arguments.
    pub argv: Vec<OsText>,
    /// The variables that change what a program does (`LD_*`, `GIT_*`, ..), as `NAME=value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<OsText>,
}

impl ActionRecord {
    /// The word for its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            ActionRecord::Launch(_) => "launch",
            ActionRecord::Exec(_) => "exec",
            ActionRecord::Read { .. } => "read",
            ActionRecord::Write { .. } => "write",
            ActionRecord::Connect { .. } => "connect",
            ActionRecord::Http { .. } => "http",
            ActionRecord::Tool { .. } => "tool",
            ActionRecord::Credential { .. } => "credential",
            ActionRecord::Land { .. } => "land",
            ActionRecord::Spend { .. } => "spend",
        }
    }

    /// Its canonical JSON.
    pub fn json(&self) -> String {
        // Strings and integers under string keys: there is nothing here that JSON cannot hold.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// SHA-256 of its canonical JSON, in hex.
    pub fn digest(&self) -> String {
        hex::encode(&Sha256::digest(self.json()))
    }
}

impl From<&Action> for ActionRecord {
    fn from(action: &Action) -> ActionRecord {
        match action {
            Action::Launch(command) => ActionRecord::Launch(command.into()),
            Action::Exec(command) => ActionRecord::Exec(command.into()),
            Action::Read(path) => ActionRecord::Read { path: path.as_path().into() },
            Action::Write(path) => ActionRecord::Write { path: path.as_path().into() },
            Action::Connect(endpoint) => ActionRecord::Connect { endpoint: endpoint.to_string() },
            Action::Http(request) => ActionRecord::Http {
                scheme: request.scheme.to_string(),
                endpoint: request.endpoint.to_string(),
                method: request.method.clone(),
                path: request.path.clone(),
                query: request.query.clone(),
                headers: request.headers.iter().map(header).collect(),
            },
            Action::Tool { name } => ActionRecord::Tool { name: name.clone() },
            Action::Credential { name, to } => {
                ActionRecord::Credential { name: name.clone(), to: to.to_string() }
            }
            Action::Land(path) => ActionRecord::Land { path: path.as_path().into() },
            Action::Spend { unit, amount } => ActionRecord::Spend { unit: unit.clone(), amount: *amount },
        }
    }
}

fn header((name, value): &(String, Vec<u8>)) -> OsText {
    OsText::from([name.as_bytes(), b": ", value].concat().as_slice())
}

impl From<&Command> for CommandRecord {
    fn from(command: &Command) -> CommandRecord {
        let variable = |(name, value): &(Vec<u8>, Vec<u8>)| {
            OsText::from([name, b"=".as_slice(), value].concat().as_slice())
        };
        CommandRecord {
            program: command.program.as_path().into(),
            argv: command.argv.iter().map(|word| OsText::from(word.as_slice())).collect(),
            env: command.env.iter().map(variable).collect(),
        }
    }
}
