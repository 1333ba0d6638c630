//! Events as leaves: the bytes that are hashed and kept.
//!
//! Owns that every event fits a leaf, whatever the inside puts into it, and that what had to be left out is said. Does not
//! own framing.

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    Body, ChangeDirect, ChangeStaged, Connected, EnvironmentRecorded, Event, Exited, LimitReached, Opened,
    PolicyLoaded,
};
use crate::hex;

/// Bytes of the largest leaf: what a C2SP entry bundle can hold.
pub const LEAF_LIMIT: usize = 65_535;
/// Bytes that a leaf seldom has more of.
const USUAL: usize = 1024;
/// Bytes that are kept of a text where an event does not fit.
const KEPT: usize = 2048;
/// Bytes of JSON that the list of one event takes before it goes on in the next.
const LIST_LIMIT: usize = 48 * 1024;

impl Event {
    /// The leaf: one line of JSON within [`LEAF_LIMIT`]. An event that does not fit has its long texts cut; one that then
    /// still does not fit gives its place to a `limit.reached` that names it.
    pub fn leaf(&self) -> Vec<u8> {
        let whole = json(self);
        if whole.len() <= LEAF_LIMIT && !whole.is_empty() {
            return whole;
        }
        let mut shortened = serde_json::to_value(self).unwrap_or_default();
        shorten(&mut shortened);
        shortened["cut"] = Value::Bool(true);
        let leaf = json(&shortened);
        if leaf.len() <= LEAF_LIMIT {
            return leaf;
        }
        let (kind, digest) =
            (shortened["type"].as_str().unwrap_or("?"), hex::encode(&Sha256::digest(&whole)));
        let what = format!("a `{kind}` of {} bytes, SHA-256 {digest}, does not fit the ledger", whole.len());
        json(&Event {
            body: LimitReached { what, ..LimitReached::default() }.into(),
            cut: true,
            ..self.clone()
        })
    }
}

impl Body {
    /// As many bodies as it takes for every list to fit an event.
    pub fn split(self) -> Vec<Body> {
        match self {
            Body::Opened(Opened { entries }) => {
                parts(entries).map(|entries| Opened { entries }.into()).collect()
            }
            Body::Exited(Exited { entries }) => {
                parts(entries).map(|entries| Exited { entries }.into()).collect()
            }
            Body::Connected(Connected { entries }) => {
                parts(entries).map(|entries| Connected { entries }.into()).collect()
            }
            Body::ChangeStaged(ChangeStaged { files }) => {
                parts(files).map(|files| ChangeStaged { files }.into()).collect()
            }
            Body::ChangeDirect(ChangeDirect { files }) => {
                parts(files).map(|files| ChangeDirect { files }.into()).collect()
            }
            Body::EnvironmentRecorded(all) => {
                let same = EnvironmentRecorded { env: Vec::new(), ..all.clone() };
                parts(all.env).map(|env| EnvironmentRecorded { env, ..same.clone() }.into()).collect()
            }
            Body::PolicyLoaded(all) => {
                let same = PolicyLoaded { layers: Vec::new(), hosts: Vec::new(), ..all.clone() };
                let layers = parts(all.layers).map(|layers| PolicyLoaded { layers, ..same.clone() }.into());
                let hosts = parts(all.hosts).filter(|hosts| !hosts.is_empty());
                layers.chain(hosts.map(|hosts| PolicyLoaded { hosts, ..same.clone() }.into())).collect()
            }
            other => vec![other],
        }
    }
}

/// Cuts a list where its JSON grows too long. An empty list is one part.
fn parts<T: Serialize>(list: Vec<T>) -> impl Iterator<Item = Vec<T>> {
    let mut parts = vec![Vec::new()];
    let mut spent = 0;
    for item in list {
        let cost = json(&item).len() + 1;
        if spent + cost > LIST_LIMIT && spent > 0 {
            parts.push(Vec::new());
            spent = 0;
        }
        spent += cost;
        if let Some(part) = parts.last_mut() {
            part.push(item);
        }
    }
    parts.into_iter()
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    // Only a map with keys that are no strings could fail, and the schema has none; an empty leaf is no event.
    let mut json = Vec::with_capacity(USUAL);
    match serde_json::to_writer(&mut json, value) {
        Ok(()) => json,
        Err(_) => Vec::new(),
    }
}

