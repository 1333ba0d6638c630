//! Conditions on what a request says beside its path: `query = { per_page = ["?", "??"] }`,
//! `headers = { "content-type" = ["application/json*"] }`.
//!
//! `*` is any text, `?` any one byte. Each pattern is asked in two ways. **Strictly** it means what it says; in a header its
//! wildcards do not reach over a comma, because a comma parts values. **Loosely** it means what some server might read: letters of
//! either case. They are asked one by one, of few values and for the rules that speak otherwise: no automaton is needed. What follows from each is said in `policy::conditions`. Does not own which requests are asked.

use crate::canonical;
use crate::pattern::PatternError;

/// The longest pattern on a value, in bytes: one is asked in time that grows with it and with the value.
const LONGEST: usize = 512;

/// Where a condition looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Place {
    /// Pairs of the query.
    Query,
    /// Headers.
    Header,
}

impl Place {
    /// What it is called in a file.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Place::Query => "query",
            Place::Header => "header",
        }
    }
}

/// What is asked of one key of the query, or one header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) place: Place,
    /// As servers read it: see [`canonical::query_key`]; a header in small letters.
    pub(crate) name: String,
    /// Whether it holds where there is none.
    pub(crate) absent: bool,
    values: Vec<Vec<Piece>>,
    /// As a person reads it.
    pub(crate) text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Byte(u8),
    One,
    Any,
}

/// Headers that are not judged as they come: the gateway owns them, or a credential does.
const NOT_ASKED: [(&str, &str); 12] = [
    ("host", "the host stands in the pattern"),
    ("content-length", "`up` says how much may be sent"),
    ("connection", "it is for one hop only and is not sent on"),
    ("keep-alive", "it is for one hop only and is not sent on"),
    ("te", "it is for one hop only and is not sent on"),
    ("trailer", "it is for one hop only and is not sent on"),
    ("transfer-encoding", "it is for one hop only and is not sent on"),
    ("upgrade", "write `wss://` in the pattern for a WebSocket"),
    ("expect", "it is for one hop only and is not sent on"),
    ("authorization", "credentials are said with `credential`"),
    ("cookie", "credentials are said with `credential`"),
    ("x-api-key", "credentials are said with `credential`"),
];

impl Condition {
    /// Reads what a file says of one name: patterns, and whether it may be absent.
    pub(crate) fn parse(
        place: Place,
        name: &str,
        patterns: &[&str],
        absent: bool,
    ) -> Result<Condition, PatternError> {
        let read = match place {
            Place::Header => header(name)?,
            Place::Query => key(name)?,
        };
        let values = patterns.iter().map(|text| value(text)).collect::<Result<_, _>>()?;
        let mut said: Vec<String> = patterns.iter().map(|pattern| format!("\"{pattern}\"")).collect();
        if absent {
            said.push("none".to_owned());
        }
        let text = format!("{} {name} = {}", place.word(), said.join(" or "));
        Ok(Condition { place, name: read, absent, values, text })
    }

    /// Whether a value is one of those that are asked for.
    pub(crate) fn matches(&self, value: &[u8], loose: bool) -> bool {
        let within = |byte: u8| loose || self.place == Place::Query || byte != b',';
        self.values.iter().any(|pieces| is_like(pieces, value, loose, within))
    }
}

/// Whether all of a value is like a pattern. A star takes as little as it can; where the rest does not follow, the last one takes
/// one byte more. That is enough: what an earlier star took less of is there for the later one.
fn is_like(pieces: &[Piece], value: &[u8], loose: bool, within: impl Fn(u8) -> bool) -> bool {
    let (mut piece, mut at) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        let step = match (pieces.get(piece), value.get(at)) {
            (None, None) => return true,
            (Some(Piece::Any), _) => {
                star = Some((piece + 1, at));
                piece += 1;
                continue;
            }
            (Some(Piece::One), Some(byte)) => within(*byte),
            (Some(Piece::Byte(asked)), Some(byte)) => {
                asked == byte || loose && asked.eq_ignore_ascii_case(byte)
            }
            _ => false,
        };
        if step {
            (piece, at) = (piece + 1, at + 1);
            continue;
        }
        let Some((after, from)) = star else { return false };
        if !value.get(from).is_some_and(|byte| within(*byte)) {
            return false;
        }
        star = Some((after, from + 1));
        (piece, at) = (after, from + 1);
    }
}

