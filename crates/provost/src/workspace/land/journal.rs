//! The journal of a landing: what is made ready, then what is to be done with it. Once closed it is kept, for an undo.
//!
//! Owns: its form on disk, each part of which is there whole or not at all. Does not own doing any of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use ledger::event::{Manner, OsText};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::workspace::beneath::{Found, Moment, Root, Stamp};
use crate::workspace::sides::{Sides, hex};

/// A journal, open for one landing.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    file: File,
    temps: Vec<Temp>,
    plan: Plan,
    landed: Option<BTreeSet<PathBuf>>,
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
    /// The folders above the steps as they stand before: their mode, or that they are not there.
    #[serde(default)]
    above: Vec<(OsText, Option<u32>)>,
    /// Folders that are removed in the end, if nothing is left in them.
    #[serde(default)]
    gone: Vec<OsText>,
    /// The closed journal of the landing that is taken back, if this takes one back.
    #[serde(default)]
    undoes: Option<String>,
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
    /// The decision that lets it happen.
    #[serde(default)]
    pub(super) cause: Option<u64>,
    /// Who owned what was there.
    #[serde(default)]
    pub(super) owner: Option<(u32, u32)>,
    /// How it compares with what the agent left.
    #[serde(default)]
    pub(super) manner: Manner,
    /// The hunks that land as the agent left them, if not all do.
    #[serde(default)]
    pub(super) hunks: Vec<String>,
    /// What a person's edit makes of what the run left, if one lands.
    #[serde(default)]
    pub(super) hand: Option<Hand>,
}

/// What the run left of a file before and after a person's edit, by the digests under which both are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hand {
    pub(super) before: String,
    pub(super) after: String,
}

impl Hand {
    /// Puts the text after the edit in the place of what the run left. Done twice it is the same.
    pub(super) fn leave(&self, sides: &Sides, path: &Path, kept: &Path) -> io::Result<()> {
        sides.leave(path, &std::fs::read(kept.join(&self.after))?)
    }

    /// The way back.
    pub(super) fn back(&self) -> Hand {
        Hand { before: self.after.clone(), after: self.before.clone() }
    }
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

    /// Whether something of the file may still wait when it is done.
    pub(super) fn leaves_some(&self) -> bool {
        !self.hunks.is_empty() || self.hand.is_some()
    }

    /// Whether a regular file is there in the end.
    pub(super) fn is_file(&self) -> bool {
        matches!(self.post, Stands::File { .. })
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
    /// What had landed when it was closed.
    Landed(Vec<OsText>),
}

impl Journal {
    /// Begins one.
    pub(super) fn open(folder: &Path) -> io::Result<Journal> {
        std::fs::create_dir_all(folder)?;
        let file = File::options().append(true).create_new(true).open(folder.join("journal"))?;
        let (folder, temps, plan) = (folder.to_owned(), Vec::new(), Plan::default());
        Ok(Journal { folder, file, temps, plan, landed: None })
    }

    /// The one that a crash left, if any.
    pub(super) fn found(folder: &Path) -> io::Result<Option<Journal>> {
        Journal::read(folder, "journal")
    }

    /// The last that was closed and not taken back, with its name.
    pub(super) fn last(folder: &Path) -> io::Result<Option<(String, Journal)>> {
        let names = match std::fs::read_dir(folder) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut last = None;
        for name in names {
            last = last.max(number(&name?.file_name()));
        }
        let Some(number) = last else { return Ok(None) };
        let name = format!("{DONE}{number}");
        Ok(Journal::read(folder, &name)?.map(|journal| (name, journal)))
    }

