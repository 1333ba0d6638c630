//! Commits in a story: those that the run made, and references that moved.
//!
//! Owns what became of them. Does not own the files (`sums`).

use ledger::Event;
use ledger::event::{Body, MovedBy, StagedTip};

use super::{Fate, Story, What};

/// The commits that a run made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeCommits {
    /// How many.
    pub commits: u64,
    /// The branches that lead to them.
    pub tips: Vec<StagedTip>,
    /// Their ids, the newest first; not all where there are many.
    pub ids: Vec<String>,
    /// What became of them.
    pub fate: Fate,
    /// Whether they can be taken over at all.
    pub whole: bool,
}

impl MadeCommits {
    /// Whether somebody still has to say what becomes of them.
    pub fn waits(&self) -> bool {
        self.whole && self.fate.waits()
    }
}

impl Story {
    pub(super) fn see_commits(&mut self, event: &Event) {
        match &event.body {
            Body::CommitsStaged(staged) => {
                let staged = staged.clone();
                let whole = staged.refused.is_none();
                let fate = staged.refused.clone().map_or(Fate::Waiting, Fate::Kept);
                let (commits, refused) = (staged.commits, staged.refused);
                self.commits = Some(MadeCommits { commits, tips: staged.tips, ids: staged.ids, fate, whole });
                self.tell(event, 0, What::Committed { commits, refused });
            }
            Body::RefMoved(moved) => {
                let fate = match moved.by {
                    MovedBy::Import => Some(Fate::Landed),
                    MovedBy::Undo => Some(Fate::Waiting),
                    MovedBy::Commit | MovedBy::Branch => None,
                };
                if let Some((commits, fate)) = self.commits.as_mut().zip(fate) {
                    commits.fate = fate;
                }
                let (name, to, by) = (moved.name.clone(), moved.to.clone(), moved.by);
                self.tell(event, 0, What::RefMoved { name, to, by });
            }
            _ => {}
        }
    }
}
