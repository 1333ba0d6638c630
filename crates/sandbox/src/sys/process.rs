//! How a process that is held by a pidfd ended (PIDFD_GET_INFO).
//!
//! Owns: the raw call. Does not own: who is held, or what is made of it (`processes.rs`).

use rustix::fd::{AsRawFd as _, BorrowedFd};

const GET_INFO: libc::c_ulong = 0xc040_ff0b;
const INFO_EXIT: u64 = 1 << 3;

/// `struct pidfd_info`, first version.
#[repr(C)]
#[derive(Default)]
struct Info {
    mask: u64,
    cgroup: u64,
    /// Numbers and ids of the process.
    ids: [u32; 11],
    exit_code: i32,
}

/// How a process ended, as wait(2) tells it, once it was waited for. `None` before that, and where the kernel is too
/// old to tell (before 6.15).
pub(crate) fn exit_status(process: BorrowedFd<'_>) -> Option<i32> {
    let mut info = Info { mask: INFO_EXIT, ..Info::default() };
    // SAFETY: the ioctl reads and writes one pidfd_info of the size that its number states, which is `info`'s.
    let result = unsafe { libc::ioctl(process.as_raw_fd(), GET_INFO, &raw mut info) };
    (result == 0 && info.mask & INFO_EXIT != 0).then_some(info.exit_code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fd::AsFd as _;
    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    #[test]
    fn the_structure_is_the_kernels() {
        assert_eq!(size_of::<Info>(), 64);
    }

    #[test]
    fn how_a_process_ended_is_told_once_it_was_waited_for() {
        for (script, status) in [("exit 3", 3 << 8), ("kill -9 $$", 9)] {
            let mut child = std::process::Command::new("/bin/sh").args(["-c", script]).spawn().unwrap();
            let held = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
            assert_eq!(exit_status(held.as_fd()), None);
            child.wait().unwrap();
            let told = exit_status(held.as_fd());
            // An older kernel tells nothing.
            assert!(told == Some(status) || told.is_none(), "{told:?}");
        }
    }
}
