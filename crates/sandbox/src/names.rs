//! Changing names on behalf of a caller: renames, links, removals, new folders, links and pipes, and truncation by name.
//!
//! Owns: these calls, for runs whose opens are judged: what each would touch is held first, judged by its name, and then
//! done on what is held. Does not own: opening (`open.rs`), the judgement.

use crate::caller::{self, Memory};
use crate::deed::{Demand, Judge};
use crate::mounted;
use crate::open::{by_descriptor, is_of_the_kernel, mask_of};
use crate::sys::notify::Notification;
use crate::view::{Found, View, whereabouts};
use ledger::{Access, NameAct};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// The longest text of a link that the kernel takes.
const TEXT_MAX: usize = 4096;

/// A name in a folder that is held.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) folder: Found,
    pub(crate) name: OsString,
}

impl Place {
    pub(crate) fn find(view: &View, path: &Path) -> io::Result<Self> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Errno::INVAL.into());
        };
        Ok(Self { folder: view.find(parent, true)?, name: name.to_os_string() })
    }

    /// The name that a call speaks of by a folder and an address.
    fn named(
        view: &View,
        call: &Notification,
        memory: &mut Memory,
        folder: i32,
        address: u64,
    ) -> io::Result<Self> {
        let path = memory.path(address)?;
        if path.as_os_str().is_empty() {
            // Linking a nameless file by its descriptor: not for runs whose names are judged.
            return Err(Errno::PERM.into());
        }
        let path = caller::asked(call.pid, folder, &path)?;
        if is_of_the_kernel(&path) { Err(Errno::PERM.into()) } else { Self::find(view, &path) }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path.join(&self.name)
    }

    fn is_folder(&self) -> bool {
        rustix::fs::statat(&self.folder.object, &self.name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|facts| FileType::from_raw_mode(facts.st_mode).is_dir())
    }
}

/// A change of names, with all that it touches held.
#[derive(Debug)]
pub(crate) enum Change {
    Remove { place: Place, flags: AtFlags },
    Truncate { found: Found, length: u64 },
    Rename { from: Place, to: Place, flags: RenameFlags },
    Link { from: Place, to: Place },
    Make { place: Place, made: Made },
}

/// What is made.
#[derive(Debug)]
pub(crate) enum Made {
    Folder(Mode),
    Link(OsString),
    Pipe(FileType, Mode),
}

impl Change {
    /// Reads a call, once, and takes hold of what it speaks of.
    pub(crate) fn read(view: &View, call: &Notification) -> io::Result<Self> {
        match call.number {
            libc::SYS_unlink | libc::SYS_unlinkat | libc::SYS_rmdir => removal(view, call),
            libc::SYS_truncate => truncation(view, call),
            libc::SYS_mkdir
            | libc::SYS_mkdirat
            | libc::SYS_symlink
            | libc::SYS_symlinkat
            | libc::SYS_mknod
            | libc::SYS_mknodat => making(view, call),
            _ => rename_or_link(view, call),
        }
    }

    pub(crate) fn demands(&self, judge: Judge<'_>) -> io::Result<()> {
        let write = Access::Write;
        match self {
            Self::Remove { place, .. } | Self::Make { place, .. } => {
                judge(Demand::of(&place.path(), write));
            }
            Self::Truncate { found, .. } => {
                judge(Demand::of(&found.path, write));
            }
            Self::Rename { from, to, flags } => {
                let exchanges = flags.contains(RenameFlags::EXCHANGE);
                if names(from, to, exchanges, judge)? && exchanges {
                    judge_content(to, judge)?;
                }
            }
            Self::Link { from, to } => {
                names(from, to, false, judge)?;
            }
        }
        Ok(())
    }

    pub(crate) fn stands(&self) -> bool {
        match self {
            Self::Remove { place, .. } | Self::Make { place, .. } => place.folder.stands(),
            Self::Truncate { found, .. } => found.stands(),
            Self::Rename { from, to, .. } | Self::Link { from, to } => {
                from.folder.stands() && to.folder.stands()
            }
        }
    }

