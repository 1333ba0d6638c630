//! The two sides of a change: what was there when the run began, and what the run left.
//!
//! Owns: reading either side's contents, whether the repository has moved since, and keeping contents that would be lost
//! if it did (`base/kept`). Does not own what differs (`change`).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledger::event::OsText;
use rustix::io::Errno;
use sandbox::plan::Stage;
use sha2::{Digest as _, Sha256};

use super::base::{Base, Entry};
use super::beneath::{self, Digest, Found, Kind, Root};
use super::blob::Index;
use super::copy;
use super::left::Left;

/// Contents larger than this are not kept ahead of landing, and not compared line by line. In bytes.
pub(crate) const LARGE: u64 = 4 << 20;

/// Both sides, held open.
#[derive(Debug)]
pub(crate) struct Sides {
    /// The workspace as it stands now.
    pub(crate) now: Root,
    /// What the run left: an overlay's upper layer, or a copy.
    pub(crate) left: Root,
    pub(crate) is_overlay: bool,
    /// Whether what the run left is a copy of it, while the run goes on.
    pub(crate) frozen: bool,
    pub(crate) base: Arc<Base>,
    kept: PathBuf,
    digests: BTreeMap<PathBuf, Digest>,
}

impl Sides {
    pub(crate) fn open(root: &Path, stage: &Stage, base: Arc<Base>, base_dir: &Path) -> io::Result<Sides> {
        let (left, is_overlay) = match stage {
            Stage::Overlay { upper, .. } => (upper, true),
            Stage::Copy { from } => (from, false),
        };
        let left = Root::open(&std::fs::canonicalize(left)?)?;
        let kept = base_dir.join("kept");
        let digests = read_digests(&kept)?;
        Ok(Sides { now: Root::open(root)?, left, is_overlay, frozen: false, base, kept, digests })
    }

    /// When a run begins: it has left nothing.
    pub(crate) fn at_the_start(now: Root, base: Arc<Base>, base_dir: &Path) -> io::Result<Sides> {
        let kept = base_dir.join("kept");
        std::fs::create_dir_all(&kept)?;
        let left = Root::open(&std::fs::canonicalize(&kept)?)?;
        Ok(Sides { now, left, is_overlay: true, frozen: false, base, kept, digests: BTreeMap::new() })
    }

    /// Gets back from git what was at these paths, where nothing else has it any more. Whether there was anything to get.
    pub(crate) fn recall(&mut self, root: &Path, paths: &[&Path]) -> io::Result<bool> {
        let base = Arc::clone(&self.base);
        let lost = paths.iter().filter_map(|path| base.get(path));
        let lost = lost.filter(|entry| entry.found.kind == Kind::File && !entry.late);
        let lost: Vec<&Entry> = lost.filter(|entry| !self.digests.contains_key(&entry.path)).collect();
        if lost.is_empty() {
            return Ok(false);
        }
        let known = self.digests.len();
        std::fs::create_dir_all(&self.kept)?;
        let index = Index::load(root, self.kept.parent().unwrap_or(Path::new("")))?;
        index.read(root, &lost, |entry, content| {
            let digest: Digest = Sha256::digest(content).into();
            let fresh = self.kept.join("fresh");
            std::fs::write(&fresh, content)?;
            std::fs::rename(fresh, self.kept.join(hex(&digest)))?;
            self.digests.insert(entry.path.clone(), digest);
            Ok(())
        })?;
        write_digests(&self.kept, &self.digests)?;
        Ok(self.digests.len() > known)
    }

    /// What was at a path.
    pub(crate) fn was(&self, path: &Path) -> Option<&Entry> {
        self.base.get(path)
    }

    /// Whether what was at a path stands there still, as far as bookkeeping tells.
    pub(crate) fn is_untouched(&self, entry: &Entry) -> bool {
        let now = self.now.find(&entry.path).ok().flatten();
        now.is_some_and(|now| Base::is_untouched(entry, &now))
    }

    /// The content that was at a path when the run began; `None` if it is gone.
    pub(crate) fn before(&self, entry: &Entry) -> io::Result<Option<File>> {
        if self.is_untouched(entry) {
            return self.now.file(&entry.path).map(Some);
        }
        match self.digests.get(&entry.path) {
            Some(digest) => absent_is_none(File::open(self.kept.join(hex(digest)))),
            None => Ok(None),
        }
    }

    /// The digest of the content that was at a path; `None` if it cannot be told any more.
    pub(crate) fn digest_before(&self, entry: &Entry) -> io::Result<Option<Digest>> {
        if let Some(digest) = self.digests.get(&entry.path) {
            return Ok(Some(*digest));
        }
        self.before(entry)?.map(|mut file| beneath::digest(&mut file)).transpose()
    }

    /// The content that the run left at a path.
    pub(crate) fn after(&self, path: &Path) -> io::Result<File> {
        self.left.file(path)
    }

