//! Pre-images: all that a workspace holds before a run writes into it, kept in the run's folder.
//!
//! Owns: that they are whole and durable before the run begins, or the run is refused. The top folder of git is not among
//! them: no write reaches it. Does not own putting them back (`back`).

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use ledger::event::PreimagesKept;
use rustix::fd::AsFd;
use rustix::fs::{FileType, Mode, XattrFlags};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::Refusal;
use crate::workspace::base::{Base, Entry, is_git};
use crate::workspace::beneath::{Found, Kind, Root};
use crate::workspace::copy;
use crate::workspace::sides::hex;

/// The kept tree, and what it is a picture of.
#[derive(Debug)]
pub(crate) struct Before {
    /// Each thing as it was; `found` is the kept one, `copied` how the one in the workspace stood.
    pub(crate) base: Base,
    pub(crate) tree: Root,
}

/// Where the parts of it lie, beneath the run's folder.
pub(crate) fn tree(place: &Path) -> PathBuf {
    place.join("tree")
}

/// Where the list lies.
pub(crate) fn list(place: &Path) -> PathBuf {
    place.join("base")
}

/// Whether a path is the top folder of git, or in it.
pub(crate) fn is_top_git(path: &Path) -> bool {
    path.iter().next().is_some_and(|top| is_git(Path::new(top)))
}

impl Before {
    /// Takes it up again.
    pub(crate) fn load(place: &Path) -> io::Result<Before> {
        let base = Base::load(&list(place))?;
        Ok(Before { base, tree: Root::open(&std::fs::canonicalize(tree(place))?)? })
    }

    /// Of what other names of the same file come before this one: the first.
    pub(crate) fn leader(&self, links: &Links, entry: &Entry) -> Option<PathBuf> {
        links.get(&entry.found.stamp.ino).filter(|first| **first != entry.path).cloned()
    }

    /// The first name of every file that has several.
    pub(crate) fn links(&self) -> Links {
        let mut names: BTreeMap<u64, (PathBuf, u32)> = BTreeMap::new();
        for entry in self.base.entries.iter().filter(|entry| !entry.found.is_folder()) {
            let known = names.entry(entry.found.stamp.ino).or_insert_with(|| (entry.path.clone(), 0));
            known.1 += 1;
        }
        names.into_iter().filter(|(_, (_, count))| *count > 1).map(|(ino, (path, _))| (ino, path)).collect()
    }
}

/// By the number of a file in the kept tree, its first name.
pub(crate) type Links = BTreeMap<u64, PathBuf>;

/// Everything that stands, but for the top folder of git; and what could not be listed of it.
pub(crate) fn look(now: &Root) -> io::Result<(Base, Vec<PathBuf>)> {
    let (mut base, mut shut) = Base::look(now, (i64::MAX, 0))?;
    base.entries.retain(|entry| !is_top_git(&entry.path));
    shut.retain(|path| !is_top_git(path));
    Ok((base, shut))
}

/// Keeps everything, durably.
pub(crate) fn take(now: &Root, place: &Path) -> Result<PreimagesKept, Refusal> {
    for folder in [place.to_owned(), tree(place), list(place)] {
        rustix::fs::mkdir(&folder, Mode::RWXU).map_err(|error| Refusal::kept(&folder, error.into()))?;
    }
    let to = std::fs::canonicalize(tree(place)).and_then(|tree| Root::open(&tree));
    let to = to.map_err(|error| Refusal::kept(place, error))?;
    let (mut base, shut) = look(now).map_err(|error| Refusal::kept(Path::new("."), error))?;
    if let Some(folder) = shut.first() {
        return Err(Refusal::kept(folder, Errno::ACCESS.into()));
    }
    let mut taking = Taking { now, to: &to, names: BTreeMap::new(), kept: PreimagesKept::default() };
    for entry in &mut base.entries {
        taking.keep(entry)?;
    }
    taking.no_name_elsewhere()?;
    // ORDER: a folder's mode and time after all that goes into it, the innermost first.
    for entry in base.entries.iter().rev().filter(|entry| entry.found.is_folder()) {
        copy::finish(&to, entry).map_err(|error| Refusal::kept(&entry.path, error))?;
    }
    let top = now.find(Path::new("")).ok().flatten();
    let top = top.ok_or_else(|| Refusal::kept(Path::new("."), Errno::NOENT.into()))?;
    dress_top(&to, &top).map_err(|error| Refusal::kept(place, error))?;
    let mut kept = taking.kept;
    for entry in &mut base.entries {
        let found = to.find(&entry.path).map_err(|error| Refusal::kept(&entry.path, error))?;
        let found = found.ok_or_else(|| Refusal::kept(&entry.path, Errno::NOENT.into()))?;
        entry.copied = Some(entry.found.stamp);
        entry.found.stamp = found.stamp;
        entry.late = false;
    }
    // ORDER: the contents are on disk before the list that vouches for them; both before the agent's first instruction.
    let durable = || -> io::Result<String> {
        rustix::fs::syncfs(to.reading()?)?;
        base.save_durably(&list(place))?;
        File::open(list(place))?.sync_all()?;
        File::open(place)?.sync_all()?;
        Ok(hex(&Sha256::digest(std::fs::read(list(place).join("manifest"))?)))
    };
    kept.digest = durable().map_err(|error| Refusal::kept(place, error))?;
    Ok(kept)
}

