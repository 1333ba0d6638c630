//! What somebody changes in a workspace while a run goes on, outside.
//!
//! Owns: noticing it and saying which names. The kernel tells in which folders something happened, at no cost while
//! nothing does; of a workspace with more folders than that is good for, everything is looked at from time to time, and
//! the pauses grow with what a look costs. Git's own files and what git ignores are not spoken of. Does not own what the
//! run sees of it (sandbox), nor whether it is in the way of landing (`land`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};
use rustix::fs::{Stat, inotify};
use rustix::io::Errno;

use super::base::{Base, is_git};
use super::beneath::{Found, Root, find_in};
use super::ignored::Ignored;
use super::sides::Sides;
use super::{StageError, Workspace, io_error};

/// Folders that are listened to at most: the person's editors listen too, and share one allowance of the kernel.
const FOLDERS: usize = 4096;
/// A look at everything takes at most this part of one processor.
const PART: u32 = 50;
/// The least pause between two looks at everything.
const LEAST: Duration = Duration::from_secs(1);

/// Notices what changes in a workspace.
#[derive(Debug)]
pub struct Moves {
    root: PathBuf,
    now: Root,
    base: Arc<Base>,
    base_dir: PathBuf,
    /// What stands where something changed since the run began, as far as it was told.
    told: BTreeMap<PathBuf, Option<Found>>,
    ears: Ears,
}

/// How it is noticed.
#[derive(Debug)]
enum Ears {
    /// The kernel says in which folders something happened.
    Open { kernel: OwnedFd, folders: HashMap<i32, PathBuf>, heard: BTreeSet<PathBuf> },
    /// Everything is looked at, from then on.
    Looks { next: Instant },
}

impl Workspace {
    /// Begins to notice what is changed outside. Waits until it is known what was there when the run began.
    ///
    /// # Errors
    /// It is not known, or the folder cannot be opened.
    pub fn moves(&self) -> Result<Moves, StageError> {
        let (base, base_dir) = (self.base()?, self.run_dir.join("base"));
        let now = Root::open(&self.root).map_err(io_error("open", &self.root))?;
        let looks = Ears::Looks { next: Instant::now() };
        let mut moves =
            Moves { root: self.root.clone(), now, base, base_dir, told: BTreeMap::new(), ears: looks };
        if let Ok(Some(ears)) = moves.listen() {
            moves.ears = ears;
        }
        Ok(moves)
    }
}

impl Workspace {
    /// Whether what stands at a path is what is seen there through a layer.
    #[must_use]
    pub(crate) fn is_alike(stands: Option<&Found>, seen: Option<&Stat>) -> bool {
        let seen = seen.map(Found::of);
        match (stands, seen) {
            (None, None) => true,
            (Some(stands), Some(seen)) if stands.is_folder() => seen.is_folder(),
            (Some(stands), Some(seen)) => {
                let known = (stands.kind, stands.mode, stands.stamp.size, stands.stamp.mtime);
                known == (seen.kind, seen.mode, seen.stamp.size, seen.stamp.mtime)
            }
            _ => false,
        }
    }
}

