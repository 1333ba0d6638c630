//! The commits that a run made in its staged view, and those that are written for what lands.
//!
//! Read [`Workspace::commits`]. The git folder that a run left is the adversary's: git never runs over it. Of it, files named
//! like objects and the values of its branches are taken (`commits/take`, `commits/tips`) into a repository of ours, where
//! git checks every object (`commits/check`); what is told of them (`commits/told`) and what lands (`commits/land`) comes
//! from there. They land as objects and a branch `provost/<run>`. The person's HEAD, index, branches, configuration and hooks
//! stay as they are, and nothing is checked out.
//!
//! `commits/write` is the other way: what a person accepted, written as a commit of theirs.
//!
//! Does not own: how git is run (`git`), which files land (`land`).

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use admission::Admission;
use ledger::Trust;
use ledger::event::{CommitsStaged, StagedTip};
use serde::{Deserialize, Serialize};

use super::discard::remove;
use super::git::Git;
use super::sides::Sides;
use super::{SettleError, StageError, Workspace, io_error};
use check::{NewTip, Persons, words};
pub use land::RefLanding;
pub(crate) use land::{Import, Terms};
pub(crate) use told::short;
pub use told::{Branch, Commit, CommitFile, Commits};
pub(crate) use trace::{Blamed, Leads, Traced, blame, commit_named, leads_to};
pub use write::CommitError;
pub(crate) use write::{Message, Target, Written};

mod check;
mod land;
mod take;
mod tips;
mod told;
mod trace;
mod write;

/// Most ids of commits that an event names.
const NAMED: usize = 256;

/// What was found in the git folder that a run left, as `commits/found.json`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Found {
    /// Version: 1.
    v: u8,
    tips: Vec<NewTip>,
    /// Why they cannot be taken over, if they cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

/// Commits that were checked, and the two repositories.
struct Checked {
    found: Found,
    /// Where they are whole, if there are any.
    ours: Option<(Git, Persons)>,
    /// The folder of what was checked.
    place: Option<PathBuf>,
    /// What was made only to look, and goes when this does.
    _passing: Option<Passing>,
}

/// A folder that goes with its holder.
struct Passing(PathBuf);

impl Drop for Passing {
    fn drop(&mut self) {
        // What cannot be removed lies in the run's own folder and harms nothing.
        let _ = remove(&self.0);
    }
}

impl Workspace {
    /// The commits that the run made and that the repository does not have by now.
    ///
    /// # Errors
    /// What was found cannot be read, or not be kept.
    pub fn commits(&self) -> Result<Commits, StageError> {
        let checked = self.checked()?;
        Ok(self.commits_of(&checked))
    }

    fn commits_of(&self, checked: &Checked) -> Commits {
        let refused = |because: String| Commits { refused: Some(because), ..Commits::default() };
        match (&checked.found.refused, &checked.ours) {
            (Some(because), _) => refused(because.clone()),
            (None, None) => Commits::default(),
            (None, Some((ours, persons))) => {
                told::tell(ours, persons, &checked.found.tips).unwrap_or_else(refused)
            }
        }
    }

    /// Looks for commits when the run is over, keeps what was checked for whoever reviews it, and records it.
    ///
    /// # Errors
    /// It cannot be kept, or the ledger takes nothing more.
    pub(super) fn settle_commits(&self, sides: &Sides, admission: &Admission) -> Result<(), SettleError> {
        let place = self.run_dir.join("commits");
        if !self.has_git(sides) {
            return Ok(());
        }
        let found = self.look(sides, &place)?;
        if found.tips.is_empty() && found.refused.is_none() {
            remove(&place).map_err(io_error("remove", &place))?;
            return Ok(());
        }
        let told = self.commits()?;
        let staged = CommitsStaged {
            commits: told.commits.len() as u64,
            tips: told.branches.iter().map(staged_tip).collect(),
            ids: told.commits.iter().map(|commit| commit.id.clone()).take(NAMED).collect(),
            refused: told.refused,
        };
        admission.note(staged.into(), Trust::Observed, None)?;
        Ok(())
    }

