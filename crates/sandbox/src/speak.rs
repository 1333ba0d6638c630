//! PID 1's long quiet life: reap, pass on what a denied process should be told, end when the agent or the supervisor
//! does.
//!
//! Owns: the loop and how a line reaches a process's standard error. Does not own: what is said (`supervisor.rs`).
//! Runs inside the cell, so whatever it opens can only be something of the inside; it never blocks on any of it.

use crate::cell::{At, Failed, reap};
use crate::channel::{self, Order, Report};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::net::SendFlags;
use std::os::unix::net::UnixStream;

/// Returns once the agent has ended (reported) or the supervisor is gone; the kernel then ends all that is left.
pub(crate) fn attend(wire: &UnixStream, children: &OwnedFd, agent: i32) -> Result<(), Failed> {
    loop {
        if let Some(status) = reap(agent) {
            return channel::send(wire, &Report::Ended { status }).at("report the end");
        }
        let mut watched = [PollFd::new(wire, PollFlags::IN), PollFd::new(children, PollFlags::IN)];
        match poll(&mut watched, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).at("wait"),
        }
        let told = !watched[0].revents().is_empty();
        drain(children);
        if told {
            match channel::receive(wire) {
                Ok(Order::Speak { pid, text }) => speak(pid, text.as_slice()),
                Ok(Order::Prepare(_)) => {}
                // The supervisor is gone: so is the run.
                Err(_) => return Ok(()),
            }
        }
    }
}

fn drain(children: &OwnedFd) {
    let mut signals = [0_u8; 128 * 8];
    while rustix::io::read(children, &mut signals).is_ok_and(|read| read > 0) {}
}

/// Writes to the standard error of a process, if that can be done at once and cannot reach anything but a reader of
/// that stream: a pipe, a terminal, a socket pair or a file. A failure is fine: the denial stands without it.
fn speak(pid: i32, text: &[u8]) {
    let path = format!("/proc/{pid}/fd/2");
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    match rustix::fs::open(&path, flags, Mode::empty()) {
        Ok(stream) => {
            if rustix::fs::fstat(&stream).is_ok_and(|found| may_take_a_line(found.st_mode, found.st_rdev)) {
                let _ = rustix::io::write(&stream, text);
            }
        }
        Err(rustix::io::Errno::NXIO) => speak_to_socket(pid, text),
        Err(_) => {}
    }
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
fn speak_to_socket(pid: i32, text: &[u8]) {
    let Some(pid) = rustix::process::Pid::from_raw(pid) else { return };
    let Ok(process) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) else { return };
    let Ok(socket) = rustix::process::pidfd_getfd(&process, 2, rustix::process::PidfdGetfdFlags::empty())
    else {
        return;
    };
    if rustix::net::sockopt::socket_domain(&socket) == Ok(rustix::net::AddressFamily::UNIX)
        && rustix::net::sockopt::socket_type(&socket) == Ok(rustix::net::SocketType::STREAM)
    {
        let _ = rustix::net::send(&socket, text, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    }
}
