//! Beside an answer while it passes: reads it, counts it, ends it where the budget ends, and records it when it is over.
//!
//! A [`Tap`] that is dropped is an answer that is over: none goes uncounted.

use super::answer::Reader;
use super::api::Api;
use super::budget::{Budget, Exceeded, Spent};
use admission::Admission;
use bytes::Bytes;
use ledger::Trust;
use ledger::event::{LimitReached, ModelAnswered, ModelCall};
use std::sync::Arc;

/// Who is asked, and on what account.
#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) budget: Arc<Budget>,
    pub(crate) admission: Admission,
    /// Host and port.
    pub(crate) endpoint: String,
    /// The decision about the request.
    pub(crate) cause: Option<u64>,
}

/// Beside one answer.
pub(crate) struct Tap {
    api: Api,
    account: Account,
    reader: Option<Reader>,
    /// The model that was asked for, until the answer names one.
    model: String,
    counted: Spent,
    streams: bool,
}

impl Tap {
    /// Beside the answer to a question to this model.
    pub(crate) fn new(api: Api, account: Account, model: String, content_type: &str) -> Tap {
        let reader = Reader::new(api, content_type);
        let streams = reader.is_stream();
        Tap { api, account, reader: Some(reader), model, counted: Spent::default(), streams }
    }

    /// The next bytes of the answer; what is to be said in their stead, where they would be too many.
    pub(crate) fn piece(&mut self, piece: &[u8]) -> Option<Bytes> {
        self.reader.as_mut()?.piece(piece);
        let exceeded = self.grown()?;
        Some(self.api.last_words(&exceeded.says()))
    }

    /// The next message of the answer; what is exceeded, where it would be too much.
    pub(crate) fn message(&mut self, message: &[u8]) -> Option<Exceeded> {
        self.reader.as_mut()?.event(message);
        self.grown()
    }

    /// Whether the answer has come to its end.
    pub(crate) fn is_over(&self) -> bool {
        self.reader.as_ref().is_none_or(Reader::told)
    }

    fn grown(&mut self) -> Option<Exceeded> {
        let reader = self.reader.as_ref()?;
        let (now, _) = self.account.budget.sum(&self.model, &reader.so_far());
        self.account.budget.grows(std::mem::replace(&mut self.counted, now), now);
        let exceeded = self.account.budget.exceeded(Spent::default()).filter(|_| self.streams)?;
        // One that is at its end has cost what it costs, and is worth more than what is cut off.
        if self.is_over() {
            return None;
        }
        self.account.note(&exceeded);
        self.over();
        Some(exceeded)
    }

    fn over(&mut self) {
        let Some(answered) = self.reader.take().map(Reader::end) else { return };
        let model = if answered.model.is_empty() { std::mem::take(&mut self.model) } else { answered.model };
        let usage = answered.usage;
        let (sum, known) = self.account.budget.sum(&model, &usage);
        self.account.budget.grows(std::mem::replace(&mut self.counted, sum), sum);
        let calls = answered.calls.into_iter().map(|call| ModelCall { id: call.id, name: call.name });
        let event = ModelAnswered {
            endpoint: self.account.endpoint.clone(),
            model,
            input: usage.input,
            cache_read: usage.cache_read,
            cache_write: usage.cache_write.saturating_add(usage.cache_write_long),
            output: usage.output,
            searches: usage.searches,
            cost: sum.cost,
            estimated: answered.estimated,
            unpriced: !known,
            calls: calls.collect(),
        };
        // A ledger that takes nothing more is noticed by whoever wants a permit next.
        let _ = self.account.admission.note(event.into(), Trust::Observed, self.account.cause);
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.over();
    }
}

impl Account {
    /// Records that there is no more, once.
    pub(crate) fn note(&self, exceeded: &Exceeded) {
        if !self.budget.is_news() {
            return;
        }
        let event = LimitReached {
            what: exceeded.says(),
            limit: Some(exceeded.limit.word().to_owned()),
            allowed: Some(exceeded.bound.most),
            used: Some(exceeded.used),
            done: Some("refused".to_owned()),
            set_by: Some(exceeded.bound.by.clone()),
        };
        let _ = self.admission.note(event.into(), Trust::Observed, self.cause);
    }
}
