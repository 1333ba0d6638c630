//! Opening on behalf of a caller: what the open leads to is held first, judged, and then opened as what was judged.
//!
//! Owns: the steps that leave a hostile caller nothing to exchange in between, however long somebody is asked. Does not own: the
//! judgement, or names that change (`names.rs`). Used for runs whose policy has a rule that no mount can hold (a Shape, an
//! ask); other runs' opens are only seen.

use crate::caller::{self, Memory};
use crate::deed::{Demand, Done, Judge};
use crate::names::Place;
use crate::sys::notify::Notification;
use crate::view::{Found, View};
use ledger::Access;
use rustix::fd::{AsRawFd as _, OwnedFd};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::borrow::Cow;
use std::ffi::OsStr;
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
    /// Whether its flags lie in the caller's memory, where they can change.
    in_memory: bool,
}

/// What an open leads to.
#[derive(Debug)]
pub(crate) enum Goal {
    /// The caller holds it already, or the kernel keeps it for the caller.
    Held(Found),
    /// A path of the inside.
    Path(PathBuf),
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
pub(crate) fn by_descriptor(object: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", object.as_raw_fd())
}

impl Wanted {
    /// Whether the open could change anything.
    pub(crate) fn access(&self) -> Access {
        access(self.flags)
    }

    /// Whether what is in a file can be had by it. Neither reading nor writing, as the kernel counts, wants both.
    fn reads(&self) -> bool {
        self.flags.contains(OFlags::PATH) || self.flags & OFlags::RWMODE != OFlags::WRONLY
    }

    /// Whether the open makes what is not there.
    fn makes(&self) -> bool {
        self.flags.contains(OFlags::CREATE)
    }

    /// Whether what is there already is in the way.
    fn makes_anew(&self) -> bool {
        self.flags.contains(OFlags::CREATE | OFlags::EXCL)
    }

    /// Whether it gives hold of a name and of no content, and can be made nothing else of.
    pub(crate) fn points_only(&self) -> bool {
        self.flags.contains(OFlags::PATH) && !self.in_memory
    }

    pub(crate) fn close_on_exec(&self) -> bool {
        self.flags.contains(OFlags::CLOEXEC)
    }
}

/// Whether an open with these flags could change anything.
pub(crate) fn access(flags: OFlags) -> Access {
    let changes = OFlags::WRONLY | OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC | OFlags::APPEND;
    let temporary = flags.contains(OFlags::TMPFILE);
    if !flags.contains(OFlags::PATH) && (flags.intersects(changes) || temporary) {
        Access::Write
    } else {
        Access::Read
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
        in_memory: call.number == libc::SYS_openat2,
    })
}

/// An open, with what it leads to held.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) wanted: Wanted,
    target: Target,
}

#[derive(Debug)]
enum Target {
    /// Nobody but who holds it could come by it.
    Nameless(Found),
    Found(Found),
    /// A name of which there is nothing yet.
    New(Place),
}

impl Opening {
    /// Takes hold of what the caller wants, for `thread`, which waits.
    pub(crate) fn find(view: &View, goal: Goal, wanted: Wanted, thread: i32) -> io::Result<Self> {
        if wanted.resolve != 0 {
            // The caller's own resolution rules cannot be kept on another root; libraries fall back to openat.
            return Err(Errno::NOSYS.into());
        }
        let target = match goal {
            Goal::Held(found) if found.is_nameless() => Target::Nameless(found),
            Goal::Held(found) => Target::Found(callers_own(view, found, &wanted, thread)?),
            Goal::Path(path) => find(view, &path, &wanted, thread)?,
        };
        Ok(Self { wanted, target })
    }

    /// Reading where it reads, writing where it could change anything.
    pub(crate) fn demands(&self, judge: Judge<'_>) {
        let (path, is_folder) = match &self.target {
            Target::Nameless(_) => return,
            Target::Found(found) => (Cow::Borrowed(found.path.as_path()), found.is_folder()),
            Target::New(place) => (Cow::Owned(place.path()), false),
        };
        let content = !is_folder && !self.wanted.flags.contains(OFlags::PATH);
        let reads = self.wanted.reads();
        if reads && !judge(Demand { content, ..Demand::of(&path, Access::Read) }) {
            return;
        }
        if self.wanted.access() == Access::Write {
            judge(Demand::of(&path, Access::Write));
        }
    }

    pub(crate) fn stands(&self) -> bool {
        match &self.target {
            Target::Nameless(_) => true,
            Target::Found(found) => found.stands(),
            Target::New(place) => place.folder.stands(),
        }
    }

