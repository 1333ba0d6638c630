//! What is said to processes inside: one line on their standard error, by PID 1 of the cell.
//!
//! Owns the way there. Does not own the words, or how they reach the process (`speak.rs`). Clones are the same way.

use crate::channel::{self, Speech};
use crate::plan::Bytes;
use std::ffi::OsStr;
use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A way to say something to a process inside.
#[derive(Clone, Debug)]
pub struct Voice(Arc<Mutex<UnixStream>>);

impl Voice {
    pub(crate) fn new(way: UnixStream) -> io::Result<Self> {
        // PID 1 answers at once or never: a cell that is ending must not hold anybody.
        way.set_read_timeout(Some(Duration::from_secs(1)))?;
        Ok(Self(Arc::new(Mutex::new(way))))
    }

    /// Says a line to a process (its number inside), if that can be done at once; whether it was.
    pub fn say(&self, inside: i32, line: &str) -> bool {
        let speech = Speech { pid: inside, text: Bytes::from(OsStr::new(line)) };
        let way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut said = [0_u8; 1];
        channel::send(&way, &speech).is_ok() && (&*way).read_exact(&mut said).is_ok() && said == [1]
    }
}
