//! Who works in a folder: a run in direct mode has it, with all folders in it and around it, for itself.
//!
//! Owns: the locks by which runs, landings and undos of the same or of nested folders know of one another. They are the
//! kernel's, and go with the process. Does not own who gives up: whoever comes second.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::workspace::place;

/// A claim on a folder. It ends with it.
#[derive(Debug)]
pub struct Claim {
    _lock: File,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum InUse {
    /// A run in direct mode has the folder.
    #[error("a run in direct mode is at work in `{}`", .0.display())]
    Direct(PathBuf),
    /// Somebody works there who must not be disturbed by direct writes.
    #[error("another run, or a landing, is at work in `{}`", .0.display())]
    Others(PathBuf),
    /// The locks cannot be used.
    #[error("cannot tell who works in `{}`", .folder.display())]
    Unknown {
        /// Where.
        folder: PathBuf,
        /// Why not.
        #[source]
        because: io::Error,
    },
}

impl InUse {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            InUse::Direct(_) => "wait until it is over, or end it: `provost stop`",
            InUse::Others(_) => {
                "wait until it is over, or run without --mode direct: staged runs do not disturb one another"
            }
            InUse::Unknown { .. } => "see that the state folder can be written",
        }
    }
}

/// What a claim is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To write into the folder at once: nobody else may.
    Direct,
    /// Anything else: beside others, but not beside a run in direct mode.
    Beside,
}

impl Claim {
    /// Claims a folder by its canonical path, in the state folder `state`.
    ///
    /// # Errors
    /// Somebody else has it, or a folder in it or around it.
    pub fn on(root: &Path, state: &Path, purpose: Purpose) -> Result<Claim, InUse> {
        let unknown = |because| InUse::Unknown { folder: root.to_owned(), because };
        let place = state.join("workspaces").join(place::id(root));
        let lock = own(root, &place).map_err(unknown)?;
        if !takes(&lock, purpose).map_err(unknown)? {
            return Err(taken(root, purpose));
        }
        // ORDER: others are looked for when we can be found: of two that begin at once, at least one gives up.
        for (other, held) in others(state).map_err(unknown)? {
            let nested = other != root && (other.starts_with(root) || root.starts_with(&other));
            if nested && !takes(&held, purpose).map_err(unknown)? {
                return Err(taken(&other, purpose));
            }
        }
        Ok(Claim { _lock: lock })
    }
}

fn taken(folder: &Path, purpose: Purpose) -> InUse {
    match purpose {
        Purpose::Direct => InUse::Others(folder.to_owned()),
        Purpose::Beside => InUse::Direct(folder.to_owned()),
    }
}

/// The lock of a workspace, with its path in it.
fn own(root: &Path, place: &Path) -> io::Result<File> {
    std::fs::create_dir_all(place)?;
    let mut file =
        File::options().read(true).write(true).create(true).truncate(false).open(place.join("lock"))?;
    let mut known = Vec::new();
    file.read_to_end(&mut known)?;
    if known != root.as_os_str().as_bytes() {
        // Written in one piece: whoever reads nothing yet finds us by our own look at theirs.
        file.set_len(0)?;
        io::Seek::rewind(&mut file)?;
        file.write_all(root.as_os_str().as_bytes())?;
    }
    Ok(file)
}

fn takes(lock: &File, purpose: Purpose) -> io::Result<bool> {
    let how = match purpose {
        Purpose::Direct => FlockOperation::NonBlockingLockExclusive,
        Purpose::Beside => FlockOperation::NonBlockingLockShared,
    };
    match flock(lock, how) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The locks of all workspaces, with their paths.
fn others(state: &Path) -> io::Result<Vec<(PathBuf, File)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(state.join("workspaces"))? {
        let Ok(mut file) = File::open(entry?.path().join("lock")) else { continue };
        let mut path = Vec::new();
        file.read_to_end(&mut path)?;
        found.push((PathBuf::from(std::ffi::OsString::from_vec(path)), file));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn direct_has_the_folder_for_itself_with_all_in_it_and_around_it() {
        let dir = tempfile::tempdir().unwrap();
        let on = |path: &str, purpose| Claim::on(Path::new(path), dir.path(), purpose);
        let one = on("/w/app", Purpose::Beside).unwrap();
        let two = on("/w/app", Purpose::Beside).unwrap();
        assert!(matches!(on("/w/app", Purpose::Direct), Err(InUse::Others(_))));
        assert!(matches!(on("/w", Purpose::Direct), Err(InUse::Others(_))));
        assert!(matches!(on("/w/app/sub", Purpose::Direct), Err(InUse::Others(_))));
        drop((one, two));
        let alone = on("/w/app", Purpose::Direct).unwrap();
        for path in ["/w/app", "/w", "/w/app/sub"] {
            assert!(matches!(on(path, Purpose::Beside), Err(InUse::Direct(_))), "{path}");
            assert!(matches!(on(path, Purpose::Direct), Err(InUse::Others(_))), "{path}");
        }
        // A neighbour whose name begins alike is another folder.
        assert!(on("/w/app-2", Purpose::Direct).is_ok());
        drop(alone);
        assert!(on("/w", Purpose::Beside).is_ok());
    }
}
