//! What a person rejected, remembered by its content, so that it is known when a later run brings it again.
//!
//! Owns the list of a workspace (`workspaces/<w>/rejected` in the state folder, an object a line) and what counts as the
//! same: a hunk with the same removed and added lines, in whatever file; one whose added lines were all rejected, or that
//! holds all of them beside others, in that file; for what has no lines, the same content at the same path. Does not own
//! what becomes of it (`land`).

use std::collections::BTreeSet;
use std::fs::DirBuilder;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ledger::event::OsText;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::beneath::digest;
use super::change::{FileChange, Side, What};
use super::hunk::{Hunk, Line, Mark};
use super::sides::{Sides, hex};

/// Bytes of the shortest line that tells one edit from another.
const TELLING: usize = 4;

/// What was rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rejection {
    /// SHA-256 of it, in hex.
    pub(crate) digest: String,
    /// Where it was.
    path: OsText,
    /// The lines that it would have added, each by the beginning of its SHA-256.
    #[serde(default)]
    lines: BTreeSet<String>,
    /// Why.
    pub(crate) why: String,
}

/// All that was rejected in a workspace.
#[derive(Debug, Default)]
pub(crate) struct Rejected {
    place: PathBuf,
    known: Vec<Rejection>,
}

impl Rejection {
    /// One hunk.
    pub(crate) fn of_hunk(path: &Path, hunk: &Hunk, why: &str) -> Rejection {
        let (path, lines) = (path.into(), added(&hunk.lines));
        Rejection { digest: edit(&hunk.lines), path, lines, why: why.to_owned() }
    }

    /// A file that has no hunks.
    pub(crate) fn of_file(sides: &Sides, file: &FileChange, why: &str) -> io::Result<Rejection> {
        let (digest, path) = (whole(sides, file)?, file.path.as_path().into());
        Ok(Rejection { digest, path, lines: BTreeSet::new(), why: why.to_owned() })
    }
}

