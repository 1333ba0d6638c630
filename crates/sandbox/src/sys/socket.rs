//! Sockets: what the kernel tells of one, connecting one to an address as it was read, an address for the loopback link.
//!
//! Owns: the raw calls. Does not own: what follows from the answers (`supervisor/carry.rs`, `cell.rs`).

use super::checked;
use rustix::fd::{AsFd, AsRawFd as _};
use rustix::io::Errno;
use std::io;
use std::net::Ipv4Addr;

/// The number of the network namespace that a socket belongs to: given once by the kernel, never again (5.14).
pub(crate) fn network(socket: impl AsFd) -> io::Result<u64> {
    /// `SO_NETNS_COOKIE` of socket(7).
    const COOKIE: libc::c_int = 71;
    let mut cookie = 0_u64;
    let mut length = std::mem::size_of::<u64>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `cookie`, which is that long, and its length to `length`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    checked(libc::c_long::from(result)).map(|_| cookie)
}

/// connect(2), on an address that is somebody else's bytes: the kernel judges them. Waits as the socket says.
pub(crate) fn connect(socket: impl AsFd, address: &[u8]) -> Result<(), Errno> {
    let length = address.len() as libc::socklen_t;
    // SAFETY: the kernel reads `length` bytes of `address`, which are there.
    let result = unsafe { libc::connect(socket.as_fd().as_raw_fd(), address.as_ptr().cast(), length) };
    told(result as isize)
}

/// The same for a stream of TCP, and never waits: whether the socket blocks is its owner's and may change at any moment, so
/// connect(2) cannot be used. With this flag an empty message has every one of its effects and answers, and `DONTWAIT` holds
/// for this call alone.
pub(crate) fn begin(socket: impl AsFd, address: &[u8]) -> Result<(), Errno> {
    let flags = libc::MSG_FASTOPEN | libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let (to, length) = (address.as_ptr().cast(), address.len() as libc::socklen_t);
    // SAFETY: no message is read, and the kernel reads `length` bytes of `address`, which are there.
    let result = unsafe { libc::sendto(socket.as_fd().as_raw_fd(), std::ptr::null(), 0, flags, to, length) };
    told(result)
}

fn told(result: isize) -> Result<(), Errno> {
    if result >= 0 {
        return Ok(());
    }
    Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO))
}

/// Gives the loopback link of this network namespace a second address; all of the network of `prefix` bits is then the
/// inside's own.
pub(crate) fn add_loopback_address(address: Ipv4Addr, prefix: u32) -> io::Result<()> {
    let socket = rustix::net::socket_with(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?;
    let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
    for (request, value) in [(libc::SIOCSIFADDR, u32::from(address)), (libc::SIOCSIFNETMASK, mask)] {
        // SAFETY: all-zero bytes are a valid ifreq.
        let mut interface: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in interface.ifr_name.iter_mut().zip(b"lo:1\0") {
            *to = *from as libc::c_char;
        }
        let address = libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: 0,
            sin_addr: libc::in_addr { s_addr: value.to_be() },
            sin_zero: [0; 8],
        };
        // SAFETY: a sockaddr_in is as long as a sockaddr, of which the union has room for one.
        unsafe { (&raw mut interface.ifr_ifru).cast::<libc::sockaddr_in>().write_unaligned(address) };
        // SAFETY: both requests read one ifreq, which outlives the call.
        let result = unsafe { libc::ioctl(socket.as_raw_fd(), request, &raw const interface) };
        checked(libc::c_long::from(result))?;
    }
    Ok(())
}
