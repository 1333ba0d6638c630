//! Whether a run's recorded traffic is what its ledger says was recorded.
//!
//! Owns that comparison and how it is said. Does not own the digest (`gateway::cassette`).

use gateway::cassette::{Fault, check};
use ledger::{Body, Host, RunId};

use crate::commands::each;
use crate::failure::Failure;
use crate::render::clean;
use crate::run::recorded::FOLDER;

/// How a cassette stands to its ledger.
pub(super) enum Stands {
    /// There was none.
    None,
    /// It was thrown away, and the ledger says so.
    Discarded,
    /// The run is not over, or was cut short: the ledger has no digest of it.
    Uncovered,
    /// It is what was written.
    Whole,
    /// It is not.
    Changed(Fault),
}

/// Holds a run's cassette against its ledger.
pub(super) fn stands(host: &Host, run: &RunId) -> Result<Stands, Failure> {
    let (mut recorded, mut closed, mut discarded) = (false, None, false);
    each(host, run, |event| match &event.body {
        Body::Flow(flow) => recorded |= flow.recorded.is_some(),
        Body::CassetteClosed(of) => closed = Some(of.sha256.clone()),
        Body::Discarded(of) => discarded |= of.cassette,
        _ => {}
    })?;
    let dir = host.run_dir(run).join(FOLDER);
    Ok(match closed {
        _ if discarded => Stands::Discarded,
        Some(sha256) => check(&dir, &sha256).map_or_else(Stands::Changed, |()| Stands::Whole),
        None if recorded && !dir.is_dir() => Stands::Changed(Fault::Missing),
        None if dir.is_dir() => Stands::Uncovered,
        None => Stands::None,
    })
}

impl Stands {
    /// For programs.
    pub(super) fn word(&self) -> Option<&'static str> {
        match self {
            Stands::None => None,
            Stands::Discarded => Some("discarded"),
            Stands::Uncovered => Some("uncovered"),
            Stands::Whole => Some("whole"),
            Stands::Changed(_) => Some("changed"),
        }
    }

    /// For a person.
    pub(super) fn in_words(&self, run: &RunId) -> Option<String> {
        match self {
            Stands::None => None,
            Stands::Discarded => Some("      its recorded traffic was discarded".to_owned()),
            Stands::Uncovered => {
                Some("      its recorded traffic was never closed: the ledger has no digest of it".to_owned())
            }
            Stands::Whole => Some("      its recorded traffic is what was written".to_owned()),
            Stands::Changed(fault) => {
                Some(format!("broken run {run}: its recorded traffic: {}", clean(&fault.to_string())))
            }
        }
    }
}
