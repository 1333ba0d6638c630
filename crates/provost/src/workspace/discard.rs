//! Throwing away what a run staged.
//!
//! Owns: that all of it goes, however deep it is nested and whatever modes it has, and nothing else does. Does not own what
//! is kept across runs, nor what has landed.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use admission::{Admission, LedgerClosed};
use ledger::Trust;
use ledger::event::Discarded;
use rustix::fd::{AsRawFd as _, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, ResolveFlags, renameat_with, unlinkat};
use rustix::io::Errno;

use super::beneath::names_in;
use super::{StageError, Workspace, io_error};
use crate::run::recorded::FOLDER;

/// What was staged could not be thrown away.
#[derive(Debug, thiserror::Error)]
pub enum DiscardError {
    /// It, or part of it, is still there.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// It could not be recorded.
    #[error(transparent)]
    Ledger(#[from] LedgerClosed),
}

impl Workspace {
    /// Throws away what the run left and has not landed, what it kept of before it began, and its recorded traffic. The repository is not touched.
    /// Gives the number of files.
    ///
    /// # Errors
    /// Part of it is still there, or it could not be recorded.
    pub fn discard(self, admission: &Admission) -> Result<u64, DiscardError> {
        // What cannot be compared any more can be thrown away all the same.
        let files = self.change().map_or(0, |change| change.files.len() as u64);
        let (staged, going) = (self.run_dir.join("staged"), self.run_dir.join("discarded"));
        // ORDER: first out of the way in one step, so that a half discarded tree is never taken for a staged one.
        remove(&going).map_err(io_error("remove", &going))?;
        std::fs::rename(&staged, &going).map_err(io_error("remove", &staged))?;
        let tape = self.run_dir.join(FOLDER);
        let cassette = tape.symlink_metadata().is_ok();
        admission.note(Discarded { files, cassette }.into(), Trust::Observed, None)?;
        remove(&tape).map_err(io_error("remove", &tape))?;
        let commits = self.run_dir.join("commits");
        remove(&commits).map_err(io_error("remove", &commits))?;
        self.forget_preimages()?;
        remove(&going).map_err(io_error("remove", &going))?;
        Ok(files)
    }
}

/// Removes a folder and all in it. One that is not there is removed.
pub(crate) fn remove(folder: &Path) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top = match rustix::fs::openat2(CWD, folder, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        Ok(top) => top,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let top = opened(&top)?;
    let mut number = 0u64;
    loop {
        let names = names_in(&top)?;
        if names.is_empty() {
            return Ok(rustix::fs::rmdir(folder)?);
        }
        for name in names {
            match unlinkat(&top, &name, AtFlags::empty()) {
                Ok(()) => {}
                Err(Errno::ISDIR | Errno::PERM) => flatten(&top, &name, &mut number)?,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Removes one folder. The folders in it move up beside it instead of being gone into, so that no depth is too deep.
fn flatten(top: &OwnedFd, name: &std::ffi::OsStr, number: &mut u64) -> io::Result<()> {
    let folder = opened(&held(top, name)?)?;
    for inner in names_in(&folder)? {
        match unlinkat(&folder, &inner, AtFlags::empty()) {
            Ok(()) => continue,
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
        // A folder that moves writes its new parent into itself.
        opened(&held(&folder, &inner)?)?;
        loop {
            *number += 1;
            match renameat_with(&folder, &inner, top, format!("{number}"), RenameFlags::NOREPLACE) {
                Ok(()) => break,
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(unlinkat(top, name, AtFlags::REMOVEDIR)?)
}

/// A folder by its name in another, and no link that took its place.
fn held(folder: &OwnedFd, name: &std::ffi::OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(folder, name.as_bytes(), flags, Mode::empty())?)
}

/// The same folder, to be listed and emptied, whatever its mode was.
fn opened(folder: &OwnedFd) -> io::Result<OwnedFd> {
    let same = format!("/proc/self/fd/{}", folder.as_raw_fd());
    if rustix::fs::fstat(folder)?.st_mode & 0o700 != 0o700 {
        rustix::fs::chmod(&same, Mode::RWXU)?;
    }
    Ok(rustix::fs::open(&same, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn all_of_it_goes_and_nothing_that_it_leads_to() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, outside) = (dir.path().join("tree"), dir.path().join("outside"));
        fs::create_dir_all(tree.join("a/b/c")).unwrap();
        fs::create_dir_all(tree.join("1/2/1")).unwrap();
        fs::create_dir_all(&outside).unwrap();
        fs::write(outside.join("file"), "x").unwrap();
        symlink(&outside, tree.join("a/b/link")).unwrap();
        symlink("nowhere", tree.join("a/dangling")).unwrap();
        fs::write(tree.join("a/b/file"), "x").unwrap();
        rustix::fs::mknodat(CWD, tree.join("gone"), rustix::fs::FileType::CharacterDevice, Mode::empty(), 0)
            .unwrap();
        for shut in ["a/b/c", "a/b", "a", "1/2"] {
            fs::set_permissions(tree.join(shut), fs::Permissions::from_mode(0o0)).unwrap();
        }
        remove(&fs::canonicalize(&tree).unwrap()).unwrap();
        assert!(!tree.exists() && outside.join("file").exists());
        remove(&tree).unwrap();
    }

    #[test]
    fn no_tree_is_too_deep() {
        let dir = tempfile::tempdir().unwrap();
        let tree = fs::canonicalize(dir.path()).unwrap().join("tree");
        fs::create_dir(&tree).unwrap();
        let mut at = rustix::fs::open(&tree, OFlags::PATH, Mode::empty()).unwrap();
        for _ in 0..3000 {
            rustix::fs::mkdirat(&at, "deep", Mode::RWXU).unwrap();
            at = rustix::fs::openat(&at, "deep", OFlags::PATH, Mode::empty()).unwrap();
        }
        drop(at);
        remove(&tree).unwrap();
        assert!(!tree.exists());
    }
}
