//! A run as a whole: how it began, under what, how it ended.
//!
//! Owns these bodies of events. Does not own when they are written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::OsText;

/// Body of `run.opened`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunOpened {
    /// What was asked of the agent, in the person's words; empty if nothing was said.
    pub task: String,
    /// On whose behalf.
    pub principal: Principal,
    /// The program that was started.
    pub agent: Agent,
    /// The workspace's root on the host.
    pub workspace: OsText,
    /// Where writes go.
    pub mode: Mode,
    /// How much is observed.
    pub evidence: Evidence,
    /// Whether a person attends who can be asked.
    pub attended: bool,
    /// The version of Provost that ran it.
    pub provost_version: String,
    /// The machine it ran on.
    pub machine: Machine,
    /// SHA-256 of the certificate of the run's own authority, in hexadecimal: by it programs inside believe the gateway where
    /// TLS is opened. Its key is written nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
}

/// A person, as the operating system knows them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// Numeric user id on the host.
    pub uid: u32,
    /// Login name; empty if the id has none.
    pub name: String,
    /// The host's name.
    pub host: String,
}

/// An agent: the program a run governs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    /// The adapter that recognised it (`codex`, `claude`, ..), or `command`.
    pub name: String,
    /// Its version, where the adapter could tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The command as given.
    pub argv: Vec<OsText>,
}

/// The machine a run ran on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Kernel release, as `uname -r` says it.
    pub kernel: String,
    /// Processor architecture, as `uname -m` says it.
    pub arch: String,
    /// Landlock ABI the kernel offers; 0 is none.
    pub landlock_abi: u32,
}

/// Where writes to the workspace go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Beside the workspace, until they land.
    #[default]
    Staged,
    /// Into the workspace, with the earlier content kept.
    Direct,
}

/// How much of a run is observed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// Every exec, every open and change of names, every connect and end.
    #[default]
    Full,
    /// The same without opens that only read.
    Writes,
    /// Every exec, connect and end.
    Exec,
}

impl Evidence {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Evidence::Full => "full",
            Evidence::Writes => "writes",
            Evidence::Exec => "exec",
        }
    }
}

/// Body of `environment.recorded`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentRecorded {
    /// User name inside.
    pub user: String,
    /// HOME inside.
    pub home: OsText,
    /// Host name inside.
    pub hostname: String,
    /// `TZ`, or the name of the host's time zone.
    pub timezone: String,
    /// `LC_ALL`, else `LANG`, else `C`.
    pub locale: String,
    /// The environment, sorted by name.
    pub env: Vec<EnvVar>,
}

/// One variable of the environment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvVar {
    /// Its name.
    pub name: OsText,
    /// Its value; absent where it is, or may be, a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<OsText>,
}

/// Body of `policy.loaded`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyLoaded {
    /// SHA-256 of the compiled policy's canonical bytes, in hex.
    pub digest: String,
    /// The profile by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Its layers, in the order they were given.
    pub layers: Vec<PolicyLayer>,
    /// What its rules say of hosts, in the order of the layers; rules that do not count in this run are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostRule>,
}

/// What a rule says of hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRule {
    /// The kind of action: `connect`, `http`.
    pub kind: String,
    /// The hosts, as the rule writes them; absent where it is what a layer says of hosts that no rule speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// The holes in the rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// What is needed: `none`, `model`, `human`, `humans(n)`, `never`.
    pub need: String,
    /// The layer.
    pub layer: String,
    /// The rule's id, or `default`.
    pub rule: String,
    /// Whether the layer can only restrict: then it lets nothing through by itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub narrows: bool,
}

/// One layer of a policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyLayer {
    /// Its name: a file's path, or a built-in's name.
    pub name: String,
    /// What kind of layer it is (`profile`, `user`, `repo`, `floor`, ..).
    pub kind: String,
    /// SHA-256 of its text, in hex.
    pub digest: String,
}

/// Body of `confinement.asked`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ConfinementAsked {
    /// The confinement as the policy compiled it.
    pub confinement: serde_json::Value,
}

/// Body of `enforcement.given`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EnforcementGiven {
    /// The enforcement as the jail reported it.
    pub enforcement: serde_json::Value,
}

/// Body of `credential.passed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialPassed {
    /// The credential's name, never its value.
    pub name: String,
    /// What the agent holds.
    pub how: Passed,
    /// Who wanted it so: an adapter's name, a flag, a policy layer.
    pub by: String,
}

/// What the agent holds of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Passed {
    /// A stand-in that only the gateway can turn into the secret.
    Placeholder,
    /// The secret itself.
    Real,
}

/// Body of `limit.reached`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitReached {
    /// Which limit, how much of how much, what came of it, and what sets it.
    pub what: String,
    /// Which: `cpu`, `memory`, `processes`, `files`, `disk`, `time`, `tokens`, `cost`; absent where the ledger itself had no room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// The most that was allowed: milliseconds of `cpu` and `time`, bytes of `memory` and `disk`, hundredths of a US dollar of `cost`, else a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<u64>,
    /// How much was used when it was seen, in the same unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
    /// What was done: `ended` (the whole run), `refused` (the call that wanted more).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<String>,
    /// What sets it: a layer of the policy, a flag, or `built-in`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_by: Option<String>,
}

/// Body of `run.interrupted`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunInterrupted {
    /// What found it: the name of a command.
    pub found_by: String,
    /// Bytes of a half-written record that were cut from the end.
    pub cut_bytes: u64,
    /// Events before this one that no checkpoint covers: the run's key died before it could sign them.
    pub unsigned: u64,
}

/// Body of `run.reopened`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunReopened {
    /// What for: the name of a command.
    pub by: String,
}

/// Body of `run.ended`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEnded {
    /// How the agent ended.
    pub exit: Exit,
    /// How long the run took, in milliseconds.
    pub wall_ms: u64,
    /// Processor time of everything inside, in milliseconds.
    pub cpu_ms: u64,
    /// What was counted, by name.
    pub counts: BTreeMap<String, u64>,
    /// The signal by which somebody told Provost to end the run, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<u8>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Its status, where it ended by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
}