    pub(crate) fn perform(self, view: &View, thread: i32) -> io::Result<Done> {
        let Self { wanted, target } = self;
        let place = match target {
            Target::Nameless(found) | Target::Found(found) => return open_found(found, &wanted),
            Target::New(place) => place,
        };
        match create(&place, &wanted, thread) {
            // Somebody else was first. Who only writes there writes where it was judged; what is to be read is another thing.
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) && !wanted.makes_anew() => {
                let found = view.find(&place.path(), false)?;
                let kind = FileType::from_raw_mode(rustix::fs::fstat(&found.object)?.st_mode);
                let same = kind.is_file() && found.path == place.path() && !wanted.reads();
                if same { open_found(found, &wanted) } else { Ok(Done::Exchanged) }
            }
            file => Ok(Done::File { file: file?, path: place.path() }),
        }
    }
}

/// How many links to nothing are followed to the file that an open makes.
const LINKS_MAX: usize = 8;

fn find(view: &View, path: &Path, wanted: &Wanted, thread: i32) -> io::Result<Target> {
    match view.find(path, !wanted.flags.contains(OFlags::NOFOLLOW)) {
        Ok(found) => return Ok(Target::Found(callers_own(view, found, wanted, thread)?)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) && wanted.makes() => {}
        Err(error) => return Err(error),
    }
    let mut place = Place::find(view, path)?;
    for _ in 0..LINKS_MAX {
        let link = rustix::fs::readlinkat(&place.folder.object, &place.name, Vec::new());
        let (Ok(text), false) = (link, wanted.flags.contains(OFlags::EXCL)) else { break };
        let target = place.folder.path.join(OsStr::from_bytes(text.as_bytes()));
        place = Place::find(view, &target)?;
    }
    Ok(Target::New(place))
}

/// How often something may come and go while it is opened.
pub(crate) const TRIES_MAX: usize = 8;

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

/// Opens the very thing that was judged.
fn open_found(found: Found, wanted: &Wanted) -> io::Result<Done> {
    if wanted.makes_anew() {
        return Err(Errno::EXIST.into());
    }
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&found.object)?.st_mode);
    if wanted.flags.contains(OFlags::PATH) {
        if wanted.flags.contains(OFlags::DIRECTORY) && !kind.is_dir() {
            return Err(Errno::NOTDIR.into());
        }
        // The kernel puts no pointer into another process. Nor could the caller make more of it: its flags are no memory's.
        return if wanted.in_memory {
            Err(Errno::NOSYS.into())
        } else {
            Ok(Done::Pointed { path: found.path })
        };
    }
    if kind.is_symlink() {
        return Err(Errno::LOOP.into());
    }
    let mut flags = wanted.flags - OFlags::CREATE - OFlags::EXCL - OFlags::NOFOLLOW;
    flags |= OFlags::CLOEXEC | OFlags::NOCTTY;
    if kind.is_fifo() && !flags.contains(OFlags::NONBLOCK) {
        return Ok(Done::Blocks(Waiting { object: found.object, flags, path: found.path }));
    }
    let mode = Mode::from_raw_mode(wanted.mode);
    // A lease that somebody inside holds on a file makes an open of it wait, up to a minute.
    let may_wait = kind.is_file() && !flags.contains(OFlags::NONBLOCK);
    let at_once = if may_wait { flags | OFlags::NONBLOCK } else { flags };
    let file = match rustix::fs::openat(CWD, by_descriptor(&found.object), at_once, mode) {
        Err(Errno::AGAIN) if may_wait => {
            return Ok(Done::Blocks(Waiting { object: found.object, flags, path: found.path }));
        }
        file => file?,
    };
    if may_wait {
        rustix::fs::fcntl_setfl(&file, flags)?;
    }
    Ok(Done::File { file, path: found.path })
}

fn create(place: &Place, wanted: &Wanted, thread: i32) -> io::Result<OwnedFd> {
    // What is made here is new: a pipe or device that was put there meanwhile is nothing that we open unseen.
    let flags = wanted.flags | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NOFOLLOW;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let mode = Mode::from_raw_mode(wanted.mode & !mask_of(thread));
    Ok(rustix::fs::openat2(&place.folder.object, &place.name, flags, mode, resolve)?)
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

/// /proc and /dev are made for the run; nothing of the host lies there.
pub(crate) fn is_of_the_kernel(path: &Path) -> bool {
    let lies_in = |place: &[u8]| {
        let rest = path.as_os_str().as_bytes().strip_prefix(place);
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
    };
    (lies_in(b"/dev") && !lies_in(b"/dev/shm")) || lies_in(b"/proc")
}
