//! Event v1: the one schema of what happened in a run. Every leaf of a run's ledger is one [`Event`] as one line of JSON.
//!
//! Owns the names and shapes (an interface: `docs/events.md` is generated from this file and `event/` and a test holds them
//! together). Does not own how leaves are framed, hashed or signed (`log`, `tree`, `note`), nor which events a room
//! writes and when.

mod git;
mod inside;
mod leaf;
mod line;
mod network;
mod read;
mod run;
mod text;
mod workspace;

use serde::{Deserialize, Serialize};

pub use git::*;
pub use inside::*;
pub use leaf::LEAF_LIMIT;
pub use line::*;
pub use network::*;
pub(crate) use read::{Bodies, Read, Text, once};
pub use run::*;
pub(crate) use text::Spelled;
pub use text::{OsText, OsTextError, words};
pub use workspace::*;

/// The schema's version, the `v` of every event.
pub const VERSION: u8 = 1;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize)]
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
    /// A person's yes holds for more than the one action. Durable before it is used; every decision that it allows names it.
    #[serde(rename = "grant.given")]
    GrantGiven(GrantGiven),
    /// A grant is over, and allows nothing more.
    #[serde(rename = "grant.ended")]
    GrantEnded(GrantEnded),
    /// The agent's first process was started. `cause` is the decision.
    #[serde(rename = "launch")]
    Launch(Launch),
    /// A process inside called exec.
    #[serde(rename = "exec")]
    Exec(Box<Exec>),
    /// The content of a program used in this run, once per path and content.
    #[serde(rename = "program")]
    Program(Program),
    /// Files opened and names changed, in batches.
    #[serde(rename = "opened")]
    Opened(Opened),
    /// Processes ended, in batches.
    #[serde(rename = "exited")]
    Exited(Exited),
    /// Processes tried to connect, in batches.
    #[serde(rename = "connected")]
    Connected(Connected),
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
    /// A model was asked and answered, as far as its answer came. `cause` is the decision about the request.
    #[serde(rename = "model.answered")]
    ModelAnswered(Box<ModelAnswered>),
    /// The tokens of a login had to be refreshed, which the gateway does itself. No token is in it.
    #[serde(rename = "login.refresh")]
    LoginRefresh(LoginRefresh),
    /// The recorded traffic is closed.
    #[serde(rename = "cassette.closed")]
    CassetteClosed(CassetteClosed),
    /// The agent asked for a capability, or put a question to a person. Always `reported`.
    #[serde(rename = "request.inside")]
    RequestInside(RequestInside),
    /// Sequences in the agent's output that a terminal must not obey were taken out.
    #[serde(rename = "terminal.filtered")]
    TerminalFiltered(TerminalFiltered),
    /// Somebody changed the workspace outside while the run went on.
    #[serde(rename = "workspace.moved")]
    WorkspaceMoved(WorkspaceMoved),
    /// What the run changed and has not landed.
    #[serde(rename = "change.staged")]
    ChangeStaged(ChangeStaged),
    /// Writes go to the folder itself: what was there is kept. `cause` is the decision that lets them.
    #[serde(rename = "preimages.kept")]
    PreimagesKept(PreimagesKept),
    /// What the run changed in the folder itself. `cause` is the decision that let it.
    #[serde(rename = "change.direct")]
    ChangeDirect(ChangeDirect),
    /// A person accepted changes. What of them may land is judged then.
    #[serde(rename = "change.accepted")]
    ChangeAccepted(ChangeAccepted),
    /// A person rejected a change. It is remembered by its content.
    #[serde(rename = "change.rejected")]
    ChangeRejected(ChangeRejected),
    /// A change reached the workspace. `cause` is the decision.
    #[serde(rename = "landed")]
    Landed(Landed),
    /// A change was kept back.
    #[serde(rename = "land.refused")]
    LandRefused(LandRefused),
    /// A landing that was cut short by a crash was put in order, before anything else was done in its workspace.
    #[serde(rename = "land.recovered")]
    LandRecovered(LandRecovered),
    /// What a landing had changed was put back as it was. `cause` is the decision.
    #[serde(rename = "undone")]
    Undone(Undone),
    /// The run made commits of its own.
    #[serde(rename = "commits.staged")]
    CommitsStaged(CommitsStaged),
    /// A reference was set, moved or removed in the person's repository. `cause` is the decision.
    #[serde(rename = "ref.moved")]
    RefMoved(RefMoved),
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
    GrantGiven, GrantEnded,
    Launch, Program, Opened, Exited, Connected, Denied, Connection, Resolved, LoginRefresh, RequestInside, TerminalFiltered, WorkspaceMoved, ChangeStaged,
    PreimagesKept, ChangeDirect,
    ChangeAccepted, ChangeRejected, Landed, LandRefused, LandRecovered, Undone, CommitsStaged, RefMoved, Discarded,
    CassetteClosed, LimitReached, RunInterrupted, RunReopened, RunEnded, Outcome;
    RunOpened, Decision, Exec, Flow, ModelAnswered
);