fn header(name: &str) -> Result<String, PatternError> {
    let lower = name.to_ascii_lowercase();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if lower.is_empty() || !lower.bytes().all(plain) {
        return Err(PatternError::new("it is no name of a header").hint("as in \"content-type\""));
    }
    let not_asked = NOT_ASKED.iter().find(|(known, _)| *known == lower).map(|(_, because)| *because);
    match not_asked
        .or_else(|| lower.starts_with("proxy-").then_some("it is for the proxy and is not sent on"))
    {
        Some(because) => {
            Err(PatternError::new(format!("nothing can be asked of the header `{lower}`")).hint(because))
        }
        None => Ok(lower),
    }
}

fn key(name: &str) -> Result<String, PatternError> {
    let read = canonical::query_key(name);
    if read.is_empty() || name.chars().any(|odd| odd.is_control() || "%&;=#+".contains(odd)) {
        return Err(PatternError::new("it is no key of a query").hint("as in `per_page`, without escapes"));
    }
    Ok(read)
}

fn value(text: &str) -> Result<Vec<Piece>, PatternError> {
    if text.len() > LONGEST {
        return Err(PatternError::new("a value is longer than 512 bytes"));
    }
    let mut pieces = Vec::new();
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        let literal = match character {
            '*' => {
                pieces.push(Piece::Any);
                continue;
            }
            '?' => {
                pieces.push(Piece::One);
                continue;
            }
            '\\' => rest.next().ok_or_else(|| {
                PatternError::new("a backslash stands at the end, with nothing to take the meaning off")
            })?,
            '{' | '}' | '[' | ']' => {
                return Err(PatternError::new(format!("`{character}` means nothing in a value")).hint(
                    format!("write each value by itself, and `\\{character}` for the character itself"),
                ));
            }
            control if control.is_control() => {
                return Err(PatternError::new("a value contains a control character"));
            }
            other => other,
        };
        let mut bytes = [0; 4];
        pieces.extend(literal.encode_utf8(&mut bytes).bytes().map(Piece::Byte));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pattern::regex;

    /// The same pattern as a regular expression.
    fn expression(pieces: &[Piece], loose: bool, within: &str) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Byte(byte) => format!("\\x{byte:02x}"),
            Piece::One => within.to_owned(),
            Piece::Any => format!("{within}*"),
        };
        let text: String = pieces.iter().map(piece).collect();
        format!("(?:{}{text}))\\z", if loose { "(?i:" } else { "(?:" })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn a_value_is_like_a_pattern_where_its_regular_expression_says_so(
            pattern in "[aAb,*?]{0,8}",
            value in "[aAb,]{0,10}",
            loose in any::<bool>(),
        ) {
            let condition = Condition::parse(Place::Header, "x", &[&pattern], false).unwrap();
            let within = if loose { "[^\\x00]" } else { "[^\\x00,]" };
            let expected = regex::is_match(&[expression(&condition.values[0], loose, within)], value.as_bytes());
            prop_assert_eq!(condition.matches(value.as_bytes(), loose), expected);
        }
    }

    #[test]
    fn a_hostile_value_takes_bounded_time() {
        let pattern = format!("{}b", "*a".repeat(250));
        let condition = Condition::parse(Place::Query, "x", &[&pattern], false).unwrap();
        let started = std::time::Instant::now();
        assert!(!condition.matches(&[b'a'; 64 * 1024], true));
        assert!(started.elapsed() < std::time::Duration::from_secs(10));
    }
}
