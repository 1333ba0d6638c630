//! The files of a cassette.
//!
//! Owns the folder (nobody else's, 0700; files 0600), its append-only list of lines, and its blobs, each once. What a line names is
//! written before it. Does not own what is written (`writer`).

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

pub(super) const EVENTS: &str = "events.jsonl";
pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const BLOBS: &str = "blobs";

/// Bytes of the disk that are left to others.
const LEFT: u64 = 256 << 20;

/// Where a cassette is written to.
pub trait Store: Send {
    /// Appends lines.
    ///
    /// # Errors
    /// The disk refuses.
    fn lines(&mut self, lines: &[u8]) -> io::Result<()>;
    /// Keeps a blob by its name; whether it is new.
    ///
    /// # Errors
    /// The disk refuses.
    fn blob(&mut self, name: &str, bytes: &[u8]) -> io::Result<bool>;
    /// Puts this in the place of the manifest, everything before it durably.
    ///
    /// # Errors
    /// The disk refuses.
    fn manifest(&mut self, text: &[u8]) -> io::Result<()>;
}

/// A folder.
#[derive(Debug)]
pub struct Folder {
    dir: PathBuf,
    events: File,
    /// Bytes of lines that are whole.
    whole: u64,
}

impl Folder {
    /// Makes one that is not there yet.
    ///
    /// # Errors
    /// The disk refuses, or it is there.
    pub fn create(dir: &Path) -> io::Result<Folder> {
        DirBuilder::new().mode(0o700).create(dir)?;
        DirBuilder::new().mode(0o700).create(dir.join(BLOBS))?;
        let events = fresh(&dir.join(EVENTS))?;
        Ok(Folder { dir: dir.to_owned(), events, whole: 0 })
    }

    /// Whether there is room for so much, and for others.
    fn room(&self, bytes: usize) -> io::Result<()> {
        let disk = rustix::fs::fstatvfs(&self.events)?;
        match disk.f_bavail.saturating_mul(disk.f_frsize) < LEFT + bytes as u64 {
            true => Err(io::Error::new(io::ErrorKind::StorageFull, "the disk is all but full")),
            false => Ok(()),
        }
    }
}

impl Store for Folder {
    fn lines(&mut self, lines: &[u8]) -> io::Result<()> {
        self.room(lines.len())?;
        // What did not fit whole is taken back, so that the digest over the lines is that of the file.
        self.events.write_all(lines).inspect_err(|_| drop(self.events.set_len(self.whole)))?;
        self.whole += lines.len() as u64;
        Ok(())
    }

    fn blob(&mut self, name: &str, bytes: &[u8]) -> io::Result<bool> {
        self.room(bytes.len())?;
        let path = blob(&self.dir, name);
        let mut file = match fresh(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let shelf = path.parent().unwrap_or(&self.dir);
                DirBuilder::new().mode(0o700).create(shelf)?;
                fresh(&path)?
            }
            other => other?,
        };
        file.write_all(bytes).inspect_err(|_| drop(fs::remove_file(&path)))?;
        Ok(true)
    }

    fn manifest(&mut self, text: &[u8]) -> io::Result<()> {
        self.events.sync_all()?;
        let (next, place) = (self.dir.join(".manifest"), self.dir.join(MANIFEST));
        let mut file = fresh(&next)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(next, place)?;
        File::open(&self.dir)?.sync_all()
    }
}

fn fresh(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)
}

/// Where the blob of that name lies.
pub(super) fn blob(dir: &Path, name: &str) -> PathBuf {
    dir.join(BLOBS).join(name.get(..2).unwrap_or("__")).join(name)
}
