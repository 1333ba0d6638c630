//! A private copy of a folder, for where an overlay would break.
//!
//! Owns: copying contents (shared blocks where the file system can, holes kept) and whole trees. Does not own when.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid};
use rustix::io::Errno;

use super::base::{Base, Entry};
use super::beneath::{Found, Kind, Root, find_in, is_absent};

/// Copies everything of `base` from `from` to the empty folder `to`, and notes how each copy stands. What cannot be read,
/// or is a device, is left out, as it is for the agent.
pub(crate) fn copy_tree(from: &Root, to: &Root, base: &mut Base) -> io::Result<()> {
    for entry in &base.entries {
        match copy_entry(from, to, entry) {
            Err(error) if may_be_left_out(&error) => {}
            done => done?,
        }
    }
    // ORDER: a folder's mode after all that goes into it, the innermost first.
    for entry in base.entries.iter().rev().filter(|entry| entry.found.is_folder()) {
        match finish(to, entry) {
            Err(error) if is_absent(&error) => {}
            done => done?,
        }
    }
    for entry in &mut base.entries {
        entry.copied = to.find(&entry.path)?.map(|found| found.stamp);
    }
    Ok(())
}

fn may_be_left_out(error: &io::Error) -> bool {
    is_absent(error) || matches!(Errno::from_io_error(error), Some(Errno::ACCESS | Errno::PERM | Errno::LOOP))
}

fn copy_entry(from: &Root, to: &Root, entry: &Entry) -> io::Result<()> {
    match entry.found.kind {
        Kind::Special { .. } => return Ok(()),
        Kind::Folder => {
            let (parent, name) = to.parent(&entry.path)?;
            return Ok(rustix::fs::mkdirat(parent, name, Mode::RWXU)?);
        }
        Kind::Link => {
            let (parent, name) = to.parent(&entry.path)?;
            let target = entry.target.as_deref().unwrap_or(Path::new(""));
            rustix::fs::symlinkat(target, parent, name)?;
        }
        Kind::File => {
            let source = from.file(&entry.path)?;
            let mut copy = create(to, &entry.path)?;
            copy_content(&source, &mut copy)?;
        }
    }
    finish(to, entry)
}

/// Makes a file that was not there, open for nobody else yet.
pub(crate) fn create(to: &Root, path: &Path) -> io::Result<File> {
    let (parent, name) = to.parent(path)?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR)?))
}

/// Gives a file what another carries beside its content: the attributes of people and their programs, and its access list.
/// Not what gives power to a program (`security.capability`), nor an overlay's own.
pub(crate) fn copy_attributes(from: &File, to: &File) -> io::Result<()> {
    let mut names = vec![0u8; 64 << 10];
    let length = match rustix::fs::flistxattr(from, names.as_mut_slice()) {
        Err(Errno::NOTSUP) => return Ok(()),
        length => length?,
    };
    let mut value = vec![0u8; 64 << 10];
    for name in names.get(..length).unwrap_or_default().split(|byte| *byte == 0) {
        let is_kept = name.starts_with(b"user.") && !name.starts_with(b"user.overlay.");
        if !is_kept && name != b"system.posix_acl_access" {
            continue;
        }
        let length = rustix::fs::fgetxattr(from, name, value.as_mut_slice())?;
        let value = value.get(..length).unwrap_or_default();
        rustix::fs::fsetxattr(to, name, value, rustix::fs::XattrFlags::empty())?;
    }
    Ok(())
}

/// Owner, mode and time of a copy.
pub(crate) fn finish(to: &Root, entry: &Entry) -> io::Result<()> {
    let (parent, name) = to.parent(&entry.path)?;
    let Found { uid, gid, mode, .. } = entry.found;
    if rustix::process::geteuid().is_root() {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::fs::chownat(&parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    if entry.found.kind != Kind::Link && find_in(&parent, name)?.is_some_and(|now| now.kind != Kind::Link) {
        rustix::fs::chmodat(&parent, name, Mode::from_raw_mode(mode), AtFlags::empty())?;
    }
    let (seconds, nanoseconds) = entry.found.stamp.mtime;
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() },
    };
    Ok(rustix::fs::utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Copies a content: by sharing its blocks where that can be done, else piece by piece, leaving holes as holes.
pub(crate) fn copy_content(from: &File, to: &mut File) -> io::Result<()> {
    if rustix::fs::ioctl_ficlone(&*to, from).is_ok() {
        return Ok(());
    }
    let size = from.metadata()?.len();
    to.set_len(size)?;
    let mut source = from;
    let mut at = 0;
    while at < size {
        let start = match rustix::fs::seek(from, rustix::fs::SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break,
            Err(_) => at,
        };
        let end = rustix::fs::seek(from, rustix::fs::SeekFrom::Hole(start)).unwrap_or(size);
        source.seek(SeekFrom::Start(start))?;
        to.seek(SeekFrom::Start(start))?;
        let copied = io::copy(&mut source.take(end.saturating_sub(start)), to)?;
        if copied == 0 {
            break;
        }
        at = start + copied;
    }
    to.flush()
}