/// Gives the folder itself its owner, mode and time.
pub(crate) fn dress_top(root: &Root, like: &Found) -> io::Result<()> {
    root.dress(Path::new(""), like)?;
    let (seconds, nanoseconds) = like.stamp.mtime;
    let times = rustix::fs::Timestamps {
        last_access: rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
        last_modification: rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() },
    };
    Ok(rustix::fs::futimens(root.reading()?, &times)?)
}

/// How often something is looked at again that changes while it is kept.
const TRIES: usize = 3;

struct Taking<'a> {
    now: &'a Root,
    to: &'a Root,
    /// By its number, how many names a file has, and those that were met.
    names: BTreeMap<u64, (u64, Vec<PathBuf>)>,
    kept: PreimagesKept,
}

impl Taking<'_> {
    /// Keeps one thing, as it stands at one moment.
    fn keep(&mut self, entry: &mut Entry) -> Result<(), Refusal> {
        let path = entry.path.clone();
        let refused = |error| Refusal::kept(&path, error);
        if !rustix::process::geteuid().is_root() {
            let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
            if (entry.found.uid, entry.found.gid) != own {
                return Err(Refusal::Foreign(entry.path.clone()));
            }
        }
        for _ in 0..TRIES {
            self.one(entry)?;
            let now = self.now.find(&path).map_err(refused)?;
            let now = now.filter(|now| now.kind == entry.found.kind);
            let now = now.ok_or_else(|| Refusal::Restless(entry.path.clone()))?;
            if entry.found.is_folder() || now.stamp == entry.found.stamp {
                return Ok(());
            }
            entry.found = now;
            self.drop_again(entry).map_err(refused)?;
        }
        Err(Refusal::Restless(entry.path.clone()))
    }

    fn one(&mut self, entry: &mut Entry) -> Result<(), Refusal> {
        let path = entry.path.clone();
        let refused = |error| Refusal::kept(&path, error);
        if !entry.found.is_folder() && self.is_known(&path).map_err(refused)? {
            return Ok(());
        }
        match entry.found.kind {
            Kind::Folder => self.folder(&path).map_err(refused)?,
            Kind::Link => {
                let target = self.now.link(&path).map_err(refused)?;
                let (parent, name) = self.to.parent(&path).map_err(refused)?;
                rustix::fs::symlinkat(&target, parent, name).map_err(|error| refused(error.into()))?;
                entry.target = Some(target);
            }
            Kind::Special { .. } => self.special(&path)?,
            Kind::File => return self.file(entry),
        }
        self.kept.others += 1;
        if entry.found.is_folder() { Ok(()) } else { copy::finish(self.to, entry).map_err(refused) }
    }

    fn folder(&self, path: &Path) -> io::Result<()> {
        let (parent, name) = self.to.parent(path)?;
        rustix::fs::mkdirat(parent, name, Mode::RWXU)?;
        carry_attributes(&opened(self.now, path)?, &opened(self.to, path)?)
    }

    /// A pipe or a socket has a name and no content; a device is nobody's to make again.
    fn special(&self, path: &Path) -> Result<(), Refusal> {
        let make = || -> io::Result<bool> {
            let kind = special_kind(self.now, path)?;
            if !matches!(kind, FileType::Fifo | FileType::Socket) {
                return Ok(false);
            }
            let (parent, name) = self.to.parent(path)?;
            rustix::fs::mknodat(parent, name, kind, Mode::RUSR | Mode::WUSR, 0)?;
            Ok(true)
        };
        match make().map_err(|error| Refusal::kept(path, error))? {
            true => Ok(()),
            false => Err(Refusal::Device(path.to_owned())),
        }
    }

    fn file(&mut self, entry: &Entry) -> Result<(), Refusal> {
        let path = &entry.path;
        let refused = |error| Refusal::kept(path, error);
        let source = self.now.file(path).map_err(refused)?;
        let found = source.metadata().map_err(refused)?;
        let mut fresh = copy::create(self.to, path).map_err(refused)?;
        copy::copy_content(&source, &mut fresh).map_err(refused)?;
        carry_attributes(&source, &fresh).map_err(refused)?;
        copy::finish(self.to, entry).map_err(refused)?;
        self.kept.files += 1;
        self.kept.bytes += found.len();
        Ok(())
    }

    /// Whether what has this name was kept under another; then it gets this one too.
    fn is_known(&mut self, path: &Path) -> io::Result<bool> {
        let (parent, name) = self.now.parent(path)?;
        let found = rustix::fs::statat(parent, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)?;
        if found.st_nlink < 2 {
            return Ok(false);
        }
        let (_, names) = self.names.entry(found.st_ino).or_insert_with(|| (found.st_nlink, Vec::new()));
        let first = names.first().filter(|first| *first != path).cloned();
        if !names.iter().any(|known| known == path) {
            names.push(path.to_owned());
        }
        let Some(first) = first else { return Ok(false) };
        let (from, name) = self.to.parent(&first)?;
        let (parent, second) = self.to.parent(path)?;
        rustix::fs::linkat(from, name, parent, second, rustix::fs::AtFlags::empty())?;
        self.kept.others += 1;
        Ok(true)
    }

    fn drop_again(&self, entry: &Entry) -> io::Result<()> {
        let (parent, name) = self.to.parent(&entry.path)?;
        Ok(rustix::fs::unlinkat(parent, name, rustix::fs::AtFlags::empty())?)
    }

    /// A file with a name elsewhere would be changed there too, and no undo in this folder would be exact. One that shares
    /// its content with a file that is held would carry a write around the rules.
    fn no_name_elsewhere(&self) -> Result<(), Refusal> {
        for (count, names) in self.names.values() {
            let Some(first) = names.first() else { continue };
            let held = names.iter().filter(|name| super::held::is_ruled(name)).count();
            if names.len() as u64 != *count || (held > 0 && held < names.len()) {
                return Err(Refusal::Shared(first.clone()));
            }
        }
        Ok(())
    }
}

