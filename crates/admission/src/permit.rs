//! Effects, and the permits without which none of them happens.
//!
//! Owns the type that an effect demands. A [`Permit`] is made by this crate's line and by nothing else, cannot be copied, and is
//! used up by [`Permit::begin`]. What comes of it is written down by its [`Receipt`], or by the receipt's loss.
//!
//! There is no second way to come by a permit:
//!
//! ```compile_fail,E0451
//! use admission::{Land, Permit};
//! fn forge(effect: Land, line: admission::Admission) -> Permit<Land> {
//!     Permit { effect, seq: 0, line }
//! }
//! ```
//!
//! ```compile_fail,E0599
//! use admission::{Land, Permit};
//! fn twice(permit: Permit<Land>) -> (Permit<Land>, Permit<Land>) {
//!     (permit.clone(), permit)
//! }
//! ```
//!
//! ```compile_fail,E0624
//! use admission::{Land, Permit};
//! fn forge(effect: Land, line: admission::Admission) -> Permit<Land> {
//!     Permit::new(effect, 0, line)
//! }
//! ```
//!
//! ```compile_fail,E0382
//! use admission::{Land, Permit};
//! fn again(permit: Permit<Land>) {
//!     let _ = permit.begin();
//!     let _ = permit.begin();
//! }
//! ```
//!
//! Nor is there another kind of effect than those here, or a dialled address that was not judged:
//!
//! ```compile_fail,E0277
//! struct Mine;
//! impl admission::Effect for Mine {
//!     const REACH: admission::Reach = admission::Reach::Contained;
//!     fn action(&self) -> policy::Action { unreachable!() }
//! }
//! ```
//!
//! ```compile_fail,E0451
//! fn anywhere(endpoint: policy::Endpoint) -> admission::Dial {
//!     admission::Dial { endpoint, addresses: vec![] }
//! }
//! ```

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use ledger::action::{ActionRecord, CommandRecord};
use ledger::event::{self, OutcomeResult};
use ledger::{Body, Trust};
use policy::{AbsPath, Action, Command, Endpoint, HttpRequest};

use crate::Denial;
use crate::admission::Admission;
use crate::judged::Judged;

/// How far an effect goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Out of the confinement: the event is durable, with everything before it, before the effect.
    Crossing,
    /// Within it: the event is accepted in order before the effect, and durable within 10 ms.
    Contained,
}

mod sealed {
    use ledger::Body;
    use policy::Action;

    use crate::judged::Judged;

    pub trait Sealed {
        /// The event that says how it was judged.
        fn event(&self, action: &Action, judged: &Judged) -> Body {
            judged.decision(action)
        }
    }
}

/// Something that may happen only with a permit.
pub trait Effect: sealed::Sealed {
    /// How far it goes.
    const REACH: Reach;
    /// The action that is judged.
    fn action(&self) -> Action;
    /// Where a command would start: a yes for it holds there and nowhere else.
    fn place(&self) -> Option<&Path> {
        None
    }
}

/// The agent's first process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch(pub Command);

/// A program started inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    command: Command,
    pid: i32,
    parent: i32,
    cwd: PathBuf,
}

/// A file opened on behalf of a process inside, in the staged view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// The file.
    pub path: AbsPath,
    /// Whether to write.
    pub write: bool,
}

/// A connection, by name: judged before the name is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect(pub Endpoint);

/// A connection, by addresses that were judged: only [`Permit::at`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dial {
    endpoint: Endpoint,
    addresses: Vec<SocketAddr>,
}

impl Dial {
    fn of(endpoint: Endpoint, addresses: Vec<IpAddr>) -> Dial {
        let port = endpoint.port;
        let addresses = addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect();
        Dial { endpoint, addresses }
    }
}

/// An HTTP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http(pub HttpRequest);

/// A credential given to a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The credential's name.
    pub name: String,
    /// Where it goes.
    pub to: Endpoint,
}

/// A tool used that is not the run's own: of a model's provider, which reaches the world from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool(pub String);

/// A staged change put into the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Land(pub AbsPath);

/// A reference of the person's repository set, moved or removed: by the path that it has in the workspace's git folder,
/// `.git/refs/heads/..`, wherever that folder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference(pub AbsPath);

/// A part of the workspace into which writes go at once, with nothing staged in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteThrough(pub AbsPath);

impl sealed::Sealed for Exec {
    fn event(&self, action: &Action, judged: &Judged) -> Body {
        let record = ActionRecord::from(action);
        let CommandRecord { program, argv, env } = CommandRecord::from(&self.command);
        event::Exec {
            pid: self.pid.try_into().unwrap_or_default(),
            ppid: self.parent.try_into().unwrap_or_default(),
            program,
            argv,
            env,
            cwd: self.cwd.as_path().into(),
            digest: record.digest(),
            verdict: judged.verdict,
            need: judged.need(),
            reasons: judged.reasons(),
            default_applied: judged.by_default(),
            grant: judged.grant.clone(),
        }
        .into()
    }
}

impl Effect for Exec {
    const REACH: Reach = Reach::Contained;

    fn action(&self) -> Action {
        Action::Exec(self.command.clone())
    }

    fn place(&self) -> Option<&Path> {
        Some(&self.cwd)
    }
}

