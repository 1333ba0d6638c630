//! Reading events out of leaves.
//!
//! Owns the way from bytes to an event: what all events have and the body that its `type` names, each straight into its place. Going
//! by way of a map, as a flattened enum does, costs several times as much, and a verifier reads millions.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::value::{CowStrDeserializer, MapAccessDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};

use super::*;

/// The members of every event.
#[derive(Deserialize)]
struct Envelope<'l> {
    v: u8,
    seq: u64,
    ts: u64,
    mono: u64,
    run: String,
    trust: Trust,
    #[serde(default)]
    cause: Option<u64>,
    #[serde(default)]
    cut: bool,
    #[serde(rename = "type", borrow)]
    kind: Cow<'l, str>,
}

impl Event {
    /// Reads a leaf.
    ///
    /// # Errors
    /// It is no event of this schema.
    pub fn read(leaf: &[u8]) -> Result<Event, serde_json::Error> {
        if let Some(Read { v, seq, ts, mono, run, trust, cause, cut, body }) = once(leaf) {
            return Ok(Event { v, seq, ts, mono, run: run.into(), trust, cause, cut, body });
        }
        let Envelope { v, seq, ts, mono, run, trust, cause, cut, kind } = serde_json::from_slice(leaf)?;
        Ok(Event { v, seq, ts, mono, run, trust, cause, cut, body: Body::read(&kind, leaf)? })
    }
}

macro_rules! bodies {
    ($($name:literal => $body:ident,)*) => {
        impl Body {
            fn read(kind: &str, leaf: &[u8]) -> Result<Body, serde_json::Error> {
                match kind {
                    $($name => serde_json::from_slice::<$body>(leaf).map(Body::from),)*
                    other => Err(serde_json::Error::custom(format!("unknown type `{other}`"))),
                }
            }
        }

        impl<'de> Bodies<'de> for Body {
            fn of<A: MapAccess<'de>>(kind: &str, members: A) -> Result<Body, A::Error> {
                let members = MapAccessDeserializer::new(members);
                match kind {
                    $($name => $body::deserialize(members).map(Body::from),)*
                    other => Err(A::Error::custom(format!("unknown type `{other}`"))),
                }
            }
        }
    };
}

bodies! {
    "run.opened" => RunOpened,
    "environment.recorded" => EnvironmentRecorded,
    "policy.loaded" => PolicyLoaded,
    "confinement.asked" => ConfinementAsked,
    "enforcement.given" => EnforcementGiven,
    "credential.passed" => CredentialPassed,
    "decision" => Decision,
    "ask.opened" => AskOpened,
    "ask.answered" => AskAnswered,
    "grant.given" => GrantGiven,
    "grant.ended" => GrantEnded,
    "launch" => Launch,
    "exec" => Exec,
    "program" => Program,
    "opened" => Opened,
    "exited" => Exited,
    "connected" => Connected,
    "denied" => Denied,
    "connection" => Connection,
    "resolved" => Resolved,
    "flow" => Flow,
    "model.answered" => ModelAnswered,
    "login.refresh" => LoginRefresh,
    "cassette.closed" => CassetteClosed,
    "request.inside" => RequestInside,
    "terminal.filtered" => TerminalFiltered,
    "workspace.moved" => WorkspaceMoved,
    "change.staged" => ChangeStaged,
    "preimages.kept" => PreimagesKept,
    "change.direct" => ChangeDirect,
    "change.accepted" => ChangeAccepted,
    "change.rejected" => ChangeRejected,
    "landed" => Landed,
    "land.refused" => LandRefused,
    "land.recovered" => LandRecovered,
    "undone" => Undone,
    "commits.staged" => CommitsStaged,
    "ref.moved" => RefMoved,
    "discarded" => Discarded,
    "limit.reached" => LimitReached,
    "run.interrupted" => RunInterrupted,
    "run.reopened" => RunReopened,
    "run.ended" => RunEnded,
    "outcome" => Outcome,
}

/// What is made of an event's body.
pub(crate) trait Bodies<'de>: Sized {
    /// Reads the members of the body of such an event.
    fn of<A: MapAccess<'de>>(kind: &str, members: A) -> Result<Self, A::Error>;
}

/// An event of which the body is read as something.
#[derive(Debug)]
pub(crate) struct Read<'de, B> {
    pub(crate) v: u8,
    pub(crate) seq: u64,
    pub(crate) ts: u64,
    pub(crate) mono: u64,
    pub(crate) run: Cow<'de, str>,
    pub(crate) trust: Trust,
    pub(crate) cause: Option<u64>,
    pub(crate) cut: bool,
    pub(crate) body: B,
}