    /// Puts another text in the place of what the run left at a path, in one step. Its mode stays.
    pub(crate) fn leave(&self, path: &Path, text: &[u8]) -> io::Result<()> {
        let found = self.left.find(path)?.ok_or(io::ErrorKind::NotFound)?;
        std::fs::create_dir_all(&self.kept)?;
        let fresh = self.kept.join("merged");
        std::fs::write(&fresh, text)?;
        let file = File::options().write(true).open(&fresh)?;
        rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(found.mode))?;
        file.sync_all()?;
        // ORDER: it is known before it is there, so that a crash in between leaves nothing that nobody knows.
        Left::expect(self.kept.parent().unwrap_or(&self.kept), path, text, found.mode)?;
        let (parent, name) = self.left.parent(path)?;
        Ok(rustix::fs::renameat(rustix::fs::CWD, &fresh, parent, name)?)
    }

    /// Keeps the content that was at these paths, and its digest, so that both outlast a move of the repository.
    pub(crate) fn keep<'a>(&mut self, paths: impl Iterator<Item = &'a Path>) -> io::Result<()> {
        std::fs::create_dir_all(&self.kept)?;
        for path in paths {
            let Some(entry) = self.base.get(path) else { continue };
            if self.digests.contains_key(path) || !self.is_untouched(entry) {
                continue;
            }
            let file = self.now.file(path)?;
            let digest = keep_content(&file, &self.kept, entry.found.stamp.size <= LARGE)?;
            // ORDER: looked at again after it was read, so that what was read is what was there.
            if self.is_untouched(entry) {
                self.digests.insert(path.to_owned(), digest);
            }
        }
        write_digests(&self.kept, &self.digests)
    }

    /// Forgets the digests of what was at these paths: something else is there now, on purpose.
    pub(crate) fn forget<'a>(&mut self, paths: impl Iterator<Item = &'a Path>) -> io::Result<()> {
        let known = self.digests.len();
        for path in paths {
            self.digests.remove(path);
        }
        if self.digests.len() == known { Ok(()) } else { write_digests(&self.kept, &self.digests) }
    }

    /// How what the run left at a path stands.
    pub(crate) fn stands_left(&self, path: &Path) -> Option<beneath::Stamp> {
        self.left.find(path).ok().flatten().map(|left| left.stamp)
    }

    /// Whether the run has put something of its own at a path, or hides what is there.
    pub(crate) fn is_touched(&self, path: &Path) -> bool {
        if !self.is_overlay {
            let given = self.was(path).and_then(|was| was.copied);
            let left = self.left.find(path).ok().flatten();
            return left.map(|left| left.stamp) != given && !left.is_some_and(|left| left.is_folder());
        }
        let mut steps: Vec<&Path> = path.ancestors().filter(|step| !step.as_os_str().is_empty()).collect();
        steps.reverse();
        for step in steps {
            match self.left.find(step) {
                Ok(Some(found)) if found.is_folder() && step != path => {
                    if self.left.is_opaque(step).unwrap_or(true) {
                        return true;
                    }
                }
                Ok(Some(found)) => return !found.is_folder(),
                Ok(None) => return false,
                Err(_) => return true,
            }
        }
        false
    }

    /// What the run left at a path. Behind a link that it made nothing of its is.
    pub(crate) fn left_at(&self, path: &Path) -> io::Result<Option<Found>> {
        match self.left.find(path) {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::LOOP) => Ok(None),
            found => found,
        }
    }

    /// Whether the agent saw a folder at a path when the run ended.
    pub(crate) fn shows_folder(&self, path: &Path) -> io::Result<bool> {
        if !self.is_overlay {
            return Ok(self.left_at(path)?.is_some_and(|found| found.is_folder()));
        }
        let mut hidden = false;
        let mut steps: Vec<&Path> = path.ancestors().filter(|step| !step.as_os_str().is_empty()).collect();
        steps.reverse();
        for step in steps {
            match self.left.find(step)? {
                Some(found) if found.is_folder() => hidden = hidden || self.left.is_opaque(step)?,
                Some(_) => return Ok(false),
                // Nothing of the run lies deeper: what was there shows through.
                None => return Ok(!hidden && self.was(path).is_some_and(|was| was.found.is_folder())),
            }
        }
        Ok(true)
    }
}

/// Digests a content and, if asked, keeps it in a folder under the name of its digest. It is not synced.
pub(crate) fn keep_content(from: &File, folder: &Path, keep: bool) -> io::Result<Digest> {
    let digest = beneath::digest(&mut from.try_clone()?)?;
    let place = folder.join(hex(&digest));
    if keep && !place.exists() {
        let fresh = folder.join("fresh");
        let mut to = File::create(&fresh)?;
        copy::copy_content(from, &mut to)?;
        std::fs::rename(fresh, place)?;
    }
    Ok(digest)
}

/// The whole content, unless it is too large to be looked at line by line.
pub(crate) fn read_small(file: &File) -> io::Result<Option<Vec<u8>>> {
    let mut content = Vec::new();
    file.take(LARGE + 1).read_to_end(&mut content)?;
    Ok((content.len() as u64 <= LARGE).then_some(content))
}

/// A digest as events and file names have it.
pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Digest> {
    let bytes: Option<Vec<u8>> =
        (0..text.len() / 2).map(|at| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()).collect();
    bytes?.try_into().ok()
}

fn absent_is_none<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

fn read_digests(folder: &Path) -> io::Result<BTreeMap<PathBuf, Digest>> {
    let Some(text) = absent_is_none(std::fs::read(folder.join("digests.json")))? else {
        return Ok(BTreeMap::new());
    };
    let list: Vec<(OsText, String)> = serde_json::from_slice(&text)?;
    let read = list.into_iter().map(|(path, digest)| Some((path.to_path(), unhex(&digest)?)));
    read.collect::<Option<_>>().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

fn write_digests(folder: &Path, digests: &BTreeMap<PathBuf, Digest>) -> io::Result<()> {
    let list: Vec<(OsText, String)> =
        digests.iter().map(|(path, digest)| (path.as_path().into(), hex(digest))).collect();
    let fresh = folder.join("digests.new");
    std::fs::write(&fresh, serde_json::to_vec(&list)?)?;
    std::fs::rename(fresh, folder.join("digests.json"))
}
