//! What the ledger's tests share: a host in a directory of its own, and stories to write.

use std::path::{Path, PathBuf};

use ledger::action::{ActionRecord, CommandRecord};
use ledger::event::{
    Decision, Denied, Launch, Outcome, OutcomeResult, PolicyLoaded, RunEnded, RunOpened, Verdict,
};
use ledger::{Host, RunId, Trust, Writer};

pub(crate) fn host() -> (tempfile::TempDir, Host) {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::open(&dir.path().join("state")).unwrap();
    (dir, host)
}

pub(crate) fn begin(host: &Host) -> (RunId, Writer) {
    let run = host.new_run().unwrap();
    let writer = host.begin(&run, RunOpened { task: "mend it".into(), ..RunOpened::default() }).unwrap();
    (run, writer)
}

pub(crate) fn launch_decision(verdict: Verdict) -> Decision {
    let command = CommandRecord { program: "/bin/true".into(), argv: vec!["true".into()], env: vec![] };
    let action = ActionRecord::Launch(command);
    let digest = action.digest();
    let text = "launch true".to_owned();
    Decision {
        action,
        digest,
        text,
        verdict,
        need: None,
        reasons: vec![],
        default_applied: true,
        grant: None,
    }
}

/// Policy, decision, launch, `denials` denials in groups of three, outcome, end.
pub(crate) fn tell(writer: &mut Writer, denials: u64) {
    writer.append(PolicyLoaded::default(), Trust::Observed, None).unwrap();
    let decision = writer.append(launch_decision(Verdict::Allow), Trust::Observed, None).unwrap();
    writer.sync().unwrap();
    let launch = Launch { pid: 7, argv: vec!["true".into()], cwd: "/w".into() };
    writer.append(launch, Trust::Observed, Some(decision)).unwrap();
    for number in 0..denials {
        writer.append(denied(number), Trust::Observed, None).unwrap();
        if number % 3 == 2 {
            writer.sync().unwrap();
        }
    }
    let outcome = Outcome { of: decision, result: OutcomeResult::Done, detail: String::new() };
    writer.append(outcome, Trust::Observed, None).unwrap();
    writer.append(RunEnded::default(), Trust::Observed, None).unwrap();
    writer.sync().unwrap();
}

pub(crate) fn denied(number: u64) -> Denied {
    Denied { what: "read".into(), target: format!("/secret/{number}").into(), ..Denied::default() }
}

pub(crate) fn segment(dir: &Path) -> PathBuf {
    dir.join("00000001.seg")
}
