//! Event v1: the one schema of what happened in a run. Every leaf of a run's ledger is one [`Event`] as one line of JSON.
//!
//! Owns the names and shapes (an interface: `docs/events.md` is generated from this file and a test holds them
//! together). Does not own how leaves are framed, hashed or signed (`log`, `tree`, `note`), nor which events a room
//! writes and when.

mod text;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use text::{OsText, OsTextError, words};

use crate::action::ActionRecord;

/// The schema's version, the `v` of every event.
pub const VERSION: u8 = 1;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Schema version: 1.
    pub v: u8,
    /// Place in this run's ledger, from 0, without a gap: the index of the leaf.
    pub seq: u64,
    /// When it was accepted: nanoseconds since 1970-01-01 UTC by the host's clock. Larger than 2^53.
    pub ts: u64,
    /// The same moment by the host's monotonic clock, in nanoseconds; comparable within one boot.
    pub mono: u64,
    /// The run's id.
    pub run: String,
    /// Who vouches for it.
    pub trust: Trust,
    /// The `seq` of an earlier event that led to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<u64>,
    /// True where texts of this event were too long for a leaf and were cut, each where it says `\+BYTES:SHA256`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    /// What happened, told apart by `type`.
    #[serde(flatten)]
    pub body: Body,
}

/// Who vouches for an event. A reported event never satisfies a control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// The agent, or something that speaks for it, said so.
    Reported,
    /// A person said so.
    Attested,
    /// Provost saw it: at the kernel, at the gateway, at the gate.
    Observed,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Body {
    /// A run began: the first event of every ledger.
    #[serde(rename = "run.opened")]
    RunOpened(Box<RunOpened>),
    /// The environment the agent was given, enough to give it again.
    #[serde(rename = "environment.recorded")]
    EnvironmentRecorded(EnvironmentRecorded),
    /// The policy this run is judged by.
    #[serde(rename = "policy.loaded")]
    PolicyLoaded(PolicyLoaded),
    /// What was asked of the kernel.
    #[serde(rename = "confinement.asked")]
    ConfinementAsked(ConfinementAsked),
    /// What the kernel gave. A run whose enforcement falls short of its confinement does not start.
    #[serde(rename = "enforcement.given")]
    EnforcementGiven(EnforcementGiven),
    /// A credential was put within the agent's reach.
    #[serde(rename = "credential.passed")]
    CredentialPassed(CredentialPassed),
    /// An action was judged. Durable before a crossing effect (launch, connect, http, credential, land), in order before
    /// any other.
    #[serde(rename = "decision")]
    Decision(Box<Decision>),
    /// A person is being asked.
    #[serde(rename = "ask.opened")]
    AskOpened(AskOpened),
    /// An ask found its answer: the first valid one, or time ran out. An allow is the permit of the decision it names.
    #[serde(rename = "ask.answered")]
    AskAnswered(AskAnswered),
    /// The agent's first process was started. `cause` is the decision.
    #[serde(rename = "launch")]
    Launch(Launch),
    /// A process inside called exec.
    #[serde(rename = "exec")]
    Exec(Box<Exec>),
    /// The content of a program used in this run, once per path and content.
    #[serde(rename = "program")]
    Program(Program),
    /// Files opened, in batches.
    #[serde(rename = "opened")]
    Opened(Opened),
    /// A call was refused at the place where it was made.
    #[serde(rename = "denied")]
    Denied(Denied),
    /// A connection reached the gateway and was judged.
    #[serde(rename = "connection")]
    Connection(Connection),
    /// The addresses a permitted name led to, judged again. `cause` is the decision about the name.
    #[serde(rename = "resolved")]
    Resolved(Resolved),
    /// A connection or request through the gateway ended.
    #[serde(rename = "flow")]
    Flow(Box<Flow>),
    /// The agent asked for a capability, or put a question to a person. Always `reported`.
    #[serde(rename = "request.inside")]
    RequestInside(RequestInside),
    /// Sequences in the agent's output that a terminal must not obey were taken out.
    #[serde(rename = "terminal.filtered")]
    TerminalFiltered(TerminalFiltered),
    /// What the run changed and has not landed.
    #[serde(rename = "change.staged")]
    ChangeStaged(ChangeStaged),
    /// A change reached the workspace. `cause` is the decision.
    #[serde(rename = "landed")]
    Landed(Landed),
    /// A change was kept back.
    #[serde(rename = "land.refused")]
    LandRefused(LandRefused),
    /// What was staged was thrown away.
    #[serde(rename = "discarded")]
    Discarded(Discarded),
    /// A limit of the run was reached.
    #[serde(rename = "limit.reached")]
    LimitReached(LimitReached),
    /// The run was found dead: opened, never ended, held by nobody.
    #[serde(rename = "run.interrupted")]
    RunInterrupted(RunInterrupted),
    /// A sealed run was taken up again, to land or discard what it had staged.
    #[serde(rename = "run.reopened")]
    RunReopened(RunReopened),
    /// The run is over.
    #[serde(rename = "run.ended")]
    RunEnded(RunEnded),
    /// How an effect went. Written for every permit that was used.
    #[serde(rename = "outcome")]
    Outcome(Outcome),
}

