//! Why a command could not do what it was told, for the person: what failed, because of what, and what to do.
//!
//! Owns the one type every command fails with, and how each room's errors become it. Does not own printing it (`render`).

use std::error::Error;
use std::fmt;

/// A failure of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What failed.
    pub what: String,
    /// What led to it, the nearest first.
    pub because: Vec<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// Lines to be shown as they are: a place in a file.
    pub quote: Vec<String>,
    /// The exit status.
    pub status: u8,
}

/// Provost's own failures and refusals.
pub const OURS: u8 = 125;
/// How paths are named by a pattern.
pub const PATTERNS: &str = "patterns are like those of .gitignore: `src/**`, `*.md`";
/// A check that said no, a verify that found something: the plain no of a command.
pub const NO: u8 = 1;

/// What to do where a landing was cut short and could not be put in order.
pub const HALF_LANDED: &str =
    "`provost status` puts it in order, or says what is in the way; until then nothing else may land there";

impl Failure {
    /// A failure without a cause of its own.
    pub fn new(what: impl Into<String>) -> Failure {
        Failure { what: what.into(), because: Vec::new(), hint: None, quote: Vec::new(), status: OURS }
    }

    /// From an error and all that caused it.
    pub fn of(error: &dyn Error) -> Failure {
        let mut failure = Failure::new(error.to_string());
        let mut cause = error.source();
        while let Some(error) = cause {
            failure.because.push(error.to_string());
            cause = error.source();
        }
        failure
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// What was being done when it failed.
    #[must_use]
    pub fn during(mut self, what: impl Into<String>) -> Failure {
        let cause = std::mem::replace(&mut self.what, what.into());
        self.because.insert(0, cause);
        self
    }

    /// With another exit status.
    #[must_use]
    pub fn status(mut self, status: u8) -> Failure {
        self.status = status;
        self
    }

    fn hinted(error: &dyn Error, hint: Option<&str>) -> Failure {
        let failure = Failure::of(error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.because.iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl From<ledger::HostError> for Failure {
    fn from(error: ledger::HostError) -> Failure {
        Failure::hinted(&error, error.hint())
    }
}

impl From<ledger::ExportError> for Failure {
    fn from(error: ledger::ExportError) -> Failure {
        match error {
            ledger::ExportError::Host(error) => error.into(),
            error => Failure::of(&error),
        }
    }
}

impl From<crate::agents::AgentError> for Failure {
    fn from(error: crate::agents::AgentError) -> Failure {
        Failure::hinted(&error, error.hint())
    }
}

impl From<crate::secrets::CredentialError> for Failure {
    fn from(error: crate::secrets::CredentialError) -> Failure {
        Failure::hinted(&error, error.hint())
    }
}

impl From<crate::store::StoreError> for Failure {
    fn from(error: crate::store::StoreError) -> Failure {
        Failure::hinted(&error, error.hint().as_deref())
    }
}

impl From<crate::workspace::StageError> for Failure {
    fn from(error: crate::workspace::StageError) -> Failure {
        Failure::hinted(&error, error.hint())
    }
}

impl From<crate::workspace::direct::InUse> for Failure {
    fn from(error: crate::workspace::direct::InUse) -> Failure {
        Failure::hinted(&error, Some(error.hint()))
    }
}

impl From<crate::workspace::SettleError> for Failure {
    fn from(error: crate::workspace::SettleError) -> Failure {
        match error {
            crate::workspace::SettleError::Stage(error) => error.into(),
            crate::workspace::SettleError::Ledger(error) => error.into(),
        }
    }
}

impl From<crate::workspace::LandError> for Failure {
    fn from(error: crate::workspace::LandError) -> Failure {
        match error {
            crate::workspace::LandError::Stage(error) => error.into(),
            crate::workspace::LandError::Ledger(error) => error.into(),
            crate::workspace::LandError::Settle(error) => error.into(),
            error @ crate::workspace::LandError::NothingLanded => {
                Failure::of(&error).hint(
                    "`provost show` says what landed and was put back; another run is undone by its name: provost undo RUN",
                )
            }
            error @ crate::workspace::LandError::HalfLanded(_) => Failure::of(&error).hint(HALF_LANDED),
            error @ crate::workspace::LandError::AtWork(_) => {
                Failure::of(&error).hint("wait until it is done, and say it again")
            }
        }
    }
}

impl From<crate::workspace::GateError> for Failure {
    fn from(error: crate::workspace::GateError) -> Failure {
        match error {
            crate::workspace::GateError::Stage(error) => error.into(),
            crate::workspace::GateError::Ledger(error) => error.into(),
            error @ crate::workspace::GateError::Unknown(_) => {
                Failure::of(&error).hint("`provost review` shows what waits: files, and hunks by their names")
            }
            error @ crate::workspace::GateError::Pattern(_) => Failure::of(&error).hint(PATTERNS),
        }
    }
}

impl From<crate::workspace::CommitError> for Failure {
    fn from(error: crate::workspace::CommitError) -> Failure {
        use crate::workspace::CommitError;
        match error {
            CommitError::Stage(error) => error.into(),
            CommitError::Land(error) => error.into(),
            CommitError::Ledger(error) => error.into(),
            CommitError::Refused { hint, .. } => Failure::hinted(&error, hint),
        }
    }
}

impl From<crate::workspace::DiscardError> for Failure {
    fn from(error: crate::workspace::DiscardError) -> Failure {
        match error {
            crate::workspace::DiscardError::Stage(error) => error.into(),
            crate::workspace::DiscardError::Ledger(error) => error.into(),
        }
    }
}

impl From<crate::workspace::NotAWorkspace> for Failure {
    fn from(error: crate::workspace::NotAWorkspace) -> Failure {
        Failure::hinted(&error, Some(error.hint()))
    }
}

impl From<sandbox::terminal::TerminalError> for Failure {
    fn from(error: sandbox::terminal::TerminalError) -> Failure {
        Failure::hinted(&error, error.hint())
    }
}

impl From<policy::PolicyError> for Failure {
    fn from(error: policy::PolicyError) -> Failure {
        let mut failure = Failure::new("the policy is refused");
        failure.because.push(error.to_string());
        if error.line > 0 {
            let margin = " ".repeat(error.column.saturating_sub(1));
            failure.quote = vec![format!("{:>5} | {}", error.line, error.text), format!("      | {margin}^")];
        }
        failure.hint = error.hint;
        failure
    }
}

impl From<policy::Shortfall> for Failure {
    fn from(shortfall: policy::Shortfall) -> Failure {
        let hint = shortfall.missing.first().map(|missing| missing.hint.clone());
        Failure { hint, ..Failure::new(shortfall.to_string()) }
    }
}

impl From<sandbox::JailError> for Failure {
    fn from(error: sandbox::JailError) -> Failure {
        match &error {
            sandbox::JailError::NoNamespaces(_) => Failure::of(&error).hint(
                "`provost doctor` says what this machine lacks, and prints the lines that give it. `--tier landlock` runs without, and holds less: names and metadata of your files can be looked up, no server can listen inside, a kill of Provost may leave what runs (docs/tiers.md)",
            ),
            sandbox::JailError::RootAlone => {
                Failure::of(&error).hint("run as an ordinary person, or without --tier landlock")
            }
            sandbox::JailError::NotStarted { .. } => Failure::of(&error)
                .hint("is it a program for this machine, and is its interpreter shown inside?"),
            _ => Failure::of(&error),
        }
    }
}

impl From<sandbox::plan::PlanError> for Failure {
    fn from(error: sandbox::plan::PlanError) -> Failure {
        Failure::of(&error).hint(match error {
            sandbox::plan::PlanError::Unseen(_) => {
                "leave `--evidence` out, or write the rule as a tree: `provost policy show` prints the rules"
            }
            _ => "`provost policy show` prints what the policy shows and lets be written",
        })
    }
}

impl From<admission::LedgerClosed> for Failure {
    fn from(error: admission::LedgerClosed) -> Failure {
        Failure::of(&error)
            .hint("nothing happens that is not recorded: look at the disk that holds the state")
    }
}

impl From<admission::Denial> for Failure {
    fn from(denial: admission::Denial) -> Failure {
        Failure::new(denial.to_string()).hint(denial.hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_error_shows_its_place() {
        let error = policy::PolicyError {
            name: "p.toml".into(),
            line: 7,
            column: 3,
            text: "xx yy".into(),
            because: "no such key `yy`".into(),
            hint: None,
        };
        let failure = Failure::from(error);
        assert_eq!(failure.quote, ["    7 | xx yy", "      |   ^"]);
        assert!(failure.to_string().ends_with("p.toml:7:3: no such key `yy`"), "{failure}");
    }

    #[test]
    fn what_was_done_comes_before_what_failed() {
        let failure = Failure::new("the disk is full").during("could not write the summary");
        assert_eq!(failure.to_string(), "could not write the summary: the disk is full");
    }
}
