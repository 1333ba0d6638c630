//! Promise: no event, no permit. Where the ledger cannot be written, everything is refused.

use std::process::Command;

use admission::Admission;
use ledger::event::{Denied, RunEnded};
use ledger::{Host, Trust};

use crate::common::{Line, connect, land, read};

const STATE: &str = "ADMISSION_TEST_FULL";

fn all_refused(admission: &Admission) {
    for _ in 0..3 {
        let denial = admission.admit(land("/w/a")).wait().permit().unwrap_err();
        assert_eq!((denial.reasons[0].rule.as_str(), denial.seq), ("ledger", None));
        assert!(denial.to_string().contains("the ledger takes nothing more"), "{denial}");
        assert!(admission.admit(read("/r/a")).wait().permit().is_err());
        assert!(admission.admit(connect("ask.example:443")).wait().permit().is_err());
        assert!(admission.admit(connect("never.example:443")).wait().permit().is_err());
        assert!(admission.note(Denied::default().into(), Trust::Observed, None).is_err());
        assert!(admission.barrier().is_err());
    }
}

/// Not a test of its own: a process whose files may not grow beyond 64 KiB.
#[test]
fn the_child_whose_disk_is_full() {
    let Ok(state) = std::env::var(STATE) else { return };
    let line = Line::start_at(state.as_ref(), true);
    // A permit to connect that was given in time dies with the ledger as well: its addresses cannot be recorded.
    let early = line.admission.admit(connect("allowed.example:443")).wait().permit().unwrap();
    let asks = line.admission.asks();
    let asked = line.admission.admit(connect("ask.example:443"));
    let view = asks.recv().unwrap();
    let mut durable = 0;
    while let Ok(permit) = line.admission.admit(land("/w/a")).wait().permit() {
        durable = permit.seq();
    }
    assert!(durable > 20);
    all_refused(&line.admission);
    assert!(early.at(&["93.184.216.34".parse().unwrap()]).is_err());
    let yes =
        admission::Answer { allow: true, by: "ann".into(), how: "terminal".into(), ..Default::default() };
    assert!(matches!(line.admission.answer(&view.ask, yes), Err(admission::Refused::Closed(_))));
    assert!(asked.wait().permit().is_err(), "a yes that is not recorded is no yes");
    assert!(line.admission.clone().close(RunEnded::default().into()).is_err());
    println!("durable {durable}");
}

#[test]
fn a_full_disk_ends_all_permits() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let script = "trap '' XFSZ; ulimit -f 64; exec \"$0\" --exact no_event_no_permit::the_child_whose_disk_is_full --nocapture";
    let child = Command::new("bash")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .env(STATE, &state)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{said}{}", String::from_utf8_lossy(&child.stderr));
    let durable: u64 =
        said.split("durable ").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    let host = Host::open(&state).unwrap();
    let run = host.find(None).unwrap().run;
    // Every permit that was given is there.
    assert!(host.verify(&run).unwrap().size > durable);
}
