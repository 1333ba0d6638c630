//! What a run had to do with the network: what it reached, and what the models that it asked came to.
//!
//! Owns these sums. Does not own the order of what happened (`timeline`).

use ledger::event::{self, ModelAnswered, Verdict};
use ledger::{Body, Event};

use super::{Denial, Reached, Story, What};

/// What the answers of one model came to. Tokens are as the gateway read them in the provider's answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Consulted {
    /// Answers.
    pub answers: u64,
    /// Tokens of input, those from a cache included.
    pub input: u64,
    /// Those of them that came from a cache.
    pub cached: u64,
    /// Tokens of output.
    pub output: u64,
    /// Millionths of a US dollar.
    pub cost: u64,
    /// Calls of tools that it wanted.
    pub calls: u64,
    /// Answers of which the tokens are an estimate.
    pub estimated: u64,
    /// Whether the table of prices does not name it, and the dearest stands for it.
    pub unpriced: bool,
}

impl Consulted {
    fn add(&mut self, answered: &ModelAnswered) {
        let input = [answered.input, answered.cache_read, answered.cache_write];
        let sum = |to: &mut u64, more: u64| *to = to.saturating_add(more);
        sum(&mut self.answers, 1);
        input.into_iter().for_each(|more| sum(&mut self.input, more));
        sum(&mut self.cached, answered.cache_read);
        sum(&mut self.output, answered.output);
        sum(&mut self.cost, answered.cost);
        sum(&mut self.calls, answered.calls.len() as u64);
        sum(&mut self.estimated, u64::from(answered.estimated));
        self.unpriced |= answered.unpriced;
    }
}

impl Story {
    /// What the models that were asked came to, by place and name.
    pub fn consulted(&self) -> impl Iterator<Item = (&str, &str, &Consulted)> {
        self.models.iter().map(|((endpoint, model), sum)| (endpoint.as_str(), model.as_str(), sum))
    }

    pub(super) fn see_network(&mut self, event: &Event) {
        match &event.body {
            Body::Connection(connection) => {
                let first = !self.reached.contains_key(&connection.endpoint);
                let reached = self.reached_entry(&connection.endpoint);
                match connection.verdict {
                    Verdict::Deny => reached.denied += 1,
                    Verdict::Allow | Verdict::Ask => reached.connections += 1,
                }
                if connection.verdict != Verdict::Deny {
                    self.counts.connections += 1;
                    if first {
                        self.tell(event, 0, What::Reached { endpoint: connection.endpoint.clone() });
                    }
                }
            }
            Body::Resolved(resolved) if resolved.allowed.is_empty() => {
                let because = resolved.refused.first().map(|refused| {
                    format!("{} leads to {}: {}", resolved.endpoint, refused.address, refused.because)
                });
                let why = because.unwrap_or_else(|| format!("{} leads to no address", resolved.endpoint));
                let reason =
                    event::Reason { layer: "built-in".into(), rule: "address".into(), why: Some(why) };
                self.deny(event, 0, Denial::new("connect", &resolved.endpoint, &[reason]));
            }
            Body::Flow(flow) => {
                let reached = self.reached_entry(&flow.endpoint);
                reached.flows += 1;
                reached.unreachable += u64::from(flow.outcome == "unreachable");
                reached.bytes_up += flow.bytes_up;
                reached.bytes_down += flow.bytes_down;
                reached.sent.add(flow);
                self.counts.bytes_up += flow.bytes_up;
                self.counts.bytes_down += flow.bytes_down;
            }
            Body::ModelAnswered(answered) => {
                let (endpoint, model) = (answered.endpoint.clone(), answered.model.clone());
                self.models.entry((endpoint, model)).or_default().add(answered);
            }
            _ => {}
        }
    }

    fn reached_entry(&mut self, endpoint: &str) -> &mut Reached {
        self.reached
            .entry(endpoint.to_owned())
            .or_insert_with(|| Reached { endpoint: endpoint.to_owned(), ..Reached::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_one_model_are_summed_up_and_an_estimate_is_said_to_be_one() {
        let answer = |estimated| ModelAnswered {
            input: 10,
            cache_read: 5,
            cache_write: 1,
            output: 2,
            cost: 7,
            estimated,
            calls: vec![event::ModelCall::default()],
            ..ModelAnswered::default()
        };
        let mut sum = Consulted::default();
        [answer(false), answer(true)].iter().for_each(|answer| sum.add(answer));
        let want = Consulted {
            answers: 2,
            input: 32,
            cached: 10,
            output: 4,
            cost: 14,
            calls: 2,
            estimated: 1,
            unpriced: false,
        };
        assert_eq!(sum, want);
    }
}
