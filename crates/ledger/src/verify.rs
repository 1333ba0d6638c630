//! Whole, or what is broken and where.

use std::path::Path;

/// A ledger that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// How many events it has.
    pub size: u64,
    /// The Merkle root over them.
    pub root: [u8; 32],
    /// Whether the run is sealed.
    pub sealed: bool,
}

/// One thing that is broken, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The event.
    pub seq: Option<u64>,
    /// What is wrong.
    pub what: String,
}

/// Verifies the ledger in `dir` alone.
pub fn verify(_dir: &Path) -> Result<Verified, Vec<Broken>> {
    Err(Vec::new())
}