macro_rules! effect {
    ($effect:ty, $reach:ident, |$this:ident| $action:expr) => {
        impl sealed::Sealed for $effect {}
        impl Effect for $effect {
            const REACH: Reach = Reach::$reach;
            fn action(&self) -> Action {
                let $this = self;
                $action
            }
        }
    };
}
effect!(Launch, Crossing, |this| Action::Launch(this.0.clone()));
effect!(Open, Contained, |this| match this.write {
    true => Action::Write(this.path.clone()),
    false => Action::Read(this.path.clone()),
});
effect!(Connect, Crossing, |this| Action::Connect(this.0.clone()));
effect!(Dial, Crossing, |this| Action::Connect(this.endpoint.clone()));
effect!(Http, Crossing, |this| Action::Http(this.0.clone()));
effect!(Release, Crossing, |this| Action::Credential { name: this.name.clone(), to: this.to.clone() });
effect!(Tool, Crossing, |this| Action::Tool { name: this.0.clone() });
effect!(Land, Crossing, |this| Action::Land(this.0.clone()));
effect!(Reference, Crossing, |this| Action::Land(this.0.clone()));
effect!(WriteThrough, Crossing, |this| Action::Write(this.0.clone()));

impl Exec {
    /// A program that process `pid`, a child of `parent` (both as the host counts), starts in `cwd`.
    pub fn new(command: Command, pid: i32, parent: i32, cwd: PathBuf) -> Exec {
        Exec { command, pid, parent, cwd }
    }

    /// The command.
    pub fn command(&self) -> &Command {
        &self.command
    }
}

impl Dial {
    /// Host and port that were asked for.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Where to dial, in the order found; never empty.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

/// The right to one effect, once.
#[must_use = "a permit that is not used permits nothing"]
pub struct Permit<E> {
    effect: E,
    seq: u64,
    line: Admission,
}

impl<E: Effect> Permit<E> {
    pub(crate) fn new(effect: E, seq: u64, line: Admission) -> Permit<E> {
        Permit { effect, seq, line }
    }

    /// What is permitted.
    pub fn of(&self) -> &E {
        &self.effect
    }

    /// The `seq` of the decision: the cause of the events that the effect leads to.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Begins the effect. The receipt must be told how it went.
    pub fn begin(self) -> (E, Receipt) {
        (self.effect, Receipt { of: self.seq, reach: E::REACH, line: self.line, settled: false })
    }
}

impl Permit<Connect> {
    /// Judges the addresses that the name led to; those that pass may be dialled. Which passed is recorded, in order.
    ///
    /// # Errors
    /// None of them passes, or the ledger takes nothing more.
    pub fn at(self, found: &[IpAddr]) -> Result<Permit<Dial>, Denial> {
        let Permit { effect: Connect(endpoint), seq, line } = self;
        let action = Action::Connect(endpoint.clone());
        let addresses = line.judge_addresses(&action, &endpoint, found, seq)?;
        Ok(Permit { effect: Dial::of(endpoint, addresses), seq, line })
    }
}

impl Permit<Http> {
    /// As for a connection, where the request itself is what was judged.
    ///
    /// # Errors
    /// None of them passes, or the ledger takes nothing more.
    pub fn at(self, found: &[IpAddr]) -> Result<Permit<Dial>, Denial> {
        let Permit { effect: Http(request), seq, line } = self;
        let endpoint = request.endpoint.clone();
        let addresses = line.judge_addresses(&Action::Http(request), &endpoint, found, seq)?;
        Ok(Permit { effect: Dial::of(endpoint, addresses), seq, line })
    }
}

impl<E: fmt::Debug> fmt::Debug for Permit<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("effect", &self.effect).field("seq", &self.seq).finish_non_exhaustive()
    }
}

/// How an effect went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was tried and failed, for this reason.
    Failed(String),
    /// It cannot be said.
    Unknown,
}

impl Outcome {
    /// It was done.
    pub fn done() -> Outcome {
        Outcome::Done
    }

    /// It was tried and failed.
    pub fn failed(because: impl Into<String>) -> Outcome {
        Outcome::Failed(because.into())
    }
}

/// What is owed for a permit that was used. Dropped, it says that the outcome is unknown.
#[must_use = "say how it went, or the ledger says that nobody knows"]
pub struct Receipt {
    of: u64,
    reach: Reach,
    line: Admission,
    settled: bool,
}

impl Receipt {
    /// The `seq` of the decision: the cause of the events that the effect leads to.
    pub fn seq(&self) -> u64 {
        self.of
    }

    /// Records how it went. That a contained effect was done goes without saying: there are so many of them.
    pub fn settle(mut self, outcome: Outcome) {
        self.settled = true;
        if self.reach == Reach::Crossing || outcome != Outcome::Done {
            self.record(outcome);
        }
    }

    fn record(&self, outcome: Outcome) {
        let (result, detail) = match outcome {
            Outcome::Done => (OutcomeResult::Done, String::new()),
            Outcome::Failed(because) => (OutcomeResult::Failed, because),
            Outcome::Unknown => (OutcomeResult::Unknown, String::new()),
        };
        let outcome = event::Outcome { of: self.of, result, detail };
        // A ledger that takes nothing more has no place for it. Whoever comes next for a permit hears of that, and the
        // run has been interrupted.
        let _ = self.line.note(outcome.into(), Trust::Observed, Some(self.of));
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if !self.settled {
            self.record(Outcome::Unknown);
        }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").field("of", &self.of).finish_non_exhaustive()
    }
}
