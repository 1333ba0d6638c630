//! The wire between the supervisor's side and the cell: length-prefixed JSON frames, descriptors beside single bytes.
//!
//! Owns: framing. Does not own: what is said (`jail.rs`, `cell.rs`). PID 1 of the cell runs no agent code, but what
//! it sends is still bounded and checked.

use crate::plan::{Bytes, Plan};
use policy::Enforcement;
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

/// What the supervisor's side tells the cell.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Build the view and get ready.
    Prepare(Box<Plan>),
}

/// One line for the standard error of a process (its number inside). Answered by one byte: whether it was said.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Speech {
    pub(crate) pid: i32,
    pub(crate) text: Bytes,
}

/// What the cell tells the supervisor's side.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// A step could not be done.
    Failed { step: String, because: String },
    /// Everything but the agent itself stands; the sockets follow, then the terminal if there is one, then the layer over
    /// the workspace if there is one, then what takes carried connections, then what the kernel counts of processor time if it
    /// does.
    Ready { sockets: usize, terminal: bool, layer: bool, carriers: usize, counter: bool },
    /// What the kernel gave; the listener follows.
    Enforced(Box<Enforcement>),
    /// The program could not be started.
    NotStarted { errno: i32 },
    /// The program runs, as this process (its number inside).
    Started { pid: i32 },
    /// The program ended, with the status as wait(2) gives it.
    Ended { status: i32 },
}

const FRAME_MAX: usize = 16 << 20;

/// Sends one frame.
pub(crate) fn send<T: Serialize>(mut to: &UnixStream, what: &T) -> io::Result<()> {
    let body = serde_json::to_vec(what)?;
    let length = u32::try_from(body.len()).map_err(|_| io::Error::other("the frame is too long"))?;
    let mut frame = length.to_le_bytes().to_vec();
    frame.extend_from_slice(&body);
    to.write_all(&frame)
}

/// Receives one frame. An end of the stream is an error of kind `UnexpectedEof`.
pub(crate) fn receive<T: DeserializeOwned>(mut from: &UnixStream) -> io::Result<T> {
    let mut length = [0_u8; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > FRAME_MAX {
        return Err(io::Error::other("a frame is longer than any can be"));
    }
    let mut body = vec![0_u8; length];
    from.read_exact(&mut body)?;
    Ok(serde_json::from_slice(&body)?)
}

/// Sends one descriptor.
pub(crate) fn send_descriptor(to: &UnixStream, fd: BorrowedFd<'_>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let rights = [fd];
    control.push(SendAncillaryMessage::ScmRights(&rights));
    rustix::net::sendmsg(to.as_fd(), &[IoSlice::new(b"d")], &mut control, SendFlags::empty())?;
    Ok(())
}

/// Receives one descriptor.
pub(crate) fn receive_descriptor(from: &UnixStream) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0_u8; 1];
    rustix::net::recvmsg(
        from.as_fd(),
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut rights) = message
            && let Some(fd) = rights.next()
        {
            return Ok(fd);
        }
    }
    Err(io::Error::other("the cell sent no descriptor"))
}
