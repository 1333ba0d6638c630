//! Making a folder, a link, a pipe on behalf of a caller: judged by the name it gets, done on what was judged.
//!
//! Owns: these calls, for runs whose policy has a rule that no mount can hold. Does not own: opening, renaming and removing
//! (`open.rs`), the judgement.

use crate::caller::Memory;
use crate::open::{Judge, Place, mask_of};
use crate::sys::notify::Notification;
use crate::view::View;
use ledger::Access;
use policy::Reason;
use rustix::fs::{FileType, Mode};
use rustix::io::Errno;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

/// The longest text of a link that the kernel takes.
const TEXT_MAX: usize = 4096;

/// What is made.
enum Made {
    Folder(Mode),
    Link(OsString),
    Pipe(FileType, Mode),
}

/// Makes what the caller wants, if `judge` has nothing against its name.
pub(crate) fn make(
    view: &View,
    call: &Notification,
    judge: Judge<'_>,
) -> io::Result<Option<(PathBuf, Vec<Reason>)>> {
    let mut memory = Memory::of(call.pid);
    let (folder, address, made) = read(call, &mut memory)?;
    let place = Place::named(view, call, &mut memory, folder, address)?;
    if view.stands(&place.path()) {
        // Whoever makes every folder of a path, one after the other, expects to be told just this.
        return Err(Errno::EXIST.into());
    }
    if let Some(reasons) = judge(&place.path(), Access::Write)? {
        return Ok(Some((place.path(), reasons)));
    }
    let (folder, name) = (&place.folder.object, &place.name);
    match made {
        Made::Folder(mode) => rustix::fs::mkdirat(folder, name, mode)?,
        Made::Link(text) => rustix::fs::symlinkat(text, folder, name)?,
        Made::Pipe(kind, mode) => rustix::fs::mknodat(folder, name, kind, mode, 0)?,
    }
    Ok(None)
}

/// Reads the arguments, once.
fn read(call: &Notification, memory: &mut Memory) -> io::Result<(i32, u64, Made)> {
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
