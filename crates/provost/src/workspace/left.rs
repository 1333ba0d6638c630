//! What the run left, as it stood when the run was over: so that what lands is what was there to be looked at.
//!
//! Owns `base/left.json` in the run's folder, and telling whether something stands as it says. The staged folder is nobody's
//! but Provost's once the run is over; what changed in it since was looked at by nobody. Does not own what is put there on
//! purpose (`sides`).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use ledger::event::OsText;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::beneath::{Found, Kind, Moment, Root, digest};
use super::change::Change;
use super::now;
use super::sides::{LARGE, Sides, hex};

/// How each changed thing stands: as the run left it, and as Provost put it there since.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// When it was looked at. What had landed by then, and comes back by an undo, stands as it stood then.
    taken: Moment,
    marks: BTreeMap<PathBuf, Vec<Mark>>,
}

/// The same in `base/left.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    taken: Moment,
    marks: Vec<(OsText, Vec<Mark>)>,
}

/// What something is, in a line: kind, mode and content.
type Mark = String;

impl Left {
    /// Looks at all of a change that could land.
    pub(crate) fn of(sides: &Sides, change: &Change) -> io::Result<Left> {
        let files = change.files.iter().filter(|file| file.never.is_none());
        let marked = files.map(|file| Ok((file.path.clone(), vec![mark(&sides.left, &file.path)?])));
        Ok(Left { taken: now(), marks: marked.collect::<io::Result<_>>()? })
    }

    /// What is known; `None` for a run that was cut short before it was looked at.
    pub(crate) fn load(base_dir: &Path) -> io::Result<Option<Left>> {
        let text = match std::fs::read(base_dir.join(NAME)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let Saved { taken, marks } = serde_json::from_slice(&text)?;
        let marks = marks.into_iter().map(|(path, marks)| (path.to_path(), marks)).collect();
        Ok(Some(Left { taken, marks }))
    }

    pub(crate) fn save(&self, base_dir: &Path) -> io::Result<()> {
        let marks = self.marks.iter().map(|(path, marks)| (path.as_path().into(), marks.clone())).collect();
        let fresh = base_dir.join("left.new");
        std::fs::write(&fresh, serde_json::to_vec(&Saved { taken: self.taken, marks })?)?;
        std::fs::rename(fresh, base_dir.join(NAME))
    }

    /// Whether what the run left at a path is still that.
    pub(crate) fn holds(&self, left: &Root, path: &Path) -> bool {
        match self.marks.get(path) {
            Some(known) => mark(left, path).is_ok_and(|mark| known.contains(&mark)),
            // It was no change then: it had landed. Nobody restores the moment at which something changed.
            None => left.find(path).ok().flatten().is_some_and(|found| found.stamp.ctime <= self.taken),
        }
    }

    /// Says that this text will be at a path too, on purpose.
    pub(crate) fn expect(base_dir: &Path, path: &Path, text: &[u8], mode: u32) -> io::Result<()> {
        let Some(mut left) = Left::load(base_dir)? else { return Ok(()) };
        let mark = match text.len() as u64 > LARGE {
            // Its bookkeeping is not known before it is there; it is no text that is ever brought together.
            true => return Err(io::Error::from(Errno::FBIG)),
            false => file_mark(mode, &Sha256::digest(text)),
        };
        let known = left.marks.entry(path.to_owned()).or_default();
        if known.contains(&mark) {
            return Ok(());
        }
        known.push(mark);
        left.save(base_dir)
    }

    /// The digest by which events name what is at a path, if it has one.
    pub(crate) fn digest(&self, path: &Path) -> Option<String> {
        let mark = self.marks.get(path)?.first()?;
        let (kind, digest) = (mark.split(' ').next()?, mark.rsplit(' ').next()?);
        ["file", "link"].contains(&kind).then(|| digest.to_owned())
    }
}

const NAME: &str = "left.json";

fn mark(left: &Root, path: &Path) -> io::Result<Mark> {
    let found = match left.find(path) {
        // Behind a link nothing of the run's is.
        Err(error) if Errno::from_io_error(&error) == Some(Errno::LOOP) => None,
        found => found?,
    };
    let Some(Found { kind, mode, stamp, .. }) = found else { return Ok("nothing".to_owned()) };
    Ok(match kind {
        Kind::Special { whiteout: true } => "nothing".to_owned(),
        Kind::Special { whiteout: false } => "special".to_owned(),
        Kind::Folder => format!("folder {mode:o}"),
        Kind::Link => {
            let target = left.link(path)?;
            format!("link {}", hex(&Sha256::digest(target.as_os_str().as_encoded_bytes())))
        }
        // What is too large to be shown is told by its bookkeeping: nobody restores the last part of that.
        Kind::File if stamp.size > LARGE => {
            let ((mtime, ctime), size) = ((stamp.mtime, stamp.ctime), stamp.size);
            format!("large {mode:o} {} {size} {mtime:?} {ctime:?}", stamp.ino)
        }
        Kind::File => match left.file(path).and_then(|mut file| digest(&mut file)) {
            Ok(digest) => file_mark(mode, &digest),
            // What cannot be read does not land either.
            Err(_) => format!("shut {mode:o}"),
        },
    })
}

fn file_mark(mode: u32, digest: &[u8]) -> Mark {
    format!("file {mode:o} {}", hex(digest))
}