    /// What is written down of it.
    pub(crate) fn acts(&self) -> Vec<(NameAct, PathBuf)> {
        match self {
            Self::Remove { place, .. } => vec![(NameAct::Removed, place.path())],
            Self::Make { place, .. } => vec![(NameAct::Made, place.path())],
            Self::Truncate { found, .. } => vec![(NameAct::Truncated, found.path.clone())],
            Self::Rename { from, to, .. } => {
                vec![(NameAct::Renamed, from.path()), (NameAct::Renamed, to.path())]
            }
            Self::Link { to, .. } => vec![(NameAct::Linked, to.path())],
        }
    }

    /// Does it, for `thread`, which waits.
    pub(crate) fn perform(self, thread: i32) -> io::Result<()> {
        match self {
            Self::Remove { place, flags } => {
                mounted::stays(&place, thread)?;
                rustix::fs::unlinkat(&place.folder.object, &place.name, flags)?;
            }
            Self::Truncate { found, length } => {
                let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
                let file = rustix::fs::open(by_descriptor(&found.object), flags, Mode::empty())?;
                rustix::fs::ftruncate(&file, length)?;
            }
            Self::Link { from, to } => {
                let flags = AtFlags::empty();
                rustix::fs::linkat(&from.folder.object, &from.name, &to.folder.object, &to.name, flags)?;
            }
            Self::Rename { from, to, flags } => {
                mounted::stays(&from, thread)?;
                mounted::stays(&to, thread)?;
                let (old, new) = (&from.folder.object, &to.folder.object);
                rustix::fs::renameat_with(old, &from.name, new, &to.name, flags)?;
            }
            Self::Make { place, made } => {
                let (folder, name) = (&place.folder.object, &place.name);
                match made {
                    Made::Folder(mode) => rustix::fs::mkdirat(folder, name, mode)?,
                    Made::Link(text) => rustix::fs::symlinkat(text, folder, name)?,
                    Made::Pipe(kind, mode) => rustix::fs::mknodat(folder, name, kind, mode, 0)?,
                }
            }
        }
        Ok(())
    }
}

fn removal(view: &View, call: &Notification) -> io::Result<Change> {
    let [a0, a1, a2, ..] = call.args;
    let (folder, address, flags) = match call.number {
        libc::SYS_unlink => (libc::AT_FDCWD, a0, AtFlags::empty()),
        libc::SYS_rmdir => (libc::AT_FDCWD, a0, AtFlags::REMOVEDIR),
        _ => (a0 as i32, a1, AtFlags::from_bits_retain(a2 as u32)),
    };
    let place = Place::named(view, call, &mut Memory::of(call.pid), folder, address)?;
    Ok(Change::Remove { place, flags })
}

fn truncation(view: &View, call: &Notification) -> io::Result<Change> {
    let path = Memory::of(call.pid).path(call.args[0])?;
    let base = if path.is_absolute() { PathBuf::from("/") } else { caller::base(call.pid, libc::AT_FDCWD)? };
    let found = view.find(&caller::named(&base, &path), true)?;
    Ok(Change::Truncate { found, length: call.args[1] })
}

fn rename_or_link(view: &View, call: &Notification) -> io::Result<Change> {
    let [a0, a1, a2, a3, a4, _] = call.args;
    let here = libc::AT_FDCWD;
    let (from, to, flags) = match call.number {
        libc::SYS_rename | libc::SYS_link => ((here, a0), (here, a1), 0),
        libc::SYS_renameat => ((a0 as i32, a1), (a2 as i32, a3), 0),
        _ => ((a0 as i32, a1), (a2 as i32, a3), a4 as u32),
    };
    let mut memory = Memory::of(call.pid);
    let mut place = |(folder, address)| Place::named(view, call, &mut memory, folder, address);
    let (from, to) = (place(from)?, place(to)?);
    Ok(if matches!(call.number, libc::SYS_link | libc::SYS_linkat) {
        Change::Link { from, to }
    } else {
        Change::Rename { from, to, flags: RenameFlags::from_bits_retain(flags) }
    })
}

