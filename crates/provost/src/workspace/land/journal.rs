//! The journal of a landing: what is made ready, then what is to be done with it. Once closed it is kept, for an undo.
//!
//! Owns: its form on disk, each part of which is there whole or not at all. Does not own doing any of it.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use ledger::event::OsText;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::workspace::beneath::{Found, Moment, Stamp};
use crate::workspace::sides::{Sides, hex};

/// A journal, open for one landing.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    file: File,
    temps: Vec<Temp>,
    plan: Plan,
}

/// Something made ready beside its place, or where what is removed is put first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Temp {
    /// The folder beneath the workspace.
    pub(super) folder: OsText,
    /// The name in it.
    pub(super) name: String,
}

impl Temp {
    pub(super) fn folder(&self) -> PathBuf {
        self.folder.to_path()
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder().join(&self.name)
    }
}

/// All that is to be done once all is ready.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Plan {
    steps: Vec<Step>,
    /// Folders that are not there yet, or whose rights are in the way, with the mode each ends in.
    folders: Vec<(OsText, u32)>,
}

/// One file's landing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Step {
    pub(super) path: OsText,
    pub(super) temp: Temp,
    pub(super) pre: Stands,
    pub(super) post: Stands,
    /// How what was judged stood, so that nothing else is replaced.
    pub(super) seen: Option<Seen>,
}

/// What stands at a path, by content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Stands {
    Nothing,
    File { digest: String, mode: u32 },
    Link { target: OsText },
    Folder { mode: u32 },
}

/// The part of a file's bookkeeping that a rename leaves alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    ino: u64,
    size: u64,
    mtime: Moment,
}

impl From<Stamp> for Seen {
    fn from(stamp: Stamp) -> Seen {
        Seen { ino: stamp.ino, size: stamp.size, mtime: stamp.mtime }
    }
}

impl Stands {
    /// The digest that events name it by.
    pub(super) fn digest(&self) -> Option<String> {
        match self {
            Stands::File { digest, .. } => Some(digest.clone()),
            Stands::Link { target } => Some(hex(&Sha256::digest(target.as_bytes()))),
            Stands::Nothing | Stands::Folder { .. } => None,
        }
    }

    /// Whether both are the same but for mode bits.
    pub(super) fn is_like(&self, other: &Stands) -> bool {
        match (self, other) {
            (Stands::File { digest, .. }, Stands::File { digest: same, .. }) => digest == same,
            (Stands::Folder { .. }, Stands::Folder { .. }) => true,
            _ => self == other,
        }
    }
}

impl Step {
    pub(super) fn path(&self) -> PathBuf {
        self.path.to_path()
    }

    /// Whether only mode bits change.
    pub(super) fn is_mode(&self) -> bool {
        self.pre != Stands::Nothing && self.pre.is_like(&self.post)
    }

    /// Whether what is there is what was judged.
    pub(super) fn has_seen(&self, found: &Found) -> bool {
        self.seen == Some(found.stamp.into())
    }
}

/// A line of the journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Temps(Vec<Temp>),
    Plan(Plan),
}

impl Journal {
    /// Begins one.
    pub(super) fn open(folder: &Path) -> io::Result<Journal> {
        std::fs::create_dir_all(folder)?;
        let file = File::options().append(true).create_new(true).open(folder.join("journal"))?;
        Ok(Journal { folder: folder.to_owned(), file, temps: Vec::new(), plan: Plan::default() })
    }

    /// The one that a crash left, if any.
    pub(super) fn found(folder: &Path) -> io::Result<Option<Journal>> {
        let file = match File::options().append(true).read(true).open(folder.join("journal")) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let text = std::fs::read(folder.join("journal"))?;
        let mut journal =
            Journal { folder: folder.to_owned(), file, temps: Vec::new(), plan: Plan::default() };
        // A last line without its end was being written: what it speaks of had not begun.
        for line in text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
            match serde_json::from_slice(line)? {
                Line::Temps(temps) => journal.temps.extend(temps),
                Line::Plan(plan) => journal.plan = plan,
            }
        }
        Ok(Some(journal))
    }

    /// Names what will be made ready in these folders. For a folder that is none, nothing.
    pub(super) fn announce(&mut self, folders: &[Option<PathBuf>]) -> io::Result<Vec<Option<Temp>>> {
        let mut chance = [0u8; 8];
        getrandom::fill(&mut chance).map_err(|error| io::Error::other(error.to_string()))?;
        let chance = hex(&chance);
        let name = |(index, folder): (usize, &Option<PathBuf>)| {
            let folder = folder.as_deref()?;
            Some(Temp { folder: folder.into(), name: format!(".provost-landing-{chance}-{index}") })
        };
        let temps: Vec<Option<Temp>> = folders.iter().enumerate().map(name).collect();
        self.temps = temps.iter().flatten().cloned().collect();
        self.write(&Line::Temps(self.temps.clone()))?;
        Ok(temps)
    }

    /// Says that all is ready, and what will be done. Gives back the folders to be made, or opened for the while.
    pub(super) fn prepared(&mut self, sides: &Sides, steps: Vec<Step>) -> io::Result<Vec<(PathBuf, u32)>> {
        let folders = super::ready::folders(sides, &steps)?;
        let named = folders.iter().map(|(path, mode)| (path.as_path().into(), *mode)).collect();
        let line = Line::Plan(Plan { steps, folders: named });
        self.write(&line)?;
        if let Line::Plan(plan) = line {
            self.plan = plan;
        }
        Ok(folders)
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.plan.steps
    }

    pub(super) fn temps(&self) -> &[Temp] {
        &self.temps
    }

    pub(super) fn folders(&self) -> Vec<(PathBuf, u32)> {
        self.plan.folders.iter().map(|(path, mode)| (path.to_path(), *mode)).collect()
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.file.write_all(&text)?;
        self.file.sync_data()?;
        File::open(&self.folder)?.sync_all()
    }

    /// Nothing is left to be done. What was done stays to be read, under the next number.
    pub(super) fn close(self) -> io::Result<()> {
        let journal = self.folder.join("journal");
        if self.plan.steps.is_empty() {
            return std::fs::remove_file(journal);
        }
        let mut number = 1;
        while self.folder.join(format!("done-{number}")).exists() {
            number += 1;
        }
        std::fs::rename(journal, self.folder.join(format!("done-{number}")))?;
        File::open(&self.folder)?.sync_all()
    }
}
