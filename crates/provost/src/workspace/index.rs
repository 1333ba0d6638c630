//! What git tracks, read from its index: no program runs, and the file is only ever looked at.
//!
//! Owns: the index's format, versions 2 to 4. Does not own anything else of git, nor its objects (`blob`).

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Bytes before an entry's flags: times, device, inode, mode, owner, size, object.
const BEFORE_FLAGS: usize = 60;
/// Bytes of the header.
const HEADER: usize = 12;

/// A file as an index knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tracked {
    /// Beneath the repository's folder.
    pub(crate) path: PathBuf,
    /// The name of its content among git's objects.
    pub(crate) blob: [u8; 20],
    pub(crate) ctime: (u32, u32),
    pub(crate) mtime: (u32, u32),
    /// The lower half of the number that its file system has for it.
    pub(crate) ino: u32,
    /// The lower half of its length.
    pub(crate) size: u32,
    /// Whether it is a regular file that is not in the middle of a merge.
    pub(crate) is_file: bool,
}

/// The paths beneath `root` that the repository at `top` tracks; `None` if that cannot be told.
pub(crate) fn tracked(top: &Path, root: &Path) -> Option<BTreeSet<PathBuf>> {
    let bytes = match std::fs::read(place(top)?) {
        Ok(bytes) => bytes,
        // A repository in which nothing was added yet.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some(BTreeSet::new()),
        Err(_) => return None,
    };
    let below = root.strip_prefix(top).ok()?;
    let entries = entries(&bytes)?.into_iter();
    Some(entries.filter_map(|entry| entry.path.strip_prefix(below).ok().map(Path::to_owned)).collect())
}

/// The index of the repository at `top`.
pub(crate) fn place(top: &Path) -> Option<PathBuf> {
    Some(folder(top)?.join("index"))
}

/// The folder of git's own files; of a worktree, where its `.git` file says.
pub(crate) fn folder(top: &Path) -> Option<PathBuf> {
    let place = top.join(".git");
    if place.is_dir() {
        return Some(place);
    }
    let text = std::fs::read(&place).ok()?;
    let target = text.strip_prefix(b"gitdir: ")?;
    let target = target.split(|byte| *byte == b'\n').next()?;
    Some(top.join(OsStr::from_bytes(target)))
}

/// The files of an index. `None` for what is none, is of another version, or is split over two files.
pub(crate) fn entries(bytes: &[u8]) -> Option<Vec<Tracked>> {
    let version = number(bytes.strip_prefix(b"DIRC")?)?;
    let count = number(bytes.get(8..)?)?;
    if !(2..=4).contains(&version) {
        return None;
    }
    let (mut at, mut last, mut entries) = (HEADER, Vec::new(), Vec::new());
    for _ in 0..count {
        let start = at;
        let known = bytes.get(at..at + BEFORE_FLAGS)?;
        let flags = u16::from_be_bytes(bytes.get(at + BEFORE_FLAGS..)?.get(..2)?.try_into().ok()?);
        // The extended flag says that two more bytes of flags follow.
        at += BEFORE_FLAGS + if version >= 3 && flags & 0x4000 != 0 { 4 } else { 2 };
        if version == 4 {
            let (cut, length) = varint(bytes.get(at..)?)?;
            at += length;
            last.truncate(last.len().checked_sub(cut)?);
        } else {
            last.clear();
        }
        let name = bytes.get(at..)?;
        let length = name.iter().position(|byte| *byte == 0)?;
        last.extend_from_slice(name.get(..length)?);
        at += length;
        // Until version 3 an entry is filled up with one to eight zeros to a multiple of eight bytes.
        at = if version == 4 { at + 1 } else { start + (at - start + 8) / 8 * 8 };
        entries.push(entry(known, flags, PathBuf::from(OsStr::from_bytes(&last)))?);
    }
    let split = bytes.get(at..)?.windows(4).take(1).any(|name| name == b"link");
    (!split).then_some(entries)
}

/// The fixed part of an entry.
fn entry(known: &[u8], flags: u16, path: PathBuf) -> Option<Tracked> {
    let field = |index: usize| number(known.get(4 * index..)?);
    Some(Tracked {
        path,
        blob: known.get(40..60)?.try_into().ok()?,
        ctime: (field(0)?, field(1)?),
        mtime: (field(2)?, field(3)?),
        ino: field(5)?,
        size: field(9)?,
        is_file: field(6)? & 0o170_000 == 0o100_000 && flags & 0x3000 == 0,
    })
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?))
}

/// A number as git's packs write offsets: seven bits a byte, one added for each byte that follows.
fn varint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0usize;
    for (index, byte) in bytes.iter().take(8).enumerate() {
        value = value.checked_mul(128)?.checked_add(usize::from(byte & 0x7f))?;
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
        value += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::process::Command;

    /// Git over a fresh folder, with no configuration of this machine.
    fn git(folder: &Path, words: &[&str]) -> bool {
        let mut command = Command::new("git");
        command
            .current_dir(folder)
            .args(words)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null");
        command.output().is_ok_and(|output| output.status.success())
    }

    #[test]
    fn the_paths_are_those_that_git_lists_in_every_version() {
        let dir = tempfile::tempdir().unwrap();
        if !git(dir.path(), &["init", "-q"]) {
            eprintln!("SKIPPED: no git on this machine");
            return;
        }
        let names: Vec<String> =
            (0..300).map(|number| format!("dir{}/file{number}.txt", number % 7)).collect();
        for name in names.iter().map(String::as_str).chain(["a b", "ünï\n", "sub/deep/er"]) {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        assert_eq!(tracked(dir.path(), dir.path()), Some(BTreeSet::new()));
        for version in ["2", "3", "4"] {
            assert!(git(dir.path(), &["add", "."]));
            // An entry that is only intended has the extended flag of version 3.
            fs::write(dir.path().join("later"), "").unwrap();
            assert!(git(dir.path(), &["add", "-N", "later"]));
            assert!(git(dir.path(), &["update-index", "--index-version", version]));
            let listed =
                Command::new("git").current_dir(dir.path()).args(["ls-files", "-z"]).output().unwrap().stdout;
            let listed: BTreeSet<PathBuf> = listed
                .split(|byte| *byte == 0)
                .filter(|name| !name.is_empty())
                .map(|name| PathBuf::from(OsStr::from_bytes(name)))
                .collect();
            assert_eq!(listed.len(), 304);
            assert_eq!(tracked(dir.path(), dir.path()), Some(listed));
            let sub = tracked(dir.path(), &dir.path().join("sub")).unwrap();
            assert_eq!(sub.into_iter().collect::<Vec<_>>(), vec![PathBuf::from("deep/er")]);
        }
    }

    #[test]
    fn what_is_no_index_tells_nothing_and_does_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(".git")).unwrap();
        let mut index = b"DIRC\0\0\0\x02\xff\xff\xff\xff".to_vec();
        index.extend([0xff; 200]);
        for length in 0..index.len() {
            fs::write(dir.path().join(".git/index"), &index[..length]).unwrap();
            assert_eq!(tracked(dir.path(), dir.path()), None, "{length}");
        }
    }
}
