//! What tokens cost, by a dated table that the person can override.
//!
//! Owns the table and the sum. Amounts are millionths of a dollar, rounded up: what is shown is never less than what it was.

use super::usage::Usage;
use serde::Deserialize;

/// The table that is shipped.
const SHIPPED: &str = include_str!("prices.toml");

/// What a model's tokens cost, in dollars for a million of them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// How the names of the models begin that cost this, each a whole part of the name; the longest beginning counts.
    pub models: Vec<String>,
    /// Input.
    pub input: f64,
    /// Input that was read from a cache.
    pub cache_read: f64,
    /// Input that was put in a cache, for minutes.
    #[serde(default)]
    pub cache_write: Option<f64>,
    /// Input that was put in a cache, for an hour.
    #[serde(default)]
    pub cache_write_long: Option<f64>,
    /// Output.
    pub output: f64,
    /// A thousand searches of the provider.
    #[serde(default)]
    pub searches: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    as_of: String,
    price: Vec<Price>,
}

/// A table of prices that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("these prices cannot be read: {0}")]
pub struct PriceError(String);

/// What models cost.
#[derive(Debug, Clone)]
pub struct Prices {
    as_of: String,
    /// The person's first.
    tables: Vec<Vec<Price>>,
}

impl Prices {
    /// Those that are shipped, under the person's own.
    ///
    /// # Errors
    /// The person's table is no such table.
    pub fn new(own: Option<&str>) -> Result<Prices, PriceError> {
        let shipped = read(SHIPPED)?;
        let mut as_of = shipped.as_of;
        let mut tables = vec![shipped.price];
        if let Some(own) = own {
            let own = read(own)?;
            as_of = format!("{as_of}, your own {}", own.as_of);
            tables.insert(0, own.price);
        }
        Ok(Prices { as_of, tables })
    }

    /// Of which day they are.
    #[must_use]
    pub fn as_of(&self) -> &str {
        &self.as_of
    }

    /// What this cost, in millionths of a dollar, and whether the model is known. One that is not costs as much as the
    /// dearest that is.
    #[must_use]
    pub fn cost(&self, model: &str, usage: &Usage) -> (u64, bool) {
        match self.find(model) {
            Some(price) => (price.cost(usage), true),
            None => {
                (self.tables.iter().flatten().map(|price| price.cost(usage)).max().unwrap_or(u64::MAX), false)
            }
        }
    }

    fn find(&self, model: &str) -> Option<&Price> {
        let model = model.rsplit('/').next().unwrap_or(model);
        let length = |price: &Price| {
            let begins = price.models.iter().filter(|begin| is_version_of(model, begin));
            begins.map(String::len).max()
        };
        self.tables.iter().find_map(|table| {
            let known = table.iter().filter_map(|price| Some((length(price)?, price)));
            known.max_by_key(|(length, _)| *length).map(|(_, price)| price)
        })
    }
}

impl Price {
    fn cost(&self, usage: &Usage) -> u64 {
        let written = self.cache_write.unwrap_or(self.input);
        let parts = [
            (usage.input, self.input),
            (usage.cache_read, self.cache_read),
            (usage.cache_write, written),
            (usage.cache_write_long, self.cache_write_long.unwrap_or(written)),
            (usage.output, self.output),
            (usage.searches.saturating_mul(1000), self.searches),
        ];
        // A million tokens at a dollar a million are a million millionths.
        let sum: f64 = parts.iter().map(|(count, price)| *count as f64 * price).sum();
        sum.ceil() as u64
    }
}

/// Whether a model is this one, or a dated or otherwise named version of it: `gpt-5.5` is none of `gpt-5`.
fn is_version_of(model: &str, begin: &str) -> bool {
    let rest = model.strip_prefix(begin);
    rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '.'))
}

fn read(text: &str) -> Result<Table, PriceError> {
    let table: Table = toml::from_str(text).map_err(|error| PriceError(error.to_string()))?;
    let amounts = |price: &Price| {
        let optional = [price.cache_write, price.cache_write_long].into_iter().flatten();
        let all: Vec<f64> = [price.input, price.cache_read, price.output, price.searches]
            .into_iter()
            .chain(optional)
            .collect();
        all.iter().all(|amount| amount.is_finite() && (0.0..1e6).contains(amount))
    };
    match table.price.iter().find(|price| !amounts(price) || price.models.iter().any(String::is_empty)) {
        Some(odd) => Err(PriceError(format!("the price of `{}` is none", odd.models.join("`, `")))),
        None => Ok(table),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USAGE: Usage = Usage {
        input: 1_000_000,
        cache_read: 1_000_000,
        cache_write: 0,
        cache_write_long: 0,
        output: 1_000_000,
        searches: 0,
    };

    #[test]
    fn the_longest_beginning_counts_and_ones_own_table_first() {
        let own = "as_of = \"2026-01-01\"\n[[price]]\nmodels = [\"a\"]\ninput = 1.0\ncache_read = 0.1\noutput = 2.0\n\
                   [[price]]\nmodels = [\"a-large\"]\ninput = 10.0\ncache_read = 1.0\noutput = 20.0\n";
        let prices = Prices::new(Some(own)).unwrap();
        assert_eq!(prices.cost("a-small", &USAGE), (3_100_000, true));
        assert_eq!(prices.cost("some/a-large-2", &USAGE), (31_000_000, true));
        let one = Usage { input: 1, ..Usage::default() };
        assert_eq!(prices.cost("a", &one), (1, true));
        assert!(prices.as_of().ends_with("your own 2026-01-01"));
    }

    #[test]
    fn a_model_that_is_not_known_costs_what_the_dearest_does() {
        let prices = Prices::new(None).unwrap();
        let (dearest, known) = prices.cost("nobody-knows-this", &USAGE);
        assert!(!known && !prices.cost("gpt-5.99", &USAGE).1);
        for price in prices.tables.iter().flatten() {
            assert!(price.cost(&USAGE) <= dearest);
            assert!(price.models.iter().all(|model| prices.cost(model, &USAGE).1));
        }
    }

    #[test]
    fn a_table_that_is_none_is_refused() {
        let table = |line: &str| {
            format!(
                "as_of = \"x\"\n[[price]]\nmodels = [\"a\"]\ninput = 1\ncache_read = 1\noutput = 1\n{line}"
            )
        };
        assert!(Prices::new(Some(&table(""))).is_ok());
        for line in ["output = 2", "searches = -1", "searches = nan", "more = 1"] {
            assert!(Prices::new(Some(&table(line))).is_err(), "{line}");
        }
    }
}
