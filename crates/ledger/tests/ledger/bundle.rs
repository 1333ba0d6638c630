//! Promise: a bundle convinces on another machine, and not one byte of it can change, be cut off or be added unnoticed.

use std::io::Read;

use crate::common::{begin, denied, host, tell};
use ledger::bundle::{Opened, verify};
use ledger::event::RunEnded;
use ledger::note::{Checkpoint, Signer};
use ledger::verify::{Broken, Wrong};
use ledger::{Host, RunId, Trust};
use proptest::prelude::*;

fn sealed(denials: u64) -> (tempfile::TempDir, Host, RunId) {
    let (dir, host) = host();
    // Others' entries in the register, before and behind.
    drop(begin(&host));
    let (run, mut writer) = begin(&host);
    drop(begin(&host));
    tell(&mut writer, denials);
    host.seal(&run, &writer.seal().unwrap()).unwrap();
    drop(begin(&host));
    (dir, host, run)
}

fn exported(host: &Host, run: &RunId) -> Vec<u8> {
    let mut bytes = Vec::new();
    host.export(run, &mut bytes).unwrap();
    bytes
}

fn opened(host: &Host, bytes: &[u8]) -> Result<Opened, Vec<Broken>> {
    verify(bytes, Some(&host.verifier()))
}

/// The bytes of a file in a bundle, to be changed.
fn file<'b>(bytes: &'b mut [u8], name: &str) -> &'b mut [u8] {
    let header = |at: usize| bytes[at..].starts_with(name.as_bytes()) && bytes[at + name.len()] == 0;
    let at = (0..bytes.len()).step_by(512).find(|at| header(*at)).unwrap();
    let length = std::str::from_utf8(&bytes[at + 124..at + 135]).unwrap();
    let length = usize::from_str_radix(length, 8).unwrap();
    &mut bytes[at + 512..at + 512 + length]
}

#[test]
fn a_stranger_verifies_what_was_exported() {
    for denials in [0, 1, 300, 600] {
        let (_dir, host, run) = sealed(denials);
        let here = host.verify(&run).unwrap();
        let bytes = exported(&host, &run);
        let there = opened(&host, &bytes).unwrap();
        assert_eq!((there.verified, &there.run, &there.host), (here, &run, &host.verifier()));
        assert!(there.verified.sealed && there.verified.ended);
        // Without a key it says whose it claims to be.
        assert_eq!(verify(&bytes[..], None).unwrap(), there);
    }
}

#[test]
fn another_hosts_key_is_not_the_one_that_is_trusted() {
    let (_dir, host, run) = sealed(1);
    let other = Signer::generate_named_by_key("provost.host").unwrap().verifier();
    let broken = verify(&exported(&host, &run)[..], Some(&other)).unwrap_err();
    assert!(broken[0].to_string().contains("another host"), "{}", broken[0]);
}

#[test]
fn every_chapter_of_a_run_is_in_its_bundle() {
    let (_dir, host, run) = sealed(2);
    let first = exported(&host, &run);
    for number in 0..2 {
        let mut writer = host.reopen(&run, "apply").unwrap();
        writer.append(denied(number), Trust::Observed, None).unwrap();
        writer.append(RunEnded::default(), Trust::Observed, None).unwrap();
        host.seal(&run, &writer.seal().unwrap()).unwrap();
    }
    let here = host.verify(&run).unwrap();
    assert_eq!(opened(&host, &exported(&host, &run)).unwrap().verified, here);
    // The bundle of the first chapter stays what it was: the run up to there.
    assert_eq!(opened(&host, &first).unwrap().verified.size, here.size - 6);
}

#[test]
fn a_run_that_died_is_exported_with_the_hosts_word_for_its_end() {
    let (_dir, host) = host();
    let (run, mut writer) = begin(&host);
    tell(&mut writer, 4);
    drop(writer);
    let before = opened(&host, &exported(&host, &run)).unwrap().verified;
    assert!(!before.sealed && before.ended);
    host.mark_interrupted(&run, "test").unwrap();
    let after = opened(&host, &exported(&host, &run)).unwrap().verified;
    assert!(after.sealed);
    // And one that died while it was taken up again.
    drop(host.reopen(&run, "apply").unwrap());
    host.mark_interrupted(&run, "test").unwrap();
    assert!(opened(&host, &exported(&host, &run)).unwrap().verified.sealed);
}

