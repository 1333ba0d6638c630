//! Promise: whatever is done to the bytes of a ledger, it is recovered or reported, and never silently accepted.

use std::fs;
use std::path::Path;

use crate::common::{begin, denied, host, launch_decision, segment, tell};
use ledger::event::{Launch, PolicyLoaded, RunEnded, Verdict};
use ledger::verify::Wrong;
use ledger::{Body, Breach, Host, Reader, RunId, Standing, Trust, verify};
use proptest::prelude::*;

fn sealed(denials: u64) -> (tempfile::TempDir, Host, RunId, Vec<u8>) {
    let (dir, host) = host();
    let (run, mut writer) = begin(&host);
    tell(&mut writer, denials);
    let sealed = writer.seal().unwrap();
    host.seal(&run, &sealed).unwrap();
    let bytes = fs::read(segment(&host.ledger_dir(&run))).unwrap();
    (dir, host, run, bytes)
}

/// A sealed run of more bytes than one thread reads.
fn large() -> (tempfile::TempDir, Host, RunId, Vec<u8>) {
    let (dir, host) = host();
    let (run, mut writer) = begin(&host);
    for number in 0..8000 {
        writer.append(denied(number), Trust::Observed, None).unwrap();
        if number % 1000 == 0 {
            writer.sync().unwrap();
        }
    }
    host.seal(&run, &writer.seal().unwrap()).unwrap();
    let bytes = fs::read(segment(&host.ledger_dir(&run))).unwrap();
    (dir, host, run, bytes)
}

/// A run whose process is gone: closed without a seal.
fn dead(denials: u64) -> (tempfile::TempDir, Host, RunId, Vec<u8>) {
    let (dir, host) = host();
    let (run, mut writer) = begin(&host);
    tell(&mut writer, denials);
    drop(writer);
    let bytes = fs::read(segment(&host.ledger_dir(&run))).unwrap();
    (dir, host, run, bytes)
}

/// One bit of every byte, another in each; with `PROVOST_LONG` set, every bit.
pub(crate) fn bits(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let all = std::env::var_os("PROVOST_LONG").is_some();
    (0..bytes.len() * 8).filter(move |bit| all || bit % 8 == (bit / 8) % 8)
}

fn put(host: &Host, run: &RunId, bytes: &[u8]) {
    fs::write(segment(&host.ledger_dir(run)), bytes).unwrap();
}

fn events(dir: &Path) -> Vec<ledger::Event> {
    Reader::open(dir).unwrap().map(Result::unwrap).collect()
}

#[test]
fn a_sealed_run_is_whole_and_reads_back() {
    let (_dir, host, run, _) = sealed(5);
    let verified = host.verify(&run).unwrap();
    assert_eq!((verified.size, verified.sealed, verified.ended), (11, true, true));
    assert_eq!((verified.unsigned, verified.torn), (0, 0));
    let read = events(&host.ledger_dir(&run));
    assert!(matches!(read[0].body, Body::RunOpened(_)));
    assert!(read.iter().enumerate().all(|(at, event)| event.seq == at as u64 && event.run == run.as_str()));
    assert!(read.windows(2).all(|pair| pair[0].mono <= pair[1].mono));
    assert_eq!(verify(&host.ledger_dir(&run)).unwrap().root, verified.root);
    assert_eq!(host.verify_all().unwrap().len(), 1);
}

#[test]
fn no_bit_of_a_sealed_run_can_change() {
    let (_dir, host, run, bytes) = sealed(1);
    for bit in bits(&bytes) {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        put(&host, &run, &changed);
        assert!(host.verify(&run).is_err(), "byte {} bit {}", bit / 8, bit % 8);
    }
}

#[test]
fn a_sealed_run_cannot_be_cut_nor_grow() {
    let (_dir, host, run, bytes) = sealed(4);
    for end in 0..bytes.len() {
        put(&host, &run, &bytes[..end]);
        assert!(host.verify(&run).is_err(), "cut at {end}");
    }
    put(&host, &run, &[&bytes[..], b"x"].concat());
    assert!(matches!(host.verify(&run).unwrap_err()[0].what, Wrong::Grown { sealed: 10 }));
}

