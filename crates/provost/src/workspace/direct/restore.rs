//! Putting one thing back: beneath the root, by descriptor, in one step, and never in the place of what was not judged.
//!
//! Owns: those steps, and that a step cut short by a crash leaves nothing of anybody's lost. Does not own which are taken
//! (`back`).

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, renameat, renameat_with, unlinkat};
use rustix::io::Errno;

use super::before::{Before, Links, carry_attributes, opened, special_kind};
use super::differ::Difference;
use crate::workspace::base::Entry;
use crate::workspace::beneath::{Found, Kind, Root, find_in};
use crate::workspace::copy;

const CHANGED: &str = "it was changed meanwhile; nothing of yours was replaced";

/// What is put back from, and where.
#[derive(Debug)]
pub(crate) struct Restoring<'a> {
    pub(crate) before: &'a Before,
    pub(crate) links: &'a Links,
    pub(crate) now: &'a Root,
}

/// A name in a folder, and one beside it.
struct Place<'a> {
    folder: OwnedFd,
    name: &'a OsStr,
    temp: &'a str,
}

impl Restoring<'_> {
    /// Takes away what was not there, or was something else. A folder goes if nothing is in it.
    pub(crate) fn remove(&self, one: &Difference, temp: &str) -> Result<(), String> {
        let Some(now) = one.now else { return Ok(()) };
        let place = self.place(&one.path, temp)?;
        if now.is_folder() {
            return match unlinkat(&place.folder, place.name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => Ok(()),
                Err(Errno::NOTEMPTY | Errno::EXIST) => Err("something of yours is in it".to_owned()),
                Err(error) => Err(said("remove it")(error.into())),
            };
        }
        place.check(&now, place.name)?;
        match renameat_with(&place.folder, place.name, &place.folder, temp, RenameFlags::NOREPLACE) {
            Ok(()) => place.drop_or_give_back(&now, RenameFlags::NOREPLACE),
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                unlinkat(&place.folder, place.name, AtFlags::empty())
                    .map_err(|error| said("remove it")(error.into()))
            }
            Err(error) => Err(said("remove it")(error.into())),
        }
    }

    /// Makes a folder that was there; nobody else's until it is dressed.
    pub(crate) fn make_folder(&self, path: &Path) -> Result<(), String> {
        let (parent, name) = self.now.parent(path).map_err(said("reach it"))?;
        match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => Err(CHANGED.to_owned()),
            Err(error) => Err(said("make the folder")(error.into())),
        }
    }

    /// Puts a file, a link or a pipe back into its place.
    pub(crate) fn put(&self, one: &Difference, was: &Entry, temp: &str) -> Result<(), String> {
        let place = self.place(&one.path, temp)?;
        self.make_ready(was, &place, &one.path).map_err(said("write beside it"))?;
        let replaced = one.now.filter(|now| !now.is_folder() && now.kind == was.found.kind);
        let Some(now) = replaced else {
            return match renameat_with(&place.folder, temp, &place.folder, place.name, RenameFlags::NOREPLACE)
            {
                Ok(()) => Ok(()),
                Err(Errno::EXIST) => Err(place.cleared(CHANGED)),
                Err(error) => Err(place.cleared(&said("put it there")(error.into()))),
            };
        };
        if let Err(because) = place.check(&now, place.name) {
            return Err(place.cleared(&because));
        }
        match renameat_with(&place.folder, temp, &place.folder, place.name, RenameFlags::EXCHANGE) {
            Ok(()) => place.drop_or_give_back(&now, RenameFlags::EXCHANGE),
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                renameat(&place.folder, temp, &place.folder, place.name)
                    .map_err(|error| said("put it there")(error.into()))
            }
            Err(error) => Err(place.cleared(&said("put it there")(error.into()))),
        }
    }

    /// Gives back mode, owner, time and attributes alone.
    pub(crate) fn dress(&self, one: &Difference, was: &Entry) -> Result<(), String> {
        let dress = || -> io::Result<()> {
            let there = self.now.find(&one.path)?.ok_or(io::ErrorKind::NotFound)?;
            if there.kind != was.found.kind {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            self.attributes(was, &one.path)?;
            copy::finish(self.now, was)
        };
        dress().map_err(said("give it its mode and time"))
    }

    fn attributes(&self, was: &Entry, at: &Path) -> io::Result<()> {
        let tree = &self.before.tree;
        match was.found.kind {
            Kind::Folder => carry_attributes(opened(tree, &was.path)?, opened(self.now, at)?),
            Kind::File => {
                let from = tree.file(&was.path)?;
                // Whoever may not read their own file may not look at its attributes either: it is opened for the while.
                open_up(self.now, at)?;
                carry_attributes(from, self.now.file(at)?)
            }
            Kind::Link | Kind::Special { .. } => Ok(()),
        }
    }

    fn make_ready(&self, was: &Entry, place: &Place<'_>, path: &Path) -> io::Result<()> {
        let beside = path.with_file_name(place.temp);
        let tree = &self.before.tree;
        if let Some(leader) = self.before.leader(self.links, was) {
            let (folder, name) = self.now.parent(&leader)?;
            let flags = AtFlags::empty();
            return Ok(rustix::fs::linkat(folder, name, &place.folder, place.temp, flags)?);
        }
        match was.found.kind {
            Kind::File => {
                let content = tree.file(&was.path)?;
                let mut fresh = copy::create(self.now, &beside)?;
                copy::copy_content(&content, &mut fresh)?;
                carry_attributes(&content, &fresh)?;
                fresh.sync_data()?;
            }
            Kind::Link => {
                let target = was.target.as_deref().unwrap_or(Path::new(""));
                rustix::fs::symlinkat(target, &place.folder, place.temp)?;
            }
            Kind::Special { .. } => {
                let kind = special_kind(tree, &was.path)?;
                rustix::fs::mknodat(&place.folder, place.temp, kind, Mode::RUSR | Mode::WUSR, 0)?;
            }
            Kind::Folder => return Err(io::ErrorKind::InvalidInput.into()),
        }
        copy::finish(self.now, &Entry { path: beside, ..was.clone() })
    }

    fn place<'a>(&self, path: &'a Path, temp: &'a str) -> Result<Place<'a>, String> {
        let (folder, name) = self.now.parent(path).map_err(said("reach it"))?;
        // Only what a step before a crash left can have this name.
        match unlinkat(&folder, temp, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(Place { folder, name, temp }),
            Err(error) => Err(said("write beside it")(error.into())),
        }
    }
}

