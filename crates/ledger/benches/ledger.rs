//! What the ledger costs: `cargo bench -p ledger`. The disk is that of `/var/tmp`, or of `BENCH_DIR`.
//!
//! The goals: durable events from 1, 8 and 64 writers at 0.8 or more of the same bytes appended to a plain file with the same group
//! commit, both measured in turns; and a million events verified in less than two seconds, in memory that does not grow with
//! them. On a busy machine the processor's time says more than the clock's: both are told.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench speaks, and stops at the first error")]

use std::fs::File;
use std::io::Write as _;
use std::sync::{Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

use ledger::event::{Access, Exec, OpenEntry, Opened, PolicyLoaded, RunEnded, RunOpened, Verdict};
use ledger::{Body, Host, Reader, RunId, Trust, Writer};
use rustix::time::{ClockId, clock_gettime};

const EVENTS: u64 = 1_000_000;
/// Seconds in which so many are verified, and megabytes.
const VERIFIED: f64 = 2.0;
const MEMORY: f64 = 64.0;
/// The share of a plain file's rate.
const SHARE: f64 = 0.8;

fn main() {
    let dir =
        tempfile::tempdir_in(std::env::var_os("BENCH_DIR").unwrap_or_else(|| "/var/tmp".into())).unwrap();
    let host = Host::open(&dir.path().join("state")).unwrap();
    begin(&host);
    let (run, bytes) = append(&host);
    read_and_verify(&host, &run, bytes);
    for writers in [1, 8, 64] {
        against_a_plain_file(&host, dir.path(), writers);
    }
}

/// Processor time of all threads so far, in seconds.
fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
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
        act: None,
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
    let mut writer = host.begin(&run, RunOpened::default()).unwrap();
    writer.append(PolicyLoaded::default(), Trust::Observed, None).unwrap();
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
    let most = Most::begin();
    let (at, used) = (Instant::now(), cpu());
    let verified = host.verify(run).unwrap();
    let (took, used) = (at.elapsed().as_secs_f64(), cpu() - used);
    let most = most.end();
    assert_eq!(verified.size, read);
    let hands = std::thread::available_parallelism().unwrap();
    println!(
        "verify, everything:                 {:>9.0} events/s  ({:.0} MB/s)",
        read as f64 / took,
        bytes as f64 / took / 1e6
    );
    println!(
        "  {read} events: {took:.2} s by the clock, {used:.2} s of processors, {:.2} s over {hands} idle ones  goal {VERIFIED:.0} s {}",
        used / hands.get() as f64,
        held(took <= VERIFIED)
    );
    println!("  with at most {most:.1} MB of memory more  goal {MEMORY:.0} MB {}", held(most <= MEMORY));
}

fn held(held: bool) -> &'static str {
    if held { "held" } else { "MISSED" }
}

/// The most memory that this process has at once, from a moment on.
struct Most(f64);

impl Most {
    /// From now on. Linux forgets the most so far where 5 is written to `clear_refs` (proc(5)).
    fn begin() -> Most {
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        Most(Most::now())
    }

    /// Megabytes more than at the beginning.
    fn end(self) -> f64 {
        Most::now() - self.0
    }

    fn now() -> f64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e3
    }
}

/// Where many writers' events become durable, a group at a time.
trait Sink: Send {
    fn take(&mut self, number: u64);
    fn sync(&mut self);
}

impl Sink for Writer {
    fn take(&mut self, number: u64) {
        self.append(body(number), Trust::Observed, None).unwrap();
    }

    fn sync(&mut self) {
        Writer::sync(self).unwrap();
    }
}

/// The same bytes, and nothing else.
struct Plain {
    file: File,
    leaf: Vec<u8>,
    buffer: Vec<u8>,
}

impl Sink for Plain {
    fn take(&mut self, _: u64) {
        self.buffer.extend(&self.leaf);
    }

    fn sync(&mut self) {
        self.file.write_all(&self.buffer).unwrap();
        self.buffer.clear();
        self.file.sync_data().unwrap();
    }
}

/// Group commit without a thread of its own: whoever finds the sink free takes everybody's events along.
struct Group<S> {
    waiting: Mutex<(Vec<u64>, u64)>,
    sink: Mutex<S>,
    /// How many are durable, and how many groups there were.
    durable: Mutex<(u64, u64)>,
    told: Condvar,
}

impl<S: Sink> Group<S> {
    fn new(sink: S) -> Group<S> {
        Group {
            waiting: Mutex::default(),
            sink: Mutex::new(sink),
            durable: Mutex::default(),
            told: Condvar::new(),
        }
    }

    fn commit(&self, number: u64) {
        let ticket = {
            let mut waiting = self.waiting.lock().unwrap();
            waiting.0.push(number);
            waiting.1 += 1;
            waiting.1
        };
        loop {
            let groups = self.durable.lock().unwrap().1;
            if let Ok(mut sink) = self.sink.try_lock() {
                let (batch, upto) = {
                    let mut waiting = self.waiting.lock().unwrap();
                    (std::mem::take(&mut waiting.0), waiting.1)
                };
                batch.iter().for_each(|number| sink.take(*number));
                sink.sync();
                drop(sink);
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

    /// Durable events a second.
    fn rate(&self, writers: u64, each: u64) -> f64 {
        let at = Instant::now();
        std::thread::scope(|scope| {
            for writer in 0..writers {
                scope.spawn(move || (0..each).for_each(|number| self.commit(writer * each + number)));
            }
        });
        (writers * each) as f64 / at.elapsed().as_secs_f64()
    }
}

fn against_a_plain_file(host: &Host, dir: &std::path::Path, writers: u64) {
    let (run, writer) = start(host);
    let bytes = std::fs::metadata(host.ledger_dir(&run).join("00000001.seg")).unwrap().len();
    let ours = Group::new(writer);
    let leaf = vec![b'x'; 447];
    let plain = Group::new(Plain {
        file: File::create(dir.join(format!("plain-{writers}"))).unwrap(),
        leaf,
        buffer: Vec::new(),
    });
    let each = if writers == 1 { 100 } else { 50 };
    let (mut one, mut other, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..15 {
        let (with, without) = (ours.rate(writers, each), plain.rate(writers, each));
        one.push(with);
        other.push(without);
        ratios.push(with / without);
    }
    let middle = |mut rates: Vec<f64>| {
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    let (one, other, ratio) = (middle(one), middle(other), middle(ratios));
    println!(
        "{writers:>3} writers: {one:>9.0} durable events/s, a plain file {other:>9.0}: {ratio:.2} of it  goal {SHARE} {}",
        held(ratio >= SHARE)
    );
    let writer = ours.sink.into_inner().unwrap();
    let count = writer.next_seq();
    let sealed = writer.seal().unwrap();
    let grown = std::fs::metadata(host.ledger_dir(&run).join("00000001.seg")).unwrap().len() - bytes;
    println!("             {} bytes an event, checkpoints included", grown / count);
    host.seal(&run, &sealed).unwrap();
}
