//! Taking back: what a run wrote into the workspace goes to what it staged, and what was there before stands again.
//!
//! Owns: the order of that, and what is on disk of it, so that whatever a crash cuts short is finished by doing it again.
//! Does not own which differences are taken back (`undo`, `settle`), nor each step (`restore`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use ledger::event::OsText;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::before::{Before, Links, dress_top};
use super::differ::{Difference, Differences};
use super::restore::{Restoring, above, clear, open_up, said, set_mode};
use crate::workspace::base::Entry;
use crate::workspace::beneath::{Kind, Root, same};
use crate::workspace::copy;

/// Most bytes of a file that waits once it is taken back: a larger one never lands, and goes.
const LARGEST: u64 = 4 << 30;

/// Why some things could not be taken back, by their paths.
pub(crate) type Failures = BTreeMap<PathBuf, String>;

/// A workspace and its pre-images, held open.
#[derive(Debug)]
pub(crate) struct Back {
    pub(crate) before: Before,
    pub(crate) now: Root,
    /// Where what is taken back waits.
    left: Root,
    links: Links,
    place: PathBuf,
    /// Folders that keep their owner out, opened for the while, with the mode each had.
    opened: BTreeMap<PathBuf, u32>,
    /// What an undo that was cut short was at, and the folders around it: what stands there may be half of ours.
    begun: BTreeSet<PathBuf>,
}

/// A name beside a place, as the journal has it.
#[derive(Debug, Serialize, Deserialize)]
struct Temp {
    path: OsText,
    name: String,
}

impl Back {
    pub(crate) fn open(root: &Path, place: &Path, left: &Path) -> io::Result<Back> {
        let before = Before::load(place)?;
        let left = Root::open(&std::fs::canonicalize(left)?)?;
        let (now, links) = (Root::open(root)?, before.links());
        Ok(Back {
            before,
            now,
            left,
            links,
            place: place.to_owned(),
            opened: BTreeMap::new(),
            begun: BTreeSet::new(),
        })
    }

    /// Compares everything; folders that keep their owner out are opened for it.
    pub(crate) fn differences(&mut self) -> io::Result<Differences> {
        loop {
            let found = Differences::find(&self.before, &self.now)?;
            let mut opened = false;
            for folder in &found.shut {
                opened |= self.let_in(folder);
            }
            if !opened {
                return Ok(found);
            }
        }
    }

    fn let_in(&mut self, folder: &Path) -> bool {
        match open_up(&self.now, folder) {
            Ok(Some(mode)) => {
                self.opened.entry(folder.to_owned()).or_insert(mode);
                true
            }
            Ok(None) | Err(_) => false,
        }
    }

    /// The mode that a folder had before it was opened.
    pub(crate) fn mode_of(&self, path: &Path, mode: u32) -> u32 {
        self.opened.get(path).copied().unwrap_or(mode)
    }

    /// Takes these differences back. What `keeps` is true of waits then; the rest is gone. Folders among `spared` are
    /// somebody's: they are left as they are.
    pub(crate) fn take(
        &mut self,
        taken: &[Difference],
        spared: &BTreeSet<PathBuf>,
        keeps: &dyn Fn(&Path) -> bool,
    ) -> io::Result<Failures> {
        let mut failures = Failures::new();
        for folder in taken.iter().flat_map(|one| above(&one.path)).collect::<BTreeSet<_>>() {
            self.let_in(&folder);
        }
        for one in taken.iter().filter(|one| keeps(&one.path)) {
            if let Err(error) = self.keep(one) {
                failures.insert(one.path.clone(), said("keep what the run left")(error));
            }
        }
        // ORDER: what is taken out of the workspace is durable where it waits, and the names that are used beside the
        // places are known, before anything changes.
        rustix::fs::syncfs(self.left.reading()?)?;
        let temps = self.announce(taken)?;
        let go: Vec<&Difference> = taken.iter().filter(|one| !failures.contains_key(&one.path)).collect();
        self.exchange(&go, &temps, &mut failures);
        self.shut(&go, spared, &mut failures);
        rustix::fs::syncfs(self.now.reading()?)?;
        std::fs::remove_file(self.journal())?;
        Ok(failures)
    }