    /// What was checked when the run was over; else it is looked at now, and not kept: the run may go on.
    fn checked(&self) -> Result<Checked, StageError> {
        let place = self.run_dir.join("commits");
        let (found, at, passing) = match read(&place)? {
            Some(found) => (found, place, None),
            None => {
                let sides = self.sides()?;
                if !self.has_git(&sides) {
                    return Ok(Checked { found: Found::default(), ours: None, place: None, _passing: None });
                }
                let at = self.run_dir.join(format!("commits.{}", std::process::id()));
                let passing = Passing(at.clone());
                (self.look(&sides, &at)?, at, Some(passing))
            }
        };
        if found.tips.is_empty() {
            return Ok(Checked { found, ours: None, place: None, _passing: passing });
        }
        let ours =
            Persons::look(&self.root).and_then(|persons| Ok((persons.ours(&at.join("checked"))?, persons)));
        Ok(match ours {
            Ok(ours) => Checked { found, ours: Some(ours), place: Some(at), _passing: passing },
            Err(error) => {
                let found = Found { refused: Some(words(error)), ..found };
                Checked { found, ours: None, place: None, _passing: passing }
            }
        })
    }

    /// Whether the run left anything where git keeps commits.
    fn has_git(&self, sides: &Sides) -> bool {
        let stands = |path: &str| matches!(sides.left.find(Path::new(path)), Ok(Some(_)) | Err(_));
        let written = |name: &&str| stands(&format!(".git/{name}"));
        match sides.left.find(Path::new(".git")) {
            Ok(Some(found)) if found.is_folder() => {
                ["objects", "refs", "packed-refs", "HEAD", "reftable"].iter().any(written)
            }
            // Something else in its place, or nothing: there are no commits of the run.
            Ok(_) | Err(_) => false,
        }
    }

    /// Looks at what the run left, in a folder of the run's that is new.
    fn look(&self, sides: &Sides, at: &Path) -> Result<Found, StageError> {
        remove(at).map_err(io_error("remove", at))?;
        DirBuilder::new().mode(0o700).create(at).map_err(io_error("make", at))?;
        let found = match self.check(sides, at) {
            Ok(tips) => Found { v: 1, tips, refused: None },
            Err(because) => {
                remove(at).map_err(io_error("remove", at))?;
                DirBuilder::new().mode(0o700).create(at).map_err(io_error("make", at))?;
                Found { v: 1, tips: Vec::new(), refused: Some(because) }
            }
        };
        let text = serde_json::to_vec(&found).map_err(|because| io_error("write in", at)(because.into()))?;
        std::fs::write(at.join("found.json"), text).map_err(io_error("write in", at))?;
        Ok(found)
    }

    fn check(&self, sides: &Sides, at: &Path) -> Result<Vec<NewTip>, String> {
        match sides.now.find(Path::new(".git")) {
            Ok(Some(found)) if found.is_folder() => {}
            Ok(None) => {
                return Err(
                    "the folder is no git repository: there is nowhere to take commits over to".to_owned()
                );
            }
            // A worktree, or a submodule.
            Ok(Some(_)) | Err(_) => {
                return Err("the folder's own git folder lies elsewhere, out of the run's sight".to_owned());
            }
        }
        let persons = Persons::look(&self.root).map_err(words)?;
        check::check(at, &persons, (&sides.left, &sides.now), &self.prefix())
    }

    /// The branch that the commits of this run become.
    pub(crate) fn prefix(&self) -> String {
        let run = self.run_dir.file_name().unwrap_or_default().to_string_lossy();
        format!("refs/heads/provost/{run}")
    }
}

fn staged_tip(branch: &Branch) -> StagedTip {
    let Branch { from, name, tip, commits } = branch.clone();
    StagedTip { from, name, tip, commits }
}

fn read(place: &Path) -> Result<Option<Found>, StageError> {
    let file = place.join("found.json");
    match std::fs::read(&file) {
        Ok(text) => {
            let found: Found =
                serde_json::from_slice(&text).map_err(|because| io_error("read", &file)(because.into()))?;
            Ok(Some(found))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("read", &file)(error)),
    }
}

#[cfg(test)]
mod tests;
