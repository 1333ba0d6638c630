//! Reading events out of leaves.
//!
//! Owns the way from bytes to an event: what all events have first, then the body that its `type` names, each straight into its
//! place. Going by way of a map, as a flattened enum does, costs several times as much, and a verifier reads millions.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::Error as _;

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
        let Envelope { v, seq, ts, mono, run, trust, cause, cut, kind } = serde_json::from_slice(leaf)?;
        Ok(Event { v, seq, ts, mono, run, trust, cause, cut, body: Body::read(&kind, leaf)? })
    }
}

macro_rules! read {
    ($kind:ident, $leaf:ident; $($name:literal => $body:ident,)*) => {
        match $kind {
            $($name => serde_json::from_slice::<$body>($leaf).map(Body::from),)*
            other => Err(serde_json::Error::custom(format!("unknown type `{other}`"))),
        }
    };
}

impl Body {
    fn read(kind: &str, leaf: &[u8]) -> Result<Body, serde_json::Error> {
        read! { kind, leaf;
            "run.opened" => RunOpened,
            "environment.recorded" => EnvironmentRecorded,
            "policy.loaded" => PolicyLoaded,
            "confinement.asked" => ConfinementAsked,
            "enforcement.given" => EnforcementGiven,
            "credential.passed" => CredentialPassed,
            "decision" => Decision,
            "ask.opened" => AskOpened,
            "ask.answered" => AskAnswered,
            "launch" => Launch,
            "exec" => Exec,
            "program" => Program,
            "opened" => Opened,
            "denied" => Denied,
            "connection" => Connection,
            "resolved" => Resolved,
            "flow" => Flow,
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
}
