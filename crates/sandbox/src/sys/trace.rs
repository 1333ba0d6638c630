//! ptrace: held for the length of one exec, and let go.
//!
//! Owns: the raw calls. Does not own: what a new image must look like (`image.rs`), when this is done (`tracer.rs`).
//! A tracer is a thread, so every function here is for the thread that seized.

use super::checked;
use std::io;

/// What a seized thread came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// A new image stands, before its first instruction. The process has this number.
    Exec(i32),
    /// The exec failed, or a signal came first (0 if none): it runs on once it is let go.
    Back { pid: i32, signal: i32 },
    /// It is gone.
    Gone,
}

/// Seizes a thread that is held in a call: it stops at its next exec, or when the call comes back, and dies with us.
pub(crate) fn seize(thread: i32) -> io::Result<()> {
    let options = libc::PTRACE_O_TRACEEXEC | libc::PTRACE_O_EXITKILL;
    // SAFETY: PTRACE_SEIZE takes its options by value and writes nothing of ours.
    checked(unsafe { libc::ptrace(libc::PTRACE_SEIZE, thread, 0_usize, options as usize) })?;
    // SAFETY: PTRACE_INTERRUPT takes no arguments.
    checked(unsafe { libc::ptrace(libc::PTRACE_INTERRUPT, thread, 0_usize, 0_usize) })?;
    Ok(())
}

/// Waits for the one thread that this thread has seized.
pub(crate) fn wait() -> io::Result<Stop> {
    let mut status = 0;
    let pid = loop {
        // SAFETY: waitpid writes one int, which `status` is.
        let found = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL | libc::__WNOTHREAD) };
        match checked(libc::c_long::from(found)) {
            Ok(pid) => break pid as i32,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    };
    if !libc::WIFSTOPPED(status) {
        return Ok(Stop::Gone);
    }
    Ok(match status >> 16 {
        libc::PTRACE_EVENT_EXEC => Stop::Exec(pid),
        libc::PTRACE_EVENT_STOP => Stop::Back { pid, signal: 0 },
        _ => Stop::Back { pid, signal: libc::WSTOPSIG(status) },
    })
}

/// Lets a stopped thread run on, with `signal` if one was on its way.
pub(crate) fn release(pid: i32, signal: i32) {
    // SAFETY: PTRACE_DETACH takes a signal by value. A thread that died meanwhile needs no release.
    unsafe { libc::ptrace(libc::PTRACE_DETACH, pid, 0_usize, signal as usize) };
}
