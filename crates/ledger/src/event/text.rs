//! Text the operating system gave us: any bytes, in JSON, without loss.
//!
//! Owns the one encoding of paths and arguments. It is the text itself, but for three escapes: `\\` is a backslash, `\xNN`
//! (lower case) a byte that is no part of valid UTF-8, and `\+BYTES:SHA256`, only at the end, stands for that many bytes
//! left out because they were too long to keep, by their digest. One text has one spelling.
//! Does not own display: what is read from here may hold control characters.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::Text;
use crate::hex;

/// Bytes of JSON that one text may take before it is cut.
const TEXT_LIMIT: usize = 6 * 1024;
/// Bytes of JSON that one list of words may take before it is cut.
const WORDS_LIMIT: usize = 24 * 1024;

/// Bytes of JSON that one byte takes at most.
const DEAREST: usize = 6;

/// Bytes from the operating system: a path, an argument, a value.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OsText {
    bytes: Vec<u8>,
    cut: Option<Cut>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Cut {
    bytes: u64,
    digest: [u8; 32],
}

/// A text that is not spelled the one way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not text as the ledger writes it")]
pub struct OsTextError(String);

impl OsText {
    /// Keeps `bytes`, whole unless they are longer than any path.
    pub fn new(bytes: &[u8]) -> OsText {
        OsText::within(bytes, TEXT_LIMIT)
    }

    /// What was kept of the bytes; all of them if [`OsText::is_whole`].
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether nothing was left out.
    pub fn is_whole(&self) -> bool {
        self.cut.is_none()
    }

    /// As a path; of a text that was cut, its beginning.
    pub fn to_path(&self) -> PathBuf {
        PathBuf::from(OsStr::from_bytes(&self.bytes))
    }

    /// Keeps as much as takes `limit` bytes of JSON.
    fn within(bytes: &[u8], limit: usize) -> OsText {
        // Most texts fit however they are spelled.
        if bytes.len() <= limit / DEAREST {
            return OsText { bytes: bytes.to_vec(), cut: None };
        }
        let mut spent = 0;
        let mut kept = 0;
        for piece in pieces(bytes) {
            spent += piece.json_len();
            if spent > limit {
                let rest = &bytes[kept..];
                let cut = Cut { bytes: rest.len() as u64, digest: Sha256::digest(rest).into() };
                return OsText { bytes: bytes[..kept].to_vec(), cut: Some(cut) };
            }
            kept += piece.len();
        }
        OsText { bytes: bytes.to_vec(), cut: None }
    }

    /// The spelling.
    fn spell(&self) -> Cow<'_, str> {
        // Most texts are their own spelling.
        if let (Ok(plain), None) = (std::str::from_utf8(&self.bytes), &self.cut)
            && !plain.contains('\\')
        {
            return Cow::Borrowed(plain);
        }
        let mut spelled = String::with_capacity(self.bytes.len() + 8);
        for piece in pieces(&self.bytes) {
            match piece {
                Piece::Char('\\') => spelled.push_str("\\\\"),
                Piece::Char(char) => spelled.push(char),
                Piece::Byte(byte) => {
                    spelled.push_str("\\x");
                    spelled.push_str(&hex::encode(&[byte]));
                }
            }
        }
        if let Some(cut) = &self.cut {
            spelled.push_str(&format!("\\+{}:{}", cut.bytes, hex::encode(&cut.digest)));
        }
        Cow::Owned(spelled)
    }

    /// Reads a spelling back; refuses every spelling but the one.
    fn read(spelled: &str) -> Result<OsText, OsTextError> {
        // Without an escape it can be nothing else, and its spelling nothing but it.
        if !spelled.contains('\\') {
            return Ok(OsText { bytes: spelled.as_bytes().to_vec(), cut: None });
        }
        let text = unspell(spelled).ok_or_else(|| OsTextError(spelled.to_owned()))?;
        if text.spell() == spelled { Ok(text) } else { Err(OsTextError(spelled.to_owned())) }
    }
}

