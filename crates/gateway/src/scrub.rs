//! Secrets out of answers, and placeholders seen in what is sent, while they pass.
//!
//! Owns finding texts in a body that comes piece by piece, also where a piece ends within one, and putting others in their place.
//! No more is held back than could be the beginning of such a text. Does not own which texts.

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, HeaderMap};
use memchr::memmem::Finder;

/// A text, and what stands for it.
pub(crate) type Stand = (Vec<u8>, Vec<u8>);

/// Puts texts in the place of others.
#[derive(Default)]
pub(crate) struct Scrub {
    finders: Vec<(Finder<'static>, Vec<u8>)>,
    held: BytesMut,
    seen: Option<Vec<u8>>,
}

impl Scrub {
    /// Empty texts are found nowhere.
    pub(crate) fn new(stands: Vec<Stand>) -> Scrub {
        let looked_for = stands.into_iter().filter(|(text, _)| !text.is_empty());
        let finders = looked_for.map(|(text, stand)| (Finder::new(&text).into_owned(), stand)).collect();
        Scrub { finders, ..Scrub::default() }
    }

    /// Whether there is nothing to look for.
    pub(crate) fn is_idle(&self) -> bool {
        self.finders.is_empty()
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
        let mut clean = BytesMut::new();
        let mut rest = whole;
        while let Some((at, length, stand)) = self.first(&rest) {
            clean.extend_from_slice(&rest.split_to(at));
            clean.extend_from_slice(&stand);
            self.seen = Some(stand);
            rest = rest.slice(length..);
        }
        self.held.extend_from_slice(&rest.split_off(rest.len() - self.begun(&rest)));
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
        self.held.split().freeze()
    }

    /// The first text there is: where, how long, and what stands for it.
    fn first(&self, text: &[u8]) -> Option<(usize, usize, Vec<u8>)> {
        let found =
            self.finders.iter().filter_map(|(finder, stand)| Some((finder.find(text)?, finder, stand)));
        let (at, finder, stand) = found.min_by_key(|(at, ..)| *at)?;
        Some((at, finder.needle().len(), stand.clone()))
    }

    /// How many bytes at the end could be the beginning of a text.
    fn begun(&self, text: &[u8]) -> usize {
        let begun = |needle: &[u8]| {
            let longest = text.len().min(needle.len().saturating_sub(1));
            (1..=longest).rev().find(|length| text.ends_with(needle.get(..*length).unwrap_or_default()))
        };
        self.finders.iter().filter_map(|(finder, _)| begun(finder.needle())).max().unwrap_or(0)
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
        let mut scrub = Scrub::new(stands.collect());
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
