//! Whose connections are taken, where the doors can be reached by others of the machine.
//!
//! Owns: from where the next connections of the run come. Does not own who finds that out: whoever makes them.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The addresses from which the run's own connections come, each good for one.
#[derive(Debug, Clone, Default)]
pub struct Guests(Arc<Mutex<HashSet<SocketAddr>>>);

impl Guests {
    /// The next connection from there is the run's. To be said before it is made.
    pub fn expect(&self, from: SocketAddr) {
        self.list().insert(from);
    }

    /// It did not come about.
    pub fn forget(&self, from: SocketAddr) {
        self.list().remove(&from);
    }

    /// Whether a connection from there is the run's.
    pub(crate) fn admits(&self, from: SocketAddr) -> bool {
        self.list().remove(&from)
    }

    fn list(&self) -> std::sync::MutexGuard<'_, HashSet<SocketAddr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
