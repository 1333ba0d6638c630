//! What a crossing costs: `cargo bench -p admission`. The disk is that of `/var/tmp`, or of `BENCH_DIR`.
//!
//! Decided, recorded, durable, permitted, and its outcome recorded, by 1, 8 and 64 threads at once; against the same bytes
//! appended to a plain file and synced with the same group commit, in turns. On a busy machine the processors' time says more than the
//! clock's: both are told.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench speaks, and stops at the first error")]

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use admission::{Admission, Land, Outcome};
use ledger::event::{PolicyLoaded, RunEnded, RunOpened};
use ledger::{Host, Trust};
use policy::{AbsPath, Anchors, Context, Layer, LayerKind, Policy};
use rustix::time::{ClockId, clock_gettime};

const RULES: &str = "version = 1\n[[rule]]\nid = \"land\"\nland = [\"/w/**\"]\nneed = \"none\"\n";
/// The share of a plain file's rate.
const SHARE: f64 = 0.8;
const ROUNDS: usize = 15;

fn main() {
    let place = std::env::var_os("BENCH_DIR").unwrap_or_else(|| "/var/tmp".into());
    let dir = tempfile::tempdir_in(place).unwrap();
    let host = Host::open(&dir.path().join("state")).unwrap();
    for writers in [1, 8, 64] {
        measure(&host, dir.path(), writers);
    }
}

fn policy() -> Policy {
    let layer = Layer::parse("bench", LayerKind::File, RULES).unwrap();
    let anchors =
        Anchors { workspace: "/w".into(), home: "/h".into(), state: "/s".into(), config: "/c".into() };
    Policy::compile(vec![layer], &anchors, &Context::default()).unwrap()
}

fn measure(host: &Host, dir: &Path, writers: u64) {
    let run = host.new_run().unwrap();
    let mut writer = host.begin(&run, RunOpened::default()).unwrap();
    writer.append(PolicyLoaded::default(), Trust::Observed, None).unwrap();
    let admission = Admission::start_with(Arc::new(policy()), writer, admission::Asking::usual(false));
    let segment = host.ledger_dir(&run).join("00000001.seg");
    let size = || std::fs::metadata(&segment).unwrap().len();
    let (done, each) = (AtomicU64::new(0), if writers == 1 { 100 } else { 50 });
    let cross = |number: u64| {
        let path = AbsPath::new(Path::new(&format!("/w/src/module/file{number}.rs"))).unwrap();
        let permit = admission.admit(Land(path)).wait().permit().unwrap();
        permit.begin().1.settle(Outcome::done());
        done.fetch_add(1, Ordering::Relaxed);
    };
    let before = size();
    let _ = rate(writers, each, &cross);
    admission.barrier().unwrap();
    let bytes = (size() - before) / done.load(Ordering::Relaxed);
    let plain = Plain::new(File::create(dir.join(format!("plain-{writers}"))).unwrap(), bytes as usize);
    let [mut one, mut other, mut ratios, mut used, mut used_plain] = [const { Vec::new() }; 5];
    for _ in 0..ROUNDS {
        let (with, cpu) = rate(writers, each, &cross);
        let (without, cpu_plain) = rate(writers, each, &|_| plain.commit());
        one.push(with);
        other.push(without);
        ratios.push(with / without);
        used.push(cpu);
        used_plain.push(cpu_plain);
    }
    let [one, other, ratio, used, used_plain] = [one, other, ratios, used, used_plain].map(middle);
    println!(
        "{writers:>3} writers: {one:>9.0} crossings/s of {bytes} bytes, a plain file {other:>9.0}: {ratio:.2} of it  goal {SHARE} {}",
        if ratio >= SHARE { "held" } else { "MISSED" }
    );
    println!(
        "             {used:.1} µs of processors a crossing, {used_plain:.1} a record of the plain file"
    );
    host.seal(&run, &admission.close(RunEnded::default().into()).unwrap()).unwrap();
}

fn middle(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// Processor time of all threads so far, in microseconds.
fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// How many a second, and what each costs the processors.
fn rate(writers: u64, each: u64, act: &(dyn Fn(u64) + Sync)) -> (f64, f64) {
    let (at, used) = (Instant::now(), cpu());
    std::thread::scope(|scope| {
        for writer in 0..writers {
            scope.spawn(move || (0..each).for_each(|number| act(writer * each + number)));
        }
    });
    let all = (writers * each) as f64;
    (all / at.elapsed().as_secs_f64(), (cpu() - used) / all)
}

/// A plain file with a group commit: whoever finds it free takes everybody's records along. No hash, no signature.
struct Plain {
    record: Vec<u8>,
    /// How many records wait, and how many were ever taken.
    waiting: Mutex<(u64, u64)>,
    file: Mutex<File>,
    /// How many are durable, and how many groups there were.
    durable: Mutex<(u64, u64)>,
    told: Condvar,
}

impl Plain {
    fn new(file: File, bytes: usize) -> Plain {
        let (waiting, durable) = (Mutex::default(), Mutex::default());
        Plain { record: vec![b'x'; bytes], waiting, file: Mutex::new(file), durable, told: Condvar::new() }
    }

    fn commit(&self) {
        let ticket = {
            let mut waiting = self.waiting.lock().unwrap();
            *waiting = (waiting.0 + 1, waiting.1 + 1);
            waiting.1
        };
        loop {
            let groups = self.durable.lock().unwrap().1;
            if let Ok(mut file) = self.file.try_lock() {
                let (count, upto) = {
                    let mut waiting = self.waiting.lock().unwrap();
                    (std::mem::take(&mut waiting.0), waiting.1)
                };
                file.write_all(&self.record.repeat(count as usize)).unwrap();
                file.sync_data().unwrap();
                drop(file);
                let mut durable = self.durable.lock().unwrap();
                *durable = (durable.0.max(upto), durable.1 + 1);
                self.told.notify_all();
            }
            let ours = |durable: &mut (u64, u64)| durable.0 < ticket && durable.1 == groups;
            let durable = self.told.wait_while(self.durable.lock().unwrap(), ours).unwrap();
            if durable.0 >= ticket {
                return;
            }
        }
    }
}
