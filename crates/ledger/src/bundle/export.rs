//! Making a bundle.
//!
//! Owns reading the run for it. Does not own the file it goes into.

use std::io::{self, Write};
use std::path::Path;

use super::{CHECKPOINT, HEAD, chapter, head, log, register};
use crate::frame::Kind;
use crate::host::{Host, HostError};
use crate::note::{self, Checkpoint};
use crate::proof::{Consistency, Inclusion};
use crate::run::RunId;
use crate::scan;
use crate::tar;
use crate::tiles::Tiler;
use crate::tree::{Hash, consistency_proof, inclusion_proof, leaf_hash};

/// A run could not be exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// There is no such run, or its evidence is broken.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The ledger could not be read.
    #[error("the ledger could not be read")]
    Read(#[source] io::Error),
    /// The bundle could not be written.
    #[error("the bundle could not be written")]
    Write(#[source] io::Error),
    /// What was read first is not what was read then.
    #[error("the ledger changed while it was read")]
    Changed,
    /// There is no such event, or none of it is signed yet.
    #[error("no checkpoint covers event {0}")]
    NoEvent(u64),
    /// The ledger never had that size.
    #[error("there is no proof from {0} events on: the ledger has {1}")]
    NoSize(u64, u64),
}

/// What was exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    /// How many events; those that no checkpoint covers yet are left out.
    pub events: u64,
    /// The Merkle root over them.
    pub root: Hash,
    /// Whether the run is sealed: if not, it may go on.
    pub sealed: bool,
}

/// The notes of a ledger, up to its last checkpoint.
struct Notes {
    /// Every certificate, and the last checkpoint before the next.
    chapters: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    last: Checkpoint,
    note: String,
}

impl Host {
    /// Writes into `out` all that a stranger needs to verify a run.
    ///
    /// # Errors
    /// The run is not whole, or `out` takes no more.
    pub fn export(&self, run: &RunId, out: &mut impl Write) -> Result<Exported, ExportError> {
        let (excerpt, verified) = self.excerpt(run)?;
        let dir = self.ledger_dir(run);
        let notes = notes(&dir)?;
        let mut put = |name: String, bytes: &[u8]| tar::put(out, &name, bytes).map_err(ExportError::Write);
        put(HEAD.to_owned(), head(run, &self.verifier()).as_bytes())?;
        for (leaf, proof) in &excerpt.entries {
            put(register(proof.index, "json"), leaf)?;
            put(register(proof.index, "tlog-proof"), proof.to_string().as_bytes())?;
        }
        for (number, (certificate, checkpoint)) in notes.chapters.iter().enumerate() {
            put(chapter(number, "certificate"), certificate)?;
            if let Some(checkpoint) = checkpoint {
                put(chapter(number, "checkpoint"), checkpoint)?;
            }
        }
        put(CHECKPOINT.to_owned(), notes.note.as_bytes())?;
        let mut tiler = Tiler::default();
        leaves(&dir, &notes.last, |leaf| {
            tiler.push(leaf).into_iter().try_for_each(|tile| put(log(&tile.path), &tile.bytes))
        })?;
        tiler.finish().into_iter().try_for_each(|tile| put(log(&tile.path), &tile.bytes))?;
        tar::end(out).map_err(ExportError::Write)?;
        Ok(Exported { events: notes.last.size, root: notes.last.root, sealed: verified.sealed })
    }

    /// The proof that an event is in a run's ledger, with the host's word for the key, and the event as it lies there.
    ///
    /// # Errors
    /// The run is not whole, or has no such event.
    pub fn prove(&self, run: &RunId, event: u64) -> Result<(Inclusion, Vec<u8>), ExportError> {
        let (notes, hashes, leaf) = self.hashes(run, event)?;
        let path = inclusion_proof(&hashes, event).ok_or(ExportError::NoEvent(event))?;
        let extra = notes.chapters.last().map(|(certificate, _)| certificate.clone());
        Ok((Inclusion { extra, index: event, path, checkpoint: notes.note }, leaf))
    }

    /// The proof that a run's ledger grew out of its first `old` events.
    ///
    /// # Errors
    /// The run is not whole, or never had that size.
    pub fn prove_growth(&self, run: &RunId, old: u64) -> Result<Consistency, ExportError> {
        let (notes, hashes, _) = self.hashes(run, 0)?;
        let path = consistency_proof(&hashes, old).ok_or(ExportError::NoSize(old, notes.last.size))?;
        Ok(Consistency { old, path, checkpoint: notes.note })
    }

    /// The root over the first `size` events of a run, if it has so many that are signed.
    ///
    /// # Errors
    /// The run is not whole.
    pub fn root_at(&self, run: &RunId, size: u64) -> Result<Option<Hash>, ExportError> {
        let (_, hashes, _) = self.hashes(run, 0)?;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        Ok(hashes.get(..size).filter(|first| !first.is_empty()).map(crate::tree::root))
    }

    /// The notes, the hashes of the events that are signed, and one event.
    fn hashes(&self, run: &RunId, event: u64) -> Result<(Notes, Vec<Hash>, Vec<u8>), ExportError> {
        self.excerpt(run)?;
        let dir = self.ledger_dir(run);
        let notes = notes(&dir)?;
        let (mut hashes, mut wanted) = (Vec::new(), Vec::new());
        leaves(&dir, &notes.last, |leaf| {
            if hashes.len() as u64 == event {
                wanted = leaf.to_vec();
            }
            hashes.push(leaf_hash(leaf));
            Ok(())
        })?;
        Ok((notes, hashes, wanted))
    }
}

/// The notes of the ledger in `dir`. Behind the last checkpoint nothing is signed, and nothing is taken.
fn notes(dir: &Path) -> Result<Notes, ExportError> {
    let (mut chapters, mut waiting, mut last) = (Vec::new(), Vec::new(), None);
    scan::walk(dir, |_, kind, payload| match kind {
        Kind::Leaf => {}
        Kind::Certificate => waiting.push((payload.to_vec(), None)),
        Kind::Checkpoint => {
            chapters.append(&mut waiting);
            if let Some((_, checkpoint)) = chapters.last_mut() {
                *checkpoint = Some(payload.to_vec());
            }
            last = std::str::from_utf8(payload).ok().map(str::to_owned);
        }
    })
    .map_err(ExportError::Read)?;
    let note = last.ok_or(ExportError::Changed)?;
    let last = note::text(&note).and_then(Checkpoint::parse).map_err(|_| ExportError::Changed)?;
    Ok(Notes { chapters, last, note })
}

/// Shows the leaves that a checkpoint covers, and makes sure that they are those.
fn leaves(
    dir: &Path,
    covered: &Checkpoint,
    mut see: impl FnMut(&[u8]) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let (mut tree, mut seen) = (crate::tree::Tree::default(), Ok(()));
    scan::walk(dir, |_, kind, payload| {
        if kind == Kind::Leaf && tree.size() < covered.size && seen.is_ok() {
            tree.push(leaf_hash(payload));
            seen = see(payload);
        }
    })
    .map_err(ExportError::Read)?;
    seen?;
    if tree.size() == covered.size && tree.root() == covered.root {
        Ok(())
    } else {
        Err(ExportError::Changed)
    }
}
