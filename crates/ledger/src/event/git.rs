//! Commits: those that a run made, and references that moved in the person's repository.
//!
//! Owns these bodies of events. Does not own when they are written.

use serde::{Deserialize, Serialize};

use super::OsText;

/// Body of `commits.staged`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitsStaged {
    /// How many commits the repository did not have.
    pub commits: u64,
    /// The branches that lead to them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tips: Vec<StagedTip>,
    /// The ids of the commits, the newest first; the first 256 of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// Why they cannot be taken over, where they cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// A branch that the run left.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedTip {
    /// Its name in the run: `refs/heads/..`, or `HEAD` where no branch was checked out.
    pub from: String,
    /// The reference that it becomes.
    pub name: String,
    /// The commit it leads to.
    pub tip: String,
    /// How many commits are new on it.
    pub commits: u64,
}

/// Body of `ref.moved`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefMoved {
    /// The reference in the person's repository: `refs/heads/..`.
    pub name: String,
    /// The commit it led to; absent where it was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The commit it leads to now; absent where it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What it was moved for.
    pub by: MovedBy,
    /// The files that the commit changes, where Provost wrote it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<OsText>,
}

/// What a reference was moved for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MovedBy {
    /// Commits that the run made were taken over.
    #[default]
    Import,
    /// What landed was committed on the branch that is checked out.
    Commit,
    /// What was accepted was committed on a new branch.
    Branch,
    /// An import was taken back.
    Undo,
}
