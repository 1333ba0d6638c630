//! Promise: a full disk is an error, nothing half written counts, and after it nothing is accepted.

use std::process::Command;

use crate::common::{begin, denied};
use ledger::{Host, Reader, Trust, WriteError};

const STATE: &str = "LEDGER_TEST_FULL";

/// Not a test of its own: a process whose files may not grow beyond 64 KiB. Exits with success when all is as promised.
#[test]
fn the_child_whose_disk_is_full() {
    let Ok(state) = std::env::var(STATE) else { return };
    let host = Host::open(state.as_ref()).unwrap();
    let (_, mut writer) = begin(&host);
    let mut durable = 0;
    let error = loop {
        let seq = match writer.append(denied(7), Trust::Observed, None) {
            Ok(seq) => seq,
            Err(error) => break error,
        };
        if seq % 10 == 0 {
            match writer.sync() {
                Ok(()) => durable = seq,
                Err(error) => break error,
            }
        }
    };
    assert!(matches!(error, WriteError::Io(_)), "{error:?}");
    assert!(matches!(writer.append(denied(8), Trust::Observed, None), Err(WriteError::Dead)));
    assert!(matches!(writer.sync(), Err(WriteError::Dead)));
    assert!(matches!(writer.flush(), Err(WriteError::Dead)));
    assert!(matches!(writer.seal(), Err(WriteError::Dead)));
    println!("durable {durable}");
}

#[test]
fn a_full_disk_is_an_error_and_what_was_durable_stays() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    // The limit stands in for the disk: a write beyond it fails, in the middle, as on a full one.
    let script =
        "trap '' XFSZ; ulimit -f 64; exec \"$0\" --exact full_disk::the_child_whose_disk_is_full --nocapture";
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
    assert!(durable > 10);
    let host = Host::open(&state).unwrap();
    let run = host.find(None).unwrap().run;
    let found = host.verify(&run).unwrap();
    assert!(found.size > durable && found.torn == 0, "{found:?}, {durable} were durable");
    host.mark_interrupted(&run, "test").unwrap();
    assert!(host.verify(&run).unwrap().sealed);
    assert_eq!(Reader::open(&host.ledger_dir(&run)).unwrap().count() as u64, host.verify(&run).unwrap().size);
}
