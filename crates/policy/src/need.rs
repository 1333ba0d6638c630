//! What must be shown before an action may happen.
//!
//! Owns the ladder and its order. Does not own who is asked, or how: `admission` does.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// What must be shown before an action may happen. The order is the ladder: the greater is the stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Need {
    /// Nothing: it just happens.
    None,
    /// A model reviewer agrees.
    Model,
    /// A person agrees.
    Human,
    /// So many persons agree; at least two.
    Humans(u8),
    /// Nothing lifts it.
    Never,
}

impl fmt::Display for Need {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Need::None => to.write_str("none"),
            Need::Model => to.write_str("model"),
            Need::Human => to.write_str("human"),
            Need::Humans(count) => write!(to, "humans({count})"),
            Need::Never => to.write_str("never"),
        }
    }
}

impl Serialize for Need {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// A text that is no need.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a need")]
pub struct NotANeed(pub String);

impl FromStr for Need {
    type Err = NotANeed;

    fn from_str(text: &str) -> Result<Need, NotANeed> {
        let persons = |text: &str| -> Option<Need> {
            let count = text.strip_prefix("humans(")?.strip_suffix(')')?;
            let plain = !count.starts_with('0') && count.bytes().all(|byte| byte.is_ascii_digit());
            count.parse().ok().filter(|count| plain && *count >= 2).map(Need::Humans)
        };
        match text {
            "none" => Ok(Need::None),
            "model" => Ok(Need::Model),
            "human" => Ok(Need::Human),
            "never" => Ok(Need::Never),
            other => persons(other).ok_or_else(|| NotANeed(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_is_ordered() {
        let ladder = [Need::None, Need::Model, Need::Human, Need::Humans(2), Need::Humans(3), Need::Never];
        assert!(ladder.is_sorted());
    }

    #[test]
    fn every_need_reads_as_it_is_written() {
        for need in [Need::None, Need::Model, Need::Human, Need::Humans(2), Need::Humans(255), Need::Never] {
            assert_eq!(need.to_string().parse(), Ok(need));
        }
        for text in [
            "",
            "None",
            "humans",
            "humans()",
            "humans(0)",
            "humans(1)",
            "humans(02)",
            "humans(256)",
            "humans(+2)",
            "ask",
        ] {
            assert!(text.parse::<Need>().is_err(), "{text}");
        }
    }
}
