//! The spelling of requests: methods, paths, queries.
//!
//! What is judged is what is sent. Where servers differ in what they read, the text is refused, or its other reading can be
//! asked for beside it.

use super::NotCanonical;

/// A request method. Methods are case-sensitive, and `get` is read as `GET` by some servers: only capitals pass.
///
/// # Errors
/// When it is empty, long, or not made of capitals, digits, `-` and `_`.
pub fn method(text: &str) -> Result<(), NotCanonical> {
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_uppercase());
    if first && text.len() <= 32 && text.bytes().all(plain) { Ok(()) } else { Err(NotCanonical::Method) }
}

/// The path of a URL, without query: escapes of plain characters undone, all others in capitals. An escaped slash stays one, in
/// its segment; see [`slashed_path`] for the path that a server reads there which undoes it.
///
/// # Errors
/// When a server could read it as another path: dots, empty segments, escaped backslashes, escapes of escapes.
pub fn url_path(given: &str) -> Result<String, NotCanonical> {
    if !given.starts_with('/') {
        return Err(if given.is_empty() { NotCanonical::Empty } else { NotCanonical::Relative });
    }
    let mut canonical = String::with_capacity(given.len());
    let mut meant = Vec::with_capacity(given.len());
    let mut rest = given.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let (decoded, after) = escape(rest)?;
            rest = after;
            meant.push(decoded);
            if is_unreserved(decoded) {
                canonical.push(char::from(decoded));
            } else {
                canonical.push_str(&format!("%{decoded:02X}"));
            }
        } else {
            meant.push(plain_url_byte(byte)?);
            canonical.push(char::from(byte));
        }
    }
    if std::str::from_utf8(&meant).is_err() {
        return Err(NotCanonical::Character("escapes that are not UTF-8"));
    }
    // However a server takes an escaped slash, no dots and no empty segments come of it.
    slashed_path(&canonical).map_or(Ok(()), |slashed| plain_segments(&slashed))?;
    plain_segments(&canonical).map(|()| canonical)
}

/// The path as a server reads it that takes an escaped slash for a slash; `None` where there is none.
pub(crate) fn slashed_path(canonical: &str) -> Option<String> {
    canonical.contains(SLASH).then(|| canonical.replace(SLASH, "/"))
}

/// An escaped slash, in its canonical spelling.
const SLASH: &str = "%2F";

/// The pairs of a query, escapes undone, in their order.
///
/// # Errors
/// When servers differ in what they read: `;` between pairs, escapes that are none, keys that are escaped twice.
pub fn query(given: &str) -> Result<Vec<(String, String)>, NotCanonical> {
    let pieces = given.split('&').filter(|piece| !piece.is_empty());
    let pair = |piece: &str| {
        let (key, value) = piece.split_once('=').unwrap_or((piece, ""));
        let key = query_text(key)?;
        if let Some(odd) = key.bytes().find(|byte| *byte == b'%' || byte.is_ascii_control()) {
            return Err(NotCanonical::Escape(format!("%{odd:02X}")));
        }
        Ok((key, query_text(value)?))
    };
    pieces.map(pair).collect()
}

fn query_text(given: &str) -> Result<String, NotCanonical> {
    let mut meant = Vec::with_capacity(given.len());
    let mut rest = given.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'%' => {
                let decoded = hex_pair(rest).filter(|byte| *byte != 0);
                meant.push(decoded.ok_or_else(|| bad_escape(rest))?);
                rest = rest.get(2..).unwrap_or_default();
            }
            b'+' => meant.push(b' '),
            b';' => return Err(NotCanonical::Character("a `;`, which some servers read as `&`")),
            b'#' => return Err(NotCanonical::Character("a fragment")),
            byte if byte.is_ascii_graphic() => meant.push(byte),
            _ => return Err(NotCanonical::Character("a blank, a control character or one beyond ASCII")),
        }
    }
    String::from_utf8(meant).map_err(|_| NotCanonical::Character("escapes that are not UTF-8"))
}

/// What some servers take a key of a query for: `Per.Page[]` is `per_page` to them.
pub(crate) fn query_key(key: &str) -> String {
    let name = key.trim_start().split('[').next().unwrap_or_default();
    name.to_lowercase().replace(['.', ' '], "_")
}

/// The other path that some servers read: without parameters (`;v=1`), and with escapes undone that most undo. `None` where
/// that is the same path.
pub(crate) fn other_path(path: &str) -> Option<String> {
    let mut other = Vec::with_capacity(path.len());
    for (index, segment) in path.split('/').enumerate() {
        if index > 0 {
            other.push(b'/');
        }
        let mut rest = segment.as_bytes();
        while let Some((&byte, after)) = rest.split_first() {
            let decoded =
                if byte == b'%' { hex_pair(after).filter(|byte| is_plain_mark(*byte)) } else { None };
            rest = if decoded.is_some() { after.get(2..).unwrap_or_default() } else { after };
            match decoded.unwrap_or(byte) {
                b';' => break,
                byte => other.push(byte),
            }
        }
    }
    String::from_utf8(other).ok().filter(|other| other != path)
}

/// A mark that may stand in a path as it is, so that its escape and itself are the same to most servers.
fn is_plain_mark(byte: u8) -> bool {
    matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@')
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The byte of an escape, and what follows it.
fn escape(rest: &[u8]) -> Result<(u8, &[u8]), NotCanonical> {
    let decoded = hex_pair(rest).ok_or_else(|| bad_escape(rest))?;
    if decoded.is_ascii_control() || matches!(decoded, b'\\' | b'%') {
        return Err(bad_escape(rest));
    }
    Ok((decoded, rest.get(2..).unwrap_or_default()))
}

/// The byte that two hexadecimal digits at the beginning stand for.
fn hex_pair(rest: &[u8]) -> Option<u8> {
    let digit = |at: usize| rest.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

fn bad_escape(rest: &[u8]) -> NotCanonical {
    let shown: String = rest.iter().take(2).map(|byte| char::from(*byte)).collect();
    NotCanonical::Escape(format!("%{shown}"))
}

fn plain_url_byte(byte: u8) -> Result<u8, NotCanonical> {
    match byte {
        0 => Err(NotCanonical::Nul),
        b'\\' => Err(NotCanonical::Character("a backslash")),
        b'?' | b'#' => Err(NotCanonical::Character("a query or a fragment")),
        byte if byte.is_ascii_graphic() => Ok(byte),
        _ => Err(NotCanonical::Character("a blank, a control character or one beyond ASCII")),
    }
}

fn plain_segments(canonical: &str) -> Result<(), NotCanonical> {
    let segments: Vec<&str> = canonical.split('/').skip(1).collect();
    for (index, segment) in segments.iter().enumerate() {
        if segment.is_empty() && index + 1 < segments.len() {
            return Err(NotCanonical::Character("an empty segment (`//`)"));
        }
        // Some servers cut a segment at `;` before they look for dots.
        let name = segment.split(';').next().unwrap_or(segment);
        let name = name.split("%3B").next().unwrap_or(name);
        if name == "." || name == ".." {
            return Err(NotCanonical::Dots);
        }
    }
    Ok(())
}