impl Rejected {
    /// Reads the list. One that is not there is empty.
    pub(crate) fn read(place: PathBuf) -> io::Result<Rejected> {
        let text = match std::fs::read(&place) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        // A last line without its end was being written when the power failed.
        let whole = text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
        let known = whole.map(serde_json::from_slice).collect::<Result<_, _>>()?;
        Ok(Rejected { place, known })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Remembers more.
    pub(crate) fn add(&mut self, more: Vec<Rejection>) -> io::Result<()> {
        self.known.retain(|known| !more.iter().any(|new| new.digest == known.digest));
        self.known.extend(more);
        self.write()
    }

    /// Forgets what was accepted after all.
    pub(crate) fn forget(&mut self, path: &Path, hunks: &[&Hunk]) -> io::Result<()> {
        let before = self.known.len();
        for hunk in hunks {
            while let Some(at) = self.place_of(path, hunk) {
                self.known.remove(at);
            }
        }
        if self.known.len() == before { Ok(()) } else { self.write() }
    }

    /// Forgets a file without hunks that was accepted after all.
    pub(crate) fn forget_file(&mut self, sides: &Sides, file: &FileChange) -> io::Result<()> {
        let digest = whole(sides, file)?;
        let before = self.known.len();
        self.known.retain(|known| known.digest != digest);
        if self.known.len() == before { Ok(()) } else { self.write() }
    }

    /// Why a hunk was rejected, if it was, or what it is made of.
    pub(crate) fn why_hunk(&self, path: &Path, hunk: &Hunk) -> Option<&str> {
        self.place_of(path, hunk).and_then(|at| self.known.get(at)).map(|known| known.why.as_str())
    }

    fn place_of(&self, path: &Path, hunk: &Hunk) -> Option<usize> {
        if self.known.is_empty() {
            return None;
        }
        let (digest, lines, path) = (edit(&hunk.lines), added(&hunk.lines), OsText::from(path));
        self.known.iter().position(|known| {
            let both = !lines.is_empty() && !known.lines.is_empty() && known.path == path;
            known.digest == digest
                || (both && (lines.is_subset(&known.lines) || known.lines.is_subset(&lines)))
        })
    }

    /// Why a file without hunks was rejected, if it was.
    pub(crate) fn why_file(&self, sides: &Sides, file: &FileChange) -> Option<&str> {
        if self.known.is_empty() {
            return None;
        }
        let digest = whole(sides, file).ok()?;
        self.known.iter().find(|known| known.digest == digest).map(|known| known.why.as_str())
    }

    fn write(&self) -> io::Result<()> {
        if let Some(folder) = self.place.parent() {
            DirBuilder::new().mode(0o700).recursive(true).create(folder)?;
        }
        let mut fresh = self.place.clone().into_os_string();
        fresh.push(format!(".{}", std::process::id()));
        let mut file =
            std::fs::File::options().mode(0o600).write(true).create(true).truncate(true).open(&fresh)?;
        for known in &self.known {
            serde_json::to_writer(&mut file, known)?;
            file.write_all(b"\n")?;
        }
        file.sync_all()?;
        std::fs::rename(fresh, &self.place)
    }
}

/// The digest of an edit: what it removes and adds, not where.
fn edit(lines: &[Line]) -> String {
    let mut hasher = Sha256::new();
    for line in lines {
        let tag = match line.mark {
            Mark::Same => continue,
            Mark::Removed => b'-',
            Mark::Added => b'+',
        };
        hasher.update([tag]);
        hasher.update((line.text.len() as u64).to_le_bytes());
        hasher.update(&line.text);
    }
    hex(&hasher.finalize())
}

/// The added lines that tell one edit from another: not closing brackets and empty lines.
fn added(lines: &[Line]) -> BTreeSet<String> {
    let added = lines.iter().filter(|line| line.mark == Mark::Added).map(|line| line.text.trim_ascii());
    added
        .filter(|text| text.len() >= TELLING)
        .map(|text| hex(Sha256::digest(text).get(..8).unwrap_or_default()))
        .collect()
}

/// The digest of what the run made of a file that has no hunks.
fn whole(sides: &Sides, file: &FileChange) -> io::Result<String> {
    let mut hasher = Sha256::new();
    hasher.update(file.path.as_os_str().as_bytes());
    match &file.post {
        None => hasher.update(b"\0gone"),
        Some(Side { what: What::File(_), mode }) => {
            hasher.update(format!("\0file {mode:o} "));
            hasher.update(digest(&mut sides.after(&file.path)?)?);
        }
        Some(Side { what: What::Link(target), .. }) => {
            hasher.update(b"\0link ");
            hasher.update(target.as_os_str().as_bytes());
        }
        Some(Side { what: What::Folder, mode }) => hasher.update(format!("\0folder {mode:o}")),
        Some(Side { what: What::Special, .. }) => hasher.update(b"\0special"),
    }
    Ok(hex(&hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use super::super::hunk::hunks;
    use super::*;

    fn hunk(before: &str, after: &str) -> Hunk {
        hunks(Path::new("a"), before.as_bytes(), after.as_bytes()).remove(0)
    }

    #[test]
    fn a_rejected_edit_is_known_again_whole_in_pieces_and_with_more_around_it() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("workspaces/w/rejected");
        let mut rejected = Rejected::read(place.clone()).unwrap();
        let (here, elsewhere) = (Path::new("a"), Path::new("b"));
        let whole = hunk("x\n", "x\nsend(all)\nhide(it)\n");
        rejected.add(vec![Rejection::of_hunk(here, &whole, "no sending")]).unwrap();
        let mut rejected = Rejected::read(place.clone()).unwrap();
        let why = |path, hunk: &Hunk| rejected.why_hunk(path, hunk).map(str::to_owned);
        let known = Some("no sending".to_owned());
        assert_eq!(why(here, &whole), known);
        assert_eq!(why(elsewhere, &hunk("y\n", "y\nsend(all)\nhide(it)\n")), known);
        assert_eq!(why(here, &hunk("x\n", "x\n  send(all)\n")), known);
        assert_eq!(why(here, &hunk("x\n", "x\nfine()\nsend(all)\nhide(it)\n")), known);
        assert_eq!(why(elsewhere, &hunk("x\n", "x\nsend(all)\n")), None);
        assert_eq!(why(here, &hunk("x\n", "x\nfine()\n}\n")), None);
        assert_eq!(why(here, &hunk("x\n}\n", "x\n")), None);
        rejected.forget(here, &[&whole]).unwrap();
        assert!(Rejected::read(place).unwrap().is_empty());
    }
}
