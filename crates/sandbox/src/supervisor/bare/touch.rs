//! What is changed of a file beside its content: mode, owner, times, attributes. No layer beneath holds these, so each is
//! judged like a write and done by us, on what was judged.
//!
//! Owns: these calls. Does not own: the judgement.

use super::super::{Refusal, Supervisor};
use crate::caller::{self, Memory};
use crate::open::Goal;
use crate::sys::notify::{self, Notification};
use crate::view::Found;
use ledger::Access;
use rustix::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use rustix::fs::{AtFlags, CWD, Gid, Mode, Timespec, Timestamps, UTIME_NOW, Uid, XattrFlags};
use rustix::io::Errno;
use std::io;

/// The longest name of an attribute, and the longest value that is taken.
const NAME_MAX: usize = 256;
const VALUE_MAX: usize = 64 << 10;
/// How much of another process is read at once.
const WINDOW: usize = 4096;

/// Which file is meant.
struct Of {
    folder: i32,
    /// Where its name stands; `None` where the number is the file.
    name: Option<u64>,
    flags: u64,
}

impl Of {
    fn path(address: u64) -> Self {
        Self { folder: libc::AT_FDCWD, name: Some(address), flags: 0 }
    }

    fn link(address: u64) -> Self {
        Self { flags: libc::AT_SYMLINK_NOFOLLOW as u64, ..Self::path(address) }
    }

    fn number(number: u64) -> Self {
        Self { folder: number as i32, name: None, flags: 0 }
    }

    fn at(folder: u64, name: u64, flags: u64) -> Self {
        Self { folder: folder as i32, name: Some(name), flags }
    }
}

/// What is to become of it.
enum Change {
    Mode(Mode),
    Owner(Option<Uid>, Option<Gid>),
    Times(Timestamps),
    Attribute { name: Vec<u8>, value: Option<(Vec<u8>, XattrFlags)> },
}

impl Supervisor {
    /// Changes a file as the caller wants, if nothing is against a write to it.
    pub(in super::super) fn touch(&mut self, call: &Notification) -> io::Result<Option<Refusal>> {
        let mut memory = Memory::of(call.pid);
        let (of, change) = read(call, &mut memory)?;
        let found = self.meant(call, &of, &mut memory)?;
        // A pipe or a socket has no name that a rule could know, and is nobody's but who holds it.
        if found.path.is_absolute()
            && let Some(reasons) = self.against(call, &found.path)
        {
            return Ok(Some(Refusal::of(found.path, Access::Write, reasons)));
        }
        if !notify::still_held(self.listener.as_fd(), call.id) {
            return Err(Errno::INTR.into());
        }
        apply(&found.object, change)?;
        let _ = notify::succeed(self.listener.as_fd(), call.id);
        Ok(None)
    }

    fn meant(&mut self, call: &Notification, of: &Of, memory: &mut Memory) -> io::Result<Found> {
        let Some(address) = of.name else { return Found::held_by(call.pid, of.folder) };
        let empty = of.flags & libc::AT_EMPTY_PATH as u64 != 0;
        let name = memory.path(address)?;
        if name.as_os_str().is_empty() {
            return if empty { Found::held_by(call.pid, of.folder) } else { Err(Errno::NOENT.into()) };
        }
        let follow = of.flags & libc::AT_SYMLINK_NOFOLLOW as u64 == 0;
        match self.goal(call, caller::asked(call.pid, of.folder, &name)?)? {
            Goal::Held(found) => Ok(found),
            Goal::Path(path) => self.view.find(&path, follow),
        }
    }
}

fn read(call: &Notification, memory: &mut Memory) -> io::Result<(Of, Change)> {
    let [a0, a1, a2, a3, a4, _] = call.args;
    let mode = |bits: u64| Change::Mode(Mode::from_raw_mode(bits as u32 & 0o7777));
    let owner = |user: u64, group: u64| {
        let given = |id: u64| Some(id as u32).filter(|id| *id != u32::MAX);
        Change::Owner(given(user).map(Uid::from_raw), given(group).map(Gid::from_raw))
    };
    Ok(match call.number {
        libc::SYS_chmod => (Of::path(a0), mode(a1)),
        libc::SYS_fchmod => (Of::number(a0), mode(a1)),
        libc::SYS_fchmodat => (Of::at(a0, a1, 0), mode(a2)),
        libc::SYS_fchmodat2 => (Of::at(a0, a1, a3), mode(a2)),
        libc::SYS_chown => (Of::path(a0), owner(a1, a2)),
        libc::SYS_lchown => (Of::link(a0), owner(a1, a2)),
        libc::SYS_fchown => (Of::number(a0), owner(a1, a2)),
        libc::SYS_fchownat => (Of::at(a0, a1, a4), owner(a2, a3)),
        libc::SYS_utime => (Of::path(a0), times(memory, a1, Unit::Seconds)?),
        libc::SYS_utimes => (Of::path(a0), times(memory, a1, Unit::Micro)?),
        libc::SYS_futimesat => (named(a0, a1, 0), times(memory, a2, Unit::Micro)?),
        libc::SYS_utimensat => (named(a0, a1, a3), times(memory, a2, Unit::Nano)?),
        libc::SYS_setxattr => (Of::path(a0), set(memory, (a1, a2, a3, a4))?),
        libc::SYS_lsetxattr => (Of::link(a0), set(memory, (a1, a2, a3, a4))?),
        libc::SYS_fsetxattr => (Of::number(a0), set(memory, (a1, a2, a3, a4))?),
        libc::SYS_removexattr => (Of::path(a0), unset(memory, a1)?),
        libc::SYS_lremovexattr => (Of::link(a0), unset(memory, a1)?),
        _ => (Of::number(a0), unset(memory, a1)?),
    })
}