/// Arguments as a list of texts. A list too long for one event ends in a text that was cut: it stands for the rest, each
/// word followed by a NUL.
pub fn words<W: AsRef<[u8]>>(words: &[W]) -> Vec<OsText> {
    words_within(words, WORDS_LIMIT)
}

/// As [`words`], within `left` bytes of JSON.
fn words_within<W: AsRef<[u8]>>(words: &[W], mut left: usize) -> Vec<OsText> {
    let mut kept = Vec::with_capacity(words.len());
    for (index, word) in words.iter().enumerate() {
        // Two quotes and a comma.
        let cost: usize = pieces(word.as_ref()).map(|piece| piece.json_len()).sum::<usize>() + 3;
        if cost <= left {
            left -= cost;
            kept.push(OsText { bytes: word.as_ref().to_vec(), cut: None });
            continue;
        }
        let rest = words[index..].iter().flat_map(|word| word.as_ref().iter().copied().chain([0]));
        kept.push(OsText::within(&rest.collect::<Vec<u8>>(), left));
        break;
    }
    kept
}

fn unspell(spelled: &str) -> Option<OsText> {
    let mut text = OsText { bytes: Vec::with_capacity(spelled.len()), cut: None };
    let mut rest = spelled;
    while let Some(at) = rest.find('\\') {
        text.bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let after = &rest[at + 1..];
        if let Some(tail) = after.strip_prefix('\\') {
            text.bytes.push(b'\\');
            rest = tail;
        } else if let Some(tail) = after.strip_prefix('x') {
            text.bytes.extend(hex::decode(tail.get(..2)?)?);
            rest = &tail[2..];
        } else {
            let (bytes, digest) = after.strip_prefix('+')?.split_once(':')?;
            let digest = hex::decode(digest)?.try_into().ok()?;
            text.cut = Some(Cut { bytes: bytes.parse().ok()?, digest });
            rest = "";
        }
    }
    text.bytes.extend_from_slice(rest.as_bytes());
    Some(text)
}

enum Piece {
    Char(char),
    Byte(u8),
}

impl Piece {
    /// Bytes it stands for.
    fn len(&self) -> usize {
        match self {
            Piece::Char(char) => char.len_utf8(),
            Piece::Byte(_) => 1,
        }
    }

    /// Bytes its spelling takes within a JSON string.
    fn json_len(&self) -> usize {
        match self {
            Piece::Char('\\') => 4,
            Piece::Char('"' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}') => 2,
            Piece::Char(char) if (*char as u32) < 0x20 => 6,
            Piece::Char(char) => char.len_utf8(),
            Piece::Byte(_) => 5,
        }
    }
}

fn pieces(bytes: &[u8]) -> impl Iterator<Item = Piece> {
    bytes.utf8_chunks().flat_map(|chunk| {
        chunk.valid().chars().map(Piece::Char).chain(chunk.invalid().iter().copied().map(Piece::Byte))
    })
}

impl fmt::Display for OsText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.spell())
    }
}

impl Serialize for OsText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.spell())
    }
}

impl<'de> Deserialize<'de> for OsText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<OsText, D::Error> {
        deserializer.deserialize_str(Spelling)
    }
}

/// Reads a spelling where it stands: a verifier reads many millions.
struct Spelling;

impl Visitor<'_> for Spelling {
    type Value = OsText;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("text as the ledger writes it")
    }

    fn visit_str<E: Error>(self, spelled: &str) -> Result<OsText, E> {
        OsText::read(spelled).map_err(E::custom)
    }
}

/// The spelling of a text, checked and left where it stands.
#[derive(Debug)]
pub(crate) struct Spelled<'l>(Text<'l>);

impl<'de: 'l, 'l> Deserialize<'de> for Spelled<'l> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Spelled<'l>, D::Error> {
        let spelled = Text::deserialize(deserializer)?;
        // Without an escape it is a text's spelling as it is.
        if spelled.0.contains('\\') {
            OsText::read(&spelled.0).map_err(D::Error::custom)?;
        }
        Ok(Spelled(spelled))
    }
}

