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

/// What is seen of a tracer that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Nothing new.
    Nothing,
    /// It stands, with a signal on its way (0 if none).
    Stands(i32),
    /// It was killed, and stands once more before it ends.
    Ends,
    /// It is gone, or was never held.
    Gone,
}

/// Holds a thread that traces another: it stops as soon as it can, and once more before it ends.
pub(crate) fn hold(thread: i32) -> io::Result<()> {
    let options = libc::PTRACE_O_TRACEEXIT | libc::PTRACE_O_EXITKILL;
    // SAFETY: PTRACE_SEIZE takes its options by value and writes nothing of ours.
    checked(unsafe { libc::ptrace(libc::PTRACE_SEIZE, thread, 0_usize, options as usize) })?;
    // SAFETY: PTRACE_INTERRUPT takes no arguments.
    checked(unsafe { libc::ptrace(libc::PTRACE_INTERRUPT, thread, 0_usize, 0_usize) })?;
    Ok(())
}

/// Looks at a thread that is held, without waiting.
pub(crate) fn look(thread: i32) -> Seen {
    let mut status = 0;
    let flags = libc::__WALL | libc::__WNOTHREAD | libc::WNOHANG;
    // SAFETY: waitpid writes one int, which `status` is.
    match unsafe { libc::waitpid(thread, &raw mut status, flags) } {
        0 => Seen::Nothing,
        found if found < 0 || !libc::WIFSTOPPED(status) => Seen::Gone,
        _ => match status >> 16 {
            libc::PTRACE_EVENT_EXIT => Seen::Ends,
            libc::PTRACE_EVENT_STOP => Seen::Stands(0),
            _ => Seen::Stands(libc::WSTOPSIG(status)),
        },
    }
}

/// Sends a signal to the first thread of a process.
pub(crate) fn send(thread: i32, signal: i32) -> io::Result<()> {
    // SAFETY: tgkill takes numbers.
    checked(unsafe { libc::syscall(libc::SYS_tgkill, thread, thread, signal) }).map(drop)
}

/// Ends a process.
pub(crate) fn kill(process: i32) {
    // SAFETY: kill takes numbers. A process that is gone needs no end.
    unsafe { libc::kill(process, libc::SIGKILL) };
}

/// Lets a stopped thread run on, with `signal` if one was on its way. `false` if it does not stand any more, because it
/// was killed: its end is still for this thread to hear.
pub(crate) fn release(pid: i32, signal: i32) -> bool {
    // SAFETY: PTRACE_DETACH takes a signal by value.
    unsafe { libc::ptrace(libc::PTRACE_DETACH, pid, 0_usize, signal as usize) == 0 }
}