/// Both names, and everything that gets another by it; whether all of it was taken.
///
/// What is read with somebody's yes alone may be read without by another name: so that it gets one is asked as its reading
/// is, by the name that it has.
fn names(from: &Place, to: &Place, exchanges: bool, judge: Judge<'_>) -> io::Result<bool> {
    let (old, new) = (from.path(), to.path());
    let read = |place: &Place, path| Demand { content: !place.is_folder(), ..Demand::of(path, Access::Read) };
    let write = |path| Demand::of(path, Access::Write);
    // Nothing leaves the new name unless they are exchanged: then what is there goes, and is not read.
    let mut arrives = read(to, &new);
    arrives.content &= exchanges;
    for demand in [read(from, &old), write(&old), write(&new), arrives] {
        if !judge(demand) {
            return Ok(false);
        }
    }
    judge_content(from, judge)
}

/// Most entries of a folder that are looked at before its rename is refused.
const ENTRIES_MAX: usize = 20_000;

/// A folder must not carry a file that is not simply read to a name that no rule knows. Nobody is asked about each.
fn judge_content(from: &Place, judge: Judge<'_>) -> io::Result<bool> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(top) = rustix::fs::openat(&from.folder.object, &from.name, flags, Mode::empty()) else {
        return Ok(true);
    };
    let mut waiting = vec![top];
    let mut seen = 0;
    while let Some(folder) = waiting.pop() {
        let path = whereabouts(&folder)?;
        for entry in rustix::fs::Dir::read_from(&folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            seen += 1;
            if seen > ENTRIES_MAX {
                return Err(Errno::PERM.into());
            }
            let (within, is_folder) =
                (path.join(OsStr::from_bytes(name.to_bytes())), entry.file_type().is_dir());
            if !judge(Demand { content: !is_folder, asks: false, ..Demand::of(&within, Access::Read) }) {
                return Ok(false);
            }
            if is_folder {
                waiting.push(rustix::fs::openat(&folder, name, flags, Mode::empty())?);
            }
        }
    }
    Ok(true)
}

fn making(view: &View, call: &Notification) -> io::Result<Change> {
    let mut memory = Memory::of(call.pid);
    let (folder, address, made) = what_is_made(call, &mut memory)?;
    let place = Place::named(view, call, &mut memory, folder, address)?;
    if view.stands(&place.path()) {
        // Whoever makes every folder of a path, one after the other, expects to be told just this.
        return Err(Errno::EXIST.into());
    }
    Ok(Change::Make { place, made })
}

/// Reads the arguments, once.
fn what_is_made(call: &Notification, memory: &mut Memory) -> io::Result<(i32, u64, Made)> {
    let [a0, a1, a2, ..] = call.args;
    let here = libc::AT_FDCWD;
    let mode = |bits: u64| Mode::from_raw_mode(bits as u32 & 0o7777 & !mask_of(call.pid));
    Ok(match call.number {
        libc::SYS_mkdir => (here, a0, Made::Folder(mode(a1))),
        libc::SYS_mkdirat => (a0 as i32, a1, Made::Folder(mode(a2))),
        libc::SYS_symlink => (here, a1, Made::Link(text(memory, a0)?)),
        libc::SYS_symlinkat => (a1 as i32, a2, Made::Link(text(memory, a0)?)),
        libc::SYS_mknod => (here, a0, Made::Pipe(plain(a1)?, mode(a1))),
        _ => (a0 as i32, a1, Made::Pipe(plain(a2)?, mode(a2))),
    })
}

fn text(memory: &mut Memory, address: u64) -> io::Result<OsString> {
    let text = memory.string(address, TEXT_MAX)?;
    if text.is_empty() { Err(Errno::NOENT.into()) } else { Ok(OsString::from_vec(text)) }
}

/// A pipe, a socket or an empty file. Devices are for nobody inside.
fn plain(mode: u64) -> io::Result<FileType> {
    match FileType::from_raw_mode(mode as u32) {
        FileType::Unknown => Ok(FileType::RegularFile),
        kind @ (FileType::RegularFile | FileType::Fifo | FileType::Socket) => Ok(kind),
        _ => Err(Errno::PERM.into()),
    }
}
