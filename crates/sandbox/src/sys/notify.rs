//! seccomp: installing a filter with a listener, and answering what it notifies (seccomp_unotify(2)).
//!
//! Owns: the raw calls and structures. Does not own: what is filtered (`filter.rs`) or answered (`supervisor.rs`).

use super::checked;
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::io;

const NOTIF_RECV: libc::c_ulong = 0xc050_2100;
const NOTIF_SEND: libc::c_ulong = 0xc018_2101;
const NOTIF_ID_VALID: libc::c_ulong = 0x4008_2102;
const NOTIF_ADDFD: libc::c_ulong = 0x4018_2103;
const NOTIF_SET_FLAGS: libc::c_ulong = 0x4008_2104;
const FILTER_FLAG_NEW_LISTENER: libc::c_ulong = 1 << 3;
const FILTER_FLAG_WAIT_KILLABLE_RECV: libc::c_ulong = 1 << 5;
const RESPONSE_CONTINUE: u32 = 1;
const ADDFD_SEND: u32 = 2;
const SYNC_WAKE_UP: u64 = 1;

/// One held system call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Notification {
    pub(crate) id: u64,
    /// Thread id in the supervisor's pid namespace.
    pub(crate) pid: i32,
    pub(crate) number: i64,
    pub(crate) args: [u64; 6],
}

/// Installs `program` on this thread and returns the listener. Needs no_new_privs.
pub(crate) fn install(program: &[libc::sock_filter]) -> io::Result<OwnedFd> {
    let length = u16::try_from(program.len()).map_err(|_| io::Error::other("the filter is too long"))?;
    let description = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: the program outlives the call and the kernel only reads it.
    let fd = checked(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::c_ulong::from(libc::SECCOMP_SET_MODE_FILTER),
            FILTER_FLAG_NEW_LISTENER | FILTER_FLAG_WAIT_KILLABLE_RECV,
            &raw const description,
        )
    })?;
    // SAFETY: the kernel returned a new descriptor, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Asks the kernel to wake the other side on the same processor (6.6 and later); a refusal costs only time.
pub(crate) fn wake_synchronously(listener: BorrowedFd<'_>) -> bool {
    // SAFETY: the flags are passed by value.
    unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_SET_FLAGS, SYNC_WAKE_UP) == 0 }
}

/// Waits for the next held call.
pub(crate) fn receive(listener: BorrowedFd<'_>) -> io::Result<Notification> {
    // SAFETY: all-zero bytes are a valid seccomp_notif, and the kernel demands that it is zeroed.
    let mut raw: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the ioctl writes one seccomp_notif, which is what `raw` is.
    let result = unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_RECV, &raw mut raw) };
    checked(libc::c_long::from(result))?;
    Ok(Notification { id: raw.id, pid: raw.pid as i32, number: i64::from(raw.data.nr), args: raw.data.args })
}

/// Whether the call is still held: its thread lives and was not interrupted.
pub(crate) fn still_held(listener: BorrowedFd<'_>, id: u64) -> bool {
    // SAFETY: the ioctl reads one u64.
    unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_ID_VALID, &raw const id) == 0 }
}

/// Lets the call go on in the kernel, with the caller's own arguments.
pub(crate) fn let_go(listener: BorrowedFd<'_>, id: u64) -> io::Result<()> {
    respond(listener, libc::seccomp_notif_resp { id, val: 0, error: 0, flags: RESPONSE_CONTINUE })
}

/// Answers the call with success: it was done by us.
pub(crate) fn succeed(listener: BorrowedFd<'_>, id: u64) -> io::Result<()> {
    respond(listener, libc::seccomp_notif_resp { id, val: 0, error: 0, flags: 0 })
}

/// Fails the call with `errno` (positive).
pub(crate) fn refuse(listener: BorrowedFd<'_>, id: u64, errno: i32) -> io::Result<()> {
    respond(listener, libc::seccomp_notif_resp { id, val: 0, error: -errno, flags: 0 })
}

fn respond(listener: BorrowedFd<'_>, mut response: libc::seccomp_notif_resp) -> io::Result<()> {
    // SAFETY: the ioctl reads one seccomp_notif_resp.
    let result = unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_SEND, &raw mut response) };
    checked(libc::c_long::from(result)).map(drop)
}

/// Answers the call with a descriptor of ours, installed in the caller.
pub(crate) fn inject(
    listener: BorrowedFd<'_>,
    id: u64,
    fd: BorrowedFd<'_>,
    close_on_exec: bool,
) -> io::Result<()> {
    #[repr(C)]
    struct AddFd {
        id: u64,
        flags: u32,
        srcfd: u32,
        newfd: u32,
        newfd_flags: u32,
    }
    let newfd_flags = if close_on_exec { libc::O_CLOEXEC as u32 } else { 0 };
    let request = AddFd { id, flags: ADDFD_SEND, srcfd: fd.as_raw_fd() as u32, newfd: 0, newfd_flags };
    // SAFETY: the ioctl reads one seccomp_notif_addfd, whose layout AddFd repeats.
    let result = unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_ADDFD, &raw const request) };
    checked(libc::c_long::from(result)).map(drop)
}

/// Reads up to `into.len()` bytes at `address` of another process; returns how many were read. Stops at a page that
/// is not there rather than failing, as long as one byte was read.
pub(crate) fn read_memory(pid: i32, address: u64, into: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let mut remote = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; 3];
    let mut at = address;
    let mut left = into.len();
    let mut pieces = 0;
    // The kernel copies whole pieces in order, so one piece a page tells how far the string can be read.
    for piece in &mut remote {
        let room = (4096 - (at & 4095)) as usize;
        let length = left.min(room);
        *piece = libc::iovec { iov_base: at as *mut libc::c_void, iov_len: length };
        pieces += 1;
        left -= length;
        at = at.wrapping_add(length as u64);
        if left == 0 {
            break;
        }
    }
    // SAFETY: the local buffer is ours and of the stated length; remote addresses are checked by the kernel.
    let read = unsafe { libc::process_vm_readv(pid, &raw const local, 1, remote.as_ptr(), pieces, 0) };
    checked(read as libc::c_long).map(|read| read as usize)
}
