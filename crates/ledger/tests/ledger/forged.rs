//! Promise: whoever can compute checksums and hashes, but has no key, changes no event unnoticed.
//!
//! The forger has the run's files and knows the format. The files are written as Provost writes them; only the keys differ.

use std::fs;

use crate::common::{begin, host, segment, tell};
use ledger::note::{Checkpoint, Signer};
use ledger::tree::{Tree, leaf_hash};
use ledger::verify::{Wrong, verify_by};
use ledger::{Host, RunId};

const HEADER: usize = 20;
const FRAME: usize = 9;
const LEAF: u8 = 1;
const CHECKPOINT: u8 = 2;

/// A run with six denials that is sealed, or whose process is gone.
fn run(sealed: bool) -> (tempfile::TempDir, Host, RunId) {
    let (dir, host) = host();
    let (run, mut writer) = begin(&host);
    tell(&mut writer, 6);
    if sealed {
        host.seal(&run, &writer.seal().unwrap()).unwrap();
    }
    (dir, host, run)
}

/// Writes a ledger anew: each frame's payload as `change` gives it back, with the checksum that fits.
fn rewrite(host: &Host, run: &RunId, mut change: impl FnMut(u8, &[u8]) -> Vec<u8>) {
    let path = segment(&host.ledger_dir(run));
    let bytes = fs::read(&path).unwrap();
    let mut written = bytes[..HEADER].to_vec();
    let mut at = HEADER;
    while at < bytes.len() {
        let length = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        let payload = change(bytes[at + 4], &bytes[at + FRAME..at + FRAME + length]);
        let mut head = (payload.len() as u32).to_le_bytes().to_vec();
        head.push(bytes[at + 4]);
        let sum = crc32c::crc32c_append(crc32c::crc32c(&head), &payload);
        written.extend(head);
        written.extend(sum.to_le_bytes());
        written.extend(payload);
        at += FRAME + length;
    }
    assert_ne!(written, bytes, "nothing was forged");
    fs::write(path, written).unwrap();
}

/// The event that says the third denied file was another one. It is as long as before and as true to the schema.
fn lie(kind: u8, payload: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(payload.to_vec()).unwrap();
    match kind {
        LEAF => text.replace("/secret/2", "/public/2").into_bytes(),
        _ => text.into_bytes(),
    }
}

/// What a stranger finds who has the host's public key, and what the host itself finds.
fn found(host: &Host, run: &RunId) -> [Vec<Wrong>; 2] {
    [verify_by(&host.ledger_dir(run), &host.verifier()), host.verify(run)]
        .map(|found| found.unwrap_err().into_iter().map(|broken| broken.what).collect())
}

#[test]
fn an_event_rewritten_with_its_checksum_is_noticed() {
    for sealed in [true, false] {
        let (_dir, host, run) = run(sealed);
        rewrite(&host, &run, lie);
        for wrong in found(&host, &run) {
            assert!(wrong.contains(&Wrong::Root), "sealed: {sealed}: {wrong:?}");
        }
    }
}

#[test]
fn checkpoints_rewritten_for_a_lie_are_not_signed_by_the_run() {
    for sealed in [true, false] {
        let (_dir, host, run) = run(sealed);
        let mut tree = Tree::default();
        rewrite(&host, &run, |kind, payload| {
            let payload = lie(kind, payload);
            if kind == LEAF {
                tree.push(leaf_hash(&payload));
            }
            if kind != CHECKPOINT {
                return payload;
            }
            let note = String::from_utf8(payload).unwrap();
            let (text, signature) = note.split_once("\n\n").unwrap();
            let signed_by = signature.split(' ').nth(1).unwrap();
            let said = Checkpoint::parse(&format!("{text}\n")).unwrap();
            let lie = Checkpoint { root: tree.root(), ..said };
            Signer::generate(signed_by).unwrap().sign(&lie.to_string()).into_bytes()
        });
        for wrong in found(&host, &run) {
            let signature = |wrong: &Wrong| matches!(wrong, Wrong::Signature(_));
            assert!(wrong.iter().any(signature), "sealed: {sealed}: {wrong:?}");
            assert!(!wrong.contains(&Wrong::Root), "the lie hangs together: {wrong:?}");
        }
    }
}
