//! What the kernel counts for others: processor time of a process and of all that come of it, and whether two processes have one
//! memory.
//!
//! Owns: the raw calls. Does not own: what follows from the numbers.

use super::checked;
use rustix::fd::{FromRawFd as _, OwnedFd};
use std::io;

/// `struct perf_event_attr` of perf_event_open(2), its first published size.
#[repr(C)]
#[derive(Default)]
struct PerfEventAttr {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    config1: u64,
}

/// Counts the processor time of this process and of every process and thread that will come of it, ended ones too.
///
/// # Errors
/// The kernel keeps its counters to itself (`kernel.perf_event_paranoid`).
pub(crate) fn processor_time() -> io::Result<OwnedFd> {
    const SOFTWARE: u32 = 1;
    const TASK_CLOCK: u64 = 1;
    const INHERIT: u64 = 1 << 1;
    const EXCLUDE_KERNEL: u64 = 1 << 5;
    const EXCLUDE_HYPERVISOR: u64 = 1 << 6;
    const CLOSE_ON_EXEC: u64 = 1 << 3;
    let attr = PerfEventAttr {
        kind: SOFTWARE,
        size: std::mem::size_of::<PerfEventAttr>() as u32,
        config: TASK_CLOCK,
        // A clock runs in the kernel too: leaving that out is what lets everybody count their own.
        flags: INHERIT | EXCLUDE_KERNEL | EXCLUDE_HYPERVISOR,
        ..PerfEventAttr::default()
    };
    // SAFETY: `attr` has the size that it states and outlives the call; the other arguments are numbers.
    let fd = checked(unsafe {
        libc::syscall(libc::SYS_perf_event_open, &raw const attr, 0, -1, -1, CLOSE_ON_EXEC)
    })?;
    // SAFETY: the kernel gave a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Whether two processes have one memory between them. Where the kernel does not say, they have not.
pub(crate) fn same_memory(one: i32, other: i32) -> bool {
    const KCMP_VM: i32 = 1;
    // SAFETY: the call takes numbers and changes nothing.
    let order = unsafe { libc::syscall(libc::SYS_kcmp, one, other, KCMP_VM, 0_u64, 0_u64) };
    order == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_its_own_memory_and_not_its_parents() {
        let me = std::process::id() as i32;
        let parent = rustix::process::getppid().map_or(1, |pid| pid.as_raw_nonzero().get());
        assert!(!same_memory(me, parent));
        // A kernel built without kcmp says nothing of itself either.
        let compares = std::io::Error::last_os_error().raw_os_error() != Some(libc::ENOSYS);
        assert!(!compares || same_memory(me, me));
    }
}
