//! Objects out of the git folder that a run left, into a repository of ours.
//!
//! Owns: which files are taken (plain files that are named like objects and packs, and nothing else: no alternates, no
//! index, no configuration, no link), and how much. What the person's repository has under the same name is not taken: its
//! own is the one that counts. Nothing is unpacked or believed here; git checks what was taken (`check`).

use std::ffi::OsStr;
use std::fs::{DirBuilder, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::workspace::beneath::{Found, Kind, Root};

/// Most bytes that are taken.
pub(super) const MOST: u64 = 1 << 30;
/// Most files that are taken.
const FILES: usize = 200_000;

/// A taking in progress.
#[derive(Debug)]
struct Taking<'a> {
    left: &'a Root,
    /// Where the person's objects are.
    known: &'a Path,
    /// The objects of our repository.
    into: &'a Path,
    digits: usize,
    bytes: u64,
    files: usize,
}

/// Takes the objects of a git folder. Gives the names of the packs that were taken.
///
/// # Errors
/// In words, where there are too many, or the folder is not as git makes it.
pub(super) fn objects(left: &Root, known: &Path, into: &Path, digits: usize) -> Result<Vec<String>, String> {
    let objects = Path::new(".git/objects");
    match left.find(objects) {
        Ok(Some(found)) if found.is_folder() => {}
        Ok(None) => return Ok(Vec::new()),
        Ok(Some(_)) | Err(_) => return Err("`.git/objects` is no folder".to_owned()),
    }
    let mut taking = Taking { left, known, into, digits, bytes: 0, files: 0 };
    let mut packs = Vec::new();
    for name in left.names(objects).map_err(said)? {
        let folder = objects.join(&name);
        let is_folder = left.find(&folder).is_ok_and(|found| found.is_some_and(|found| found.is_folder()));
        match name.to_str() {
            Some("pack") if is_folder => packs = taking.packs(&folder)?,
            Some(two) if is_folder && is_hex(two, 2) => taking.loose(&folder, two)?,
            Some(_) | None => {}
        }
    }
    Ok(packs)
}

impl Taking<'_> {
    fn loose(&mut self, folder: &Path, two: &str) -> Result<(), String> {
        for name in self.left.names(folder).map_err(said)? {
            let Some(rest) = name.to_str().filter(|rest| is_hex(rest, self.digits - 2)) else { continue };
            let place = Path::new(two).join(rest);
            if self.known.join(&place).is_file() {
                continue;
            }
            let made = DirBuilder::new().mode(0o700).recursive(true).create(self.into.join(two));
            made.map_err(said)?;
            self.file(&folder.join(&name), &place)?;
        }
        Ok(())
    }

    fn packs(&mut self, folder: &Path) -> Result<Vec<String>, String> {
        let mut packs = Vec::new();
        for name in self.left.names(folder).map_err(said)? {
            let Some(pack) = pack(&name, self.digits) else { continue };
            let place = Path::new("pack").join(pack);
            if self.known.join(&place).is_file() {
                continue;
            }
            if self.file(&folder.join(&name), &place)? {
                packs.push(pack.to_owned());
            }
        }
        Ok(packs)
    }

    /// Takes one file, if it is one.
    fn file(&mut self, from: &Path, place: &Path) -> Result<bool, String> {
        let plain = |found: &Found| found.kind == Kind::File;
        if !self.left.find(from).map_err(said)?.is_some_and(|found| plain(&found)) {
            return Ok(false);
        }
        let file = self.left.file(from).map_err(said)?;
        self.files += 1;
        if self.files > FILES {
            return Err(format!("it has more than {FILES} objects that are not packed"));
        }
        let to = File::options().write(true).create_new(true).mode(0o600).open(self.into.join(place));
        // What is counted is what was read: a size that a file claims is nothing.
        let took = to.and_then(|mut to| io::copy(&mut file.take(MOST - self.bytes + 1), &mut to));
        self.bytes += took.map_err(said)?;
        match self.bytes > MOST {
            true => Err("its objects are larger than 1 GiB in all".to_owned()),
            false => Ok(true),
        }
    }
}

/// Whether it is so many lower-case hexadecimal digits.
fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The name of a pack, if it is one.
fn pack(name: &OsStr, digits: usize) -> Option<&str> {
    let name = name.to_str()?;
    let middle = name.strip_prefix("pack-")?.strip_suffix(".pack")?;
    is_hex(middle, digits).then_some(name)
}

fn said(error: io::Error) -> String {
    format!("its objects cannot be read: {error}")
}
