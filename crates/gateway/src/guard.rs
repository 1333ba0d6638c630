//! The person's secrets, looked for in whatever leaves.
//!
//! Owns in which forms a secret is known: as it is, in hexadecimal, escaped for a URL, in base64 wherever in a longer text it
//! stands. Does not own which secrets (`credential`), or what happens when one is found. What is compressed, enciphered or cut
//! in pieces is not found.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Bytes of the shortest secret that is looked for: a shorter one could be met by chance.
const SHORTEST: usize = 16;

/// The forms of a secret; none where it is too short to be told from other text.
pub(crate) fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    if secret.len() < SHORTEST {
        return Vec::new();
    }
    let mut forms = vec![secret.to_vec(), hex(secret).into_bytes(), hex(secret).to_uppercase().into_bytes()];
    forms.push(escaped(secret).into_bytes());
    for offset in 0..3 {
        forms.push(within(secret, offset, |bytes| STANDARD_NO_PAD.encode(bytes)));
        forms.push(within(secret, offset, |bytes| URL_SAFE_NO_PAD.encode(bytes)));
    }
    forms.sort();
    forms.dedup();
    forms
}

/// What of the encoded text is the secret's alone, with so many bytes before it and anything after.
fn within(secret: &[u8], offset: usize, encode: impl Fn(&[u8]) -> String) -> Vec<u8> {
    let mut bytes = vec![0; offset];
    bytes.extend_from_slice(secret);
    let text = encode(&bytes);
    // A letter is six bits: those at the ends are shared with what stands beside.
    let (first, last) = ((offset * 8).div_ceil(6), bytes.len() * 8 / 6);
    text.as_bytes().get(first..last).unwrap_or_default().to_vec()
}

fn hex(secret: &[u8]) -> String {
    secret.iter().fold(String::new(), |mut text, byte| {
        // Writing into a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn escaped(secret: &[u8]) -> String {
    secret.iter().fold(String::new(), |mut text, byte| {
        match byte {
            b'-' | b'.' | b'_' | b'~' => text.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => text.push(char::from(*byte)),
            // Writing into a text cannot fail.
            byte => drop(write!(text, "%{byte:02X}")),
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    const SECRET: &[u8] = b"sk-real/secret+of??the>person";

    fn found(text: &[u8]) -> bool {
        forms(SECRET).iter().any(|form| text.windows(form.len()).any(|window| window == form))
    }

    #[test]
    fn t85_a_secret_is_known_in_every_form_wherever_it_stands() {
        for before in 0..7 {
            for after in 0..7 {
                let text = ["x".repeat(before).as_bytes(), SECRET, "y".repeat(after).as_bytes()].concat();
                assert!(found(&text));
                assert!(found(STANDARD.encode(&text).as_bytes()), "{before} {after}");
                assert!(found(URL_SAFE.encode(&text).as_bytes()), "{before} {after}");
                assert!(found(hex(&text).as_bytes()) && found(hex(&text).to_uppercase().as_bytes()));
            }
        }
        assert!(found(b"https://example.com/?q=sk-real%2Fsecret%2Bof%3F%3Fthe%3Eperson"));
        assert!(!found(&STANDARD.encode(b"sk-real/secret+of??the>nobody").into_bytes()));
    }

    #[test]
    fn what_is_too_short_is_not_looked_for() {
        assert!(forms(b"password").is_empty() && forms(b"").is_empty());
    }
}
