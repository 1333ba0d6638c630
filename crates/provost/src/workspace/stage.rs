//! Whether the agent works on an overlay or on a copy.
//!
//! Owns: the preflight (what makes an overlay break) and laying out the folders of either. Does not own mounting
//! (sandbox).

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode};
use rustix::io::Errno;
use sandbox::plan::Stage;

use super::base::Base;
use super::beneath::Root;
use super::copy;

/// Why no overlay can be laid over a workspace, before anything of it was looked at.
pub(crate) fn unfit(root: &Path, staged: &Path) -> io::Result<Option<String>> {
    if let Some(inner) = mounted(root)? {
        return Ok(Some(format!("another file system is mounted at `{}`", inner.display())));
    }
    probe(staged)
}

/// The first mount point beneath a folder, if there is one now.
pub(crate) fn mounted(root: &Path) -> io::Result<Option<PathBuf>> {
    Ok(mounted_beneath(&std::fs::read("/proc/self/mountinfo")?, root))
}

/// The first mount point beneath a folder: an overlay would show an empty folder there.
fn mounted_beneath(mounts: &[u8], root: &Path) -> Option<PathBuf> {
    let points =
        mounts.split(|byte| *byte == b'\n').filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    points.map(unescaped).find(|point| point.starts_with(root) && point != root)
}

/// The kernel writes blanks and backslashes of a path as `\` and three octal digits.
fn unescaped(text: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..3).filter(|_| *first == b'\\').and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    PathBuf::from(OsStr::from_bytes(&bytes))
}

/// Tries, where the upper layer would lie, what an overlay needs: marks for what is gone, and for folders that hide. An
/// overlay itself has both, and still carries no upper layer of another.
pub(crate) fn probe(staged: &Path) -> io::Result<Option<String>> {
    /// `OVERLAYFS_SUPER_MAGIC` of linux/magic.h.
    const OVERLAY: rustix::fs::FsWord = 0x794c_7630;
    if rustix::fs::statfs(staged)?.f_type == OVERLAY {
        return Ok(Some("the state folder lies on an overlay, which carries no other".to_owned()));
    }
    let place = staged.join("probe");
    let marked = rustix::fs::mknodat(CWD, &place, FileType::CharacterDevice, Mode::empty(), 0);
    let marked = marked.and_then(|()| rustix::fs::unlink(&place));
    let hides = rustix::fs::mkdir(&place, Mode::RWXU).and_then(|()| {
        let set = rustix::fs::setxattr(&place, c"user.overlay.opaque", b"y", rustix::fs::XattrFlags::empty());
        rustix::fs::rmdir(&place).and(set)
    });
    match marked.and(hides) {
        Ok(()) => Ok(None),
        Err(Errno::NOSPC | Errno::DQUOT | Errno::IO | Errno::ROFS | Errno::NOENT) => {
            Err(marked.and(hides).err().unwrap_or(Errno::IO).into())
        }
        Err(_) => Ok(Some("the file system of the state folder cannot hold an overlay's layer".to_owned())),
    }
}

/// The first thing whose owner does not exist inside: an overlay could not copy it up. As root all owners exist.
pub(crate) fn foreign(base: &Base) -> Option<String> {
    if rustix::process::geteuid().is_root() {
        return None;
    }
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let foreign = base.entries.iter().find(|entry| (entry.found.uid, entry.found.gid) != own)?;
    Some(format!("`{}` belongs to another user or group", foreign.path.display()))
}

/// Lays out an overlay's folders.
pub(crate) fn overlay(root: &Path, held: &Root, staged: &Path) -> io::Result<Stage> {
    let (upper, work) = (staged.join("upper"), staged.join("work"));
    rustix::fs::mkdir(&upper, Mode::RWXU)?;
    rustix::fs::mkdir(&work, Mode::RWXU)?;
    // The upper layer's own folder is what the agent sees as the workspace's.
    if let Some(like) = held.find(Path::new(""))? {
        Root::open(&std::fs::canonicalize(&upper)?)?.dress(Path::new(""), &like)?;
    }
    Ok(Stage::Overlay { lower: root.to_owned(), upper, work })
}

/// Makes a private copy.
pub(crate) fn private_copy(held: &Root, base: &mut Base, staged: &Path) -> io::Result<Stage> {
    let place = staged.join("copy");
    rustix::fs::mkdir(&place, Mode::RWXU)?;
    let to = Root::open(&std::fs::canonicalize(&place)?)?;
    copy::copy_tree(held, &to, base)?;
    if let Some(like) = held.find(Path::new(""))? {
        to.dress(Path::new(""), &like)?;
    }
    Ok(Stage::Copy { from: place })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_beneath_is_found_by_its_name_and_no_sibling_for_it() {
        let mounts = b"1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 0:5 / /w/app-data rw - tmpfs t rw\n\
            3 1 0:6 / /w/app rw - ext4 x rw\n4 1 0:7 / /w/app/a\\040b\\134 rw - tmpfs t rw\n";
        assert_eq!(mounted_beneath(mounts, Path::new("/w/app")), Some("/w/app/a b\\".into()));
        assert_eq!(mounted_beneath(mounts, Path::new("/w/ap")), None);
        assert_eq!(mounted_beneath(mounts, Path::new("/w/app-data")), None);
    }

    #[test]
    fn a_file_system_without_marks_is_told() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(
            probe(dir.path()).unwrap(),
            None,
            "this machine's temporary folder cannot hold an overlay"
        );
        assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none());
        // proc takes neither devices nor folders.
        assert!(
            probe(Path::new("/proc/self")).is_ok_and(|why| why.is_some())
                || probe(Path::new("/proc/self")).is_err()
        );
    }
}
