//! Files beneath one folder, reached by descriptor: no link is followed, and nothing outside can be reached.
//!
//! Owns: opening, listing and describing what stands beneath a root. Does not own what is made of it. Whatever lies
//! there may have been made by the agent.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

/// SHA-256 of a content.
pub(crate) type Digest = [u8; 32];

/// Bytes read at once.
const CHUNK: usize = 128 * 1024;

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
    Link,
    /// Socket, pipe or device. A device 0/0 is how an overlay says that something is gone.
    Special {
        whiteout: bool,
    },
}

/// The bookkeeping that tells whether a file was touched. Nobody without rights over the clock can restore the last part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) ino: u64,
    pub(crate) size: u64,
    pub(crate) mtime: Moment,
    pub(crate) ctime: Moment,
}

/// Seconds and nanoseconds since 1970.
pub type Moment = (i64, u32);

/// What is known of something without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) kind: Kind,
    /// The permission bits, with set-id and sticky.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) stamp: Stamp,
}

impl Found {
    pub(crate) fn of(found: &rustix::fs::Stat) -> Found {
        let kind = match FileType::from_raw_mode(found.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Folder,
            FileType::Symlink => Kind::Link,
            FileType::CharacterDevice => Kind::Special { whiteout: found.st_rdev == 0 },
            _ => Kind::Special { whiteout: false },
        };
        let stamp = Stamp {
            ino: found.st_ino,
            size: found.st_size as u64,
            mtime: (found.st_mtime, found.st_mtime_nsec as u32),
            ctime: (found.st_ctime, found.st_ctime_nsec as u32),
        };
        Found { kind, mode: found.st_mode & 0o7777, uid: found.st_uid, gid: found.st_gid, stamp }
    }

    pub(crate) fn is_folder(&self) -> bool {
        self.kind == Kind::Folder
    }
}

/// A folder, held open, and everything beneath it.
#[derive(Debug)]
pub(crate) struct Root {
    fd: OwnedFd,
}

impl Root {
    /// Opens a folder by its canonical path.
    pub(crate) fn open(path: &Path) -> io::Result<Root> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)?;
        Ok(Root { fd })
    }

    /// Opens something beneath. The path must be relative and plain; the empty path is the root itself.
    fn open_at(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let path = plain(path)?;
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(rustix::fs::openat2(&self.fd, path, flags, Mode::empty(), resolve)?)
    }

    /// A folder, to name things in.
    pub(crate) fn folder(&self, path: &Path) -> io::Result<OwnedFd> {
        self.open_at(path, OFlags::PATH | OFlags::DIRECTORY)
    }

    /// The folder that holds `path`, and the name in it.
    pub(crate) fn parent<'a>(&self, path: &'a Path) -> io::Result<(OwnedFd, &'a OsStr)> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::from(Errno::INVAL));
        };
        Ok((self.folder(parent)?, name))
    }

    /// What stands at a path, if anything.
    ///
    /// # Errors
    /// It cannot be told; a link on the way is `ELOOP`.
    pub(crate) fn find(&self, path: &Path) -> io::Result<Option<Found>> {
        if path.as_os_str().is_empty() {
            return Ok(Some(Found::of(&rustix::fs::fstat(&self.fd)?)));
        }
        let (parent, name) = match self.parent(path) {
            Ok(found) => found,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        find_in(&parent, name)
    }

    /// The names in a folder, sorted.
    pub(crate) fn names(&self, path: &Path) -> io::Result<Vec<OsString>> {
        names_in(&self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)?)
    }

    /// The folder itself, open for more than naming things.
    pub(crate) fn reading(&self) -> io::Result<OwnedFd> {
        self.open_at(Path::new(""), OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// Makes the names in a folder outlast a power failure.
    pub(crate) fn sync(&self, path: &Path) -> io::Result<()> {
        Ok(rustix::fs::fsync(self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)?)?)
    }

    /// Gives a folder the owner and mode of one that it stands for.
    pub(crate) fn dress(&self, path: &Path, like: &Found) -> io::Result<()> {
        let folder = self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        if rustix::process::geteuid().is_root() {
            let (uid, gid) = (rustix::fs::Uid::from_raw(like.uid), rustix::fs::Gid::from_raw(like.gid));
            rustix::fs::fchown(&folder, Some(uid), Some(gid))?;
        }
        Ok(rustix::fs::fchmod(folder, Mode::from_raw_mode(like.mode))?)
    }

    /// Opens a regular file for reading; anything else is an error, and is never waited for.
    pub(crate) fn file(&self, path: &Path) -> io::Result<File> {
        let file = File::from(self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?);
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
        }
    }

    /// Where a link leads to, as it says.
    pub(crate) fn link(&self, path: &Path) -> io::Result<PathBuf> {
        let (parent, name) = self.parent(path)?;
        link_in(&parent, name)
    }

    /// Whether a folder of an overlay's upper layer hides everything beneath it.
    pub(crate) fn is_opaque(&self, path: &Path) -> io::Result<bool> {
        let folder = self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        for name in [c"user.overlay.opaque", c"trusted.overlay.opaque"] {
            let mut value = [0u8; 8];
            match rustix::fs::fgetxattr(&folder, name, &mut value) {
                // `y` hides all. `x` only says that something beneath is hidden by another kind of mark.
                Ok(length) if value.get(..length) == Some(b"y") => return Ok(true),
                Ok(_) | Err(Errno::NODATA | Errno::NOTSUP | Errno::PERM) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> rustix::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What stands under a name in a folder, if anything.
pub(crate) fn find_in(folder: impl AsFd, name: &OsStr) -> io::Result<Option<Found>> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => Ok(Some(Found::of(&found))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Where a link in a folder leads to.
pub(crate) fn link_in(folder: impl AsFd, name: &OsStr) -> io::Result<PathBuf> {
    let target = rustix::fs::readlinkat(folder, name, Vec::new())?;
    Ok(PathBuf::from(OsString::from_vec(target.into_bytes())))
}

/// The names in an open folder, sorted.
pub(crate) fn names_in(folder: &OwnedFd) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Whether an error says that nothing is there.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::NOTDIR))
}

/// The digest of a file's content from where it stands, in constant memory.
pub(crate) fn digest(file: &mut File) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hasher.finalize().into()),
            read => hasher.update(chunk.get(..read).unwrap_or_default()),
        }
    }
}

/// Whether two files hold the same from where they stand, in constant memory.
pub(crate) fn same(one: &mut File, other: &mut File) -> io::Result<bool> {
    let (mut left, mut right) = (vec![0; CHUNK], vec![0; CHUNK]);
    loop {
        let (read, matched) = (fill(one, &mut left)?, fill(other, &mut right)?);
        if left.get(..read) != right.get(..matched) {
            return Ok(false);
        }
        if read == 0 {
            return Ok(true);
        }
    }
}

/// Reads until the chunk is full or the file ends.
fn fill(file: &mut File, chunk: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = chunk.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest)? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// A relative path of names only.
fn plain(path: &Path) -> io::Result<&Path> {
    match path.components().all(|part| matches!(part, Component::Normal(_))) {
        true => Ok(path),
        false => Err(io::Error::from(Errno::INVAL)),
    }
}
