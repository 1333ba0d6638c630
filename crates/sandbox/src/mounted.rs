//! What is mounted inside keeps its name: no rename or removal on behalf of a caller touches it, nor a folder around it.
//!
//! The kernel answers a caller so by itself. It does not answer us so, who act from another mount namespace: there the
//! removal of a mount point takes the mount away, and a rename gives the workspace a name that no rule knows.
//!
//! Does not own: the judgement by rules.

use crate::names::Place;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// Refuses (`EBUSY`) where something is mounted at the place, or in the folder that is there.
pub(crate) fn stays(place: &Place, thread: i32) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let (folder, name) = (&place.folder.object, &place.name);
    let there = match rustix::fs::openat2(folder, name, flags, Mode::empty(), ResolveFlags::NO_XDEV) {
        Err(Errno::XDEV) => return Err(Errno::BUSY.into()),
        Err(Errno::NOENT) => return Ok(()),
        there => there?,
    };
    if !rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&there)?.st_mode).is_dir() {
        return Ok(());
    }
    let mounts = std::fs::read(format!("/proc/{thread}/mountinfo"))?;
    if holds_a_mount(&mounts, &place.path()) { Err(Errno::BUSY.into()) } else { Ok(()) }
}

/// Whether a mount lies at a path or beneath it.
fn holds_a_mount(mounts: &[u8], path: &Path) -> bool {
    let points =
        mounts.split(|byte| *byte == b'\n').filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    points.map(plain).any(|point| point.starts_with(path))
}

/// A path as the kernel lists it: spaces and the like are octal there.
fn plain(listed: &[u8]) -> PathBuf {
    let mut path = Vec::with_capacity(listed.len());
    let mut rest = listed;
    while let Some((first, after)) = rest.split_first() {
        let number =
            after.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match number.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                path.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                path.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_found_at_a_path_and_beneath_it_in_any_letters() {
        let mounts =
            b"22 1 0:5 / / rw - tmpfs none rw\n23 22 0:6 / /home/an\\040n/w\\134x rw - ext4 /dev/vda rw\n";
        for path in ["/home", "/home/an n", "/home/an n/w\\x"] {
            assert!(holds_a_mount(mounts, Path::new(path)), "{path}");
        }
        for path in ["/home/an", "/home/an n/w\\x/sub", "/other"] {
            assert!(!holds_a_mount(mounts, Path::new(path)), "{path}");
        }
    }
}