#[test]
fn a_dead_run_cut_anywhere_is_ended_with_what_is_left_or_reported() {
    let (dir, host, run, bytes) = dead(4);
    let before = events(&host.ledger_dir(&run));
    let register = dir.path().join("state/register/00000001.seg");
    let registered = fs::read(&register).unwrap();
    for end in 0..bytes.len() {
        put(&host, &run, &bytes[..end]);
        fs::write(&register, &registered).unwrap();
        let Ok(found) = host.verify(&run) else {
            assert!(host.mark_interrupted(&run, "test").is_err(), "cut at {end}");
            continue;
        };
        let marked = host.mark_interrupted(&run, "test").unwrap();
        let after = events(&host.ledger_dir(&run));
        let kept = found.size as usize;
        assert_eq!(after[..kept], before[..kept], "cut at {end}");
        if let Some(added) = after.get(kept) {
            let Body::RunInterrupted(said) = &added.body else { panic!("{added:?}") };
            assert_eq!((said.cut_bytes, said.unsigned), (found.torn, found.unsigned));
        } else {
            assert_eq!(kept, before.len(), "cut at {end} and nothing said");
        }
        let verified = host.verify(&run).unwrap();
        assert!(verified.sealed && verified.size == marked.size && verified.unsigned == 0);
    }
}

#[test]
fn a_dead_run_with_any_bit_changed_is_reported_or_loses_its_torn_end_and_says_so() {
    let (_dir, host, run, bytes) = dead(4);
    let before = events(&host.ledger_dir(&run));
    for bit in bits(&bytes) {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        put(&host, &run, &changed);
        if let Ok(found) = host.verify(&run) {
            assert!(found.torn > 0, "byte {} bit {}", bit / 8, bit % 8);
            assert!(found.size < before.len() as u64 || found.unsigned > 0);
        }
    }
}

#[test]
fn damage_before_what_was_made_durable_later_is_never_taken_for_a_torn_end() {
    let (_dir, host, run, bytes) = dead(9);
    let mut changed = bytes.clone();
    changed[bytes.len() / 2] ^= 1;
    put(&host, &run, &changed);
    let broken = host.verify(&run).unwrap_err();
    assert!(matches!(broken[0].what, Wrong::Frame(_)), "{broken:?}");
    assert!(broken[0].seq.is_some() && broken[0].place.is_some());
    assert!(host.mark_interrupted(&run, "test").is_err());
    assert_eq!(fs::read(segment(&host.ledger_dir(&run))).unwrap(), changed);
}

/// After a power failure the last write may be on disk in parts: any of its blocks may be missing, whatever is behind them.
#[test]
fn a_last_write_with_holes_in_it_is_a_torn_end() {
    let (_dir, host) = host();
    let (run, mut writer) = begin(&host);
    let path = segment(&host.ledger_dir(&run));
    let mut durable = 0;
    for group in 0..3 {
        durable = fs::metadata(&path).unwrap().len() as usize;
        for number in 0..60 {
            writer.append(denied(group * 100 + number), Trust::Observed, None).unwrap();
        }
        writer.sync().unwrap();
    }
    drop(writer);
    let bytes = fs::read(&path).unwrap();
    for block in 0..(bytes.len() - durable).div_ceil(512) {
        let mut holed = bytes.clone();
        let hole = durable + block * 512;
        let end = bytes.len().min(hole + 512);
        holed[hole..end].fill(0);
        put(&host, &run, &holed);
        let found = host.verify(&run).unwrap();
        // A hole in nothing but the last checkpoint leaves every event, and a torn end behind them.
        assert!(found.size > 120 && found.size <= 181 && found.torn > 0, "{found:?}");
    }
    host.mark_interrupted(&run, "test").unwrap();
    assert!(host.verify(&run).unwrap().sealed);
    // A hole in what an earlier sync made durable is no such thing.
    let mut holed = bytes.clone();
    holed[durable - 600..durable - 500].fill(0);
    put(&host, &run, &holed);
    assert!(host.verify(&run).is_err());
}

#[test]
fn a_run_that_is_gone_shows() {
    let (_dir, host, run, _) = sealed(1);
    fs::remove_dir_all(host.run_dir(&run)).unwrap();
    assert_eq!(host.verify(&run).unwrap_err()[0].what, Wrong::Missing);
    assert_eq!(host.verify_all().unwrap_err()[0].what, Wrong::Missing);
}

#[test]
fn another_runs_ledger_in_its_place_shows() {
    let (_dir, host, run, _) = sealed(1);
    let (other, mut writer) = begin(&host);
    tell(&mut writer, 1);
    host.seal(&other, &writer.seal().unwrap()).unwrap();
    fs::copy(segment(&host.ledger_dir(&other)), segment(&host.ledger_dir(&run))).unwrap();
    let broken = host.verify(&run).unwrap_err();
    assert!(broken.iter().any(|broken| matches!(broken.what, Wrong::Note(_))), "{broken:?}");
}

