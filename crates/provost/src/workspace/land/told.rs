//! What the last landing did, for whoever writes it down elsewhere: what stood before, and what landed, by content.
//!
//! Owns reading that out of the journals. Does not own what is made of it (`commits`, and `provost why`).

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use sandbox::plan::Stage;
use sha2::{Digest as _, Sha256};

use super::journal::{Journal, Stands};
use crate::workspace::beneath::{Root, is_absent};
use crate::workspace::sides::{hex, read_small};
use crate::workspace::{Record, StageError, Workspace, io_error};

/// A file that landed.
#[derive(Debug)]
pub(crate) struct Stood {
    pub(crate) path: PathBuf,
    pub(crate) before: Standing,
    pub(crate) after: Standing,
}

/// One side of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing, or a folder: git knows neither.
    Nothing,
    /// A file, by its digest in hex.
    File { digest: String, mode: u32 },
    /// A link.
    Link(PathBuf),
}

impl Workspace {
    /// Of the last landing, what became of these files.
    pub(crate) fn stood(&self, paths: &[PathBuf]) -> Result<Vec<Stood>, StageError> {
        let at = self.run_dir.join("landing");
        let last = Journal::last(&at).map_err(io_error("read the journal in", &at))?;
        let Some((_, journal)) = last else { return Ok(Vec::new()) };
        let named = journal.landed().filter(|step| paths.contains(&step.path()));
        Ok(named
            .map(|step| Stood { path: step.path(), before: standing(&step.pre), after: standing(&step.post) })
            .collect())
    }

    /// Where a content lies that stood somewhere before a landing.
    pub(crate) fn kept(&self, digest: &str) -> PathBuf {
        self.run_dir.join("base/kept").join(Path::new(digest))
    }
}

fn standing(stands: &Stands) -> Standing {
    match stands {
        Stands::Nothing | Stands::Folder { .. } => Standing::Nothing,
        Stands::File { digest, mode } => Standing::File { digest: digest.clone(), mode: *mode },
        Stands::Link { target } => Standing::Link(target.to_path()),
    }
}

/// What stood before, and what landed.
type BothTexts = (Vec<u8>, Vec<u8>);

/// The landings of one file by a run, the last first.
#[derive(Debug)]
pub(crate) struct Landings {
    run_dir: PathBuf,
    path: PathBuf,
    stood: Vec<Stood>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct LandingOf<'a> {
    of: &'a Landings,
    stood: &'a Stood,
}

impl Landings {
    /// Those of a file in a workspace, by the run of this folder; none where the run had another workspace.
    pub(crate) fn of(run_dir: &Path, root: &Path, path: &Path) -> Result<Landings, StageError> {
        let mut landings = Landings { run_dir: run_dir.to_owned(), path: path.to_owned(), stood: Vec::new() };
        let at = run_dir.join("landing");
        let record = std::fs::read(run_dir.join("base/workspace.json")).unwrap_or_default();
        let record: Option<Record> = serde_json::from_slice(&record).ok();
        if record.is_none_or(|record| record.root.to_path() != root) {
            return Ok(landings);
        }
        for journal in Journal::all(&at).map_err(io_error("read the journals in", &at))? {
            landings.stood.extend(journal.landed().filter(|step| step.path() == path).map(|step| Stood {
                path: step.path(),
                before: standing(&step.pre),
                after: standing(&step.post),
            }));
        }
        Ok(landings)
    }

    /// One after the other.
    pub(crate) fn iter(&self) -> impl Iterator<Item = LandingOf<'_>> {
        self.stood.iter().map(|stood| LandingOf { of: self, stood })
    }

    /// A content by its digest, if it is still somewhere: put by before a later landing, or staged.
    fn content(&self, digest: &str) -> io::Result<Option<Vec<u8>>> {
        match File::open(self.run_dir.join("base/kept").join(digest)) {
            Ok(file) => return Ok(read_small(&file)?.filter(|text| digest_of(text) == digest)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let Ok(workspace) = Workspace::reopen(&self.run_dir) else { return Ok(None) };
        let (Stage::Overlay { upper: left, .. } | Stage::Copy { from: left }) = workspace.staged();
        let file = std::fs::canonicalize(left).and_then(|left| Root::open(&left)?.file(&self.path));
        match file {
            Ok(file) => Ok(read_small(&file)?.filter(|text| digest_of(text) == digest)),
            Err(error) if is_absent(&error) => Ok(None),
            // A link or a pipe in its place by now.
            Err(_) => Ok(None),
        }
    }
}

impl LandingOf<'_> {
    /// The digest of what landed.
    pub(crate) fn digest(&self) -> Option<&str> {
        match &self.stood.after {
            Standing::File { digest, .. } => Some(digest),
            Standing::Nothing | Standing::Link(_) => None,
        }
    }

    /// What stood before and what landed, where both are known; `now` may be what landed.
    pub(crate) fn contents(&self, now: &[u8]) -> Result<Option<BothTexts>, StageError> {
        let read = |error| io_error("read what landed from", &self.of.run_dir)(error);
        let content = |standing: &Standing| match standing {
            Standing::Nothing | Standing::Link(_) => Ok(Some(Vec::new())),
            Standing::File { digest, .. } if digest_of(now) == *digest => Ok(Some(now.to_vec())),
            Standing::File { digest, .. } => self.of.content(digest),
        };
        let (before, after) = (content(&self.stood.before), content(&self.stood.after));
        Ok(before.map_err(read)?.zip(after.map_err(read)?))
    }
}

fn digest_of(text: &[u8]) -> String {
    hex(&Sha256::digest(text))
}