macro_rules! bodies {
    ($($plain:ident),*; $($boxed:ident),*) => {
        $(impl From<$plain> for Body { fn from(body: $plain) -> Body { Body::$plain(body) } })*
        $(impl From<$boxed> for Body { fn from(body: $boxed) -> Body { Body::$boxed(Box::new(body)) } })*
    };
}
bodies!(
    EnvironmentRecorded, PolicyLoaded, ConfinementAsked, EnforcementGiven, CredentialPassed, AskOpened, AskAnswered,
    Launch, Program, Opened, Denied, Connection, Resolved, RequestInside, TerminalFiltered, ChangeStaged, Landed,
    LandRefused, Discarded, LimitReached, RunInterrupted, RunReopened, RunEnded, Outcome;
    RunOpened, Decision, Exec, Flow
);

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
    /// Every exec, open and connect.
    #[default]
    Full,
    /// Every exec, every open for writing, every connect.
    Writes,
    /// Every exec and connect.
    Exec,
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

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It may happen.
    Allow,
    /// It may happen once what is needed has been shown.
    Ask,
    /// It may not.
    Deny,
}

/// Why: the rule that spoke.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The layer it stands in.
    pub layer: String,
    /// The rule's id, or `default`, or `built-in`.
    pub rule: String,
    /// The rule's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Body of `decision`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The action in its canonical form.
    pub action: ActionRecord,
    /// SHA-256 of the action's canonical JSON, in hex.
    pub digest: String,
    /// The action as a person reads it.
    pub text: String,
    /// What was decided.
    pub verdict: Verdict,
    /// What an ask needs: `model`, `human`, `humans(n)`; absent where nothing is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub need: Option<String>,
    /// The rules that led to it.
    pub reasons: Vec<Reason>,
    /// Whether no rule spoke and the kind's default applied.
    pub default_applied: bool,
}

/// Body of `ask.opened`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskOpened {
    /// The ask's id, unique in this run.
    pub ask: String,
    /// The `seq` of the decision that needs it.
    pub decision: u64,
    /// What the person reads.
    pub text: String,
    /// How long it stands open, in milliseconds; then it is denied.
    pub timeout_ms: u64,
}

/// Body of `ask.answered`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskAnswered {
    /// The ask's id.
    pub ask: String,
    /// The `seq` of the decision that needed it.
    pub decision: u64,
    /// The answer.
    pub answer: Answered,
    /// Who answered: a person's name, or `clock`, or `run` where the run ended first.
    pub by: String,
    /// How: `terminal`, `command`, ..; `timeout`.
    pub how: String,
    /// The person's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// How an ask ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answered {
    /// It may happen.
    Allow,
    /// It may not.
    Deny,
    /// Nobody answered in time: it may not.
    Expired,
}

/// Body of `launch`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The process id on the host.
    pub pid: u32,
    /// Its arguments.
    pub argv: Vec<OsText>,
    /// Its working directory.
    pub cwd: OsText,
}

/// Body of `exec`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// The process that called exec, as the host counts.
    pub pid: u32,
    /// Its parent.
    pub ppid: u32,
    /// The program, links resolved.
    pub program: OsText,
    /// The arguments the kernel took.
    pub argv: Vec<OsText>,
    /// The working directory.
    pub cwd: OsText,
    /// What was decided.
    pub verdict: Verdict,
    /// The rules that spoke; empty where the kind's default applied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
}

/// Body of `program`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Where it lies, links resolved.
    pub path: OsText,
    /// SHA-256 of its content, in hex.
    pub digest: String,
    /// Its size in bytes.
    pub size: u64,
}

/// Body of `opened`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// What was opened since the last batch.
    pub entries: Vec<OpenEntry>,
}

/// Opens of one file by one process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenEntry {
    /// The process, as the host counts.
    pub pid: u32,
    /// What it was opened for.
    pub access: Access,
    /// The file.
    pub path: OsText,
    /// How often.
    pub count: u64,
}

