//! Reading a run's ledger.

use std::io;
use std::path::Path;

use crate::event::Event;

/// A ledger could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The disk refused.
    #[error("the ledger could not be read")]
    Io(#[from] io::Error),
}

/// Reads every event of the ledger in `dir`, in order.
pub fn events(_dir: &Path) -> Result<impl Iterator<Item = Result<Event, ReadError>>, ReadError> {
    Err::<std::iter::Empty<_>, _>(ReadError::Io(io::ErrorKind::Unsupported.into()))
}
