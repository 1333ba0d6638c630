//! Secrets out of answers, and placeholders seen in what is sent, while they pass.
//!
//! Owns finding texts in a body that comes piece by piece, also where a piece ends within one, and putting others in their place.
//! No more is held back than could be the beginning of such a text. Does not own which texts.

use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, HeaderMap};

/// Bytes of texts that are looked for in the quickest form.
const SMALL: usize = 4096;

/// A text, and what stands for it.
pub(crate) type Stand = (Vec<u8>, Vec<u8>);

/// More texts than can be looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are too many secrets to look for them")]
pub struct TooMany;

/// Texts that are looked for together, in one pass whatever their number.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    all: Option<AhoCorasick>,
    stands: Vec<Stand>,
}

impl Texts {
    /// Empty texts are found nowhere.
    pub(crate) fn new(stands: Vec<Stand>) -> Result<Texts, TooMany> {
        let stands: Vec<Stand> = stands.into_iter().filter(|(text, _)| !text.is_empty()).collect();
        if stands.is_empty() {
            return Ok(Texts::default());
        }
        let mut find = AhoCorasick::builder();
        let find = find.match_kind(MatchKind::LeftmostLongest);
        if stands.iter().map(|(text, _)| text.len()).sum::<usize>() > SMALL {
            // Of long tokens the quickest form would take a hundred times the memory.
            find.kind(Some(AhoCorasickKind::ContiguousNFA));
        }
        let find = find.build(stands.iter().map(|(text, _)| text));
        Ok(Texts { all: Some(find.map_err(|_| TooMany)?), stands })
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.stands.is_empty()
    }

    /// The first of them in a text: where, how long, and what stands for it.
    pub(crate) fn first(&self, text: &[u8]) -> Option<(usize, usize, &[u8])> {
        let found = self.all.as_ref()?.find(text)?;
        let (_, stand) = self.stands.get(found.pattern().as_usize())?;
        Some((found.start(), found.len(), stand))
    }

    /// How many bytes at the end could be the beginning of one.
    fn begun(&self, text: &[u8]) -> usize {
        let begun = |needle: &[u8]| {
            let longest = text.len().min(needle.len().saturating_sub(1));
            (1..=longest).rev().find(|length| text.ends_with(needle.get(..*length).unwrap_or_default()))
        };
        self.stands.iter().filter_map(|(text, _)| begun(text)).max().unwrap_or(0)
    }
}

/// Puts texts in the place of others.
#[derive(Default)]
pub(crate) struct Scrub {
    texts: Arc<Texts>,
    held: BytesMut,
    seen: Option<Vec<u8>>,
}

impl Scrub {
    /// Looks for these.
    pub(crate) fn new(texts: Arc<Texts>) -> Scrub {
        Scrub { texts, ..Scrub::default() }
    }

    /// Whether there is nothing to look for.
    pub(crate) fn is_idle(&self) -> bool {
        self.texts.is_empty()
    }

    /// The next piece, as it goes on.
    pub(crate) fn piece(&mut self, piece: Bytes) -> Bytes {
        let whole = match self.held.is_empty() {
            true => piece,
            false => {
                self.held.extend_from_slice(&piece);
                self.held.split().freeze()
            }
        };
        self.clean(whole, false)
    }

    /// With nothing of these texts in it. Unless it is the last piece, what could be the beginning of one is held back, also where
    /// another one stands in it: which of them it is, what follows says.
    fn clean(&mut self, mut rest: Bytes, last: bool) -> Bytes {
        let mut clean = BytesMut::new();
        loop {
            let open = if last { rest.len() } else { rest.len() - self.texts.begun(&rest) };
            let Some((at, length, stand)) = self.texts.first(&rest).filter(|(at, ..)| *at < open) else {
                self.held.extend_from_slice(&rest.split_off(open));
                break;
            };
            clean.extend_from_slice(&rest.split_to(at));
            clean.extend_from_slice(stand);
            self.seen = Some(stand.to_vec());
            rest = rest.slice(length..);
        }
        if clean.is_empty() {
            return rest;
        }
        clean.extend_from_slice(&rest);
        clean.freeze()
    }

    /// What stood for the last text that was found.
    pub(crate) fn seen(&self) -> Option<&[u8]> {
        self.seen.as_deref()
    }

    /// Whether something is held back.
    pub(crate) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// What was held back, once nothing more comes.
    pub(crate) fn rest(&mut self) -> Bytes {
        let held = self.held.split().freeze();
        self.clean(held, true)
    }
}

/// Whether a body is compressed, so that nothing can be found in it.
pub(crate) fn is_encoded(headers: &HeaderMap) -> bool {
    headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrubbed(stands: &[(&str, &str)], pieces: &[&str]) -> Vec<String> {
        let stands = stands.iter().map(|(text, stand)| (text.as_bytes().into(), stand.as_bytes().into()));
        let mut scrub = Scrub::new(Arc::new(Texts::new(stands.collect()).unwrap()));
        let mut out: Vec<Bytes> =
            pieces.iter().map(|piece| scrub.piece(Bytes::copy_from_slice(piece.as_bytes()))).collect();
        out.push(scrub.rest());
        out.into_iter().map(|piece| String::from_utf8(piece.to_vec()).unwrap()).collect()
    }

    #[test]
    fn a_secret_is_found_wherever_pieces_end() {
        let text = "ab-secret-secretsecre-sesecret";
        let want = "ab-*-*secre-se*";
        for first in 0..text.len() {
            for second in first..text.len() {
                let pieces = [&text[..first], &text[first..second], &text[second..]];
                assert_eq!(scrubbed(&[("secret", "*")], &pieces).concat(), want, "{pieces:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_a_secret_goes_on_at_once() {
        assert_eq!(
            scrubbed(&[("secret", "*")], &["data: x\n\n", "data: y\n\n"]),
            ["data: x\n\n", "data: y\n\n", ""]
        );
        assert_eq!(scrubbed(&[("secret", "*")], &["data: sec", "ond"]), ["data: ", "second", ""]);
        assert_eq!(scrubbed(&[("secret", "*")], &["the end: se"]), ["the end: ", "se"]);
    }

    #[test]
    fn a_secret_that_holds_another_is_found_whole_wherever_pieces_end() {
        let stands = [("abcdefgh", "1"), ("abc", "2"), ("de", "3")];
        let text = "abcdefgh abcdef de abc";
        for first in 0..text.len() {
            for second in first..text.len() {
                let pieces = [&text[..first], &text[first..second], &text[second..]];
                assert_eq!(scrubbed(&stands, &pieces).concat(), "1 23f 3 2", "{pieces:?}");
            }
        }
    }

    #[test]
    fn each_secret_has_its_own_stand() {
        assert_eq!(scrubbed(&[("abc", "1"), ("abd", "2")], &["xabdabc", "ab", "d"]).concat(), "x212");
    }

    #[test]
    fn a_compressed_body_is_known() {
        let mut headers = HeaderMap::new();
        assert!(!is_encoded(&headers));
        headers.insert(CONTENT_ENCODING, "identity".parse().unwrap());
        assert!(!is_encoded(&headers));
        headers.insert(CONTENT_ENCODING, "gzip".parse().unwrap());
        assert!(is_encoded(&headers));
    }
}
