//! Sockets: what the kernel tells of one, and an address for the loopback link.
//!
//! Owns: the raw calls. Does not own: what follows from the answers (`supervisor/carry.rs`, `cell.rs`).

use super::checked;
use rustix::fd::{AsFd, AsRawFd as _};
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
