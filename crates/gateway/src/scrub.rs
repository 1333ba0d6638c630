//! Secrets out of answers, while they pass.
//!
//! Owns finding texts in a body that comes piece by piece, also where a piece ends within one, and putting others in their place.
//! No more is held back than could be the beginning of such a text. Does not own which texts.

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, HeaderMap};

/// A text, and what stands for it.
pub(crate) type Stand = (Vec<u8>, Vec<u8>);

/// Puts texts in the place of others.
#[derive(Default)]
pub(crate) struct Scrub {
    stands: Vec<Stand>,
    held: BytesMut,
}

/// What begins at a place.
enum Found<'a> {
    Nothing,
    /// A text whose rest may be in the next piece.
    Beginning,
    Whole(&'a Stand),
}

impl Scrub {
    /// Empty texts are found nowhere.
    pub(crate) fn new(mut stands: Vec<Stand>) -> Scrub {
        stands.retain(|(text, _)| !text.is_empty());
        Scrub { stands, held: BytesMut::new() }
    }

    /// Whether there is nothing to look for.
    pub(crate) fn is_idle(&self) -> bool {
        self.stands.is_empty()
    }

    /// The next piece, as it goes on.
    pub(crate) fn piece(&mut self, piece: Bytes) -> Bytes {
        if self.held.is_empty() && !(0..piece.len()).any(|at| self.begins(piece.get(at..))) {
            return piece;
        }
        self.held.extend_from_slice(&piece);
        let whole = self.held.split().freeze();
        let mut clean = BytesMut::with_capacity(whole.len());
        let mut rest = whole.as_ref();
        while let Some((byte, after)) = rest.split_first() {
            match self.found(rest) {
                Found::Nothing => {
                    clean.extend_from_slice(&[*byte]);
                    rest = after;
                }
                Found::Whole((text, stand)) => {
                    clean.extend_from_slice(stand);
                    rest = rest.get(text.len()..).unwrap_or_default();
                }
                Found::Beginning => break,
            }
        }
        self.held.extend_from_slice(rest);
        clean.freeze()
    }

    /// What was held back, once nothing more comes.
    pub(crate) fn rest(&mut self) -> Bytes {
        self.held.split().freeze()
    }

    fn begins(&self, text: Option<&[u8]>) -> bool {
        !matches!(self.found(text.unwrap_or_default()), Found::Nothing)
    }

    fn found(&self, rest: &[u8]) -> Found<'_> {
        if let Some(stand) = self.stands.iter().find(|(text, _)| rest.starts_with(text)) {
            return Found::Whole(stand);
        }
        match self.stands.iter().any(|(text, _)| text.starts_with(rest)) {
            true => Found::Beginning,
            false => Found::Nothing,
        }
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