/// Calls about times take no name where the number is the file.
fn named(folder: u64, name: u64, flags: u64) -> Of {
    if name == 0 { Of::number(folder) } else { Of::at(folder, name, flags) }
}

#[derive(Clone, Copy)]
enum Unit {
    Seconds,
    Micro,
    Nano,
}

fn times(memory: &Memory, address: u64, unit: Unit) -> io::Result<Change> {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    if address == 0 {
        return Ok(Change::Times(Timestamps { last_access: now, last_modification: now }));
    }
    let mut raw = [0_u8; 32];
    let length = if matches!(unit, Unit::Seconds) { 16 } else { 32 };
    let wanted = raw.get_mut(..length).unwrap_or_default();
    if memory.raw(address, wanted)? != length {
        return Err(Errno::FAULT.into());
    }
    let word = |at: usize| {
        let bytes = raw.get(at * 8..at * 8 + 8).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, i64::from_le_bytes)
    };
    let time = |seconds, rest: i64| match unit {
        Unit::Seconds => Ok(Timespec { tv_sec: seconds, tv_nsec: 0 }),
        Unit::Nano => Ok(Timespec { tv_sec: seconds, tv_nsec: rest }),
        Unit::Micro if (0..1_000_000).contains(&rest) => {
            Ok(Timespec { tv_sec: seconds, tv_nsec: rest * 1000 })
        }
        Unit::Micro => Err(Errno::INVAL),
    };
    let (access, modification) = match unit {
        Unit::Seconds => (time(word(0), 0)?, time(word(1), 0)?),
        Unit::Micro | Unit::Nano => (time(word(0), word(1))?, time(word(2), word(3))?),
    };
    Ok(Change::Times(Timestamps { last_access: access, last_modification: modification }))
}

fn set(memory: &mut Memory, (name, value, size, flags): (u64, u64, u64, u64)) -> io::Result<Change> {
    let name = attribute(memory, name)?;
    let size = usize::try_from(size).ok().filter(|size| *size <= VALUE_MAX).ok_or(Errno::TOOBIG)?;
    let mut bytes = vec![0_u8; size];
    let mut at = value;
    for piece in bytes.chunks_mut(WINDOW) {
        if memory.raw(at, piece)? != piece.len() {
            return Err(Errno::FAULT.into());
        }
        at = at.wrapping_add(piece.len() as u64);
    }
    Ok(Change::Attribute { name, value: Some((bytes, XattrFlags::from_bits_retain(flags as u32))) })
}

fn unset(memory: &mut Memory, name: u64) -> io::Result<Change> {
    Ok(Change::Attribute { name: attribute(memory, name)?, value: None })
}

/// Attributes of people and their programs; the others are the machine's.
fn attribute(memory: &mut Memory, address: u64) -> io::Result<Vec<u8>> {
    let name = memory.string(address, NAME_MAX)?;
    if name.starts_with(b"user.") { Ok(name) } else { Err(Errno::OPNOTSUPP.into()) }
}

fn apply(object: &OwnedFd, change: Change) -> rustix::io::Result<()> {
    let path = format!("/proc/self/fd/{}", object.as_raw_fd());
    match change {
        Change::Mode(mode) => rustix::fs::chmodat(CWD, path, mode, AtFlags::empty()),
        Change::Owner(user, group) => rustix::fs::chownat(object, "", user, group, AtFlags::EMPTY_PATH),
        Change::Times(times) => rustix::fs::utimensat(object, "", &times, AtFlags::EMPTY_PATH),
        Change::Attribute { name, value: Some((value, flags)) } => {
            rustix::fs::setxattr(path, name, &value, flags)
        }
        Change::Attribute { name, value: None } => rustix::fs::removexattr(path, name),
    }
}
