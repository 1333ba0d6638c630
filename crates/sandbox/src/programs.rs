//! Programs by content: which files the names in rules mean, and what a file is whatever it is called.
//!
//! Owns: the programs that rules name, as they are installed, and comparing others with them. Does not own: what
//! follows from it (`policy`). Only what lies where the agent can write is compared, and only where the size is that of
//! a named program: the system's own names for a file are its author's.

use crate::loader;
use crate::supervisor::bare::Names;
use crate::view::{Found, View, read_at};
use rustix::fd::{AsFd, AsRawFd as _, OwnedFd};
use rustix::fs::{Mode, OFlags, Stat, StatVfsMountFlags};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// How much of two files is compared at once.
const BLOCK: usize = 1 << 16;

/// Folders of programs, whatever PATH says.
const FOLDERS: [&str; 6] = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"];

/// The programs that rules name, and the loaders that start them.
#[derive(Debug, Default)]
pub(crate) struct Programs {
    named: Vec<Known>,
    loaders: Vec<Known>,
    workspace: PathBuf,
    /// Without namespaces: the run's own folders, the only ones that it writes.
    own: Option<Names>,
}

/// An installed file.
#[derive(Debug)]
struct Known {
    found: Found,
    id: (u64, u64),
    size: i64,
    /// Names that are not its own, but lead to it and to nothing else.
    names: Vec<Vec<u8>>,
}

/// What is known of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) installed: bool,
    pub(crate) loader: bool,
    /// Names that the system gives it beside its own.
    pub(crate) names: Vec<Vec<u8>>,
    /// Names of the installed programs that it is a copy of.
    pub(crate) copies: Vec<Vec<u8>>,
}

impl Programs {
    /// Looks for what rules name, in the folders of PATH and in the system's.
    pub(crate) fn find(
        view: &View,
        named: &[PathBuf],
        folders: &[PathBuf],
        (workspace, own): (&Path, Option<Names>),
    ) -> Self {
        let mut programs = Self { workspace: workspace.to_owned(), own, ..Self::default() };
        let folders: Vec<&Path> =
            folders.iter().map(PathBuf::as_path).chain(FOLDERS.iter().map(Path::new)).collect();
        for name in named {
            if name.is_absolute() {
                programs.know(view, name);
                continue;
            }
            for folder in folders.iter().filter(|folder| folder.is_absolute()) {
                programs.know(view, &folder.join(name));
            }
        }
        let wanted = programs
            .named
            .iter()
            .filter_map(|known| loader::wanted(|at, most| read_at(&known.found.object, at, most)));
        let mut loaders: Vec<PathBuf> = wanted.chain(loader::USUAL.map(PathBuf::from)).collect();
        loaders.sort();
        loaders.dedup();
        programs.loaders = loaders.iter().filter_map(|at| programs.installed_at(view, at)).collect();
        programs
    }

    fn installed_at(&self, view: &View, path: &Path) -> Option<Known> {
        let found = view.find(path, true).ok().filter(|found| self.is_installed(found))?;
        let facts = rustix::fs::fstat(&found.object).ok()?;
        let is_file = rustix::fs::FileType::from_raw_mode(facts.st_mode).is_file();
        is_file.then_some(Known {
            found,
            id: (facts.st_dev, facts.st_ino),
            size: facts.st_size,
            names: Vec::new(),
        })
    }

    fn know(&mut self, view: &View, path: &Path) {
        let Some(mut known) = self.installed_at(view, path) else { return };
        let name = path.file_name().unwrap_or_default();
        let own = known.found.path.file_name().unwrap_or_default();
        if name != own {
            // `python3` leads to `python3.11`; but what `ls` and many others lead to is one program only by its first word.
            if !holds(own.as_bytes(), name.as_bytes()) {
                return;
            }
            known.names.push(name.as_bytes().to_vec());
        }
        match self.named.iter_mut().find(|other| other.found.path == known.found.path) {
            Some(other) => {
                other.names.extend(known.names);
                other.names.sort();
                other.names.dedup();
            }
            None => self.named.push(known),
        }
    }

    /// Whether it lies where nobody inside can write, and is no file of the repository.
    fn is_installed(&self, found: &Found) -> bool {
        let is_closed = || match &self.own {
            Some(own) => own.spoken(&found.path) == found.path,
            None => rustix::fs::fstatvfs(&found.object)
                .is_ok_and(|facts| facts.f_flag.contains(StatVfsMountFlags::RDONLY)),
        };
        !found.path.starts_with(&self.workspace) && is_closed()
    }

    /// What a program is, by where it lies and by its content.
    pub(crate) fn kind_of(&self, found: &Found) -> io::Result<Kind> {
        let installed = self.is_installed(found);
        let named_so = loader::is_named_so(&found.path);
        if installed {
            let same = |known: &&Known| known.found.path == found.path;
            let names = self.named.iter().filter(same).flat_map(|known| known.names.clone()).collect();
            let loader = named_so || self.loaders.iter().any(|known| same(&known));
            return Ok(Kind { installed, loader, names, copies: Vec::new() });
        }
        let facts = rustix::fs::fstat(&found.object)?;
        let copies = self.copied_by(&found.object, &facts);
        let loader = named_so || self.loaders.iter().any(|known| known.is_copied_by(&found.object, &facts));
        Ok(Kind { installed, loader, names: Vec::new(), copies })
    }

    /// The names of the installed programs that something is a copy of.
    fn copied_by(&self, object: &OwnedFd, facts: &Stat) -> Vec<Vec<u8>> {
        let copied = self.named.iter().filter(|known| known.is_copied_by(object, facts));
        let names = copied.flat_map(|known| {
            let own = known.found.path.as_os_str().as_bytes().to_vec();
            std::iter::once(own).chain(known.names.clone())
        });
        names.collect()
    }

    /// Whether something is still a copy of the same programs, or of none.
    pub(crate) fn is_still(&self, object: &OwnedFd, kind: &Kind) -> io::Result<bool> {
        let facts = rustix::fs::fstat(object)?;
        Ok(kind.installed || self.copied_by(object, &facts) == kind.copies)
    }
}

impl Known {
    /// Whether a file is this one under another name. What cannot be read, but is as large, is taken for it.
    fn is_copied_by(&self, object: &OwnedFd, facts: &Stat) -> bool {
        (facts.st_dev, facts.st_ino) == self.id
            || (facts.st_size == self.size && same_content(&self.found.object, object).unwrap_or(true))
    }
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && text.windows(part.len()).any(|window| window == part)
}

fn same_content(one: &OwnedFd, other: &OwnedFd) -> io::Result<bool> {
    let (one, other) = (readable(one)?, readable(other)?);
    let (mut here, mut there) = (vec![0; BLOCK], vec![0; BLOCK]);
    let mut at = 0;
    loop {
        let read = rustix::io::pread(&one, &mut here[..], at)?;
        let mut filled = 0;
        while let Some(rest) = there.get_mut(filled..read).filter(|rest| !rest.is_empty()) {
            match rustix::io::pread(&other, rest, at + filled as u64)? {
                0 => return Ok(false),
                more => filled += more,
            }
        }
        if here.get(..read) != there.get(..read) {
            return Ok(false);
        }
        if read == 0 {
            return Ok(true);
        }
        at += read as u64;
    }
}

/// Opens what is held for reading; a pipe or a device never holds us up.
fn readable(object: &OwnedFd) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", object.as_fd().as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// The folders that a PATH names.
pub(crate) fn folders(path: &OsStr) -> Vec<PathBuf> {
    std::env::split_paths(path).filter(|folder| folder.is_absolute()).collect()
}
