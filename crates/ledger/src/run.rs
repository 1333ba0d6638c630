//! Runs as the host knows them: their ids, the chapters of their ledgers, how they stand.
//!
//! Owns these words and what a run's key certificate says. Does not own where any of it is kept.

use std::fmt;
use std::io;

use crate::chance::chance;
use crate::note::{NoteError, Verifier};
use crate::tree::Hash;
use crate::writer::Stamp;

/// The digits of an id: no letter that is taken for another.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Digits that say the second; enough for a thousand years.
const SECOND: u32 = 7;
/// Digits that chance fills.
const CHANCE: usize = 3;
/// What the names of host keys begin with.
pub(crate) const HOST_KEY: &str = "provost.host";
/// The first line of a certificate.
const CERTIFICATE: &str = "provost.run-key/v1";

/// A run's id: sortable by the second it was made in, and fit for a file name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(String);

impl RunId {
    /// A new id for this second.
    pub(crate) fn new(now: Stamp) -> io::Result<RunId> {
        let second = now.ts / 1_000_000_000;
        let chance = chance::<CHANCE>()?;
        let time = (0..SECOND).rev().map(|place| (second >> (5 * place)) as usize % 32);
        let rest = chance.iter().map(|byte| usize::from(*byte) % 32);
        let digits: Vec<usize> = time.chain(rest).collect();
        let text = |digits: &[usize]| digits.iter().map(|digit| DIGITS[*digit] as char).collect::<String>();
        let (time, rest) = digits.split_at(SECOND as usize);
        Ok(RunId(format!("{}-{}", text(time), text(rest))))
    }

    /// Reads an id; `None` for what cannot be one.
    pub fn parse(text: &str) -> Option<RunId> {
        let fits = |byte: u8| byte == b'-' || byte.is_ascii_digit() || byte.is_ascii_lowercase();
        let good = (1..=32).contains(&text.len()) && !text.starts_with('-') && text.bytes().all(fits);
        good.then(|| RunId(text.to_owned()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What its ledger calls itself in checkpoints.
    pub(crate) fn origin(&self) -> String {
        format!("provost.run/{}", self.0)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How long a ledger is, and the root over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// How many events.
    pub size: u64,
    /// The Merkle root over them.
    pub root: Hash,
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A process writes its ledger.
    Running,
    /// It ended, and its ledger is sealed.
    Sealed(Head),
    /// It was opened and never sealed, and no process holds it.
    Interrupted,
}

/// A run the register knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its id.
    pub run: RunId,
    /// When it was registered: nanoseconds since 1970-01-01 UTC.
    pub opened: u64,
    /// How it stands.
    pub standing: Standing,
}

/// What the register says of a run.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) run: RunId,
    pub(crate) opened: u64,
    /// Its ledger's chapters: one for the run, one for each time it was taken up again.
    pub(crate) chapters: Vec<Chapter>,
}

/// A part of a ledger that one key signed.
#[derive(Debug, Clone)]
pub(crate) struct Chapter {
    pub(crate) key: Verifier,
    /// Its end, once it is sealed.
    pub(crate) end: Option<Head>,
}

impl Record {
    /// The end, if the last chapter is sealed.
    pub(crate) fn end(&self) -> Option<Head> {
        self.chapters.last().and_then(|chapter| chapter.end)
    }
}

/// What the host signs for a run's key: the run, the key, and the leaf from which it signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    pub(crate) run: RunId,
    pub(crate) key: Verifier,
    pub(crate) from: u64,
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{CERTIFICATE}\n{}\n{}\n{}\n", self.run, self.key, self.from)
    }
}

impl Certificate {
    /// Reads the text of a certificate's note.
    pub(crate) fn parse(text: &str) -> Result<Certificate, NoteError> {
        let malformed = || NoteError::Malformed("certificate");
        let lines: Vec<&str> = text.lines().collect();
        let [CERTIFICATE, run, key, from] = lines[..] else { return Err(malformed()) };
        let run = RunId::parse(run).ok_or_else(malformed)?;
        let from = from.parse().map_err(|_| malformed())?;
        let read = Certificate { run, key: Verifier::parse(key)?, from };
        if read.to_string() == text { Ok(read) } else { Err(malformed()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::Signer;

    #[test]
    fn ids_sort_by_time_and_are_short() {
        let at = |ts| RunId::new(Stamp { ts, mono: 0 }).unwrap();
        let (early, late) = (at(1_700_000_000_000_000_000), at(1_700_000_001_000_000_000));
        assert!(early < late);
        assert_eq!(early.as_str().len(), 11);
        assert_eq!(RunId::parse(early.as_str()), Some(early));
    }

    #[test]
    fn what_could_leave_its_directory_is_no_id() {
        for text in ["", ".", "..", "a/b", "-a", "A", "a.b", "a\0", "a\n", &"a".repeat(33)] {
            assert_eq!(RunId::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_certificate_comes_back() {
        let key = Signer::generate("provost.run/a").unwrap().verifier();
        let one = Certificate { run: RunId::parse("a").unwrap(), key, from: 7 };
        assert_eq!(Certificate::parse(&one.to_string()), Ok(one.clone()));
        assert!(Certificate::parse(&one.to_string().replace("\n7\n", "\n07\n")).is_err());
    }
}
