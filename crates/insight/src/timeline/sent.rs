//! The bodies of requests that left for one place.
//!
//! Owns which of them are kept apart: all of a usual run, and the largest of one that sends more. Does not own their digests (`gateway`).

use std::collections::BTreeMap;

use ledger::event::Flow;

/// Bodies that are kept apart for one place.
const KEPT: usize = 1024;

/// What left for one place in the bodies of requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sent {
    /// How many.
    pub bodies: u64,
    /// Their bytes.
    pub bytes: u64,
    kept: BTreeMap<String, SentBody>,
}

/// One body, however often it was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SentBody {
    /// Its SHA-256.
    pub sha256: String,
    /// Its bytes.
    pub bytes: u64,
    /// How often it was sent.
    pub times: u64,
    /// Whether it broke off.
    pub cut: bool,
    /// The method and path of the first request with it.
    pub first: String,
}

impl Sent {
    pub(super) fn add(&mut self, flow: &Flow) {
        let Some(sent) = &flow.sent else { return };
        self.bodies += 1;
        self.bytes += sent.bytes;
        if let Some(known) = self.kept.get_mut(&sent.sha256) {
            known.times += 1;
            return;
        }
        let said = |text: &Option<String>| text.clone().unwrap_or_default();
        let first = format!("{} {}", said(&flow.method), said(&flow.path));
        let body =
            SentBody { sha256: sent.sha256.clone(), bytes: sent.bytes, times: 1, cut: sent.cut, first };
        self.kept.insert(sent.sha256.clone(), body);
        if self.kept.len() > KEPT {
            let least = self.kept.values().min_by_key(|body| body.bytes).map(|body| body.sha256.clone());
            least.and_then(|least| self.kept.remove(&least));
        }
    }

    /// Those that are kept apart, the largest first.
    pub fn largest(&self) -> Vec<&SentBody> {
        let mut all: Vec<&SentBody> = self.kept.values().collect();
        all.sort_by_key(|body| std::cmp::Reverse(body.bytes));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::event;

    #[test]
    fn bodies_are_counted_and_the_largest_are_kept() {
        let mut sent = Sent::default();
        let flow = |bytes: u64| Flow {
            endpoint: "a:1".into(),
            bytes_up: 0,
            bytes_down: 0,
            ms: 0,
            status: None,
            method: Some("PUT".into()),
            path: Some("/a".into()),
            sent: Some(event::SentBody { bytes, sha256: format!("{bytes:064}"), cut: false }),
            recorded: None,
            outcome: "closed".into(),
        };
        (1..=2_000).for_each(|bytes| sent.add(&flow(bytes)));
        sent.add(&flow(2_000));
        let largest = sent.largest();
        assert_eq!((sent.bodies, sent.bytes, largest.len()), (2_001, 2_003_000, KEPT));
        assert_eq!((largest[0].bytes, largest[0].times, largest[0].first.as_str()), (2_000, 2, "PUT /a"));
        assert_eq!(largest.last().unwrap().bytes, 2_000 - KEPT as u64 + 1);
    }
}
