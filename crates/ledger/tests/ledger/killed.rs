//! Promise: a run killed at any moment leaves a ledger in which everything that was made durable is still there, and which
//! says that it was interrupted.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common::{begin, denied, host};
use ledger::{Body, Host, Reader, RunId, Standing, Trust};

const STATE: &str = "LEDGER_TEST_STATE";

/// Not a test of its own: the child that is killed. It says on stdout what it has made durable.
#[test]
fn the_child_that_writes_until_it_is_killed() {
    let Ok(state) = std::env::var(STATE) else { return };
    let host = Host::open(state.as_ref()).unwrap();
    let (run, mut writer) = begin(&host);
    println!("run {run}");
    for number in 0.. {
        let seq = writer.append(denied(number), Trust::Observed, None).unwrap();
        match number % 5 {
            0 => {
                writer.sync().unwrap();
                println!("durable {seq}");
            }
            3 => writer.flush().unwrap(),
            _ => {}
        }
    }
}

fn killed_after(host: &Host, wait: Duration) -> (RunId, u64) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::the_child_that_writes_until_it_is_killed", "--nocapture"])
        .env(STATE, host.dir())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    // The harness may say something on the same line first.
    let said = |line: &str, word: &str| line.rsplit_once(word).map(|(_, rest)| rest.to_owned());
    let run = lines.by_ref().find_map(|line| said(&line, "run ").and_then(|id| RunId::parse(&id))).unwrap();
    assert_eq!(host.find(Some(run.as_str())).unwrap().standing, Standing::Running);
    assert!(host.mark_interrupted(&run, "test").is_err(), "a running run was taken for a dead one");
    std::thread::sleep(wait);
    child.kill().unwrap();
    child.wait().unwrap();
    let durable = lines.filter_map(|line| said(&line, "durable ")?.parse().ok()).last().unwrap_or(0);
    (run, durable)
}

#[test]
fn what_was_durable_outlives_a_kill() {
    let (_dir, host) = host();
    for round in 0..12 {
        let (run, durable) = killed_after(&host, Duration::from_micros(1500 * round));
        assert_eq!(host.find(Some(run.as_str())).unwrap().standing, Standing::Interrupted);
        let found = host.verify(&run).unwrap();
        assert!(found.size > durable, "event {durable} was durable, {} are there", found.size);
        host.mark_interrupted(&run, "test").unwrap();
        let verified = host.verify(&run).unwrap();
        assert!(verified.sealed && verified.ended && verified.unsigned == 0 && verified.torn == 0);
        let last = Reader::open(&host.ledger_dir(&run)).unwrap().map(Result::unwrap).last().unwrap();
        assert!(matches!(last.body, Body::RunInterrupted(_)));
    }
    assert_eq!(host.verify_all().unwrap().len(), 12);
    assert!(host.interrupted().unwrap().is_empty());
}
