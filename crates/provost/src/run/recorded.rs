//! The cassette of a run: made where the policy records something, closed when nothing passes any more.
//!
//! Owns where it lies, the key of its workspace, and what the ledger hears of it. Does not own what is recorded, or how (`gateway`).

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use admission::Admission;
use gateway::cassette::{Cassette, Ended, Gap, Key, Manifest, Recorder};
use ledger::RunId;
use ledger::event::{CassetteClosed, CassetteGap};
use policy::Policy;

use super::SEEN;
use crate::failure::Failure;
use crate::layers;

/// The folder of a run's cassette.
pub(crate) const FOLDER: &str = "cassette";
/// The file of a workspace's key.
const KEY: &str = "cassette.key";
/// Gaps that the ledger names.
const NAMED: usize = 256;

/// The cassette of a run, if it has one.
pub(super) struct Recorded(Option<Cassette>);

impl Recorded {
    /// Begins one where the policy records something. `kept` is what belongs to the workspace.
    pub(super) fn begin(
        policy: &Policy,
        run: &RunId,
        (run_dir, kept): (&Path, &Path),
    ) -> Result<Recorded, Failure> {
        if !policy.records() {
            return Ok(Recorded(None));
        }
        let failed =
            |error: &dyn std::error::Error| Failure::of(error).during("could not begin to record traffic");
        let key = key(kept).map_err(|error| failed(&error))?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let manifest = Manifest {
            run: run.as_str().to_owned(),
            policy: layers::record(policy, "").digest,
            started: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
            records: policy.recorded(),
            ..Manifest::default()
        };
        let cassette = Cassette::create(&run_dir.join(FOLDER), manifest, Key::new(&key));
        cassette.map(|cassette| Recorded(Some(cassette))).map_err(|error| failed(&error))
    }

    /// For the gateway.
    pub(super) fn recorder(&self) -> Option<Recorder> {
        self.0.as_ref().map(Cassette::recorder)
    }

    /// Closes it, says so in the ledger, and what a person should know of it.
    pub(super) fn close(self, admission: &Admission) -> Vec<String> {
        let Some(Ended { settled, mut gaps }) = self.0.map(Cassette::close) else { return Vec::new() };
        gaps.truncate(NAMED);
        let gap = |Gap { endpoint, because, flows }| CassetteGap { endpoint, because, flows };
        let failed = settled.failed.clone();
        let closed = CassetteClosed {
            events: settled.events,
            sha256: settled.sha256,
            flows: settled.flows,
            bytes: settled.bytes + settled.blob_bytes,
            gaps: gaps.into_iter().map(gap).collect(),
            failed: settled.failed,
        };
        // A ledger that takes nothing more is noticed at the end of the run.
        let _ = admission.note(closed.into(), SEEN, None);
        let failed = failed.map(|why| {
            format!("the traffic could not be recorded to its end ({why}); from then on none of it passed")
        });
        failed.into_iter().collect()
    }
}

/// The key by which a workspace's cassettes tell credentials apart.
fn key(kept: &Path) -> io::Result<[u8; 32]> {
    let place = kept.join(KEY);
    match read(&place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(kept)?;
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| io::Error::other(error.to_string()))?;
    let next = kept.join(format!(".{KEY}.{}", std::process::id()));
    let written = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&next);
    let written = written.and_then(|mut file| {
        file.write_all(&key)?;
        file.sync_all()?;
        // Who comes at the same moment finds it, or takes the same one.
        fs::hard_link(&next, &place)
    });
    let _ = fs::remove_file(&next);
    match written {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read(&place),
        other => other.map(|()| key),
    }
}

fn read(place: &Path) -> io::Result<[u8; 32]> {
    let odd = |_| io::Error::other(format!("`{}` holds no key", place.display()));
    fs::read(place)?.try_into().map_err(odd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_workspace_keeps_its_key() {
        let home = tempfile::tempdir().unwrap();
        let kept = home.path().join("workspaces/w");
        let first = key(&kept).unwrap();
        assert_eq!(key(&kept).unwrap(), first);
        assert_eq!(fs::metadata(kept.join(KEY)).unwrap().permissions().mode() & 0o777, 0o600);
        assert_ne!(key(&home.path().join("workspaces/other")).unwrap(), first);
        fs::write(kept.join(KEY), "short").unwrap();
        assert!(key(&kept).is_err());
    }
}
