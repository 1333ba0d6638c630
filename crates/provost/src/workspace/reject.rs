//! A person's yes and no: recorded as theirs, before anything lands.
//!
//! Owns turning what was named into hunks and files, and recording it; what is rejected is remembered, what is accepted by
//! its own name is forgotten again. Does not own the memory (`rejected`), nor what lands (`land`).

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use admission::{Admission, LedgerClosed};
use ledger::Trust;
use ledger::event::{self, ChangeAccepted, ChangeRejected};
use sha2::{Digest as _, Sha256};

use super::change::{Change, FileChange};
use super::diff;
use super::hunk::Hunk;
use super::land::{BadPattern, Pick, names, patterns};
use super::rejected::{Rejected, Rejection};
use super::sides::hex;
use super::{StageError, Workspace, io_error};

/// A person's no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct No {
    /// What.
    pub what: Named,
    /// Why.
    pub why: String,
}

/// What a no is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// A hunk by its name, or files by a pattern: as it was typed.
    Word(String),
    /// A hunk by its name.
    Hunk(String),
    /// A file by its whole path.
    File(PathBuf),
}

impl Named {
    /// Whether it names a file, and the hunk that it names if it is one.
    fn reading(&self) -> Result<(impl Fn(&Path) -> bool, Option<&str>), BadPattern> {
        let (pattern, file, hunk) = match self {
            Named::Word(word) => (Some(patterns(&[word])?), None, Some(word.as_str())),
            Named::Hunk(id) => (None, None, Some(id.as_str())),
            Named::File(file) => (None, Some(file), None),
        };
        let names_file = move |path: &Path| {
            file.is_some_and(|file| file == path)
                || pattern.as_ref().is_some_and(|pattern| names(pattern, path))
        };
        Ok((names_file, hunk))
    }
}

impl std::fmt::Display for Named {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Named::Word(word) | Named::Hunk(word) => to.write_str(word),
            Named::File(file) => to.write_str(&super::diff::shown(file)),
        }
    }
}

/// Whose word it is, and where it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voice {
    /// Who.
    pub by: String,
    /// `command` or `terminal`.
    pub how: &'static str,
}

/// A yes or a no could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// It names nothing that waits.
    #[error("no hunk and no file that waits is named `{0}`")]
    Unknown(String),
    /// It is no pattern.
    #[error(transparent)]
    Pattern(#[from] BadPattern),
    /// Either side, or the memory, could not be used.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The ledger takes nothing more.
    #[error(transparent)]
    Ledger(#[from] LedgerClosed),
}

impl Workspace {
    /// Where the memory of what was rejected is: it belongs to the workspace, not to the run.
    fn rejected_place(&self) -> PathBuf {
        self.folder(self.state()).join("rejected")
    }

    /// What was rejected in this workspace.
    pub(crate) fn rejected(&self) -> Result<Rejected, StageError> {
        let place = self.rejected_place();
        Rejected::read(place.clone()).map_err(io_error("read", &place))
    }

    /// Takes a person's yes: records it, and forgets that what it names by its own name was ever rejected.
    ///
    /// # Errors
    /// A hunk that is named does not wait, or it could not be recorded.
    pub fn accept(
        &self,
        admission: &Admission,
        change: &Change,
        pick: &Pick,
        voice: &Voice,
    ) -> Result<(), GateError> {
        let (sides, mut rejected) = (self.sides()?, self.rejected()?);
        let place = self.rejected_place();
        let mut unknown = pick.hunks().clone();
        unknown.extend(pick.edits().iter().map(|edit| edit.hunk.clone()));
        let by_line = pick.is_by_line() || !rejected.is_empty();
        let mut edited = Vec::new();
        for file in change.files.iter().filter(|_| by_line) {
            let hunks = diff::hunks(&sides, file);
            let named: Vec<&Hunk> = hunks.iter().filter(|hunk| pick.takes_hunk(&hunk.id)).collect();
            unknown.retain(|id| !hunks.iter().any(|hunk| hunk.id == *id));
            edited.extend(hunks.iter().filter_map(|hunk| by_hand(pick, file, hunk)));
            rejected.forget(&file.path, &named).map_err(io_error("write", &place))?;
            if hunks.is_empty() && file.never.is_none() && pick.takes_file(&file.path) {
                rejected.forget_file(&sides, file).map_err(io_error("write", &place))?;
            }
        }
        if let Some(unknown) = unknown.pop_first() {
            return Err(GateError::Unknown(unknown));
        }
        let (only, hunks) = pick.told();
        let (by, how) = (voice.by.clone(), voice.how.to_owned());
        let accepted = ChangeAccepted { by, how, all: pick.is_all(), only, hunks, edited };
        admission.note(accepted.into(), Trust::Attested, None)?;
        Ok(())
    }

    /// Rejects what is named, and gives back the pick without it. All of it is known before any of it is recorded.
    ///
    /// # Errors
    /// Something names nothing that waits, or it could not be remembered or recorded.
    pub fn reject(
        &self,
        admission: &Admission,
        change: &Change,
        (nos, voice): (&[No], &Voice),
        pick: Pick,
    ) -> Result<Pick, GateError> {
        let sides = self.sides()?;
        let unread = |because: io::Error| io_error("read what the run left of", &self.root)(because);
        let (mut hunks, mut files) = (BTreeSet::new(), BTreeSet::new());
        let (mut events, mut memory) = (Vec::new(), Vec::new());
        for no in nos {
            let (names_file, id) = no.what.reading()?;
            let known = events.len();
            for file in &change.files {
                let named = names_file(&file.path);
                let all = diff::hunks(&sides, file);
                for hunk in all.iter().filter(|hunk| named || id == Some(hunk.id.as_str())) {
                    let rejection = Rejection::of_hunk(&file.path, hunk, &no.why);
                    events.push(rejected_event(
                        file.path.as_path().into(),
                        Some(&hunk.id),
                        &rejection,
                        voice,
                    ));
                    memory.push(rejection);
                    hunks.insert(hunk.id.clone());
                }
                if named && all.is_empty() && file.never.is_none() {
                    let rejection = Rejection::of_file(&sides, file, &no.why).map_err(unread)?;
                    events.push(rejected_event(file.path.as_path().into(), None, &rejection, voice));
                    memory.push(rejection);
                    files.insert(file.path.clone());
                }
            }
            if events.len() == known {
                return Err(GateError::Unknown(no.what.to_string()));
            }
        }
        let place = self.rejected_place();
        self.rejected()?.add(memory).map_err(io_error("write", &place))?;
        for event in events {
            admission.note(event.into(), Trust::Attested, None)?;
        }
        Ok(pick.without(hunks, files))
    }
}

/// What is recorded of a hunk that a person edited: both texts by their digests.
fn by_hand(pick: &Pick, file: &FileChange, hunk: &Hunk) -> Option<event::HandEdit> {
    let edit = pick.edits().iter().find(|edit| edit.path == file.path && edit.hunk == hunk.id)?;
    let digest = |text: &[u8]| hex(&Sha256::digest(text));
    let (offered, saved) = (digest(&hunk.after()), digest(&edit.text));
    Some(event::HandEdit { path: file.path.as_path().into(), hunk: hunk.id.clone(), offered, saved })
}

fn rejected_event(
    path: ledger::OsText,
    hunk: Option<&str>,
    rejection: &Rejection,
    voice: &Voice,
) -> ChangeRejected {
    ChangeRejected {
        path,
        hunk: hunk.map(str::to_owned),
        digest: rejection.digest.clone(),
        by: voice.by.clone(),
        how: voice.how.to_owned(),
        why: rejection.why.clone(),
    }
}