impl Moves {
    /// Listens in every folder that is somebody's to edit in; not at all where they are too many.
    fn listen(&self) -> io::Result<Option<Ears>> {
        let sides = Sides::at_the_start(Root::open(&self.root)?, Arc::clone(&self.base), &self.base_dir)?;
        let mut ignored = Ignored::new(&sides, &self.root);
        let folders =
            self.base.entries.iter().filter(|entry| entry.found.is_folder() && !is_git(&entry.path));
        let folders: Vec<&Path> = folders
            .filter(|entry| !ignored.is_ignored(&entry.path, true))
            .map(|entry| entry.path.as_path())
            .collect();
        if folders.len() >= FOLDERS {
            return Ok(None);
        }
        let kernel = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let mut known = HashMap::new();
        for folder in std::iter::once(Path::new("")).chain(folders) {
            match watch(&kernel, &self.root.join(folder)) {
                Ok(number) => drop(known.insert(number, folder.to_owned())),
                // It is gone already, which the first look tells.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // What happened before the kernel listened is found by a first look everywhere.
        let heard = known.values().cloned().collect();
        Ok(Some(Ears::Open { kernel, folders: known, heard }))
    }

    /// What becomes readable when something happens, if the kernel tells.
    #[must_use]
    pub fn bell(&self) -> Option<BorrowedFd<'_>> {
        match &self.ears {
            Ears::Open { kernel, .. } => Some(kernel.as_fd()),
            Ears::Looks { .. } => None,
        }
    }

    /// How long to wait before it is worth asking, if the kernel does not tell.
    #[must_use]
    pub fn pause(&self) -> Option<Duration> {
        match &self.ears {
            Ears::Open { .. } => None,
            Ears::Looks { next } => Some(next.saturating_duration_since(Instant::now())),
        }
    }

    /// Whether something may have happened since [`Moves::moved`].
    pub fn hears(&mut self) -> bool {
        let Ears::Open { kernel, folders, heard } = &mut self.ears else {
            return self.pause().is_some_and(|pause| pause.is_zero());
        };
        let mut space = [MaybeUninit::uninit(); 16 << 10];
        let mut events = inotify::Reader::new(kernel.as_fd(), &mut space);
        loop {
            match events.next() {
                Ok(event) if event.events().contains(inotify::ReadFlags::QUEUE_OVERFLOW) => {
                    // So much at once is a build or another branch: what was missed is found by looking.
                    self.ears = Ears::Looks { next: Instant::now() };
                    return true;
                }
                Ok(event) => {
                    let own = event.file_name().is_some_and(|name| name.to_bytes().starts_with(OWN));
                    if let Some(folder) = folders.get(&event.wd()).filter(|_| !own) {
                        heard.insert(folder.clone());
                    }
                }
                Err(Errno::INTR) => {}
                Err(_) => return !heard.is_empty(),
            }
        }
    }

    /// What stands differently than when it was last asked, by name. What is told once is told again when it changes
    /// again.
    ///
    /// # Errors
    /// The folder cannot be looked at.
    pub fn moved(&mut self) -> io::Result<Vec<PathBuf>> {
        self.hears();
        let mut moved = BTreeSet::new();
        match &mut self.ears {
            Ears::Open { heard, .. } => {
                for folder in std::mem::take(heard) {
                    self.compare(&folder, &mut moved)?;
                }
            }
            Ears::Looks { .. } => {
                let began = Instant::now();
                self.compare_all(&mut moved)?;
                self.ears = Ears::Looks { next: Instant::now() + (began.elapsed() * PART).max(LEAST) };
            }
        }
        if moved.is_empty() {
            return Ok(Vec::new());
        }
        let sides = Sides::at_the_start(Root::open(&self.root)?, Arc::clone(&self.base), &self.base_dir)?;
        let mut ignored = Ignored::new(&sides, &self.root);
        Ok(moved.into_iter().filter(|path| !ignored.is_ignored(path, false)).collect())
    }

    /// What stands at these paths is known: we put it there.
    pub fn know(&mut self, paths: &[PathBuf]) {
        for path in paths.iter().flat_map(|path| path.ancestors()).filter(|path| !path.as_os_str().is_empty())
        {
            let found = self.now.find(path).ok().flatten();
            self.told.insert(path.to_owned(), found);
        }
    }

    /// What stands at a path now, as it is known; `None` if nothing.
    #[must_use]
    pub(crate) fn stands(&self, path: &Path) -> Option<Found> {
        match self.told.get(path) {
            Some(found) => *found,
            None => self.base.get(path).map(|entry| entry.found),
        }
    }

    /// Compares what lies in a folder with what is known of it, and all in folders that are new.
    fn compare(&mut self, folder: &Path, moved: &mut BTreeSet<PathBuf>) -> io::Result<()> {
        let names = match self.now.names(folder) {
            Ok(names) => names,
            // Gone with all in it, which the folder above tells.
            Err(_) => return Ok(()),
        };
        let held = self.now.folder(folder)?;
        let mut there = BTreeSet::new();
        for name in names {
            let path = folder.join(&name);
            if is_git(&path) || name.as_encoded_bytes().starts_with(OWN) {
                continue;
            }
            let Some(found) = find_in(&held, &name)? else { continue };
            there.insert(path.clone());
            let is_new = !self.stands(&path).is_some_and(|known| known.is_folder());
            self.note(&path, Some(found), moved);
            if found.is_folder() && is_new {
                self.hear_in(&path);
                self.compare(&path, moved)?;
            }
        }
        for path in self.known_in(folder) {
            if !there.contains(&path) {
                self.gone(&path, moved);
            }
        }
        Ok(())
    }

    /// The same for all there is.
    fn compare_all(&mut self, moved: &mut BTreeSet<PathBuf>) -> io::Result<()> {
        let (all, _) = Base::look(&self.now, (i64::MAX, 0))?;
        for entry in all.entries.iter().filter(|entry| !is_git(&entry.path)) {
            self.note(&entry.path, Some(entry.found), moved);
        }
        let known: Vec<PathBuf> = self
            .base
            .entries
            .iter()
            .map(|entry| entry.path.clone())
            .chain(self.told.keys().cloned())
            .collect();
        for path in known.into_iter().filter(|path| !is_git(path) && all.get(path).is_none()) {
            self.note(&path, None, moved);
        }
        Ok(())
    }

    /// Takes down what stands at a path. Of a folder only its being there is told.
    fn note(&mut self, path: &Path, found: Option<Found>, moved: &mut BTreeSet<PathBuf>) {
        let same = match (self.stands(path), found) {
            (None, None) => true,
            (Some(known), Some(found)) if known.is_folder() && found.is_folder() => known.mode == found.mode,
            (Some(known), Some(found)) => {
                known.kind == found.kind && known.mode == found.mode && known.stamp == found.stamp
            }
            _ => false,
        };
        if !same {
            self.told.insert(path.to_owned(), found);
            moved.insert(path.to_owned());
        }
    }

    /// What is known to lie in a folder.
    fn known_in(&self, folder: &Path) -> Vec<PathBuf> {
        let is_in = |path: &Path| path.parent() == Some(folder) && !is_git(path);
        let base = self.base.beneath(folder).iter().map(|entry| entry.path.as_path());
        let told = self.told.range(folder.to_owned()..).map(|(path, _)| path.as_path());
        let told = told.take_while(|path| path.starts_with(folder));
        let known = base.chain(told).filter(|path| is_in(path) && self.stands(path).is_some());
        known.map(Path::to_owned).collect()
    }

    fn gone(&mut self, path: &Path, moved: &mut BTreeSet<PathBuf>) {
        for below in self.known_in(path) {
            self.gone(&below, moved);
        }
        self.note(path, None, moved);
    }

    /// Listens in a folder that is new. Where that cannot be done any more, everything is looked at.
    fn hear_in(&mut self, folder: &Path) {
        let Ears::Open { kernel, folders, .. } = &mut self.ears else { return };
        match watch(kernel, &self.root.join(folder)) {
            Ok(number) if folders.len() < FOLDERS => drop(folders.insert(number, folder.to_owned())),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => {}
            Ok(_) | Err(_) => self.ears = Ears::Looks { next: Instant::now() },
        }
    }
}

/// How what Provost makes ready beside its place is named.
const OWN: &[u8] = b".provost-landing-";

fn watch(kernel: &OwnedFd, folder: &Path) -> rustix::io::Result<i32> {
    use inotify::WatchFlags as On;
    let flags = On::CREATE | On::DELETE | On::MOVE | On::MODIFY | On::CLOSE_WRITE | On::ATTRIB;
    inotify::add_watch(kernel, folder, flags | On::ONLYDIR | On::DONT_FOLLOW | On::EXCL_UNLINK)
}

#[cfg(test)]
impl Moves {
    /// As where there are too many folders to listen in.
    pub(crate) fn deaf(self) -> Moves {
        Moves { ears: Ears::Looks { next: Instant::now() }, ..self }
    }
}
