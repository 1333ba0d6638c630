//! The limits of a run: how much of the machine it may use, by any layer, and what several layers come to.
//!
//! Owns what can be limited, how an amount is written, and that the least counts. Does not own how a limit is held, or what
//! happens when it is reached.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Context, Layer, LayerKind};

/// Something of which a run may use only so much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Limit {
    /// Processor time of all that runs, in milliseconds.
    Cpu,
    /// Memory that all processes and private places hold together, in bytes.
    Memory,
    /// Processes and threads at one time.
    Processes,
    /// Open files of each process.
    Files,
    /// What the staged layer, the private caches and the private places hold on the disk, in bytes.
    Disk,
    /// Time from the agent's start, in milliseconds.
    Time,
    /// Tokens of model APIs.
    Tokens,
    /// Money for model APIs, in hundredths of a US dollar.
    Cost,
}

/// How an amount is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Time,
    Bytes,
    Count,
    Money,
}

const SIZES: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
const TIMES: [(&str, u64); 4] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];

impl Limit {
    /// All of them.
    pub const ALL: [Limit; 8] = [
        Limit::Cpu,
        Limit::Memory,
        Limit::Processes,
        Limit::Files,
        Limit::Disk,
        Limit::Time,
        Limit::Tokens,
        Limit::Cost,
    ];

    /// Its name in a policy and in the ledger.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Limit::Cpu => "cpu",
            Limit::Memory => "memory",
            Limit::Processes => "processes",
            Limit::Files => "files",
            Limit::Disk => "disk",
            Limit::Time => "time",
            Limit::Tokens => "tokens",
            Limit::Cost => "cost",
        }
    }

    /// The limit of this name.
    #[must_use]
    pub fn named(word: &str) -> Option<Limit> {
        Limit::ALL.into_iter().find(|limit| limit.word() == word)
    }

    fn unit(self) -> Unit {
        match self {
            Limit::Cpu | Limit::Time => Unit::Time,
            Limit::Memory | Limit::Disk => Unit::Bytes,
            Limit::Processes | Limit::Files | Limit::Tokens => Unit::Count,
            Limit::Cost => Unit::Money,
        }
    }

    /// An amount as it may be written: what a hint shows.
    #[must_use]
    pub fn example(self) -> &'static str {
        match self {
            Limit::Cpu => "\"30m\"",
            Limit::Memory => "\"4GiB\"",
            Limit::Processes => "512",
            Limit::Files => "4096",
            Limit::Disk => "\"10GiB\"",
            Limit::Time => "\"2h\"",
            Limit::Tokens => "200000",
            Limit::Cost => "\"5 USD\"",
        }
    }

    /// Whether it is of what models use, and not of the machine: then the gateway holds it.
    #[must_use]
    pub fn is_of_models(self) -> bool {
        matches!(self, Limit::Tokens | Limit::Cost)
    }

    /// Whether an amount is written as a number, not as a text.
    pub(crate) fn is_count(self) -> bool {
        self.unit() == Unit::Count
    }

    /// Reads an amount.
    ///
    /// # Errors
    /// It is none, or nothing at all.
    pub fn read(self, text: &str) -> Result<u64, NotAnAmount> {
        let amount = match self.unit() {
            Unit::Time => time(text),
            Unit::Bytes => bytes(text),
            Unit::Count => whole(&text.replace('_', "")),
            Unit::Money => money(text),
        };
        amount
            .filter(|amount| *amount > 0)
            .ok_or_else(|| NotAnAmount { limit: self, text: crate::text::printable(text, 40) })
    }

    /// An amount as a person reads it.
    #[must_use]
    pub fn show(self, amount: u64) -> String {
        match self.unit() {
            Unit::Time => shown_time(amount),
            Unit::Bytes => shown_bytes(amount),
            Unit::Count => amount.to_string(),
            Unit::Money => format!("{}.{:02} USD", amount / 100, amount % 100),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.word())
    }
}

/// A text that is no amount of what is limited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no limit for `{limit}`")]
pub struct NotAnAmount {
    /// What was to be limited.
    pub limit: Limit,
    /// What was written.
    pub text: String,
}

