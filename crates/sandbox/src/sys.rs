//! The only unsafe code of the house: system calls that no safe library wraps.
//!
//! Owns: counting for others, cloning the cell's namespaces, mount attributes, the seccomp filter and its notifications, reading another
//! process's memory, what sockets are, the last exec. Does not own: any judgement. Every function is one call, checked, with a safe face.
#![expect(unsafe_code, reason = "system calls without a safe wrapper live here and nowhere else")]

pub(crate) mod count;
pub(crate) mod namespace;
pub(crate) mod notify;
pub(crate) mod process;
pub(crate) mod socket;
pub(crate) mod trace;

use std::io;

/// Turns the `-1 and errno` convention into a result.
fn checked(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
