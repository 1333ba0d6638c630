//! Bytes as lower-case hexadecimal, and back. Owns nothing else.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Lower-case hexadecimal.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)] as char);
        text.push(DIGITS[usize::from(byte & 15)] as char);
    }
    text
}

/// Whether `text` is these bytes.
pub(crate) fn spells(text: &str, bytes: &[u8]) -> bool {
    let is = |(pair, byte): (&[u8], &u8)| {
        *pair == [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
    };
    text.len() == bytes.len() * 2 && text.as_bytes().chunks_exact(2).zip(bytes).all(is)
}

/// Reads lower-case hexadecimal; `None` for anything else.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.as_bytes().chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}