impl Place<'_> {
    /// Whether what is under a name is what was judged.
    fn check(&self, judged: &Found, name: &OsStr) -> Result<(), String> {
        let found = find_in(&self.folder, name).map_err(said("look at it"))?;
        let is = |found: &Found| {
            let (one, other) = (&found.stamp, &judged.stamp);
            (one.ino, one.size, one.mtime) == (other.ino, other.size, other.mtime)
        };
        if found.is_some_and(|found| is(&found)) { Ok(()) } else { Err(CHANGED.to_owned()) }
    }

    /// What came out of the place goes if it was judged; else it goes back.
    fn drop_or_give_back(&self, judged: &Found, back: RenameFlags) -> Result<(), String> {
        if self.check(judged, self.temp.as_ref()).is_ok() {
            let gone = unlinkat(&self.folder, self.temp, AtFlags::empty());
            return gone.map_err(|error| said("take away what was replaced")(error.into()));
        }
        if renameat_with(&self.folder, self.temp, &self.folder, self.name, back).is_ok() {
            return Err(CHANGED.to_owned());
        }
        let kept = yours(self.name, self.temp);
        renameat(&self.folder, self.temp, &self.folder, &kept)
            .map_err(|error| said("put it back")(error.into()))?;
        Err(format!("{CHANGED}; a version of yours is in `{}`", kept.display()))
    }

    /// Takes away what was made ready; for this reason.
    fn cleared(&self, because: &str) -> String {
        // One that stays has a name of ours, and goes at the next undo.
        let _ = unlinkat(&self.folder, self.temp, AtFlags::empty());
        because.to_owned()
    }
}

/// The name under which somebody finds a version of theirs.
fn yours(name: &OsStr, temp: &str) -> OsString {
    let mut kept = name.to_owned();
    kept.push(".yours");
    kept.push(temp);
    kept
}

/// After a crash: what lies beside a place goes if it is a picture of what is kept anyway, else it is somebody's.
pub(crate) fn clear(now: &Root, path: &Path, temp: &str, is_kept: impl Fn(&Path) -> bool) {
    let beside = path.with_file_name(temp);
    let Ok(Some(_)) = now.find(&beside) else { return };
    let Ok((folder, name)) = now.parent(path) else { return };
    let _ = if is_kept(&beside) {
        unlinkat(&folder, temp, AtFlags::empty())
    } else {
        renameat(&folder, temp, &folder, yours(name, temp))
    };
}

/// Lets the owner into a folder, or at a file, whose mode keeps them out. Gives the mode that it had.
pub(crate) fn open_up(now: &Root, path: &Path) -> io::Result<Option<u32>> {
    let Some(found) = now.find(path)? else { return Ok(None) };
    let needed = if found.is_folder() { 0o700 } else { 0o600 };
    let own = rustix::process::geteuid();
    if found.mode & needed == needed || own.is_root() || found.kind == Kind::Link {
        return Ok(None);
    }
    set_mode(now, path, found.kind, found.mode | needed)?;
    Ok(Some(found.mode))
}

/// Sets the mode of what is no link, whatever it has become meanwhile.
pub(crate) fn set_mode(now: &Root, path: &Path, kind: Kind, mode: u32) -> io::Result<()> {
    let (parent, name) = now.parent(path)?;
    let held =
        rustix::fs::openat(parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    if Found::of(&rustix::fs::fstat(&held)?).kind != kind {
        return Err(Errno::INVAL.into());
    }
    let same = format!("/proc/self/fd/{}", rustix::fd::AsRawFd::as_raw_fd(&held));
    Ok(rustix::fs::chmodat(CWD, same, Mode::from_raw_mode(mode), AtFlags::empty())?)
}

/// What the disk said, in words.
pub(crate) fn said(what: &str) -> impl Fn(io::Error) -> String + '_ {
    move |error| format!("cannot {what}: {error}")
}

/// The folders above a path, the outermost first.
pub(crate) fn above(path: &Path) -> Vec<PathBuf> {
    let mut above: Vec<PathBuf> =
        path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()).map(Path::to_owned).collect();
    above.reverse();
    above
}