    // ORDER: what goes makes room, the innermost first; then folders, the outermost first; then what is in them.
    fn exchange(&self, go: &[&Difference], temps: &BTreeMap<PathBuf, String>, failures: &mut Failures) {
        let temp = |path: &Path| temps.get(path).map(String::as_str).unwrap_or_default();
        let restoring = Restoring { before: &self.before, links: &self.links, now: &self.now };
        let was = |one: &Difference| one.was.as_ref().map(|was| was.found.kind);
        let is = |one: &Difference| one.now.map(|now| now.kind);
        let mut note = |one: &Difference, done: Result<(), String>| {
            if let Err(because) = done {
                failures.entry(one.path.clone()).or_insert(because);
            }
        };
        for one in go.iter().rev().filter(|one| is(one).is_some() && was(one) != is(one)) {
            note(one, restoring.remove(one, temp(&one.path)));
        }
        for one in go.iter().filter(|one| was(one) == Some(Kind::Folder) && is(one) != Some(Kind::Folder)) {
            note(one, restoring.make_folder(&one.path));
        }
        for one in go.iter().filter(|one| was(one) != Some(Kind::Folder)) {
            let Some(was) = &one.was else { continue };
            let done = match (one.is_dress, self.before.leader(&self.links, was)) {
                (true, _) => restoring.dress(one, was),
                (false, Some(leader)) if !self.is_back(&leader, was) => {
                    Err(format!("it shares its content with `{}`, which is another now", leader.display()))
                }
                (false, _) => restoring.put(one, was, temp(&one.path)),
            };
            note(one, done);
        }
    }

    /// Whether the first name of a file that has several stands as it was.
    fn is_back(&self, leader: &Path, was: &Entry) -> bool {
        let is_same = || -> io::Result<bool> {
            let found = self.now.find(leader)?.map(|found| found.kind);
            Ok(match was.found.kind {
                kind if found != Some(kind) => false,
                Kind::File => same(&mut self.before.tree.file(&was.path)?, &mut self.now.file(leader)?)?,
                Kind::Link => was.target == Some(self.now.link(leader)?),
                Kind::Folder | Kind::Special { .. } => true,
            })
        };
        is_same().unwrap_or(false)
    }

    /// Mode, owner, time of the folders around what was taken back, the innermost first.
    fn shut(&self, go: &[&Difference], spared: &BTreeSet<PathBuf>, failures: &mut Failures) {
        let mut folders: BTreeSet<PathBuf> = go.iter().flat_map(|one| above(&one.path)).collect();
        folders.extend(go.iter().map(|one| one.path.clone()));
        folders.extend(self.opened.keys().cloned());
        let restoring = Restoring { before: &self.before, links: &self.links, now: &self.now };
        for path in folders.iter().rev() {
            let Ok(Some(found)) = self.now.find(path) else { continue };
            if !found.is_folder() {
                continue;
            }
            let was =
                self.before.base.get(path).filter(|was| was.found.is_folder() && !spared.contains(path));
            if let Some(was) = was {
                let one = Difference { path: path.clone(), was: None, now: Some(found), is_dress: true };
                if let Err(because) = restoring.dress(&one, was) {
                    failures.entry(path.clone()).or_insert(because);
                }
            } else if let Some(mode) = self.opened.get(path) {
                // It stays open to its owner where this fails, and to nobody else.
                let _ = set_mode(&self.now, path, Kind::Folder, *mode);
            }
        }
        let top = Path::new("");
        if spared.contains(top) {
            return;
        }
        let dressed = self.before.tree.find(top).and_then(|was| match was {
            Some(was) => dress_top(&self.now, &was),
            None => Ok(()),
        });
        if let Err(error) = dressed {
            failures.insert(top.to_owned(), said("give the folder its mode and time")(error));
        }
    }

    // === where it waits ===