/// Reads a leaf whose members stand in the order in which they are written: the body after its `type`. `None` for any other, which
/// may be an event all the same: then it takes two looks, and it takes them to say what is wrong.
pub(crate) fn once<'de, B: Bodies<'de>>(leaf: &'de [u8]) -> Option<Read<'de, B>> {
    let mut json = serde_json::Deserializer::from_str(std::str::from_utf8(leaf).ok()?);
    let read = json.deserialize_map(Once(std::marker::PhantomData)).ok()?;
    json.end().ok()?;
    Some(read)
}

struct Once<B>(std::marker::PhantomData<B>);

impl<'de, B: Bodies<'de>> Visitor<'de> for Once<B> {
    type Value = Read<'de, B>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Members::default();
        while let Some(Text(key)) = map.next_key()? {
            if key == "type" {
                let Text(kind) = map.next_value()?;
                let body = B::of(&kind, Rest { map, members: &mut members })?;
                return members.with(body).ok_or_else(|| A::Error::custom("a member is missing"));
            }
            if !members.take(&key, &mut map)? {
                return Err(A::Error::custom("a member of the body before its type"));
            }
        }
        Err(A::Error::missing_field("type"))
    }
}

/// The members of every event, as far as they were come upon.
#[derive(Default)]
struct Members<'de> {
    v: Option<u8>,
    seq: Option<u64>,
    ts: Option<u64>,
    mono: Option<u64>,
    run: Option<Text<'de>>,
    trust: Option<Trust>,
    cause: Option<Option<u64>>,
    cut: Option<bool>,
}

impl<'de> Members<'de> {
    /// Takes the value behind `key` if it is one of them.
    fn take<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "v" => first(&mut self.v, map)?,
            "seq" => first(&mut self.seq, map)?,
            "ts" => first(&mut self.ts, map)?,
            "mono" => first(&mut self.mono, map)?,
            "run" => first(&mut self.run, map)?,
            "trust" => first(&mut self.trust, map)?,
            "cause" => first(&mut self.cause, map)?,
            "cut" => first(&mut self.cut, map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn with<B>(self, body: B) -> Option<Read<'de, B>> {
        Some(Read {
            v: self.v?,
            seq: self.seq?,
            ts: self.ts?,
            mono: self.mono?,
            run: self.run?.0,
            trust: self.trust?,
            cause: self.cause.unwrap_or_default(),
            cut: self.cut.unwrap_or_default(),
            body,
        })
    }
}

/// Takes a value into its place, which nothing was put into before.
fn first<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    place: &mut Option<T>,
    map: &mut A,
) -> Result<(), A::Error> {
    if place.is_some() {
        return Err(A::Error::custom("a member twice"));
    }
    *place = Some(map.next_value()?);
    Ok(())
}

/// The members behind `type`: the body gets those that are not every event's.
struct Rest<'m, 'de, A> {
    map: A,
    members: &'m mut Members<'de>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Rest<'_, 'de, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        while let Some(Text(key)) = self.map.next_key()? {
            if key == "type" {
                return Err(A::Error::duplicate_field("type"));
            }
            if !self.members.take(&key, &mut self.map)? {
                return seed.deserialize(CowStrDeserializer::new(key)).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

/// A text where it stands, unless JSON spells it otherwise than it is.
#[derive(Debug)]
pub(crate) struct Text<'de>(pub(crate) Cow<'de, str>);

impl<'de: 'l, 'l> Deserialize<'de> for Text<'l> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text<'l>, D::Error> {
        struct Stands;
        impl<'de> Visitor<'de> for Stands {
            type Value = Text<'de>;

            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Stands)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_that_nobody_knows_is_no_event() {
        let leaf = r#"{"v":1,"seq":0,"ts":1,"mono":1,"run":"a","trust":"observed","type":"launched"}"#;
        assert!(Event::read(leaf.as_bytes()).unwrap_err().to_string().contains("unknown type `launched`"));
    }

    #[test]
    fn a_leaf_that_says_a_thing_twice_or_not_at_all_is_no_event() {
        let leaf =
            r#"{"v":1,"seq":0,"ts":1,"mono":1,"run":"a","trust":"observed","type":"discarded","files":1}"#;
        assert!(Event::read(leaf.as_bytes()).is_ok());
        for (from, to) in [
            (r#""v":1"#, r#""v":1,"v":1"#),
            (r#""files":1"#, r#""files":1,"files":2"#),
            (r#""type":"discarded""#, r#""type":"discarded","type":"launch""#),
            (r#","type":"discarded""#, ""),
            (r#","files":1"#, ""),
            (r#""files":1}"#, r#""files":1}x"#),
        ] {
            assert!(Event::read(leaf.replace(from, to).as_bytes()).is_err(), "{to}");
        }
    }

    #[test]
    fn the_order_of_members_is_nobodys_business() {
        let leaf =
            r#"{"v":1,"seq":7,"ts":1,"mono":1,"run":"a","trust":"observed","type":"discarded","files":1}"#;
        let told = Event::read(leaf.as_bytes()).unwrap();
        for other in [
            r#"{"files":1,"type":"discarded","trust":"observed","run":"a","mono":1,"ts":1,"seq":7,"v":1}"#,
            r#"{"type":"discarded","files":1,"trust":"observed","run":"a","mono":1,"ts":1,"seq":7,"v":1}"#,
            r#"{"v":1,"type":"d\u0069scarded","f\u0069les":1,"trust":"observed","run":"\u0061","mono":1,"ts":1,"seq":7}"#,
            r#"{"v":1,"type":"discarded","x":[1,{"type":2}],"files":1,"trust":"observed","run":"a","mono":1,"ts":1,"seq":7}"#,
        ] {
            assert_eq!(Event::read(other.as_bytes()).unwrap(), told, "{other}");
        }
    }
}