fn shorten(value: &mut Value) {
    match value {
        Value::String(text) if text.len() > KEPT => {
            let kept = whole_escapes(text, KEPT);
            let rest = &text[kept..];
            let cut = format!("\\+{}:{}", rest.len(), hex::encode(&Sha256::digest(rest)));
            text.truncate(kept);
            text.push_str(&cut);
        }
        Value::Array(items) => items.iter_mut().for_each(shorten),
        Value::Object(members) => members.values_mut().for_each(shorten),
        _ => {}
    }
}

/// The largest prefix within `limit` bytes that ends in the middle of no character and of no escape of an `OsText`.
fn whole_escapes(text: &str, limit: usize) -> usize {
    let mut end = 0;
    while end < text.len() {
        let rest = &text[end..];
        let step = match rest.as_bytes() {
            [b'\\', b'\\', ..] => 2,
            [b'\\', b'x', _, _, ..] if rest.is_char_boundary(4) => 4,
            [b'\\', b'+', ..] => break,
            _ => rest.chars().next().map_or(1, char::len_utf8),
        };
        if end + step > limit {
            break;
        }
        end += step;
    }
    end
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Trust;
    use crate::event::{Access, Denied, OpenEntry, OsText, RequestInside, StagedFile, words};

    pub(in crate::event) fn event(body: impl Into<Body>) -> Event {
        let run = "0000000-000".to_owned();
        Event {
            v: 1,
            seq: 7,
            ts: 1,
            mono: 2,
            run,
            trust: Trust::Observed,
            cause: Some(3),
            cut: false,
            body: body.into(),
        }
    }

    #[test]
    fn a_leaf_comes_back() {
        let one = event(Denied { what: "exec".into(), target: OsText::new(b"a\xff"), ..Denied::default() });
        assert_eq!(Event::read(&one.leaf()).unwrap(), one);
    }

    #[test]
    fn a_text_the_agent_made_endless_is_cut_and_the_rest_stays() {
        let request =
            RequestInside { what: "question".into(), text: "\\".repeat(500_000), why: "é".repeat(90_000) };
        let leaf = event(request).leaf();
        let back = Event::read(&leaf).unwrap();
        assert!(back.cut && leaf.len() < LEAF_LIMIT);
        let Body::RequestInside(kept) = back.body else { panic!("another type") };
        assert_eq!(kept.what, "question");
        assert!(kept.why.starts_with("éé") && kept.why.contains("\\+"));
    }

    #[test]
    fn what_does_not_fit_at_all_leaves_its_digest_in_its_place() {
        let entries =
            vec![OpenEntry { pid: 1, access: Access::Read, act: None, path: "/x".into(), count: 1 }; 5000];
        let leaf = event(Opened { entries }).leaf();
        let back = Event::read(&leaf).unwrap();
        let Body::LimitReached(LimitReached { what, .. }) = back.body else { panic!("another type") };
        assert!(what.starts_with("a `opened` of ") && what.contains("SHA-256"), "{what}");
        assert_eq!(back.seq, 7);
    }

    #[test]
    fn long_lists_go_on_in_the_next_event() {
        let file = StagedFile {
            path: "src/main.rs".into(),
            change: crate::event::Change::Modified,
            added: 1,
            removed: 0,
            size: 10,
            handoff: false,
            why: None,
            risk: None,
            digest: None,
        };
        let parts = Body::from(ChangeStaged { files: vec![file; 3000] }).split();
        assert!(parts.len() > 3);
        let mut files = 0;
        for part in parts {
            let one = event(part);
            let Body::ChangeStaged(staged) = &one.body else { panic!("another type") };
            files += staged.files.len();
            assert_eq!(Event::read(&one.leaf()).unwrap(), one);
        }
        assert_eq!(files, 3000);
        assert_eq!(Body::from(Opened::default()).split().len(), 1);
    }

    proptest! {
        #[test]
        fn any_event_fits_and_reads_back(
            target in prop::collection::vec(any::<u8>(), 0..9000),
            argv in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9000), 0..9),
            why in ".{0,9000}",
        ) {
            let exec = super::super::Exec {
                program: OsText::new(&target),
                argv: words(&argv),
                env: words(&argv),
                cwd: OsText::new(&target),
                reasons: vec![crate::event::Reason { why: Some(why), ..Default::default() }; 3],
                ..Default::default()
            };
            let leaf = event(exec).leaf();
            prop_assert!(leaf.len() <= LEAF_LIMIT);
            let back = Event::read(&leaf).unwrap();
            prop_assert!(matches!(back.body, Body::Exec(_)));
        }
    }
}