    /// All that were closed and not taken back, the last first.
    pub(super) fn all(folder: &Path) -> io::Result<Vec<Journal>> {
        let mut numbers: Vec<u64> = match std::fs::read_dir(folder) {
            Ok(names) => names.filter_map(|name| number(&name.ok()?.file_name())).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        numbers.sort_unstable_by(|one, other| other.cmp(one));
        let read = |number| Journal::read(folder, &format!("{DONE}{number}"));
        numbers.into_iter().filter_map(|number| read(number).transpose()).collect()
    }

    fn read(folder: &Path, name: &str) -> io::Result<Option<Journal>> {
        let file = match File::options().append(true).read(true).open(folder.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut text = std::fs::read(folder.join(name))?;
        // A last line without its end was being written: what it speaks of had not begun. It goes, so that the next line
        // stands by itself.
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        if whole < text.len() {
            file.set_len(whole as u64)?;
            text.truncate(whole);
        }
        let (folder, temps, plan) = (folder.to_owned(), Vec::new(), Plan::default());
        let mut journal = Journal { folder, file, temps, plan, landed: None };
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            match serde_json::from_slice(line)? {
                Line::Temps(temps) => journal.temps.extend(temps),
                Line::Plan(plan) => journal.plan = plan,
                Line::Landed(paths) => journal.landed = Some(paths.iter().map(OsText::to_path).collect()),
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
        let above = super::ready::above(&sides.now, &steps)?;
        let above = above.iter().map(|(path, mode)| (path.as_path().into(), *mode)).collect();
        self.plan(Plan { steps, folders: named(&folders), above, ..Plan::default() })?;
        Ok(folders)
    }

    /// The same for taking a landing back: which folders it made and removed is known by what stood above it then.
    pub(super) fn prepared_back(
        &mut self,
        now: &Root,
        steps: Vec<Step>,
        (name, done): (&str, &Journal),
    ) -> io::Result<Vec<(PathBuf, u32)>> {
        let mut folders: BTreeMap<PathBuf, u32> = BTreeMap::new();
        let mut gone = Vec::new();
        for (path, mode) in &done.plan.above {
            // What cannot be looked at, as behind a link that landed in a folder's place, is no folder either.
            let is_folder = matches!(now.find(&path.to_path()), Ok(Some(found)) if found.is_folder());
            match mode {
                Some(mode) if !is_folder => drop(folders.insert(path.to_path(), *mode)),
                None if is_folder => gone.push(path.clone()),
                Some(_) | None => {}
            }
        }
        for step in &steps {
            if let Stands::Folder { mode } = step.post {
                folders.insert(step.path(), mode);
            }
        }
        let folders: Vec<(PathBuf, u32)> = folders.into_iter().collect();
        let (undoes, folders_named) = (Some(name.to_owned()), named(&folders));
        self.plan(Plan { steps, folders: folders_named, above: Vec::new(), gone, undoes })?;
        Ok(folders)
    }

    fn plan(&mut self, plan: Plan) -> io::Result<()> {
        let line = Line::Plan(plan);
        self.write(&line)?;
        if let Line::Plan(plan) = line {
            self.plan = plan;
        }
        Ok(())
    }

    /// Those of the steps that landed.
    pub(super) fn landed(&self) -> impl Iterator<Item = &Step> {
        let landed = |step: &&Step| self.landed.as_ref().is_none_or(|landed| landed.contains(&step.path()));
        self.plan.steps.iter().filter(landed)
    }

    /// The folders that go in the end, the innermost first.
    pub(super) fn gone(&self) -> Vec<PathBuf> {
        let mut gone: Vec<PathBuf> = self.plan.gone.iter().map(OsText::to_path).collect();
        gone.sort();
        gone.reverse();
        gone
    }

    /// The landing that this takes back, if it takes one back.
    pub(super) fn undoes(&self) -> Option<&str> {
        self.plan.undoes.as_deref()
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

    /// Nothing is left to be done. What was done stays to be read, under the next number; a landing that was taken back as a
    /// whole does not.
    pub(super) fn close(mut self, landed: &[PathBuf], whole: bool) -> io::Result<()> {
        let journal = self.folder.join("journal");
        if let Some(done) = self.plan.undoes.as_deref().filter(|_| whole) {
            match std::fs::rename(self.folder.join(done), self.folder.join(format!("un{done}"))) {
                // A crash came after this and before the end.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                renamed => renamed?,
            }
        }
        if self.plan.steps.is_empty() || self.plan.undoes.is_some() {
            return std::fs::remove_file(journal);
        }
        self.write(&Line::Landed(landed.iter().map(|path| path.as_path().into()).collect()))?;
        let mut number = 1;
        let is_used = |number: u32| {
            ["", "un"].iter().any(|taken| self.folder.join(format!("{taken}{DONE}{number}")).exists())
        };
        while is_used(number) {
            number += 1;
        }
        std::fs::rename(journal, self.folder.join(format!("{DONE}{number}")))?;
        File::open(&self.folder)?.sync_all()
    }
}

/// What a closed journal is named, before its number.
const DONE: &str = "done-";

/// The number of a closed journal.
fn number(name: &std::ffi::OsStr) -> Option<u64> {
    name.to_str()?.strip_prefix(DONE)?.parse().ok()
}

fn named(folders: &[(PathBuf, u32)]) -> Vec<(OsText, u32)> {
    folders.iter().map(|(path, mode)| (path.as_path().into(), *mode)).collect()
}