impl NotAnAmount {
    /// What to write instead.
    #[must_use]
    pub fn hint(&self) -> String {
        let example = self.limit.example();
        match self.limit.unit() {
            Unit::Time => format!("a number and its unit, s, m, h or d, as in {example}; more than nothing"),
            Unit::Bytes => {
                format!("a number and its unit, KiB, MiB, GiB or TiB, as in {example}; more than nothing")
            }
            Unit::Count => format!("a whole number from 1 on, as in {example}"),
            Unit::Money => format!("an amount in USD, as in {example}"),
        }
    }
}

fn whole(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

/// `90s`, `1h30m`: the greater unit first, each at most once.
fn time(text: &str) -> Option<u64> {
    let (mut rest, mut sum, mut given) = (text, 0_u64, false);
    for (unit, ms) in TIMES {
        let Some(end) = rest.find(|letter: char| !letter.is_ascii_digit()) else { break };
        let (number, after) = (rest.get(..end)?, rest.get(end..)?);
        if let Some(after) = after.strip_prefix(unit) {
            sum = sum.checked_add(whole(number)?.checked_mul(ms)?)?;
            (rest, given) = (after, true);
        }
    }
    Some(sum).filter(|_| given && rest.is_empty())
}

fn bytes(text: &str) -> Option<u64> {
    SIZES.iter().find_map(|(unit, shift)| {
        let number = whole(text.strip_suffix(unit)?.trim_end_matches(' '))?;
        number.checked_mul(1 << shift)
    })
}

fn money(text: &str) -> Option<u64> {
    let amount = text.strip_suffix(" USD")?;
    let (whole_part, cents) = amount.split_once('.').unwrap_or((amount, "00"));
    let cents = Some(cents).filter(|cents| cents.len() == 2).and_then(whole)?;
    whole(whole_part)?.checked_mul(100)?.checked_add(cents)
}

fn shown_time(ms: u64) -> String {
    if ms < 60_000 && !ms.is_multiple_of(1_000) {
        return format!("{}.{}s", ms / 1_000, ms % 1_000 / 100);
    }
    let mut left = ms - ms % 1_000;
    let mut shown = String::new();
    for (unit, each) in TIMES {
        if left >= each {
            shown.push_str(&format!("{}{unit}", left / each));
            left %= each;
        }
    }
    if shown.is_empty() { "0s".to_owned() } else { shown }
}

pub(crate) fn shown_bytes(bytes: u64) -> String {
    let Some((unit, shift)) = SIZES.iter().find(|(_, shift)| bytes >= 1 << shift) else {
        return format!("{bytes} B");
    };
    let (whole, part) = (bytes >> shift, bytes & ((1 << shift) - 1));
    // Rounded down, so that less than a limit never reads as the limit.
    let tenths = (u128::from(part) * 10) >> shift;
    if part == 0 { format!("{whole} {unit}") } else { format!("{whole}.{tenths} {unit}") }
}

/// How much, and who says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// The most that is allowed, in the limit's own unit.
    pub most: u64,
    /// What sets it: a layer, or a flag of the command line.
    pub by: String,
}

/// The limits of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Limits(BTreeMap<Limit, Bound>);

impl Limits {
    /// What holds of one.
    #[must_use]
    pub fn get(&self, limit: Limit) -> Option<&Bound> {
        self.0.get(&limit)
    }

    /// The most that is allowed of one.
    #[must_use]
    pub fn most(&self, limit: Limit) -> Option<u64> {
        self.get(limit).map(|bound| bound.most)
    }

    /// All that are set.
    pub fn iter(&self) -> impl Iterator<Item = (Limit, &Bound)> {
        self.0.iter().map(|(limit, bound)| (*limit, bound))
    }

    /// Whether none is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets a limit where none is set, or a looser one. Nothing raises it.
    pub fn narrow(&mut self, limit: Limit, most: u64, by: &str) {
        if self.most(limit).is_none_or(|known| most < known) {
            self.0.insert(limit, Bound { most, by: by.to_owned() });
        }
    }
}

