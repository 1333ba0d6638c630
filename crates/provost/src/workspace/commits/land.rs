//! Commits of a run put into the person's repository: objects, then a branch for them; and that branch taken away again.
//!
//! Owns: the order (checked, judged, recorded, then done), that a branch is set only where none of that name is, and removed
//! only where it still leads where it was set. HEAD, index, other branches, configuration and hooks are not touched. Does
//! not own what is imported (`check`).

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use admission::{Admission, LedgerClosed, Outcome, Reference};
use ledger::Trust;
use ledger::event::{ChangeAccepted, LandRefused, MovedBy, RefMoved};
use policy::AbsPath;
use serde::{Deserialize, Serialize};

use super::check::{NewTip, whole, words};
use crate::workspace::git::Git;
use crate::workspace::land::{Kept, LandError};
use crate::workspace::{Voice, Workspace, io_error};

/// How long taking over may take.
const LONG: Duration = Duration::from_secs(300);

/// A reference that was set or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefLanding {
    /// Its name.
    pub name: String,
    /// Where it leads now, if it is still there.
    pub to: Option<String>,
    /// How many commits came with it.
    pub commits: u64,
}

/// On which terms commits are taken over.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    /// Files landed in the same step, and are taken back with them.
    pub(crate) together: bool,
    /// Why they are held back, if they are.
    pub(crate) held: Option<String>,
    /// The commits that the branches led to when the run was over, if that was recorded.
    pub(crate) known: Option<Vec<String>>,
}

/// What became of the commits of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Import {
    /// The references that moved.
    pub(crate) moved: Vec<RefLanding>,
    /// What was kept back.
    pub(crate) refused: Vec<Kept>,
}

/// An import that may be taken back, as `commits-landed.json` in the run's folder.
#[derive(Debug, Serialize, Deserialize)]
struct Landed {
    /// Version: 1.
    v: u8,
    /// The last landing of files by then.
    after: Option<String>,
    /// Whether that landing and this are one step, to be taken back as one.
    together: bool,
    refs: Vec<(String, String)>,
}

impl Workspace {
    /// Takes a person's yes to the commits of the run, where they are named by themselves: records it.
    ///
    /// # Errors
    /// The ledger takes nothing more.
    pub(crate) fn accept_commits(&self, admission: &Admission, voice: &Voice) -> Result<(), LedgerClosed> {
        let (by, how) = (voice.by.clone(), voice.how.to_owned());
        let only = vec![self.prefix()];
        let accepted = ChangeAccepted { by, how, all: false, only, ..ChangeAccepted::default() };
        admission.note(accepted.into(), Trust::Attested, None).map(drop)
    }

    /// Takes over the commits that the run made, as objects and a branch for each branch of the run.
    ///
    /// # Errors
    /// The ledger takes nothing more, or the run's folder cannot be used.
    pub(crate) fn import(&self, admission: &Admission, terms: Terms) -> Result<Import, LandError> {
        let checked = self.checked()?;
        let told = self.commits_of(&checked);
        let mut import = Import::default();
        if let Some(because) = told.refused {
            self.refuse_ref(admission, &mut import, (&self.prefix(), because))?;
            return Ok(import);
        }
        let Some((ours, persons)) = &checked.ours else { return Ok(import) };
        let waits = |tip: &&NewTip| told.branches.iter().any(|branch| branch.name == tip.name);
        let tips: Vec<NewTip> = checked.found.tips.iter().filter(waits).cloned().collect();
        if tips.is_empty() {
            return Ok(import);
        }
        // The repository may have changed since they were checked.
        let is_known = |tip: &NewTip| terms.known.as_ref().is_none_or(|known| known.contains(&tip.id));
        let fit = match (terms.held, tips.iter().all(is_known)) {
            (Some(held), _) => Err(held),
            (None, false) => Err("they are not those that the run left when it was over".to_owned()),
            (None, true) => whole(ours, persons, &tips),
        };
        if let Err(because) = fit {
            self.refuse_ref(admission, &mut import, (&self.prefix(), because))?;
            return Ok(import);
        }
        let objects = match &checked.place {
            Some(place) => place.join("checked/objects/pack"),
            None => return Ok(import),
        };
        let mut has_objects = false;
        for tip in tips {
            let permit = match self.admit_ref(admission, &tip.name) {
                Ok(permit) => permit,
                Err((because, _)) => {
                    self.refuse_ref(admission, &mut import, (&tip.name, because))?;
                    continue;
                }
            };
            let (_, receipt) = permit.begin();
            let add = || if has_objects { Ok(()) } else { add_objects(&persons.git, &objects) };
            let done = add().and_then(|()| set(&persons.git, &tip.name, &tip.id, None, "commits of a run"));
            match done {
                Ok(()) => {
                    has_objects = true;
                    let (name, to) = (tip.name.clone(), Some(tip.id.clone()));
                    let moved = RefMoved { name, from: None, to, by: MovedBy::Import, ..RefMoved::default() };
                    admission.note(moved.into(), Trust::Observed, Some(receipt.seq()))?;
                    receipt.settle(Outcome::done());
                    let (name, to) = (tip.name, Some(tip.id));
                    import.moved.push(RefLanding { name, to, commits: tip.commits });
                }
                Err(because) => {
                    receipt.settle(Outcome::failed(because.clone()));
                    self.refuse_ref(admission, &mut import, (&tip.name, because))?;
                }
            }
        }
        self.remember(&import, terms.together)?;
        admission.barrier()?;
        Ok(import)
    }