/// What kind of thing stands there, if it is neither file, folder nor link.
pub(crate) fn special_kind(root: &Root, path: &Path) -> io::Result<FileType> {
    let (parent, name) = root.parent(path)?;
    let found = rustix::fs::statat(parent, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(found.st_mode))
}

/// A folder, open to be asked for its attributes.
pub(crate) fn opened(root: &Root, path: &Path) -> io::Result<File> {
    let (parent, name) = root.parent(path)?;
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::NOFOLLOW;
    Ok(File::from(rustix::fs::openat(parent, name, flags | rustix::fs::OFlags::CLOEXEC, Mode::empty())?))
}

/// The extended attributes that belong to the person: their own, and who else may.
pub(crate) fn attributes(of: impl AsFd) -> io::Result<BTreeMap<CString, Vec<u8>>> {
    let mut nothing: [u8; 0] = [];
    let length = match rustix::fs::flistxattr(&of, &mut nothing) {
        Ok(0) | Err(Errno::NOTSUP) => return Ok(BTreeMap::new()),
        Ok(length) => length,
        Err(error) => return Err(error.into()),
    };
    let mut names = vec![0u8; length];
    let length = rustix::fs::flistxattr(&of, &mut names)?;
    let names = names.get(..length).unwrap_or_default().split(|byte| *byte == 0);
    let mut found = BTreeMap::new();
    for name in names.filter(|name| name.starts_with(b"user.") || name.starts_with(b"system.posix_acl_")) {
        let name = CString::new(name).map_err(io::Error::other)?;
        let mut value = vec![0u8; 65_536];
        let length = rustix::fs::fgetxattr(&of, &name, &mut value)?;
        value.truncate(length);
        found.insert(name, value);
    }
    Ok(found)
}

/// Gives something the attributes of another, and no others.
pub(crate) fn carry_attributes(from: impl AsFd, to: impl AsFd) -> io::Result<()> {
    let wanted = attributes(from)?;
    let known = attributes(&to)?;
    for name in known.keys().filter(|name| !wanted.contains_key(*name)) {
        rustix::fs::fremovexattr(&to, name)?;
    }
    for (name, value) in wanted.iter().filter(|(name, value)| known.get(*name) != Some(value)) {
        rustix::fs::fsetxattr(&to, name, value, XattrFlags::empty())?;
    }
    Ok(())
}

/// How the workspace stood when the run was over.
#[derive(Debug, Default)]
pub(crate) struct After(BTreeMap<PathBuf, Found>);

impl After {
    /// Notes how it stands now.
    pub(crate) fn save(now: &Base, place: &Path) -> io::Result<()> {
        let folder = place.join("after");
        std::fs::create_dir_all(&folder)?;
        now.save_durably(&folder)
    }

    /// Reads the note; nothing where the run was cut short.
    pub(crate) fn load(place: &Path) -> io::Result<Option<After>> {
        match Base::load(&place.join("after")) {
            Ok(base) => {
                let found = base.entries.into_iter().map(|entry| (entry.path, entry.found));
                Ok(Some(After(found.collect())))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What stood at a path.
    pub(crate) fn get(&self, path: &Path) -> Option<&Found> {
        self.0.get(path)
    }
}