#[test]
fn what_a_run_at_work_has_not_signed_stays_at_home() {
    let (_dir, host) = host();
    let (run, mut writer) = begin(&host);
    tell(&mut writer, 0);
    let signed = writer.next_seq();
    host.seal(&run, &writer.seal().unwrap()).unwrap();
    let mut writer = host.reopen(&run, "apply").unwrap();
    let mut bytes = Vec::new();
    writer.append(denied(1), Trust::Observed, None).unwrap();
    writer.flush().unwrap();
    let said = host.export(&run, &mut bytes).unwrap();
    assert_eq!((said.events, said.sealed), (signed + 1, false));
    assert_eq!(opened(&host, &bytes).unwrap().verified.size, signed + 1);
}

#[test]
fn no_bit_of_a_bundle_can_change() {
    let (_dir, host, run) = sealed(1);
    let mut bytes = exported(&host, &run);
    let whole = opened(&host, &bytes).unwrap();
    let all = std::env::var_os("PROVOST_LONG").is_some();
    for bit in (0..bytes.len() * 8).filter(|bit| all || bit % 8 == (bit / 8) % 8) {
        bytes[bit / 8] ^= 1 << (bit % 8);
        let broken = opened(&host, &bytes).expect_err(&format!("byte {} bit {}", bit / 8, bit % 8));
        assert!(
            broken.iter().all(|one| one.place.is_some_and(|place| place.segment == 0) || one.seq.is_some())
        );
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    assert_eq!(opened(&host, &bytes).unwrap(), whole);
}

#[test]
fn no_byte_of_a_bundle_can_change_for_one_who_has_no_key_either() {
    let (_dir, host, run) = sealed(1);
    let mut bytes = exported(&host, &run);
    for at in (0..bytes.len()).step_by(3) {
        bytes[at] ^= 1;
        assert!(verify(&bytes[..], None).is_err(), "byte {at}");
        bytes[at] ^= 1;
    }
}

#[test]
fn a_bundle_that_is_cut_or_grows_is_none() {
    let (_dir, host, run) = sealed(1);
    let bytes = exported(&host, &run);
    for end in 0..bytes.len() {
        assert!(opened(&host, &bytes[..end]).is_err(), "cut at {end}");
    }
    for more in [&b"\0"[..], &[0; 512], b"x", &bytes] {
        let broken = opened(&host, &[&bytes[..], more].concat()).unwrap_err();
        assert!(matches!(broken[0].what, Wrong::Container(_)), "{broken:?}");
    }
}

#[test]
fn a_file_that_is_taken_out_is_missed() {
    let (_dir, host, run) = sealed(300);
    let bytes = exported(&host, &run);
    let mut at = 0;
    let mut taken = 0;
    while bytes[at] != 0 {
        let length =
            usize::from_str_radix(std::str::from_utf8(&bytes[at + 124..at + 135]).unwrap(), 8).unwrap();
        let end = at + 512 + length.next_multiple_of(512);
        let found = opened(&host, &[&bytes[..at], &bytes[end..]].concat());
        assert!(found.is_err(), "without {}", String::from_utf8_lossy(&bytes[at..at + 40]));
        (at, taken) = (end, taken + 1);
    }
    assert_eq!(taken, 1 + 4 + 2 + 1 + 5, "the head, two entries, a chapter, the checkpoint, tiles");
}

#[test]
fn what_is_broken_is_named() {
    let (_dir, host, run) = sealed(300);
    let whole = exported(&host, &run);
    let told = |name: &str| {
        let mut bytes = whole.clone();
        let content = file(&mut bytes, name);
        content[content.len() / 2] ^= 1;
        opened(&host, &bytes).unwrap_err().iter().map(Broken::to_string).collect::<Vec<_>>().join("\n")
    };
    for name in ["bundle", "log/checkpoint", "log/tile/0/000", "log/tile/1/000.p/1"] {
        assert!(told(name).contains(&format!("`{name}`")), "{name}: {}", told(name));
    }
    assert!(told("log/tile/entries/000").contains("event "), "{}", told("log/tile/entries/000"));
    assert!(told("chapter/0/certificate").contains("byte "), "{}", told("chapter/0/certificate"));
}

#[test]
fn an_event_rewritten_with_all_its_hashes_is_not_signed() {
    let (_dir, host, run) = sealed(2);
    let mut bytes = exported(&host, &run);
    let entries = file(&mut bytes, "log/tile/entries/000.p/8");
    let at = entries.windows(9).position(|found| found == b"/secret/1").unwrap();
    entries[at..at + 9].copy_from_slice(b"/public/1");
    let lies: Vec<Vec<u8>> = {
        let (mut lies, mut rest) = (Vec::new(), &entries[..]);
        while let Some((length, more)) = rest.split_first_chunk::<2>() {
            let (leaf, more) = more.split_at(usize::from(u16::from_be_bytes(*length)));
            lies.push(leaf.to_vec());
            rest = more;
        }
        lies
    };
    let hashes: Vec<_> = lies.iter().map(|leaf| ledger::tree::leaf_hash(leaf)).collect();
    file(&mut bytes, "log/tile/0/000.p/8").copy_from_slice(&hashes.concat());
    let broken = opened(&host, &bytes).unwrap_err();
    assert!(broken.iter().any(|one| one.what == Wrong::Root), "{broken:?}");
    assert!(broken.iter().any(|one| one.what == Wrong::Resealed), "{broken:?}");
}

#[test]
fn a_register_of_the_forgers_own_is_not_the_hosts() {
    // Everything is made anew by somebody with a host key of their own under the same name.
    let (_dir, host, run) = sealed(1);
    let mut bytes = exported(&host, &run);
    let proof = file(&mut bytes, "register/1.tlog-proof");
    let text = String::from_utf8(proof.to_vec()).unwrap();
    let (path, note) = text.split_once("\n\n").unwrap();
    let said = Checkpoint::parse(&format!("{}\n", note.split_once("\n\n").unwrap().0)).unwrap();
    let forger = Signer::generate(host.verifier().name()).unwrap();
    let forged = format!("{path}\n\n{}", forger.sign(&said.to_string()));
    assert_eq!(forged.len(), proof.len());
    proof.copy_from_slice(forged.as_bytes());
    let broken = opened(&host, &bytes).unwrap_err();
    assert!(broken[0].to_string().contains("`register/1.tlog-proof`"), "{}", broken[0]);
}

/// Zeros without end: a file of a length that takes long to read must be refused for what it says, not after it was read.
#[test]
fn what_is_no_bundle_is_refused_at_once() {
    let endless = std::io::repeat(0x41);
    assert!(matches!(verify(endless, None).unwrap_err()[0].what, Wrong::Container(_)));
    let zeros = std::io::repeat(0);
    assert!(matches!(verify(zeros, None).unwrap_err()[0].what, Wrong::Container(_)));
    assert!(verify(std::io::empty().take(0), None).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_large_bundle_changed_anywhere_is_reported(
        at: prop::sample::Index, bit in 0..8_u32, end: prop::sample::Index, noise in prop::collection::vec(any::<u8>(), 1..64)
    ) {
        static LARGE: std::sync::OnceLock<(tempfile::TempDir, Host, Vec<u8>)> = std::sync::OnceLock::new();
        let (_, host, bytes) = LARGE.get_or_init(|| {
            let (dir, host, run) = sealed(700);
            let bytes = exported(&host, &run);
            (dir, host, bytes)
        });
        let mut changed = bytes.clone();
        changed[at.index(bytes.len())] ^= 1 << bit;
        prop_assert!(opened(host, &changed).is_err());
        prop_assert!(opened(host, &bytes[..end.index(bytes.len())]).is_err());
        let mut changed = bytes.clone();
        let from = at.index(bytes.len());
        changed[from..].iter_mut().zip(&noise).for_each(|(place, byte)| *place = *byte);
        prop_assert_eq!(opened(host, &changed).is_ok(), changed == *bytes);
        prop_assert!(verify(&noise[..], None).is_err());
    }
}
