//! PID 1's long quiet life: reap, pass on what a denied process should be told, end when the agent or the supervisor
//! does.
//!
//! Owns: the loop and how a line reaches a process's standard error. Does not own: what is said (`supervisor.rs`).
//! Runs inside the cell, so whatever it opens can only be something of the inside; it never blocks on any of it.

use crate::cell::{At, Failed, reap};
use crate::channel::{self, Report, Speech};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsRawFd as _, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::net::SendFlags;
use rustix::process::Pid;
use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;

/// Returns once the agent has ended (reported) or the supervisor is gone; the kernel then ends all that is left.
pub(crate) fn attend(
    (wire, ear): (&UnixStream, &UnixStream),
    children: &OwnedFd,
    agent: i32,
) -> Result<(), Failed> {
    loop {
        if let Some(status) = reap(agent) {
            return channel::send(wire, &Report::Ended { status }).at("report the end");
        }
        let mut watched = [
            PollFd::new(wire, PollFlags::IN),
            PollFd::new(ear, PollFlags::IN),
            PollFd::new(children, PollFlags::IN),
        ];
        match poll(&mut watched, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).at("wait"),
        }
        let [gone, told, _] = watched.map(|fd| !fd.revents().is_empty());
        drain(children);
        // Nothing is said on the wire any more: it can only have been closed, and with it the run.
        if gone || (told && answer(ear).is_err()) {
            return Ok(());
        }
    }
}

fn answer(mut ear: &UnixStream) -> io::Result<()> {
    let Speech { pid, text } = channel::receive(ear)?;
    let said = speak(pid, text.as_slice()).is_some();
    ear.write_all(&[u8::from(said)])
}

fn drain(children: &OwnedFd) {
    let mut signals = [0_u8; 128 * 8];
    while rustix::io::read(children, &mut signals).is_ok_and(|read| read > 0) {}
}

/// Writes to the standard error of a process, if it may write there itself, if that can be done at once, and if it
/// cannot reach anything but a reader of that stream: a pipe, a terminal, a socket pair or a file. `None` where it was
/// not said, which is fine: the denial stands without it.
fn speak(pid: i32, text: &[u8]) -> Option<usize> {
    let process =
        rustix::process::pidfd_open(Pid::from_raw(pid)?, rustix::process::PidfdFlags::empty()).ok()?;
    let held = rustix::process::pidfd_getfd(&process, 2, rustix::process::PidfdGetfdFlags::empty()).ok()?;
    let facts = rustix::fs::fstat(&held).ok()?;
    if FileType::from_raw_mode(facts.st_mode) == FileType::Socket {
        return speak_to_socket(&held, text);
    }
    let mode = rustix::fs::fcntl_getfl(&held).ok()? & OFlags::RWMODE;
    if mode == OFlags::RDONLY || !may_take_a_line(facts.st_mode, facts.st_rdev) {
        return None;
    }
    if FileType::from_raw_mode(facts.st_mode) == FileType::RegularFile {
        // At the process's own place in the file: what it writes next comes after it and not over it.
        return rustix::io::write(&held, text).ok();
    }
    // Opened anew, so that whether it blocks is not shared with the process.
    let path = format!("/proc/self/fd/{}", held.as_raw_fd());
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let stream = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    rustix::io::write(&stream, text).ok()
}

fn may_take_a_line(mode: u32, device: u64) -> bool {
    /// Major numbers of /dev/pts entries.
    const TERMINALS: std::ops::RangeInclusive<u32> = 136..=143;
    match FileType::from_raw_mode(mode) {
        FileType::Fifo | FileType::RegularFile => true,
        FileType::CharacterDevice => TERMINALS.contains(&rustix::fs::major(device)),
        _ => false,
    }
}

/// Programs that start their children over socket pairs (node) read standard error from one.
fn speak_to_socket(socket: &OwnedFd, text: &[u8]) -> Option<usize> {
    let own = rustix::net::sockopt::socket_domain(socket) == Ok(rustix::net::AddressFamily::UNIX)
        && rustix::net::sockopt::socket_type(socket) == Ok(rustix::net::SocketType::STREAM);
    own.then(|| rustix::net::send(socket, text, SendFlags::DONTWAIT | SendFlags::NOSIGNAL).ok()).flatten()
}
