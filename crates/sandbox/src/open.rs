//! Opening, renaming and linking on behalf of a caller: judged on what is held, done on what was judged.
//!
//! Owns: the steps that leave a hostile caller nothing to exchange in between. Does not own: the judgement.
//! Used for runs whose policy has a rule that no mount can hold (a Shape); other runs' opens are only seen.

use crate::caller::{self, Memory};
use crate::mounted;
use crate::sys::notify::Notification;
use crate::view::{Found, View, whereabouts};
use ledger::Access;
use policy::Reason;
use rustix::fd::{AsRawFd as _, OwnedFd};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// An open as it was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) path: PathBuf,
    pub(crate) folder: i32,
    pub(crate) flags: OFlags,
    mode: u32,
    resolve: u64,
}

/// What an open leads to.
#[derive(Debug)]
pub(crate) enum Goal {
    /// The caller holds it already, or the kernel keeps it for the caller.
    Held(Found),
    /// A path of the inside.
    Path(PathBuf),
}

/// What came of an open on behalf.
#[derive(Debug)]
pub(crate) enum Opened {
    Yes {
        file: OwnedFd,
        path: PathBuf,
    },
    /// What it waits for may never come: to be opened by somebody who may wait.
    Blocks(Waiting),
    Denied {
        path: PathBuf,
        reasons: Vec<Reason>,
    },
}

/// An open that waits: for the other end of a pipe, or for a lease to be given back.
#[derive(Debug)]
pub(crate) struct Waiting {
    object: OwnedFd,
    flags: OFlags,
    pub(crate) path: PathBuf,
}

impl Waiting {
    pub(crate) fn open(&self) -> io::Result<OwnedFd> {
        Ok(rustix::fs::open(by_descriptor(&self.object), self.flags, Mode::empty())?)
    }
}

/// A path that leads to something that is held, whatever became of its name.
fn by_descriptor(object: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", object.as_raw_fd())
}

/// Judges a path of the inside; reasons mean no. An error where nobody waits for the answer any more: what was read
/// may then have been somebody else's.
pub(crate) type Judge<'a> = &'a mut dyn FnMut(&Path, Access) -> io::Result<Option<Vec<Reason>>>;

impl Wanted {
    /// Whether the open could change anything.
    pub(crate) fn access(&self) -> Access {
        let changes = OFlags::WRONLY | OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC | OFlags::APPEND;
        let temporary = self.flags.contains(OFlags::TMPFILE);
        if !self.flags.contains(OFlags::PATH) && (self.flags.intersects(changes) || temporary) {
            Access::Write
        } else {
            Access::Read
        }
    }

    /// Whether the open makes what is not there.
    fn makes(&self) -> bool {
        self.flags.contains(OFlags::CREATE)
    }

    /// Whether what is there already is in the way.
    fn makes_anew(&self) -> bool {
        self.flags.contains(OFlags::CREATE | OFlags::EXCL)
    }

    pub(crate) fn close_on_exec(&self) -> bool {
        self.flags.contains(OFlags::CLOEXEC)
    }
}

/// Reads the arguments of an open call, once.
pub(crate) fn read(call: &Notification) -> io::Result<Wanted> {
    let mut memory = Memory::of(call.pid);
    let [a0, a1, a2, a3, ..] = call.args;
    let (folder, path, flags, mode, resolve) = match call.number {
        libc::SYS_open => (libc::AT_FDCWD, a0, a1, a2, 0),
        libc::SYS_creat => {
            (libc::AT_FDCWD, a0, (libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC) as u64, a1, 0)
        }
        libc::SYS_openat => (a0 as i32, a1, a2, a3, 0),
        _ => {
            let (flags, mode, resolve) = memory.open_how(a2)?;
            (a0 as i32, a1, flags, mode, resolve)
        }
    };
    let path = memory.path(path)?;
    if path.as_os_str().is_empty() {
        return Err(io::Error::from_raw_os_error(libc::ENOENT));
    }
    Ok(Wanted {
        path,
        folder,
        flags: OFlags::from_bits_retain(flags as u32),
        mode: mode as u32 & 0o7777,
        resolve,
    })
}

/// Opens what the caller wants, if `judge` has nothing against what it leads to.
pub(crate) fn on_behalf(
    view: &View,
    goal: Goal,
    wanted: &Wanted,
    thread: i32,
    judge: Judge<'_>,
) -> io::Result<Opened> {
    if wanted.resolve != 0 {
        // The caller's own resolution rules cannot be kept on another root; libraries fall back to openat.
        return Err(Errno::NOSYS.into());
    }
    let target = match goal {
        Goal::Held(found) if has_a_name(&found)? => {
            return open_judged(callers_own(view, found, wanted, thread)?, wanted, judge);
        }
        Goal::Held(found) => return open_found(found, wanted),
        Goal::Path(path) => path,
    };
    for _ in 0..TRIES_MAX {
        match view.find(&target, !wanted.flags.contains(OFlags::NOFOLLOW)) {
            Ok(found) => return open_judged(callers_own(view, found, wanted, thread)?, wanted, judge),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) && wanted.makes() => {}
            Err(error) => return Err(error),
        }
        match create(view, &target, wanted, thread, judge) {
            // Somebody else was first: it is there now, and is judged as what it is.
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) && !wanted.makes_anew() => {}
            done => return done,
        }
    }
    Err(Errno::AGAIN.into())
}