#[test]
fn a_ledger_of_another_host_in_its_place_shows() {
    let (_dir, host, run, _) = sealed(1);
    let (_elsewhere, other, theirs, _) = sealed(1);
    fs::rename(other.run_dir(&theirs), host.dir().join("runs").join(theirs.as_str())).unwrap();
    assert_eq!(host.verify(&theirs).unwrap_err()[0].what, Wrong::Unregistered);
    assert_eq!(host.verify_all().unwrap_err()[0].what, Wrong::Unregistered);
    assert!(host.verify(&run).is_ok());
    let by_stranger = ledger::verify::verify_by(&host.ledger_dir(&theirs), &host.verifier());
    assert!(matches!(by_stranger.unwrap_err()[0].what, Wrong::Signature(_)));
    assert!(ledger::verify::verify_by(&host.ledger_dir(&theirs), &other.verifier()).is_ok());
}

#[test]
fn a_register_that_was_changed_shows() {
    let (dir, host, run, _) = sealed(1);
    let path = dir.path().join("state/register/00000001.seg");
    let bytes = fs::read(&path).unwrap();
    for bit in bits(&bytes) {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &changed).unwrap();
        // Only the last entry, the seal, can look as if it had never been written.
        let Ok(verified) = host.verify(&run) else { continue };
        assert!(!verified.sealed, "byte {} bit {}", bit / 8, bit % 8);
    }
    let mut changed = bytes.clone();
    changed[bytes.len() / 3] ^= 1;
    fs::write(&path, &changed).unwrap();
    assert!(host.runs().is_err());
    assert!(host.verify_all().is_err());
}

#[test]
fn a_register_that_is_cut_anywhere_never_hides_a_run_that_is_there() {
    let (dir, host, run, _) = sealed(1);
    let (second, mut writer) = begin(&host);
    tell(&mut writer, 1);
    host.seal(&second, &writer.seal().unwrap()).unwrap();
    let path = dir.path().join("state/register/00000001.seg");
    let bytes = fs::read(&path).unwrap();
    let whole = host.verify_all().unwrap();
    for end in 0..bytes.len() {
        fs::write(&path, &bytes[..end]).unwrap();
        // What was not entered, as far as can be seen, is no end: the run stands there as one that died.
        let Ok(found) = host.verify_all() else { continue };
        assert!(
            found.len() == 2 && found.iter().any(|(_, verified)| !verified.sealed),
            "cut at {end}: {found:?}"
        );
        // A torn end is cut off by whoever enters next, and only there.
        if end % 16 == 0 {
            host.mark_interrupted(&second, "test").unwrap();
            assert_eq!(host.verify_all().unwrap(), whole);
        }
    }
    assert!(host.verify(&run).is_ok());
}

#[test]
fn a_story_that_cannot_be_is_reported_where_it_breaks() {
    let (_dir, host) = host();
    let (run, mut writer) = begin(&host);
    writer.append(PolicyLoaded::default(), Trust::Observed, None).unwrap();
    let denied = writer.append(launch_decision(Verdict::Deny), Trust::Observed, None).unwrap();
    writer.append(Launch::default(), Trust::Observed, Some(denied)).unwrap();
    host.seal(&run, &writer.seal().unwrap()).unwrap();
    let broken = host.verify(&run).unwrap_err();
    assert_eq!((broken[0].seq, &broken[0].what), (Some(3), &Wrong::Story(Breach::Unpermitted)));
    assert_eq!(
        broken[0].to_string().split(" (segment 1, byte").next().unwrap(),
        format!("run {run}: event 3: no earlier decision permits this")
    );
}

#[test]
fn a_sealed_run_is_taken_up_again_under_a_new_key_and_sealed_anew() {
    let (_dir, host, run, _) = sealed(2);
    let first = host.verify(&run).unwrap();
    let mut writer = host.reopen(&run, "apply").unwrap();
    assert!(matches!(host.find(None).unwrap().standing, Standing::Running));
    assert!(host.reopen(&run, "apply").is_err());
    writer.append(denied(99), Trust::Observed, None).unwrap();
    writer.append(RunEnded::default(), Trust::Observed, None).unwrap();
    let sealed = writer.seal().unwrap();
    host.seal(&run, &sealed).unwrap();
    drop(sealed);
    let second = host.verify(&run).unwrap();
    assert_eq!((second.size, second.sealed), (first.size + 3, true));
    // What was sealed first still binds, and the second end as well.
    let path = segment(&host.ledger_dir(&run));
    let bytes = fs::read(&path).unwrap();
    for end in (0..bytes.len()).step_by(7) {
        put(&host, &run, &bytes[..end]);
        assert!(host.verify(&run).is_err(), "cut at {end}");
    }
}

#[test]
fn a_run_that_died_while_taken_up_again_is_ended_like_any_other() {
    let (_dir, host, run, _) = sealed(2);
    drop(host.reopen(&run, "apply").unwrap());
    assert_eq!(host.find(None).unwrap().standing, Standing::Interrupted);
    host.mark_interrupted(&run, "status").unwrap();
    let verified = host.verify(&run).unwrap();
    assert!(verified.sealed && verified.ended);
    let last = events(&host.ledger_dir(&run)).pop().unwrap();
    assert!(matches!(last.body, Body::RunInterrupted(_)));
}