/// What a file was opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// To read.
    Read,
    /// To write, create, truncate, rename or remove.
    Write,
}

/// Body of `denied`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denied {
    /// The process, as the host counts, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The kind of action: `exec`, `read`, `connect`, ..; or the system call where there is no kind for it.
    pub what: String,
    /// What it was about: a path, a host and port, a command.
    pub target: OsText,
    /// The rules that forbade it.
    pub reasons: Vec<Reason>,
    /// The error number the caller got; absent where it got an answer of its protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
    /// Whether the caller was told why, on its standard error.
    pub spoken: bool,
}

/// Body of `connection`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// The process that connected, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Host and port it wanted.
    pub endpoint: String,
    /// What was decided.
    pub verdict: Verdict,
    /// How it reached the gateway.
    pub ingress: Ingress,
}

/// How a connection reached the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ingress {
    /// HTTP CONNECT.
    Connect,
    /// HTTP in absolute form.
    Http,
    /// A port of the host that policy names.
    Port,
    /// A socket the supervisor carried.
    Socket,
}

/// Body of `resolved`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// Host and port that were asked for.
    pub endpoint: String,
    /// Addresses that may be dialled, in the order found.
    pub allowed: Vec<String>,
    /// Addresses that may not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedAddress>,
}

/// An address that may not be dialled.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedAddress {
    /// The address.
    pub address: String,
    /// Why not.
    pub because: String,
}

/// Body of `flow`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Host and port.
    pub endpoint: String,
    /// Bytes from the inside out.
    pub bytes_up: u64,
    /// Bytes from the outside in.
    pub bytes_down: u64,
    /// How long it lasted, in milliseconds.
    pub ms: u64,
    /// The HTTP status, where it was HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The HTTP method, where it was HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The path without its query, where it was HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How it ended: `closed`, `reset`, `refused`, `limit`, ..
    pub outcome: String,
}

/// Body of `request.inside`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestInside {
    /// What is wanted: `connect`, `read`, `exec`, `question`.
    pub what: String,
    /// The resource, or the question.
    pub text: String,
    /// The agent's justification.
    pub why: String,
}

/// Body of `terminal.filtered`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalFiltered {
    /// What was taken out: `clipboard`, `device`, `title`, ..
    pub kind: String,
    /// How often since the last event of this kind.
    pub count: u64,
}

/// Body of `change.staged`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeStaged {
    /// The files, sorted by path. More than fit one event go on in the next.
    pub files: Vec<StagedFile>,
}

/// One staged file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedFile {
    /// Its path beneath the workspace.
    pub path: OsText,
    /// What became of it.
    pub change: Change,
    /// Lines added; 0 for what is not text.
    pub added: u64,
    /// Lines removed; 0 for what is not text.
    pub removed: u64,
    /// Its new size in bytes.
    pub size: u64,
    /// Whether other programs later execute or obey it, so that it never lands unseen.
    pub handoff: bool,
    /// Why it waits, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It is new.
    Added,
    /// Its content differs.
    Modified,
    /// It is gone.
    Deleted,
    /// Its mode bits differ, its content does not.
    Mode,
    /// It became, or was, a symbolic link.
    Link,
}

/// Body of `landed`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Landed {
    /// Its path beneath the workspace.
    pub path: OsText,
    /// SHA-256 of what was there, in hex; absent where nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre: Option<String>,
    /// SHA-256 of what is there now, in hex; absent where it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post: Option<String>,
}

/// Body of `land.refused`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LandRefused {
    /// Its path beneath the workspace.
    pub path: OsText,
    /// Why it was kept back.
    pub because: String,
}

/// Body of `discarded`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discarded {
    /// How many files were thrown away.
    pub files: u64,
}

/// Body of `limit.reached`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitReached {
    /// Which limit, and what came of it.
    pub what: String,
}

/// Body of `run.interrupted`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunInterrupted {
    /// What found it: the name of a command.
    pub found_by: String,
    /// Bytes of a half-written record that were cut from the end.
    pub cut_bytes: u64,
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

/// Body of `outcome`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The `seq` of the decision that permitted it.
    pub of: u64,
    /// How it went.
    pub result: OutcomeResult,
    /// More about it; empty where there is nothing to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// How an effect went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutcomeResult {
    /// It was done.
    Done,
    /// It was tried and failed.
    Failed,
    /// Nobody said: the permit's holder went away.
    Unknown,
}
