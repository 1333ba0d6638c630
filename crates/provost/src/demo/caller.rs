//! A call from inside, as any program makes it that obeys the proxy.
//!
//! Owns the one request of the demo's agent, which cannot count on any program that makes one. Judges nothing: whether it
//! gets through is the gateway's to say.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::failure::Failure;
use crate::render::{Out, clean};

/// How long the agent waits for an answer, the person's time to think included.
pub(super) const PATIENCE: Duration = Duration::from_secs(25);

/// Asks the proxy for a way to `endpoint` and says what it answered; whether there is a way.
///
/// # Errors
/// This is not the inside of a run.
pub(super) fn call(endpoint: &str, out: Out) -> Result<bool, Failure> {
    let outside = || Failure::new("this is not the inside of a run").hint("start `provost demo` without it");
    let proxy = std::env::var("HTTPS_PROXY").map_err(|_| outside())?;
    let address = proxy.strip_prefix("http://").ok_or_else(outside)?;
    let status = asked(address, endpoint).unwrap_or_else(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no answer".to_owned(),
        _ => error.to_string(),
    });
    out.line(clean(&status));
    Ok(status.starts_with("200"))
}

/// The status of the proxy's answer, with its words.
fn asked(proxy: &str, endpoint: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(proxy)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "CONNECT {endpoint} HTTP/1.1\r\nHost: {endpoint}\r\n\r\n")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let status = line.split_once(' ').map(|(_, status)| status.trim().to_owned());
    status.ok_or_else(|| io::Error::other("the proxy gave no answer"))
}
