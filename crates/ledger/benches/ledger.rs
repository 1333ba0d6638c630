//! What the ledger costs: `cargo bench -p ledger`. Standard library only; the disk is that of the temporary directory.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench speaks, and stops at the first error")]

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use ledger::event::{Access, Exec, OpenEntry, Opened, RunEnded, RunOpened, Verdict};
use ledger::{Body, Host, Reader, RunId, Trust, Writer};

const EVENTS: u64 = 200_000;

fn main() {
    let dir =
        tempfile::tempdir_in(std::env::var_os("BENCH_DIR").unwrap_or_else(|| "/var/tmp".into())).unwrap();
    let host = Host::open(&dir.path().join("state")).unwrap();
    begin(&host);
    let (run, bytes) = append(&host);
    read_and_verify(&host, &run, bytes);
    for group in [1, 10, 100] {
        group_commit(&host, group);
    }
}

fn exec(number: u64) -> Body {
    let mut exec = Exec {
        pid: 4000 + (number % 100) as u32,
        ppid: 4000,
        program: "/usr/bin/rustc".into(),
        argv: [
            "rustc",
            "--crate-name",
            "ledger",
            "--edition=2024",
            "crates/ledger/src/lib.rs",
            "--crate-type",
            "lib",
        ]
        .map(Into::into)
        .to_vec(),
        cwd: "/home/ann/work/provost".into(),
        verdict: Verdict::Allow,
        default_applied: true,
        ..Exec::default()
    };
    // Whoever judged the action made this; it is not the ledger's cost.
    static DIGEST: OnceLock<String> = OnceLock::new();
    exec.digest = DIGEST.get_or_init(|| exec.action().digest()).clone();
    exec.into()
}

fn opened(number: u64) -> Body {
    let entry = |at: u64| OpenEntry {
        pid: 4000,
        access: Access::Read,
        path: format!("/usr/lib/x86_64-linux-gnu/lib{}.so.6", number + at).into(),
        count: 1,
    };
    Opened { entries: (0..4).map(entry).collect() }.into()
}

fn body(number: u64) -> Body {
    if number.is_multiple_of(4) { opened(number) } else { exec(number) }
}

fn start(host: &Host) -> (RunId, Writer) {
    let run = host.new_run().unwrap();
    let writer = host.begin(&run, RunOpened::default()).unwrap();
    (run, writer)
}

fn median(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

fn begin(host: &Host) {
    let mut begun = Vec::new();
    let mut sealed = Vec::new();
    for _ in 0..200 {
        let at = Instant::now();
        let (run, writer) = start(host);
        begun.push(at.elapsed());
        let at = Instant::now();
        host.seal(&run, &writer.seal().unwrap()).unwrap();
        sealed.push(at.elapsed());
    }
    let ((half, most), (end, end_most)) = (median(begun), median(sealed));
    println!("begin a run (ledger, first event, register), durable: p50 {half:?} p99 {most:?}");
    println!("seal a run (ledger, register), durable:               p50 {end:?} p99 {end_most:?}");
}

fn append(host: &Host) -> (RunId, u64) {
    let (run, mut writer) = start(host);
    let at = Instant::now();
    for number in 0..EVENTS {
        writer.append(body(number), Trust::Observed, None).unwrap();
        if number % 1000 == 999 {
            writer.sync().unwrap();
        }
    }
    writer.append(RunEnded::default(), Trust::Observed, None).unwrap();
    let sealed = writer.seal().unwrap();
    let took = at.elapsed();
    host.seal(&run, &sealed).unwrap();
    let files = std::fs::read_dir(host.ledger_dir(&run)).unwrap();
    let bytes: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
    println!(
        "append, a sync every 1,000 events:  {:>9.0} events/s  ({} bytes an event)",
        EVENTS as f64 / took.as_secs_f64(),
        bytes / EVENTS
    );
    (run, bytes)
}

fn read_and_verify(host: &Host, run: &RunId, bytes: u64) {
    let at = Instant::now();
    let read = Reader::open(&host.ledger_dir(run)).unwrap().map(Result::unwrap).count() as u64;
    println!(
        "read:                               {:>9.0} events/s",
        read as f64 / at.elapsed().as_secs_f64()
    );
    let at = Instant::now();
    let verified = host.verify(run).unwrap();
    let took = at.elapsed().as_secs_f64();
    assert_eq!(verified.size, read);
    println!(
        "verify, everything:                 {:>9.0} events/s  ({:.0} MB/s)",
        read as f64 / took,
        bytes as f64 / took / 1e6
    );
}

fn group_commit(host: &Host, group: u64) {
    let (run, mut writer) = start(host);
    let rounds = if group == 1 { 1000 } else { 300 };
    let mut times = Vec::new();
    let at = Instant::now();
    for number in 0..rounds {
        let at = Instant::now();
        for one in 0..group {
            writer.append(body(number * group + one), Trust::Observed, None).unwrap();
        }
        writer.sync().unwrap();
        times.push(at.elapsed());
    }
    let took = at.elapsed().as_secs_f64();
    let (half, most) = median(times);
    let rate = (rounds * group) as f64 / took;
    println!("group commit of {group:>3}: {rate:>9.0} durable events/s, a group p50 {half:?} p99 {most:?}");
    host.seal(&run, &writer.seal().unwrap()).unwrap();
}