    /// Takes the last import back, if no file has landed since: a branch that leads elsewhere by now stays. Gives whether a
    /// landing of files belongs to the same step.
    ///
    /// # Errors
    /// As for [`Workspace::import`].
    pub(crate) fn undo_import(&self, admission: &Admission) -> Result<Option<(Import, bool)>, LandError> {
        let place = self.landed_place();
        let last = self.last_landing();
        let Some(landed) = self.landed()?.filter(|landed| landed.after == last) else { return Ok(None) };
        let mut import = Import::default();
        let git = Git::persons(&self.root);
        for (name, to) in &landed.refs {
            let permit = match self.admit_ref(admission, name) {
                Ok(permit) => permit,
                Err((because, _)) => {
                    self.refuse_ref(admission, &mut import, (name, because))?;
                    continue;
                }
            };
            let (_, receipt) = permit.begin();
            let git = git.as_ref().map_err(ToString::to_string);
            match git.and_then(|git| take_away(git, name, to)) {
                Ok(()) => {
                    let from = Some(to.clone());
                    let moved = RefMoved {
                        name: name.clone(),
                        from,
                        to: None,
                        by: MovedBy::Undo,
                        ..RefMoved::default()
                    };
                    admission.note(moved.into(), Trust::Observed, Some(receipt.seq()))?;
                    receipt.settle(Outcome::done());
                    import.moved.push(RefLanding { name: name.clone(), to: None, commits: 0 });
                }
                Err(because) => {
                    receipt.settle(Outcome::failed(because.clone()));
                    self.refuse_ref(admission, &mut import, (name, because))?;
                }
            }
        }
        if import.refused.is_empty() {
            std::fs::remove_file(&place).map_err(io_error("remove", &place))?;
        }
        admission.barrier()?;
        Ok(Some((import, landed.together)))
    }

    /// Whether branches of this run's commits are in the repository, as far as this run knows.
    fn landed(&self) -> Result<Option<Landed>, LandError> {
        let place = self.landed_place();
        match std::fs::read(&place) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("read", &place)(error).into()),
        }
    }

    fn landed_place(&self) -> PathBuf {
        self.run_dir.join("commits-landed.json")
    }

    fn remember(&self, import: &Import, together: bool) -> Result<(), LandError> {
        if import.moved.is_empty() {
            return Ok(());
        }
        let refs = import.moved.iter().filter_map(|moved| Some((moved.name.clone(), moved.to.clone()?)));
        let landed = Landed { v: 1, after: self.last_landing(), together, refs: refs.collect() };
        let (place, fresh) = (self.landed_place(), self.run_dir.join("commits-landed.new"));
        let text = serde_json::to_vec(&landed).map_err(|error| io_error("write", &place)(error.into()))?;
        let written = std::fs::write(&fresh, text).and_then(|()| std::fs::rename(&fresh, &place));
        Ok(written.map_err(io_error("write", &place))?)
    }

    /// A permit for a reference, or why there is none.
    pub(super) fn admit_ref(
        &self,
        admission: &Admission,
        name: &str,
    ) -> Result<admission::Permit<Reference>, (String, Option<u64>)> {
        let path = self.root.join(".git").join(name);
        let path = AbsPath::new(&path).map_err(|_| ("its name is not plain".to_owned(), None))?;
        let permit = admission.admit(Reference(path)).wait().permit();
        permit.map_err(|denial| (denial.to_string(), denial.seq))
    }

    fn refuse_ref(
        &self,
        admission: &Admission,
        import: &mut Import,
        (name, because): (&str, String),
    ) -> Result<(), LandError> {
        let path = Path::new(".git").join(name);
        let refused = LandRefused { path: path.as_path().into(), because: because.clone() };
        admission.note(refused.into(), Trust::Observed, None)?;
        import.refused.push(Kept { path, because, conflicts: Vec::new(), lands_by: None });
        Ok(())
    }
}

/// Adds the pack of what was checked to the person's objects. Git checks it once more while it does.
fn add_objects(persons: &Git, folder: &Path) -> Result<(), String> {
    let said = |error: io::Error| format!("the checked commits are gone: {error}");
    for entry in std::fs::read_dir(folder).map_err(said)? {
        let place = entry.map_err(said)?.path();
        if place.extension().is_some_and(|ending| ending == "pack") {
            let pack = File::open(place).map_err(said)?;
            let add = persons.ask(["index-pack", "--stdin", "--strict"]).within(LONG).reading_file(pack);
            add.answer().map_err(words)?;
        }
    }
    Ok(())
}

/// Removes a branch that still leads where it was set, and that nobody is at.
fn take_away(git: &Git, name: &str, to: &str) -> Result<(), String> {
    let at = git.ask(["for-each-ref", "--format=%(HEAD)%(worktreepath)", name]).line().map_err(words)?;
    if !at.trim().is_empty() {
        return Err("it is checked out: check out another branch first".to_owned());
    }
    let gone = git.ask(["update-ref", "--no-deref", "-d", name, to]).answer();
    gone.map_err(|error| format!("it does not lead where it was set any more: {}", words(error))).map(drop)
}

/// Sets a reference that leads to `from`, or is not there.
pub(super) fn set(git: &Git, name: &str, to: &str, from: Option<&str>, why: &str) -> Result<(), String> {
    let none = "0".repeat(to.len());
    let why = format!("provost: {why}");
    let words_of = ["update-ref", "--no-deref", "-m", &why, name, to, from.unwrap_or(&none)];
    git.ask(words_of).answer().map_err(words).map(drop)
}
