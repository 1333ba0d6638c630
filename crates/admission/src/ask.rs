//! What passes between the line and whoever is asked: asks as they are shown, answers, what became of them.
//!
//! Owns these values. Does not own when an ask is open or an answer counts (`asks`).

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::denial::Worded;
use ledger::event::{Answered, GrantOver, GrantScope};
use policy::{Action, Kind, Need, Reason, Selector};

/// An answer to an ask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Yes or no.
    pub allow: bool,
    /// Who answers.
    pub by: String,
    /// How the answer came: `terminal`, `command`, ..; `model` where no person gave it.
    pub how: String,
    /// Their words.
    pub why: Option<String>,
    /// What a yes is good for.
    pub scope: Scope,
}

/// What a yes is good for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scope {
    /// This one action.
    #[default]
    Once,
    /// The very same action, in this run.
    Run(Terms),
    /// The class of the action, in this run.
    Class(Terms),
}

/// How long a grant lasts, and how often it can be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terms {
    /// How long; until the run ends if none.
    pub lasts: Option<Duration>,
    /// How often; without end if none.
    pub uses: Option<u64>,
}

impl Terms {
    fn narrower(self, other: Terms) -> Terms {
        let least = |one: Option<_>, other: Option<_>| one.into_iter().chain(other).min();
        Terms {
            lasts: least(self.lasts.map(|lasts| lasts.as_nanos()), other.lasts.map(|lasts| lasts.as_nanos()))
                .map(|nanos| Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))),
            uses: self.uses.into_iter().chain(other.uses).min(),
        }
    }
}

impl Scope {
    /// What both agree to.
    #[must_use]
    pub fn narrower(self, other: Scope) -> Scope {
        match (self, other) {
            (Scope::Once, _) | (_, Scope::Once) => Scope::Once,
            (Scope::Class(one), Scope::Class(other)) => Scope::Class(one.narrower(other)),
            (Scope::Run(one) | Scope::Class(one), Scope::Run(other) | Scope::Class(other)) => {
                Scope::Run(one.narrower(other))
            }
        }
    }
}

/// What a question looks like: whether an action waits, its text, its folder.
pub(crate) type Looks = (bool, String, Option<PathBuf>);

/// What is asked for: asks for the same are one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Wanted {
    /// An action that waits, and where a command would start.
    Action(Action, Option<PathBuf>),
    /// A grant for such an action, to be used later.
    Request(Action, Option<PathBuf>),
    /// Words.
    Words(String),
}

impl Wanted {
    pub(crate) fn action(&self) -> Option<&Action> {
        match self {
            Wanted::Action(action, _) | Wanted::Request(action, _) => Some(action),
            Wanted::Words(_) => None,
        }
    }

    pub(crate) fn place(&self) -> Option<&PathBuf> {
        match self {
            Wanted::Action(_, place) | Wanted::Request(_, place) => place.as_ref(),
            Wanted::Words(_) => None,
        }
    }

    /// Whether a yes can be good for more than once. What starts an agent, writes or lands is asked about each time.
    pub(crate) fn can_be_granted(&self) -> bool {
        use Kind::{Connect, Credential, Exec, Http, Read, Tool};
        self.action()
            .is_some_and(|action| matches!(action.kind(), Exec | Read | Connect | Http | Tool | Credential))
    }

    /// What a person would call the same: another program by the same name, from the next folder of a PATH, is.
    pub(crate) fn looks(&self, text: &str) -> Looks {
        (matches!(self, Wanted::Action(..)), text.to_owned(), self.place().cloned())
    }

    /// Whether the agent can bring it about as often as it likes. What lands is put by whoever lands it.
    pub(crate) fn is_the_agents(&self) -> bool {
        !matches!(self.action().map(Action::kind), Some(Kind::Land | Kind::Launch))
    }
}

/// What an ask is about, as it is opened.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) wanted: Wanted,
    /// What is asked, in words.
    pub(crate) worded: Worded,
    pub(crate) need: Need,
    pub(crate) reasons: Vec<Reason>,
    /// The class that can be agreed to with it, or why there is none.
    pub(crate) class: Result<Selector, &'static str>,
    /// The rule that would allow it from now on.
    pub(crate) offer: Option<String>,
    /// The agent's own words for it.
    pub(crate) claim: Option<String>,
}

/// An ask, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskView {
    /// Its id.
    pub ask: String,
    /// The `seq` of the decision that needs it, or of the request that puts a question.
    pub decision: u64,
    /// What kind of action is asked for; none for a question.
    pub kind: Option<Kind>,
    /// The action as a person reads it, or the question.
    pub text: String,
    /// The folder where a command would start.
    pub folder: Option<PathBuf>,
    /// What is needed: `model`, `human`, `humans(n)`.
    pub need: String,
    /// The rules that ask.
    pub reasons: Vec<Reason>,
    /// The class of the action, as a pattern, where it has one that can be agreed to.
    pub class: Option<String>,
    /// The rule, as it would stand in a file, by which nobody is asked again; none where a rule asks.
    pub offer: Option<String>,
    /// Whether the agent asked for it beforehand, and nothing is held.
    pub requested: bool,
    /// What the agent says it is for: a claim.
    pub claim: Option<String>,
    /// How many wait for the answer.
    pub waiting: usize,
    /// Who said yes so far, where more than one must.
    pub said_yes: Vec<String>,
    /// When it was opened.
    pub opened: Instant,
    /// How long it stands.
    pub timeout: Duration,
    /// How much of that was left when this was looked at.
    pub left: Duration,
}

/// A grant in being, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantView {
    /// Its id: that of the ask it came from.
    pub grant: String,
    /// What it is good for.
    pub scope: GrantScope,
    /// The actions it covers, as a pattern.
    pub selector: String,
    /// The folder in which a command must start.
    pub folder: Option<PathBuf>,
    /// Who gave it.
    pub by: String,
    /// How often it was used.
    pub used: u64,
    /// How often it can still be used; without end if none.
    pub uses: Option<u64>,
    /// How long it still lasts; until the run ends if none.
    pub left: Option<Duration>,
}

/// How an ask ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedAsk {
    /// Its id.
    pub ask: String,
    /// The answer.
    pub answer: Answered,
    /// Who gave it.
    pub by: String,
    /// How.
    pub how: String,
    /// Their words.
    pub why: Option<String>,
}

/// What whoever follows is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Something is asked.
    Asked(Box<AskView>),
    /// An ask ended.
    Answered(EndedAsk),
    /// A grant was given.
    Given(Box<GrantView>),
    /// A grant is over.
    Over {
        /// Its id.
        grant: String,
        /// Why.
        because: GrantOver,
        /// How often it was used.
        used: u64,
        /// Who ended it.
        by: String,
    },
}

/// A yes, for whoever waited for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// Who said it.
    pub by: String,
    /// Their words.
    pub why: Option<String>,
    /// What it is good for beyond this once.
    pub grant: Option<GrantView>,
}
