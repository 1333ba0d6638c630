//! Proofs about a log as text: that a leaf is in it (C2SP tlog-proof), and that it grew out of a smaller one (the form in which
//! C2SP's tlog-witness wants it).
//!
//! Pure. Owns their form, and what an inclusion proof proves. Does not own trees (`tree`) or who signs a checkpoint (`note`).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::note::{self, Checkpoint, NoteError, Verifier};
use crate::tree::{Hash, included, leaf_hash};

/// The first line of an inclusion proof.
const INCLUSION: &str = "c2sp.org/tlog-proof@v1";
/// The most steps a path can have.
const STEPS: usize = 63;

/// That a leaf is in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inclusion {
    /// What goes along with it; proves nothing by itself. For an event: the host's certificate of the key that signs.
    pub extra: Option<Vec<u8>>,
    /// The leaf's place.
    pub index: u64,
    /// The path to the root.
    pub path: Vec<Hash>,
    /// The checkpoint, signed.
    pub checkpoint: String,
}

/// That a log grew out of its first leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consistency {
    /// How many leaves it had.
    pub old: u64,
    /// The path that leads to both roots.
    pub path: Vec<Hash>,
    /// The later checkpoint, signed.
    pub checkpoint: String,
}

impl Inclusion {
    /// Reads a proof; one has one spelling.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Inclusion, NoteError> {
        read(text).filter(|proof| proof.to_string() == text).ok_or(NoteError::Malformed("proof"))
    }

    /// What the checkpoint says, if `key` signed it and `leaf` is in the log it speaks of.
    ///
    /// # Errors
    /// It is not signed by `key`, or the leaf is not there.
    pub fn check(&self, leaf: &[u8], key: &Verifier) -> Result<Checkpoint, NoteError> {
        let said = Checkpoint::parse(key.open(&self.checkpoint)?)?;
        let holds = included(&leaf_hash(leaf), self.index, said.size, &self.path, &said.root);
        if holds { Ok(said) } else { Err(NoteError::Malformed("proof of this leaf")) }
    }
}

fn read(text: &str) -> Option<Inclusion> {
    let (head, checkpoint) = text.split_once("\n\n")?;
    note::text(checkpoint).ok()?;
    let mut lines = head.split('\n').peekable();
    if lines.next() != Some(INCLUSION) {
        return None;
    }
    let extra = match lines.peek()?.strip_prefix("extra ") {
        Some(extra) => {
            lines.next();
            Some(BASE64.decode(extra).ok()?)
        }
        None => None,
    };
    let index = lines.next()?.strip_prefix("index ")?.parse().ok()?;
    let path = lines
        .map(|line| BASE64.decode(line).ok()?.try_into().ok())
        .take(STEPS + 1)
        .collect::<Option<Vec<_>>>()?;
    (path.len() <= STEPS).then(|| Inclusion { extra, index, path, checkpoint: checkpoint.to_owned() })
}

impl fmt::Display for Inclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{INCLUSION}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", BASE64.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        steps(f, &self.path)?;
        write!(f, "\n{}", self.checkpoint)
    }
}

impl fmt::Display for Consistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        steps(f, &self.path)?;
        write!(f, "\n{}", self.checkpoint)
    }
}

fn steps(f: &mut fmt::Formatter<'_>, path: &[Hash]) -> fmt::Result {
    path.iter().try_for_each(|step| writeln!(f, "{}", BASE64.encode(step)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::Signer;
    use crate::tree::{inclusion_proof, root};

    fn proof(extra: Option<&[u8]>) -> (Inclusion, Verifier) {
        let leaves: Vec<Hash> = (0..7_u8).map(|leaf| leaf_hash(&[leaf])).collect();
        let signer = Signer::generate("provost.run/a").unwrap();
        let said = Checkpoint { origin: "provost.run/a".into(), size: 7, root: root(&leaves) };
        let checkpoint = signer.sign(&said.to_string());
        let path = inclusion_proof(&leaves, 5).unwrap();
        (Inclusion { extra: extra.map(Into::into), index: 5, path, checkpoint }, signer.verifier())
    }

    #[test]
    fn a_proof_comes_back_and_proves_its_leaf_alone() {
        for extra in [None, Some(&b"a\ncertificate"[..])] {
            let (proof, key) = proof(extra);
            assert_eq!(Inclusion::parse(&proof.to_string()), Ok(proof.clone()));
            assert_eq!(proof.check(&[5], &key).unwrap().size, 7);
            assert!(proof.check(&[4], &key).is_err());
            let other = Signer::generate("provost.run/a").unwrap().verifier();
            assert!(proof.check(&[5], &other).is_err());
        }
    }

    #[test]
    fn no_byte_of_a_proof_can_change() {
        let (proof, key) = proof(None);
        let text = proof.to_string();
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                let Ok(changed) = String::from_utf8(bytes) else { continue };
                let read = Inclusion::parse(&changed);
                assert!(read.is_err() || read.unwrap().check(&[5], &key).is_err(), "byte {at} bit {bit}");
            }
        }
    }
}
