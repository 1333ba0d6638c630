//! What went through the gateway, one request or tunnel after the other.
//!
//! Pure. Owns which events belong to one exchange: the decision that let it, its end, what a model answered in it. Does not own what was in it:
//! that is in the cassette, where it was recorded.

use std::collections::HashMap;

use ledger::event::{Body, Event, Flow, ModelAnswered, Verdict};

/// One request or tunnel, or the refusal of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exchange {
    /// When it began, in nanoseconds since the run was opened.
    pub at: u64,
    /// The event that tells of it.
    pub seq: u64,
    /// Host and port; of a refused request its whole text.
    pub target: String,
    /// What passed; nothing where it was refused.
    pub flow: Option<Flow>,
    /// Its number in the cassette, where it was recorded.
    pub recorded: Option<u64>,
    /// The rule that decided, as `layer/rule`.
    pub rule: Option<String>,
    /// What models answered in it: their names, and the tools they wanted, each once.
    pub answers: Vec<ModelAnswered>,
}

/// The exchanges of a run.
#[derive(Debug, Default)]
pub struct Traffic {
    began: u64,
    /// By decision, the rule that led to it.
    decided: HashMap<u64, String>,
    answers: HashMap<u64, Vec<ModelAnswered>>,
    exchanges: Vec<(Option<u64>, Exchange)>,
}

impl Traffic {
    /// Takes the next event.
    pub fn see(&mut self, event: &Event) {
        if event.seq == 0 {
            self.began = event.mono;
        }
        let at = event.mono.saturating_sub(self.began);
        match &event.body {
            Body::Decision(decision) if matches!(decision.action.kind(), "connect" | "http") => {
                let rule = decision.reasons.first().map(|reason| format!("{}/{}", reason.layer, reason.rule));
                if decision.verdict == Verdict::Deny {
                    self.refused(event.seq, at, decision.text.clone(), rule);
                } else {
                    self.decided.extend(rule.map(|rule| (event.seq, rule)));
                }
            }
            Body::Denied(denied)
                if matches!(denied.what.as_str(), "connect" | "http") && event.cause.is_none() =>
            {
                let rule = denied.reasons.first().map(|reason| format!("{}/{}", reason.layer, reason.rule));
                self.refused(event.seq, at, format!("{} {}", denied.what, denied.target), rule);
            }
            Body::Flow(flow) => {
                let exchange = Exchange {
                    at: at.saturating_sub(flow.ms.saturating_mul(1_000_000)),
                    seq: event.seq,
                    target: flow.endpoint.clone(),
                    recorded: flow.recorded,
                    flow: Some((**flow).clone()),
                    ..Exchange::default()
                };
                self.exchanges.push((event.cause, exchange));
            }
            Body::ModelAnswered(answered) => {
                if let Some(cause) = event.cause {
                    self.answers.entry(cause).or_default().push((**answered).clone());
                }
            }
            _ => {}
        }
    }

    fn refused(&mut self, seq: u64, at: u64, target: String, rule: Option<String>) {
        self.exchanges.push((None, Exchange { at, seq, target, rule, ..Exchange::default() }));
    }

    /// All of them, in the order in which they began.
    pub fn exchanges(mut self) -> Vec<Exchange> {
        let mut all: Vec<Exchange> = Vec::with_capacity(self.exchanges.len());
        for (cause, mut exchange) in self.exchanges {
            if let Some(cause) = cause {
                exchange.rule = self.decided.get(&cause).cloned();
                exchange.answers = self.answers.remove(&cause).unwrap_or_default();
            }
            all.push(exchange);
        }
        all.sort_by_key(|exchange| (exchange.at, exchange.seq));
        all
    }
}
