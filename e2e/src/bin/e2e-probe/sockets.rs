//! Attempts by socket: other families, straight connections, sockets of the host.

use super::Attempt;
use super::calls::call;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::Duration;

/// How long a peer may take to take up a connection.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) fn attempt(name: &str, words: &[&str]) -> Option<Attempt> {
    let socket = |family: i32, kind: i32, protocol: i64| {
        call(libc::SYS_socket, &[i64::from(family), i64::from(kind), protocol])
    };
    Some(match (name, words) {
        ("vsock", []) => socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0),
        // Everything that goes over a cable, in network order.
        ("packet", []) => socket(libc::AF_PACKET, libc::SOCK_RAW, 0x0300),
        ("kernel-crypto", []) => socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0),
        ("raw", []) => socket(libc::AF_INET, libc::SOCK_RAW, i64::from(libc::IPPROTO_ICMP)),
        ("raw6", []) => socket(libc::AF_INET6, libc::SOCK_RAW, i64::from(libc::IPPROTO_ICMPV6)),
        ("tcp", [to]) => tcp(to, "").map(|_| 0),
        // Says something, and succeeds if it is answered with these words.
        ("talk", [to, say, answer]) => talk(to, say, answer),
        ("udp-connect", [to]) => udp(to, true),
        ("udp-sendto", [to]) => udp(to, false),
        ("unix", [path]) => UnixStream::connect(path).map(|_| 0),
        ("unix-datagram", [path]) => {
            UnixDatagram::unbound().and_then(|from| from.send_to(b"x", path)).map(|_| 0)
        }
        ("unix-datagram-connect", [path]) => UnixDatagram::unbound()
            .and_then(|from| from.connect(path).and_then(|()| from.send(b"x")))
            .map(|_| 0),
        ("abstract", [name]) => std::os::unix::net::SocketAddr::from_abstract_name(name)
            .and_then(|address| UnixStream::connect_addr(&address))
            .map(|_| 0),
        _ => return None,
    })
}

fn address(text: &str) -> io::Result<SocketAddr> {
    text.parse().map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

fn tcp(to: &str, say: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address(to)?, PATIENCE)?;
    let mut answer = String::new();
    if !say.is_empty() {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(say.replace("\\r", "\r").replace("\\n", "\n").replace("\\0", "\0").as_bytes())?;
        let mut bytes = Vec::new();
        // Whatever came until the peer ended or paused is its answer.
        drop(stream.take(1 << 16).read_to_end(&mut bytes));
        answer = String::from_utf8_lossy(&bytes).into_owned();
    }
    Ok(answer)
}

fn talk(to: &str, say: &str, wanted: &str) -> Attempt {
    let answer = tcp(to, say)?;
    println!("{answer}");
    if answer.contains(wanted) { Ok(0) } else { Err(io::Error::from_raw_os_error(libc::EACCES)) }
}

fn udp(to: &str, connect: bool) -> Attempt {
    let to = address(to)?;
    let from = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    let sent = if connect { from.connect(to).and_then(|()| from.send(b"x")) } else { from.send_to(b"x", to) };
    sent.map(|_| 0)
}
