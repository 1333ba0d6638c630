//! Promise: other implementations of the formats take our checkpoints, proofs and tiles, and refuse what we refuse.
//!
//! The others are Cloudflare's, after Go's sumdb: `tlog_tiles` and `signed_note`.

use std::collections::HashMap;

use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{
    Checkpoint, Hash, HashReader, Tile, TileHashReader, TileReader, check_record, check_tree, prove_record,
    prove_tree, record_hash, tree_hash,
};

use crate::common::{begin, denied, host};
use ledger::note::Verifier;
use ledger::{Host, RunId, Trust};

/// A run with so many events, signed at several sizes.
fn run(events: u64) -> (tempfile::TempDir, Host, RunId) {
    let (dir, host) = host();
    let (run, mut writer) = begin(&host);
    for number in 1..events {
        writer.append(denied(number), Trust::Observed, None).unwrap();
        if number % 7 == 0 {
            writer.sync().unwrap();
        }
    }
    host.seal(&run, &writer.seal().unwrap()).unwrap();
    (dir, host, run)
}

/// The files of a bundle, by name.
fn files(host: &Host, run: &RunId) -> HashMap<String, Vec<u8>> {
    let mut bytes = Vec::new();
    host.export(run, &mut bytes).unwrap();
    let (mut files, mut at) = (HashMap::new(), 0);
    while bytes[at] != 0 {
        let name = bytes[at..at + 100].split(|byte| *byte == 0).next().unwrap();
        let length =
            usize::from_str_radix(std::str::from_utf8(&bytes[at + 124..at + 135]).unwrap(), 8).unwrap();
        files.insert(String::from_utf8(name.to_vec()).unwrap(), bytes[at + 512..at + 512 + length].to_vec());
        at += 512 + length.next_multiple_of(512);
    }
    files
}

/// Opens a note as they do: every signature by the key must hold.
fn note(bytes: &[u8], key: &Verifier) -> Vec<u8> {
    let theirs = StandardVerifier::new(&key.to_string()).unwrap();
    let note = Note::from_bytes(bytes).unwrap();
    let (verified, _) = note.verify(&VerifierList::new(vec![Box::new(theirs)])).unwrap();
    assert_eq!(verified.len(), 1);
    note.text().to_vec()
}

/// The key in a certificate.
fn certified(certificate: &[u8], host: &Host) -> Verifier {
    let text = String::from_utf8(note(certificate, &host.verifier())).unwrap();
    Verifier::parse(text.lines().nth(2).unwrap()).unwrap()
}

struct Files(HashMap<String, Vec<u8>>);

impl TileReader for Files {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        // Their paths begin as those of the sumdb do, with the height.
        let path = |tile: &Tile| tile.path().replacen("tile/8/", "log/tile/", 1);
        Ok(tiles.iter().map(|tile| self.0[&path(tile)].clone()).collect())
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

#[test]
fn they_open_our_checkpoints_and_find_every_event_in_our_tiles() {
    for events in [1, 2, 255, 256, 257, 700] {
        let (_dir, host, run) = run(events);
        let files = Files(files(&host, &run));
        let key = certified(&files.0["chapter/0/certificate"], &host);
        let text = note(&files.0["log/checkpoint"], &key);
        let said = Checkpoint::from_bytes(&text).unwrap();
        assert_eq!((said.size(), said.origin()), (events, format!("provost.run/{run}").as_str()));
        let root = *said.hash();
        let hashes = TileHashReader::new(events, root, &files);
        assert_eq!(tree_hash(events, &hashes).unwrap(), root);
        // The entries, as the specification frames them.
        let mut leaves = Vec::new();
        for number in 0..events.div_ceil(256) {
            let width = (events - number * 256).min(256);
            let tail = if width == 256 { String::new() } else { format!(".p/{width}") };
            let mut bundle = &files.0[&format!("log/tile/entries/{number:03}{tail}")][..];
            while let Some((length, rest)) = bundle.split_first_chunk::<2>() {
                let (leaf, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)));
                leaves.push(record_hash(leaf));
                bundle = rest;
            }
        }
        let indices: Vec<u64> = (0..events).map(|index| tlog_tiles::stored_hash_index(0, index)).collect();
        assert_eq!(hashes.read_hashes(&indices).unwrap(), leaves);
        for index in [0, events / 2, events - 1] {
            let theirs = prove_record(events, index, &hashes).unwrap();
            let (ours, leaf) = host.prove(&run, index).unwrap();
            assert_eq!(theirs, ours.path.iter().map(|step| Hash(*step)).collect::<Vec<_>>());
            assert_eq!(record_hash(&leaf), leaves[index as usize]);
        }
        for old in [1, events.div_ceil(2), events] {
            let theirs = prove_tree(events, old, &hashes).unwrap();
            let ours = host.prove_growth(&run, old).unwrap();
            assert_eq!(theirs, ours.path.iter().map(|step| Hash(*step)).collect::<Vec<_>>());
        }
    }
}

#[test]
fn they_take_our_proofs_and_refuse_them_for_anything_else() {
    let (_dir, host, run) = run(130);
    for index in 0..130 {
        let (proof, leaf) = host.prove(&run, index).unwrap();
        // As a stranger: from the text, the host's key, and the event alone.
        let proof = ledger::proof::Inclusion::parse(&proof.to_string()).unwrap();
        let key = certified(proof.extra.as_ref().unwrap(), &host);
        let said = Checkpoint::from_bytes(&note(proof.checkpoint.as_bytes(), &key)).unwrap();
        let path: Vec<Hash> = proof.path.iter().map(|step| Hash(*step)).collect();
        let check =
            |index, leaf: &[u8]| check_record(&path, said.size(), *said.hash(), index, record_hash(leaf));
        check(index, &leaf).unwrap();
        assert!(check((index + 1) % 130, &leaf).is_err());
        assert!(check(index, b"{}").is_err());
    }
}

#[test]
fn they_take_our_word_for_a_ledger_that_grew() {
    let (_dir, host, run) = run(130);
    let leaves: Vec<_> =
        (0..130).map(|index| ledger::tree::leaf_hash(&host.prove(&run, index).unwrap().1)).collect();
    for old in 1..=130_u64 {
        let proof = host.prove_growth(&run, old).unwrap();
        let before = Hash(ledger::tree::root(&leaves[..old as usize]));
        let said =
            ledger::note::Checkpoint::parse(&format!("{}\n", proof.checkpoint.split("\n\n").next().unwrap()))
                .unwrap();
        let path: Vec<Hash> = proof.path.iter().map(|step| Hash(*step)).collect();
        check_tree(&path, 130, Hash(said.root), old, before).unwrap();
        if old < 130 {
            assert!(check_tree(&path, 130, Hash(said.root), old, Hash([0; 32])).is_err());
        }
    }
    assert!(host.prove_growth(&run, 0).is_err() && host.prove_growth(&run, 131).is_err());
    assert!(host.prove(&run, 130).is_err());
}