impl Serialize for Spelled<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.0)
    }
}

impl From<&[u8]> for OsText {
    fn from(bytes: &[u8]) -> OsText {
        OsText::new(bytes)
    }
}

impl From<&str> for OsText {
    fn from(text: &str) -> OsText {
        OsText::new(text.as_bytes())
    }
}

impl From<String> for OsText {
    fn from(text: String) -> OsText {
        OsText::new(text.as_bytes())
    }
}

impl From<&OsStr> for OsText {
    fn from(text: &OsStr) -> OsText {
        OsText::new(text.as_bytes())
    }
}

impl From<&Path> for OsText {
    fn from(path: &Path) -> OsText {
        OsText::new(path.as_os_str().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(text: &OsText) -> String {
        serde_json::to_string(text).unwrap()
    }

    #[test]
    fn plain_text_is_spelled_as_it_is() {
        assert_eq!(json(&"/home/jö/a b".into()), "\"/home/jö/a b\"");
        assert_eq!(OsText::new(b"a\\b").to_string(), "a\\\\b");
        assert_eq!(OsText::new(b"a\xff\xc3(").to_string(), "a\\xff\\xc3(");
    }

    #[test]
    fn another_spelling_of_the_same_bytes_is_refused() {
        for spelled in
            ["\\x41", "\\xFF", "\\", "\\x", "\\xf", "\\n", "\\xc3\\xb6", "\\+1:00", "\\+01:", "a\\+3"]
        {
            assert!(OsText::read(spelled).is_err(), "{spelled}");
        }
    }

    #[test]
    fn what_is_too_long_is_cut_and_says_so() {
        let long = vec![b'x'; 100_000];
        let text = OsText::new(&long);
        assert!(!text.is_whole());
        assert_eq!(text.as_bytes().len(), TEXT_LIMIT);
        let digest = hex::encode(&Sha256::digest(vec![b'x'; 100_000 - TEXT_LIMIT]));
        assert!(text.to_string().ends_with(&format!("x\\+{}:{digest}", 100_000 - TEXT_LIMIT)));
        assert_eq!(serde_json::from_str::<OsText>(&json(&text)).unwrap(), text);
    }

    #[test]
    fn a_path_of_any_length_the_kernel_takes_is_whole() {
        assert!(OsText::new(&[b'a'; 4096]).is_whole());
    }

    #[test]
    fn many_words_end_in_the_digest_of_the_rest() {
        let many = vec![b"-DNAME=VALUE".to_vec(); 10_000];
        let kept = words(&many);
        assert!(json_list(&kept) <= WORDS_LIMIT + 128);
        let (last, whole) = kept.split_last().unwrap();
        assert!(whole.iter().all(OsText::is_whole) && !last.is_whole());
        let all: usize = many.len() * 13;
        let there: usize = whole.len() * 13 + last.as_bytes().len();
        assert!(last.to_string().contains(&format!("\\+{}:", all - there)));
    }

    fn json_list(words: &[OsText]) -> usize {
        serde_json::to_string(words).unwrap().len()
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let text = OsText::new(&bytes);
            prop_assert!(text.is_whole());
            let back: OsText = serde_json::from_str(&json(&text)).unwrap();
            prop_assert_eq!(back.as_bytes(), &bytes[..]);
        }

        #[test]
        fn a_spelling_read_is_the_spelling_written(spelled in "[a-z\\\\x+:0-9ö]{0,24}") {
            if let Ok(text) = OsText::read(&spelled) {
                prop_assert_eq!(text.to_string(), spelled);
            }
        }

        #[test]
        fn the_budget_holds_for_any_words(
            list in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..4000), 0..24)
        ) {
            prop_assert!(json_list(&words(&list)) <= WORDS_LIMIT + 128);
        }
    }
}
