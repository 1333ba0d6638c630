//! What changed, and what became of it.
//!
//! Owns these bodies of events. Does not own when they are written.

use serde::{Deserialize, Serialize};

use super::OsText;

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
