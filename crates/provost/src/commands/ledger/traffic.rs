//! Whether a run's recorded traffic is what its ledger says was recorded.
//!
//! Owns that comparison and how it is said. Does not own the digest (`gateway::cassette`).

use gateway::cassette::{Fault, check};
use ledger::{Host, RunId, Taped};

use crate::layers::hex;
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

/// Holds a run's cassette against what its ledger says.
pub(super) fn stands(host: &Host, run: &RunId, taped: Taped) -> Stands {
    let dir = host.run_dir(run).join(FOLDER);
    match taped {
        Taped::Closed(sha256) => check(&dir, &hex(&sha256)).map_or_else(Stands::Changed, |()| Stands::Whole),
        Taped::Discarded => Stands::Discarded,
        Taped::Open if !dir.is_dir() => Stands::Changed(Fault::Missing),
        Taped::Open => Stands::Uncovered,
        Taped::Nothing if dir.is_dir() => Stands::Uncovered,
        Taped::Nothing => Stands::None,
    }
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
                let fault = clean(&fault.to_string());
                Some(format!("broken run {run}: its recorded traffic: {fault}; its ledger itself is whole"))
            }
        }
    }
}
