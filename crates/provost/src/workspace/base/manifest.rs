//! The manifest on disk: written in one step, and read back exactly or not at all.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{Base, Entry};
use crate::workspace::beneath::{Found, Kind, Moment, Stamp};

const MAGIC: &[u8] = b"provost base 1\n";

impl Base {
    /// Writes it to a folder, in one step. It is not synced, as little as what is staged beside it: what a machine that
    /// loses power leaves of it has not its digest at the end, and is refused.
    pub(crate) fn save(&self, folder: &Path) -> io::Result<()> {
        self.replace(folder, |_| Ok(()))
    }

    /// The same, but the old one stays until the new one is durable.
    pub(crate) fn save_durably(&self, folder: &Path) -> io::Result<()> {
        self.replace(folder, File::sync_data)
    }

    fn replace(&self, folder: &Path, settle: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
        let (fresh, place) = (folder.join("manifest.new"), folder.join("manifest"));
        let mut file = File::create(&fresh)?;
        let content = self.encode();
        file.write_all(&content)?;
        file.write_all(&Sha256::digest(&content))?;
        settle(&file)?;
        std::fs::rename(fresh, place)
    }

    /// Reads it back.
    ///
    /// # Errors
    /// It is not there, or is not what was written.
    pub(crate) fn load(folder: &Path) -> io::Result<Base> {
        let bytes = std::fs::read(folder.join("manifest"))?;
        let whole = bytes.split_last_chunk().filter(|(content, said)| Sha256::digest(content)[..] == **said);
        let read = whole.and_then(|(content, _): (&[u8], &[u8; 32])| Base::decode(content));
        read.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    fn encode(&self) -> Vec<u8> {
        let mut to = MAGIC.to_vec();
        put(&mut to, self.entries.len() as u64);
        for entry in &self.entries {
            put_bytes(&mut to, entry.path.as_os_str().as_bytes());
            to.push(match entry.found.kind {
                Kind::File => 0,
                Kind::Folder => 1,
                Kind::Link => 2,
                Kind::Special { whiteout: false } => 3,
                Kind::Special { whiteout: true } => 4,
            });
            for number in [entry.found.mode, entry.found.uid, entry.found.gid] {
                put(&mut to, number.into());
            }
            put_stamp(&mut to, &entry.found.stamp);
            put_option(&mut to, entry.target.as_ref(), |to, target| {
                put_bytes(to, target.as_os_str().as_bytes());
            });
            put_option(&mut to, entry.copied.as_ref(), put_stamp);
            to.push(entry.late.into());
        }
        to
    }

    fn decode(bytes: &[u8]) -> Option<Base> {
        let mut from = bytes.strip_prefix(MAGIC)?;
        let from = &mut from;
        let count = number(from)?;
        let mut entries = Vec::new();
        for _ in 0..count {
            entries.push(entry(from)?);
        }
        from.is_empty().then_some(Base { entries })
    }
}

fn put(to: &mut Vec<u8>, number: u64) {
    to.extend_from_slice(&number.to_le_bytes());
}

fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    put(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

fn put_moment(to: &mut Vec<u8>, (seconds, nanoseconds): Moment) {
    put(to, seconds as u64);
    put(to, nanoseconds.into());
}

fn put_stamp(to: &mut Vec<u8>, stamp: &Stamp) {
    put(to, stamp.ino);
    put(to, stamp.size);
    put_moment(to, stamp.mtime);
    put_moment(to, stamp.ctime);
}

fn put_option<T>(to: &mut Vec<u8>, value: Option<&T>, put: impl FnOnce(&mut Vec<u8>, &T)) {
    to.push(value.is_some().into());
    if let Some(value) = value {
        put(to, value);
    }
}

fn take<'a>(from: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(taken)
}

fn byte(from: &mut &[u8]) -> Option<u8> {
    take(from, 1)?.first().copied()
}

fn number(from: &mut &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(take(from, 8)?.try_into().ok()?))
}

fn small(from: &mut &[u8]) -> Option<u32> {
    number(from)?.try_into().ok()
}

fn path(from: &mut &[u8]) -> Option<PathBuf> {
    let length = usize::try_from(number(from)?).ok()?;
    Some(PathBuf::from(OsStr::from_bytes(take(from, length)?)))
}

fn moment(from: &mut &[u8]) -> Option<Moment> {
    Some((number(from)? as i64, small(from)?))
}

fn stamp(from: &mut &[u8]) -> Option<Stamp> {
    Some(Stamp { ino: number(from)?, size: number(from)?, mtime: moment(from)?, ctime: moment(from)? })
}

fn option<T>(from: &mut &[u8], read: impl FnOnce(&mut &[u8]) -> Option<T>) -> Option<Option<T>> {
    match byte(from)? {
        0 => Some(None),
        1 => Some(Some(read(from)?)),
        _ => None,
    }
}

fn entry(from: &mut &[u8]) -> Option<Entry> {
    let place = path(from)?;
    let kind = match byte(from)? {
        0 => Kind::File,
        1 => Kind::Folder,
        2 => Kind::Link,
        3 => Kind::Special { whiteout: false },
        4 => Kind::Special { whiteout: true },
        _ => return None,
    };
    let (mode, uid, gid) = (small(from)?, small(from)?, small(from)?);
    let found = Found { kind, mode, uid, gid, stamp: stamp(from)? };
    let (target, copied) = (option(from, path)?, option(from, stamp)?);
    let late = matches!(byte(from)?, 1);
    Some(Entry { path: place, found, target, copied, late })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Base {
        let stamp = Stamp { ino: u64::MAX, size: 7, mtime: (-1, 999_999_999), ctime: (1, 2) };
        let found = Found { kind: Kind::Link, mode: 0o7777, uid: 1000, gid: u32::MAX, stamp };
        let path = PathBuf::from(OsStr::from_bytes(b"a\n\xff"));
        let link = Entry { path, found, target: Some("../x".into()), copied: Some(stamp), late: true };
        let file = Found { kind: Kind::File, ..found };
        let file = Entry { path: "b".into(), found: file, target: None, copied: None, late: false };
        Base { entries: vec![link, file] }
    }

    #[test]
    fn what_was_written_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        base().save(dir.path()).unwrap();
        assert_eq!(Base::load(dir.path()).unwrap(), base());
    }

    #[test]
    fn a_manifest_that_was_never_written_whole_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        base().save_durably(dir.path()).unwrap();
        let whole = std::fs::read(dir.path().join("manifest")).unwrap();
        for at in 0..whole.len() {
            let torn: Vec<u8> = whole.iter().take(at).copied().chain(vec![0; whole.len() - at]).collect();
            std::fs::write(dir.path().join("manifest"), &torn).unwrap();
            assert!(torn == whole || Base::load(dir.path()).is_err(), "{at}");
        }
    }

    #[test]
    fn a_manifest_that_was_cut_or_grew_is_refused() {
        let whole = base().encode();
        for length in 0..whole.len() {
            assert_eq!(Base::decode(&whole[..length]), None, "{length}");
        }
        assert_eq!(Base::decode(&[&whole[..], b"x"].concat()), None);
    }
}