/// The least of what the layers that count say.
pub(crate) fn of(layers: &[Layer], context: &Context) -> Limits {
    let mut limits = Limits::default();
    for layer in layers.iter().filter(|layer| layer.content.when.fails(context).is_none()) {
        for (limit, most) in &layer.content.limits {
            limits.narrow(*limit, *most, &layer.name);
        }
    }
    limits
}

/// One limit of one layer, for whoever reads a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedLimit {
    /// The layer.
    pub layer: String,
    /// Where the layer stands.
    pub stands: LayerKind,
    /// What is limited.
    pub limit: Limit,
    /// The most, in the limit's own unit.
    pub most: u64,
    /// The same as a person reads it.
    pub text: String,
    /// Whether it is the one that holds.
    pub holds: bool,
    /// Why it does not count in this run; none if it does.
    pub idle: Option<String>,
}

/// Every limit of every layer, in their order.
pub(crate) fn listed(layers: &[Layer], context: &Context) -> Vec<ListedLimit> {
    let held = of(layers, context);
    let mut listed = Vec::new();
    for layer in layers {
        let idle = layer.content.when.fails(context);
        for (limit, most) in &layer.content.limits {
            let holds = held.get(*limit).is_some_and(|held| held.most == *most && held.by == layer.name);
            listed.push(ListedLimit {
                layer: layer.name.clone(),
                stands: layer.kind,
                limit: *limit,
                most: *most,
                text: limit.show(*most),
                holds: holds && idle.is_none(),
                idle: idle.clone(),
            });
        }
    }
    listed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_they_are_written() {
        for (limit, text, amount) in [
            (Limit::Cpu, "30m", 1_800_000),
            (Limit::Time, "1h30m", 5_400_000),
            (Limit::Time, "90s", 90_000),
            (Limit::Time, "1d2h3m4s", 93_784_000),
            (Limit::Memory, "4GiB", 4 << 30),
            (Limit::Disk, "10 MiB", 10 << 20),
            (Limit::Disk, "1KiB", 1024),
            (Limit::Disk, "3TiB", 3 << 40),
            (Limit::Processes, "512", 512),
            (Limit::Tokens, "200_000", 200_000),
            (Limit::Cost, "5 USD", 500),
            (Limit::Cost, "0.05 USD", 5),
        ] {
            assert_eq!(limit.read(text), Ok(amount), "{limit} {text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused_with_what_to_write() {
        for (limit, text) in [
            (Limit::Time, ""),
            (Limit::Time, "0s"),
            (Limit::Time, "90"),
            (Limit::Time, "-1s"),
            (Limit::Time, "1m1h"),
            (Limit::Time, "1h 30m"),
            (Limit::Time, "1.5h"),
            (Limit::Time, "1ms"),
            (Limit::Time, "1é"),
            (Limit::Time, "99999999999999999d"),
            (Limit::Memory, "4GB"),
            (Limit::Memory, "4G"),
            (Limit::Memory, "4"),
            (Limit::Memory, "0MiB"),
            (Limit::Memory, "99999999999TiB"),
            (Limit::Memory, "+4GiB"),
            (Limit::Processes, "0"),
            (Limit::Processes, "-1"),
            (Limit::Cost, "5 EUR"),
            (Limit::Cost, "5.5 USD"),
        ] {
            let refused = limit.read(text).unwrap_err();
            assert!(refused.hint().contains(limit.example()), "{limit} {text}");
        }
    }

    #[test]
    fn amounts_are_shown_as_a_person_reads_them() {
        let shown = |limit: Limit, amount| limit.show(amount);
        assert_eq!(shown(Limit::Time, 5_400_000), "1h30m");
        assert_eq!(shown(Limit::Time, 0), "0s");
        assert_eq!(shown(Limit::Cpu, 1_250), "1.2s");
        assert_eq!(shown(Limit::Cpu, 61_999), "1m1s");
        assert_eq!(shown(Limit::Memory, 4 << 30), "4 GiB");
        assert_eq!(shown(Limit::Memory, (4 << 30) - 1), "3.9 GiB");
        assert_eq!(shown(Limit::Disk, 1_000), "1000 B");
        assert_eq!(shown(Limit::Files, 7), "7");
        assert_eq!(shown(Limit::Cost, 505), "5.05 USD");
    }
}
