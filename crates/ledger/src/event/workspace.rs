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
    /// How much there is to lose by landing it; absent where nothing speaks of a risk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<Risk>,
    /// SHA-256 of its new content, or of where a link leads, in hex; absent where it is gone, a folder, or too large to be
    /// shown. What lands verbatim has this digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// How much there is to lose by landing a change, as far as signs tell that any reader could check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// Worth a glance.
    Low,
    /// Worth reading.
    Medium,
    /// Worth reading first.
    High,
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

/// Body of `workspace.moved`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceMoved {
    /// How many files and folders were changed outside, or are seen inside since, after the last event of this kind.
    pub count: u64,
    /// Some of them by name, those first that the run changed too, then those that it does not see.
    pub files: Vec<MovedFile>,
}

/// Something that was changed outside while the run went on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedFile {
    /// Its path beneath the workspace.
    pub path: OsText,
    /// Whether the run changed it too, and goes on with its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub both: bool,
    /// Whether the run does not see the change.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
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
    /// How it compares with what the agent left.
    #[serde(default)]
    pub manner: Manner,
    /// Which hunks landed, where not all of them did; the rest still waits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hunks: Vec<String>,
}

/// How what landed compares with what the agent left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Manner {
    /// It is what the agent left.
    #[default]
    Verbatim,
    /// It is a part of what the agent left: the chosen hunks.
    Part,
    /// It holds an edit of a person too, made meanwhile to other lines.
    Merged,
    /// A person had already done the same by hand.
    Already,
    /// A person changed it by hand in the review before it landed; `change.accepted` says which hunks.
    Edited,
}

/// Body of `preimages.kept`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreimagesKept {
    /// Regular files that were kept.
    pub files: u64,
    /// Folders, links and pipes that were noted.
    pub others: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// SHA-256 of the list of all that was kept, in hex.
    pub digest: String,
}

/// Body of `change.direct`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeDirect {
    /// The files, sorted by path. More than fit one event go on in the next.
    pub files: Vec<DirectFile>,
}

/// One file that was changed in the folder itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectFile {
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
    /// Whether other programs later execute or obey it.
    pub handoff: bool,
    /// Who obeys it, where somebody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How much there is to lose by it; absent where nothing speaks of a risk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<Risk>,
    /// SHA-256 of what was there, in hex; absent where no file was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre: Option<String>,
    /// SHA-256 of what is there now, in hex; absent where no file is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post: Option<String>,
}

/// Body of `change.accepted`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeAccepted {
    /// Who accepted.
    pub by: String,
    /// Where they said so: `command` or `terminal`.
    pub how: String,
    /// Whether all that may land was accepted.
    pub all: bool,
    /// The patterns and paths that were accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// The hunks that were accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hunks: Vec<String>,
    /// The hunks for which a person's own text was accepted, and not the agent's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edited: Vec<HandEdit>,
}

/// A hunk that a person changed by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandEdit {
    /// Its path beneath the workspace.
    pub path: OsText,
    /// Which hunk of it.
    pub hunk: String,
    /// SHA-256 of the hunk's lines as the agent left them, in hex.
    pub offered: String,
    /// SHA-256 of the lines that the person saved in their place, in hex.
    pub saved: String,
}

/// Body of `change.rejected`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeRejected {
    /// Its path beneath the workspace.
    pub path: OsText,
    /// Which hunk of it; absent where it is the file as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hunk: Option<String>,
    /// SHA-256 of what was rejected, in hex: it is known by this when it comes again.
    pub digest: String,
    /// Who rejected it.
    pub by: String,
    /// Where they said so: `command` or `terminal`.
    pub how: String,
    /// Why.
    pub why: String,
}

/// Body of `undone`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undone {
    /// Its path beneath the workspace.
    pub path: OsText,
    /// SHA-256 of what had landed, in hex; absent where it had been removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre: Option<String>,
    /// SHA-256 of what is there again, in hex; absent where nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post: Option<String>,
}

/// Body of `land.recovered`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LandRecovered {
    /// Whether nothing had changed yet: then it was taken back, and all of it waits again. Else it was finished.
    pub taken_back: bool,
    /// Whether it was an undo that was cut short.
    pub undo: bool,
    /// How many files stand as they were to become.
    pub files: u64,
    /// How many were kept back.
    pub kept: u64,
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
    /// Whether recorded traffic was thrown away with them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cassette: bool,
}
