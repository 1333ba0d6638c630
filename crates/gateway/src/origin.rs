//! A place in TLS on this machine, by which it is found out what the tools here get through.
//!
//! Owns listening, and which paths were asked for. It gives nothing: whatever is asked for is not found. Does not own who asks.

use std::collections::BTreeSet;
use std::io::{self, Read, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use policy::Host;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::ca::{Authority, AuthorityError, HTTP_1};

/// Who asks at once.
const MOST: usize = 64;
/// Bytes of a request that are read, and how long they are waited for.
const LONGEST: usize = 16 * 1024;
const PATIENCE: Duration = Duration::from_secs(10);
/// Paths that are kept.
const PATHS: usize = 4096;
/// What everybody is told.
const ANSWER: &[u8] =
    b"HTTP/1.1 404 Not Found\r\ncontent-type: text/plain\r\ncontent-length: 5\r\nconnection: close\r\n\r\nnone\n";

/// It could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// There is no port.
    #[error("could not listen on this machine")]
    Listen(#[from] io::Error),
    /// There is no certificate.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

/// A place of this machine, as long as the process lasts.
#[derive(Debug)]
pub struct Origin {
    port: u16,
    pem: String,
    asked: Arc<Mutex<BTreeSet<String>>>,
}

impl Origin {
    /// Opens one, as `localhost`.
    ///
    /// # Errors
    /// There is no port, or no certificate.
    pub fn open() -> Result<Origin, OriginError> {
        let authority = Authority::new()?;
        let mut config = ServerConfig::clone(&*authority.as_host(&Host::Name("localhost".to_owned()))?);
        config.alpn_protocols = vec![HTTP_1.to_vec()];
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let asked = Arc::new(Mutex::default());
        let (config, seen, open) = (Arc::new(config), Arc::clone(&asked), Arc::new(AtomicUsize::new(0)));
        std::thread::Builder::new().name("origin".to_owned()).spawn(move || {
            for stream in listener.incoming().flatten() {
                if open.fetch_add(1, Ordering::SeqCst) >= MOST {
                    open.fetch_sub(1, Ordering::SeqCst);
                    continue;
                }
                let (config, seen, left) = (Arc::clone(&config), Arc::clone(&seen), Arc::clone(&open));
                let answer = move || {
                    // Who does not ask in TLS, or breaks off, is not heard.
                    let _ = answer(stream, config, &seen);
                    left.fetch_sub(1, Ordering::SeqCst);
                };
                if std::thread::Builder::new().spawn(answer).is_err() {
                    open.fetch_sub(1, Ordering::SeqCst);
                }
            }
        })?;
        Ok(Origin { port, pem: authority.pem().to_owned(), asked })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// By whose word it is `localhost`.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Whether something beneath this path was asked for, in TLS.
    pub fn was_asked(&self, path: &str) -> bool {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().any(|known| known.starts_with(path))
    }
}

fn answer(stream: TcpStream, config: Arc<ServerConfig>, asked: &Mutex<BTreeSet<String>>) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut tls = StreamOwned::new(connection, stream);
    let mut head = Vec::new();
    let mut part = [0; 2048];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < LONGEST {
        match tls.read(&mut part)? {
            0 => return Ok(()),
            length => head.extend_from_slice(part.get(..length).unwrap_or_default()),
        }
    }
    let head = String::from_utf8_lossy(&head);
    if let Some(path) = head.split(' ').nth(1) {
        let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() < PATHS {
            asked.insert(path.to_owned());
        }
    }
    tls.write_all(ANSWER)?;
    tls.conn.send_close_notify();
    tls.flush()
}