/// How often something may come and go while it is opened.
const TRIES_MAX: usize = 8;

/// `/dev/tty` is the terminal of whoever opens it, which would be the person's own if we did: by whatever name or
/// link it was reached, it is the caller's that is opened.
fn callers_own(view: &View, found: Found, wanted: &Wanted, thread: i32) -> io::Result<Found> {
    let facts = rustix::fs::fstat(&found.object)?;
    let is_tty = FileType::from_raw_mode(facts.st_mode) == FileType::CharacterDevice
        && facts.st_rdev == rustix::fs::makedev(5, 0);
    if is_tty && !wanted.flags.contains(OFlags::PATH) {
        view.find(&caller::terminal(thread)?, true)
    } else {
        Ok(found)
    }
}

/// Whether something lies in a folder. A pipe, a file in memory and a file that was removed do not: nobody but who
/// holds them could come by them.
fn has_a_name(found: &Found) -> io::Result<bool> {
    Ok(found.path.is_absolute() && rustix::fs::fstat(&found.object)?.st_nlink > 0)
}

fn open_judged(found: Found, wanted: &Wanted, judge: Judge<'_>) -> io::Result<Opened> {
    match judge(&found.path, wanted.access())? {
        Some(reasons) => Ok(Opened::Denied { path: found.path, reasons }),
        None => open_found(found, wanted),
    }
}

/// Opens the very thing that was judged.
fn open_found(found: Found, wanted: &Wanted) -> io::Result<Opened> {
    if wanted.makes_anew() {
        return Err(Errno::EXIST.into());
    }
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&found.object)?.st_mode);
    if wanted.flags.contains(OFlags::PATH) {
        if wanted.flags.contains(OFlags::DIRECTORY) && !kind.is_dir() {
            return Err(Errno::NOTDIR.into());
        }
        return Ok(Opened::Yes { file: found.object, path: found.path });
    }
    if kind.is_symlink() {
        return Err(Errno::LOOP.into());
    }
    let mut flags = wanted.flags - OFlags::CREATE - OFlags::EXCL - OFlags::NOFOLLOW;
    flags |= OFlags::CLOEXEC | OFlags::NOCTTY;
    if kind.is_fifo() && !flags.contains(OFlags::NONBLOCK) {
        return Ok(Opened::Blocks(Waiting { object: found.object, flags, path: found.path }));
    }
    let mode = Mode::from_raw_mode(wanted.mode);
    // A lease that somebody inside holds on a file makes an open of it wait, up to a minute.
    let may_wait = kind.is_file() && !flags.contains(OFlags::NONBLOCK);
    let at_once = if may_wait { flags | OFlags::NONBLOCK } else { flags };
    let file = match rustix::fs::openat(CWD, by_descriptor(&found.object), at_once, mode) {
        Err(Errno::AGAIN) if may_wait => {
            return Ok(Opened::Blocks(Waiting { object: found.object, flags, path: found.path }));
        }
        file => file?,
    };
    if may_wait {
        rustix::fs::fcntl_setfl(&file, flags)?;
    }
    Ok(Opened::Yes { file, path: found.path })
}

/// How many links to nothing are followed to the file that an open makes.
const LINKS_MAX: usize = 8;

fn create(view: &View, target: &Path, wanted: &Wanted, thread: i32, judge: Judge<'_>) -> io::Result<Opened> {
    let mut place = Place::find(view, target)?;
    for _ in 0..LINKS_MAX {
        let link = rustix::fs::readlinkat(&place.folder.object, &place.name, Vec::new());
        let (Ok(text), false) = (link, wanted.flags.contains(OFlags::EXCL)) else { break };
        let target = place.folder.path.join(OsStr::from_bytes(text.as_bytes()));
        place = Place::find(view, &target)?;
    }
    let path = place.path();
    if let Some(reasons) = judge(&path, wanted.access())? {
        return Ok(Opened::Denied { path, reasons });
    }
    // What is made here is new: a pipe or device that was put there meanwhile is nothing that we open unseen.
    let flags = wanted.flags | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NOFOLLOW;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let mode = Mode::from_raw_mode(wanted.mode & !mask_of(thread));
    let file = rustix::fs::openat2(&place.folder.object, &place.name, flags, mode, resolve)?;
    Ok(Opened::Yes { file, path })
}

/// The caller's umask.
pub(crate) fn mask_of(thread: i32) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("Umask:"))
        .and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok())
        .unwrap_or(0o022)
}

/// A name in a folder that is held.
pub(crate) struct Place {
    pub(crate) folder: Found,
    pub(crate) name: OsString,
}