/// Killed, or out of room, anywhere between the register's word that a run is taken up again and the first event of that.
#[test]
fn a_run_cut_short_while_it_was_taken_up_again_is_ended_and_taken_up_anew() {
    let (dir, host, run, sealed) = sealed(2);
    let register = dir.path().join("state/register/00000001.seg");
    drop(host.reopen(&run, "apply").unwrap());
    let (reopened, registered) =
        (fs::read(segment(&host.ledger_dir(&run))).unwrap(), fs::read(&register).unwrap());
    assert!(reopened.len() > sealed.len());
    for end in sealed.len()..reopened.len() {
        fs::write(&register, &registered).unwrap();
        put(&host, &run, &reopened[..end]);
        assert_eq!(host.find(None).unwrap().standing, Standing::Interrupted, "cut at {end}");
        host.mark_interrupted(&run, "test").unwrap();
        host.verify(&run).unwrap_or_else(|broken| panic!("cut at {end}: {broken:?}"));
        let mut writer = host.reopen(&run, "apply").unwrap();
        writer.append(denied(1), Trust::Observed, None).unwrap();
        host.seal(&run, &writer.seal().unwrap()).unwrap();
        let verified = host.verify(&run).unwrap_or_else(|broken| panic!("cut at {end}: {broken:?}"));
        assert!(verified.sealed && verified.unsigned == 0, "cut at {end}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn bytes_overwritten_anywhere_are_never_silently_accepted(
        denials in 0_u64..8, at: prop::sample::Index, noise in prop::collection::vec(any::<u8>(), 1..64)
    ) {
        let (_dir, host, run, bytes) = sealed(denials);
        let mut changed = bytes.clone();
        let at = at.index(bytes.len());
        for (place, byte) in changed[at..].iter_mut().zip(&noise) {
            *place = *byte;
        }
        put(&host, &run, &changed);
        prop_assert_eq!(host.verify(&run).is_ok(), changed == bytes);
    }

    #[test]
    fn a_large_ledger_changed_anywhere_is_reported(
        at: prop::sample::Index, bit in 0..8_u32, end: prop::sample::Index, noise in prop::collection::vec(any::<u8>(), 1..5000)
    ) {
        static LARGE: std::sync::OnceLock<(tempfile::TempDir, Host, RunId, Vec<u8>)> = std::sync::OnceLock::new();
        let (_, host, run, bytes) = LARGE.get_or_init(large);
        prop_assert!(bytes.len() > 1024 * 1024);
        let mut changed = bytes.clone();
        let from = at.index(bytes.len());
        changed[from] ^= 1 << bit;
        put(host, run, &changed);
        prop_assert!(host.verify(run).is_err());
        put(host, run, &bytes[..end.index(bytes.len())]);
        prop_assert!(host.verify(run).is_err());
        changed[from..].iter_mut().zip(&noise).for_each(|(place, byte)| *place = *byte);
        put(host, run, &changed);
        prop_assert_eq!(host.verify(run).is_ok(), changed == *bytes);
        put(host, run, bytes);
        prop_assert_eq!(host.verify(run).unwrap().size, 8001);
    }

    #[test]
    fn records_taken_out_or_swapped_are_never_silently_accepted(
        denials in 2_u64..8, from: prop::sample::Index, to: prop::sample::Index, twice: bool
    ) {
        let (_dir, host, run, bytes) = dead(denials);
        let mut ends = vec![20];
        while let Some(end) = ends.last().copied().filter(|end| *end < bytes.len()) {
            let length = u32::from_le_bytes(bytes[end..end + 4].try_into().unwrap()) as usize;
            ends.push(end + 9 + length);
        }
        let frame = |at: usize| &bytes[ends[at]..ends[at + 1]];
        let frames = ends.len() - 1;
        let (from, to) = (from.index(frames), to.index(frames));
        let mut order: Vec<usize> = (0..frames).collect();
        let moved = order.remove(from);
        if twice || from != to {
            order.insert(to.min(order.len()), moved);
        }
        if twice {
            order.insert(to.min(order.len()), moved);
        }
        let changed: Vec<u8> =
            bytes[..20].iter().copied().chain(order.iter().flat_map(|at| frame(*at).iter().copied())).collect();
        // What passes holds the same events. A checkpoint may be gone: one that a later one covers, or the last one, as
        // after a crash, and then that is said.
        let before = events(&host.ledger_dir(&run));
        put(&host, &run, &changed);
        if let Ok(verified) = host.verify(&run) {
            prop_assert_eq!(events(&host.ledger_dir(&run)), before);
            prop_assert_eq!(verified.unsigned > 0, changed == bytes[..ends[frames - 1]]);
        }
    }
}