    /// Copies what the run left there to where it waits, with the folders that it lies in.
    fn keep(&self, one: &Difference) -> io::Result<()> {
        for folder in above(&one.path) {
            match self.now.find(&folder) {
                Ok(Some(found)) if found.is_folder() => {
                    self.make_waiting_folder(&folder, self.mode_of(&folder, found.mode))?;
                }
                // Behind what the run put in a folder's place nothing is left.
                Ok(_) => break,
                Err(error) => return Err(error),
            }
        }
        let Some(now) = one.now else { return Ok(()) };
        if now.is_folder() {
            return self.make_waiting_folder(&one.path, self.mode_of(&one.path, now.mode));
        }
        let (parent, name) = self.left.parent(&one.path)?;
        match rustix::fs::unlinkat(&parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        match now.kind {
            Kind::Link => Ok(rustix::fs::symlinkat(self.now.link(&one.path)?, parent, name)?),
            Kind::File if now.stamp.size <= LARGEST => {
                let opened = open_up(&self.now, &one.path)?;
                let content = self.now.file(&one.path)?;
                let mut fresh = copy::create(&self.left, &one.path)?;
                copy::copy_content(&content, &mut fresh)?;
                drop(fresh);
                let found = crate::workspace::beneath::Found { mode: opened.unwrap_or(now.mode), ..now };
                let path = one.path.clone();
                let entry = Entry { path, found, target: None, copied: None, late: false };
                copy::finish(&self.left, &entry)
            }
            Kind::File | Kind::Special { .. } | Kind::Folder => Ok(()),
        }
    }

    fn make_waiting_folder(&self, path: &Path, mode: u32) -> io::Result<()> {
        let (parent, name) = self.left.parent(path)?;
        match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        // Whatever else is to lie in it must find its way.
        set_mode(&self.left, path, Kind::Folder, mode | 0o700)
    }

    // === the journal ===

    fn journal(&self) -> PathBuf {
        self.place.join("undoing")
    }

    /// Names what will lie beside its place for a moment.
    fn announce(&self, taken: &[Difference]) -> io::Result<BTreeMap<PathBuf, String>> {
        let mut chance = [0u8; 8];
        getrandom::fill(&mut chance).map_err(|error| io::Error::other(error.to_string()))?;
        let chance = crate::workspace::sides::hex(&chance);
        let name = |(index, one): (usize, &Difference)| {
            (one.path.clone(), format!(".provost-undo-{chance}-{index}"))
        };
        let temps: BTreeMap<PathBuf, String> = taken.iter().enumerate().map(name).collect();
        let mut list: Vec<Temp> = temps
            .iter()
            .map(|(path, name)| Temp { path: path.as_path().into(), name: name.clone() })
            .collect();
        // What an undo before this one had begun stays known until all is done.
        let begun = self.begun.iter().filter(|path| !temps.contains_key(*path));
        let nothing = format!(".provost-undo-{chance}");
        list.extend(begun.map(|path| Temp { path: path.as_path().into(), name: nothing.clone() }));
        let fresh = self.place.join("undoing.new");
        let mut file = File::create(&fresh)?;
        io::Write::write_all(&mut file, &serde_json::to_vec(&list)?)?;
        file.sync_data()?;
        std::fs::rename(fresh, self.journal())?;
        File::open(&self.place)?.sync_all()?;
        Ok(temps)
    }

    /// Clears what an undo that was cut short left beside places. Doing it again finishes it.
    pub(crate) fn tidy(&mut self) -> io::Result<()> {
        let text = match std::fs::read(self.journal()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            text => text?,
        };
        let list: Vec<Temp> = serde_json::from_slice(&text)?;
        for Temp { path, name } in list {
            let path = path.to_path();
            for folder in above(&path) {
                self.let_in(&folder);
            }
            clear(&self.now, &path, &name, |beside| self.is_kept(&path, beside));
            self.begun.extend(above(&path));
            self.begun.insert(path);
        }
        Ok(())
    }

    /// Whether an undo that was cut short may have left something half dressed there.
    pub(crate) fn has_begun(&self, one: &Difference) -> bool {
        one.is_dress && self.begun.contains(&one.path)
    }

    /// Whether what lies beside a place is what was there before, or what waits.
    fn is_kept(&self, path: &Path, beside: &Path) -> bool {
        let is_same = |known: &Root| -> io::Result<bool> {
            let (one, other) = (known.find(path)?, self.now.find(beside)?);
            let (Some(one), Some(other)) = (one, other) else { return Ok(false) };
            Ok(match (one.kind, other.kind) {
                (Kind::File, Kind::File) => same(&mut known.file(path)?, &mut self.now.file(beside)?)?,
                (Kind::Link, Kind::Link) => known.link(path)? == self.now.link(beside)?,
                (Kind::Special { .. }, Kind::Special { .. }) => true,
                _ => false,
            })
        };
        // One that was being written is a beginning of what is kept.
        let is_beginning = || -> io::Result<bool> {
            let (parent, name) = self.now.parent(beside)?;
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let fresh = File::from(rustix::fs::openat(parent, name, flags, Mode::empty())?);
            let length = fresh.metadata()?.len();
            let known = self.before.tree.file(path)?;
            let zeros = fresh.metadata()?.is_file() && length <= known.metadata()?.len();
            Ok(zeros && begins_alike(known, fresh)?)
        };
        [is_same(&self.before.tree), is_same(&self.left), is_beginning()]
            .into_iter()
            .any(|is| is.unwrap_or(false))
    }
}

/// Whether a file that was cut short while it was copied holds nothing but what the other holds there, or holes.
fn begins_alike(known: File, fresh: File) -> io::Result<bool> {
    let (mut known, mut fresh) = (io::BufReader::new(known), io::BufReader::new(fresh));
    loop {
        let (mut one, mut other) = (vec![0u8; 65_536], vec![0u8; 65_536]);
        let read = io::Read::read(&mut fresh, &mut other)?;
        if read == 0 {
            return Ok(true);
        }
        io::Read::read_exact(&mut known, one.get_mut(..read).unwrap_or_default())?;
        let pairs = one.iter().zip(&other).take(read);
        if pairs.into_iter().any(|(known, fresh)| fresh != known && *fresh != 0) {
            return Ok(false);
        }
    }
}