impl Place {
    fn find(view: &View, path: &Path) -> io::Result<Self> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Errno::INVAL.into());
        };
        Ok(Self { folder: view.find(parent, true)?, name: name.to_os_string() })
    }

    /// The name that a call speaks of by a folder and an address.
    pub(crate) fn named(
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
}

/// A removal, done on behalf.
pub(crate) fn remove(
    view: &View,
    call: &Notification,
    judge: Judge<'_>,
) -> io::Result<Option<(PathBuf, Vec<Reason>)>> {
    let [a0, a1, a2, ..] = call.args;
    let (folder, address, flags) = match call.number {
        libc::SYS_unlink => (libc::AT_FDCWD, a0, AtFlags::empty()),
        libc::SYS_rmdir => (libc::AT_FDCWD, a0, AtFlags::REMOVEDIR),
        _ => (a0 as i32, a1, AtFlags::from_bits_retain(a2 as u32)),
    };
    let place = Place::named(view, call, &mut Memory::of(call.pid), folder, address)?;
    if let Some(reasons) = judge(&place.path(), Access::Write)? {
        return Ok(Some((place.path(), reasons)));
    }
    mounted::stays(&place, call.pid)?;
    rustix::fs::unlinkat(&place.folder.object, &place.name, flags)?;
    Ok(None)
}

/// A truncation by name, done on behalf.
pub(crate) fn truncate(
    view: &View,
    call: &Notification,
    judge: Judge<'_>,
) -> io::Result<Option<(PathBuf, Vec<Reason>)>> {
    let path = Memory::of(call.pid).path(call.args[0])?;
    let base = if path.is_absolute() { PathBuf::from("/") } else { caller::base(call.pid, libc::AT_FDCWD)? };
    let found = view.find(&caller::named(&base, &path), true)?;
    if let Some(reasons) = judge(&found.path, Access::Write)? {
        return Ok(Some((found.path, reasons)));
    }
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open(by_descriptor(&found.object), flags, Mode::empty())?;
    rustix::fs::ftruncate(&file, call.args[1])?;
    Ok(None)
}

/// /proc and /dev are made for the run; nothing of the host lies there.
pub(crate) fn is_of_the_kernel(path: &Path) -> bool {
    let lies_in = |place: &[u8]| {
        let rest = path.as_os_str().as_bytes().strip_prefix(place);
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
    };
    (lies_in(b"/dev") && !lies_in(b"/dev/shm")) || lies_in(b"/proc")
}

/// A rename or link, done on behalf: both names judged, and for a folder everything in it.
pub(crate) fn rename_or_link(
    view: &View,
    call: &Notification,
    judge: Judge<'_>,
) -> io::Result<Option<(PathBuf, Vec<Reason>)>> {
    let [a0, a1, a2, a3, a4, _] = call.args;
    let here = libc::AT_FDCWD;
    let (from, to, flags) = match call.number {
        libc::SYS_rename | libc::SYS_link => ((here, a0), (here, a1), 0),
        libc::SYS_renameat => ((a0 as i32, a1), (a2 as i32, a3), 0),
        _ => ((a0 as i32, a1), (a2 as i32, a3), a4 as u32),
    };
    let is_link = matches!(call.number, libc::SYS_link | libc::SYS_linkat);
    let mut memory = Memory::of(call.pid);
    let mut place = |(folder, address)| Place::named(view, call, &mut memory, folder, address);
    let (from, to) = (place(from)?, place(to)?);
    for (place, access) in
        [(&from, Access::Read), (&from, Access::Write), (&to, Access::Write), (&to, Access::Read)]
    {
        if let Some(reasons) = judge(&place.path(), access)? {
            return Ok(Some((place.path(), reasons)));
        }
    }
    if let Some(denied) = judge_content(&from, judge)? {
        return Ok(Some(denied));
    }
    if is_link {
        rustix::fs::linkat(&from.folder.object, &from.name, &to.folder.object, &to.name, AtFlags::empty())?;
    } else {
        mounted::stays(&from, call.pid)?;
        mounted::stays(&to, call.pid)?;
        let flags = RenameFlags::from_bits_retain(flags);
        rustix::fs::renameat_with(&from.folder.object, &from.name, &to.folder.object, &to.name, flags)?;
    }
    Ok(None)
}

/// Most entries of a folder that are looked at before its rename is refused.
const ENTRIES_MAX: usize = 20_000;

/// A folder must not carry a denied file to a name that no rule knows.
fn judge_content(from: &Place, judge: Judge<'_>) -> io::Result<Option<(PathBuf, Vec<Reason>)>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(top) = rustix::fs::openat(&from.folder.object, &from.name, flags, Mode::empty()) else {
        return Ok(None);
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
            let name = OsStr::from_bytes(name.to_bytes());
            if let Some(reasons) = judge(&path.join(name), Access::Read)? {
                return Ok(Some((path.join(name), reasons)));
            }
            if entry.file_type().is_dir() {
                waiting.push(rustix::fs::openat(&folder, entry.file_name(), flags, Mode::empty())?);
            }
        }
    }
    Ok(None)
}
