//! Promise: on a small disk that fills up, with writers killed at any moment, nothing is lost that was said to be durable and
//! nothing half written counts.
//!
//! The disk is a file system of its own, in memory, within namespaces of its own: for root, and for anybody.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::common::denied;
use ledger::{Body, Host, Reader, RunId, Trust};

const DISK: &str = "LEDGER_TEST_DISK";
const WRITER: &str = "LEDGER_TEST_DISK_WRITER";

/// Not a test of its own: the child that writes, and says what it has made durable, until it is killed or the disk is full.
#[test]
fn the_child_that_fills_the_disk() {
    let Ok(disk) = std::env::var(WRITER) else { return };
    let host = Host::open(&Path::new(&disk).join("state")).unwrap();
    let run = host.new_run().unwrap();
    // A disk on which not even a beginning has room is as good as full.
    let Ok(mut writer) = host.begin(&run, Default::default()) else { return println!("\nfull") };
    println!("\nrun {run}");
    for number in 0.. {
        let Ok(seq) = writer.append(denied(number), Trust::Observed, None) else { break };
        if number % 7 == 0 {
            match writer.sync() {
                Ok(()) => println!("\ndurable {seq}"),
                Err(_) => break,
            }
        }
    }
    println!("\nfull");
}

/// Not a test of its own: the child within the namespaces. Exits with success when all is as promised.
#[test]
fn the_child_on_the_small_disk() {
    let Ok(disk) = std::env::var(DISK) else { return };
    let disk = Path::new(&disk);
    // Room that is given back in the end: without any, no run can be marked as dead.
    fs::write(disk.join("filler"), vec![7; 128 * 1024]).unwrap();
    let host = Host::open(&disk.join("state")).unwrap();
    let mut promised = Vec::new();
    for round in 0..200 {
        let (run, durable, full) = written(disk, 3 + round * 5 % 64);
        if let Some(run) = run {
            kept(&host, &run, durable);
            promised.push((run, durable));
        }
        if full {
            break;
        }
        assert!(round < 199, "the disk never filled up");
    }
    assert!(promised.len() > 2, "{promised:?}");
    fs::remove_file(disk.join("filler")).unwrap();
    for (run, durable) in &promised {
        host.mark_interrupted(run, "test").unwrap();
        kept(&host, run, *durable);
        assert!(host.verify(run).unwrap().sealed);
        let last = Reader::open(&host.ledger_dir(run)).unwrap().map(Result::unwrap).last().unwrap();
        assert!(matches!(last.body, Body::RunInterrupted(_)), "{last:?}");
    }
    assert_eq!(host.verify_all().unwrap().len(), promised.len());
    println!("\nas promised: {} runs", promised.len());
}

/// A writer that is killed once it has said so many times that something is durable, or ends because the disk is full.
fn written(disk: &Path, says: u64) -> (Option<RunId>, Option<u64>, bool) {
    let mut child: Child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "small_disk::the_child_that_fills_the_disk", "--nocapture"])
        .env_remove(DISK)
        .env(WRITER, disk)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut run, mut durable, mut full, mut said) = (None, None, false, 0);
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap) {
        if let Some(id) = line.strip_prefix("run ") {
            run = RunId::parse(id);
        } else if let Some(seq) = line.strip_prefix("durable ") {
            durable = seq.parse().ok();
            said += 1;
        }
        full |= line == "full";
        if said == says {
            // What it says until the signal arrives counts as well.
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    (run, durable, full)
}

/// All that was said to be durable is there, and it is whole.
fn kept(host: &Host, run: &RunId, durable: Option<u64>) {
    let found = host.verify(run).unwrap_or_else(|broken| panic!("{broken:?}"));
    assert!(durable.is_none_or(|seq| found.size > seq), "{durable:?} was durable, {found:?}");
    let read = Reader::open(&host.ledger_dir(run)).unwrap().map_while(Result::ok).count() as u64;
    assert_eq!(read, found.size);
}

#[test]
fn a_small_disk_that_fills_up_loses_nothing_that_was_promised() {
    let dir = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=1536k,mode=0700 none \"$0\" && exec \"$1\" --exact \
                  small_disk::the_child_on_the_small_disk --nocapture";
    let within = |flags: &str| {
        Command::new("unshare")
            .args([flags, "sh", "-c", script])
            .arg(dir.path())
            .arg(std::env::current_exe().unwrap())
            .env(DISK, dir.path())
            .output()
            .unwrap()
    };
    // A user namespace serves anybody, but not everywhere; root may have the one without it.
    let child = ["-Urm", "-m"].into_iter().map(within).find(|child| !child.stdout.is_empty());
    let Some(child) = child else {
        eprintln!("SKIPPED: no file system can be mounted in a namespace here");
        return;
    };
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{said}{}", String::from_utf8_lossy(&child.stderr));
    assert!(said.contains("as promised"), "{said}");
    // Nothing of it was ever on the disk beneath.
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
