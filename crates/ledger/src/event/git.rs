//! Commits: those that a run made, and references that moved in the person's repository.
//!
//! Owns these bodies of events. Does not own when they are written.

use serde::{Deserialize, Serialize};

use super::OsText;

/// Bytes of JSON that the names of a commit's files take in one event.
const NAMES: usize = 48 * 1024;

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
    /// How many more files it changes, where they are too many to be named in one event.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl RefMoved {
    /// Names so many of its files as fit an event, and counts the others.
    #[must_use]
    pub fn within_an_event(mut self) -> RefMoved {
        let mut room = NAMES;
        let fits = self.files.iter().take_while(|file| {
            // With its quotes and comma, in JSON's own spelling.
            room = room.saturating_sub(serde_json::to_vec(file).map_or(room, |json| json.len() + 1));
            room > 0
        });
        let fits = fits.count();
        self.more += (self.files.len() - fits) as u64;
        self.files.truncate(fits);
        self
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Body, Event, LEAF_LIMIT};

    #[test]
    fn a_commit_of_very_many_files_fits_an_event_as_what_it_is() {
        let name = |at: u32| OsText::new(format!("a/file \"{at}\u{1}\".txt").as_bytes());
        let moved = RefMoved { files: (0..20_000).map(name).collect(), ..RefMoved::default() };
        let moved = moved.within_an_event();
        assert!(moved.files.len() > 1000 && moved.files.len() as u64 + moved.more == 20_000);
        let leaf = crate::event::leaf::tests::event(moved.clone()).leaf();
        assert!(leaf.len() <= LEAF_LIMIT);
        assert_eq!(Event::read(&leaf).unwrap().body, Body::RefMoved(moved));
        let few = RefMoved { files: vec![name(1)], ..RefMoved::default() };
        assert_eq!(few.clone().within_an_event(), few);
    }
}
