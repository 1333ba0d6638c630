//! What the story needs of an event.
//!
//! Pure. Owns how that is found out, once, by whichever thread looks at the event; of the events that a run has most of, without a copy
//! of their texts. Does not own what must have come before what (`story`).

use serde::de::MapAccess;
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::action::ActionRecord;
use crate::event::{
    Access, Answered, Bodies, Body, Event, GrantScope, NameAct, OsText, Read, Reason, Spelled, Text, Trust,
    Verdict,
};
use crate::hex;

/// The kind of an `exec`, and what a request is that puts a question.
const EXEC: &str = "exec";
const QUESTION: &str = "question";

/// What the story needs of an event.
#[derive(Debug)]
pub(crate) struct Gist {
    pub(super) seq: u64,
    pub(super) cause: Option<u64>,
    pub(super) reported: bool,
    pub(super) act: Act,
}

/// What a decision can permit that has an event of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Launch,
    Land,
    Dial,
    /// What it permits is told by its outcome, or not at all.
    Untold,
}

impl Deed {
    fn of(action: &ActionRecord) -> Deed {
        match action {
            ActionRecord::Launch(_) => Deed::Launch,
            ActionRecord::Land { .. } => Deed::Land,
            ActionRecord::Connect { .. } | ActionRecord::Http { .. } => Deed::Dial,
            ActionRecord::Exec(_)
            | ActionRecord::Read { .. }
            | ActionRecord::Write { .. }
            | ActionRecord::Tool { .. }
            | ActionRecord::Credential { .. }
            | ActionRecord::Spend { .. } => Deed::Untold,
        }
    }
}

/// An action by its kind and digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) kind: &'static str,
    pub(super) digest: String,
}

impl Held {
    fn of(action: &ActionRecord, digest: &str, verdict: Verdict, grant: Option<&String>) -> Option<Held> {
        let kind = action.kind();
        (verdict == Verdict::Ask || grant.is_some()).then(|| Held { kind, digest: digest.to_owned() })
    }
}

#[derive(Debug)]
pub(super) enum Act {
    Opened {
        workspace: Option<Vec<u8>>,
    },
    Ended,
    Interrupted,
    Reopened,
    Policy,
    Decision {
        permits: Deed,
        verdict: Verdict,
        about: Option<Vec<u8>>,
        true_digest: bool,
        /// The kind and the digest of the action, where an answer or a grant must be about it.
        held: Option<Held>,
        /// The grant that allowed it.
        grant: Option<String>,
    },
    Ask {
        ask: String,
        decision: u64,
    },
    Answer {
        ask: String,
        decision: u64,
        allow: bool,
        also: Vec<u64>,
    },
    Given {
        grant: String,
        decision: u64,
        exact: bool,
        uses: Option<u64>,
    },
    Over {
        grant: String,
    },
    /// The agent put a question to a person.
    Question,
    /// A person said something about a change.
    Said,
    Launch {
        argv: Option<Vec<u8>>,
    },
    Landed {
        path: Option<Vec<u8>>,
    },
    Dialled {
        endpoint: String,
    },
    Outcome {
        of: u64,
    },
    /// Something of what passed was recorded, or the recording is closed or thrown away.
    Tape(Taped),
    Other,
}

/// What a ledger says of recorded traffic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Taped {
    /// Nothing.
    #[default]
    Nothing,
    /// There is some, and no digest of it.
    Open,
    /// There is some, with this SHA-256.
    Closed([u8; 32]),
    /// It was thrown away.
    Discarded,
}

impl Gist {
    pub(crate) fn of(event: &Event) -> Gist {
        let reported = event.trust == Trust::Reported;
        Gist { seq: event.seq, cause: event.cause, reported, act: act(&event.body, event.cut) }
    }

    /// The same of an event that was sketched.
    pub(crate) fn of_sketch(event: &Read<'_, Sketch<'_>>) -> Gist {
        let act = match &event.body {
            Sketch::Exec(exec) => exec.act(event.cut),
            Sketch::Opened => Act::Other,
            Sketch::Whole(body) => act(body, event.cut),
        };
        Gist { seq: event.seq, cause: event.cause, reported: event.trust == Trust::Reported, act }
    }
}

fn act(body: &Body, cut: bool) -> Act {
    // What was cut can be held against nothing; that it was cut is said in the event.
    let whole = |text: &OsText| (!cut && text.is_whole()).then(|| text.as_bytes().to_vec());
    match body {
        Body::RunOpened(opened) => Act::Opened { workspace: whole(&opened.workspace) },
        Body::RunEnded(_) => Act::Ended,
        Body::RunInterrupted(_) => Act::Interrupted,
        Body::RunReopened(_) => Act::Reopened,
        Body::PolicyLoaded(_) => Act::Policy,
        Body::Decision(decision) => Act::Decision {
            permits: Deed::of(&decision.action),
            verdict: decision.verdict,
            about: if cut { None } else { about(&decision.action) },
            true_digest: cut || decision.action.digest() == decision.digest,
            held: Held::of(&decision.action, &decision.digest, decision.verdict, decision.grant.as_ref()),
            grant: decision.grant.clone(),
        },
        Body::Exec(exec) => Act::Decision {
            permits: Deed::Untold,
            verdict: exec.verdict,
            about: None,
            true_digest: cut || exec.action().digest() == exec.digest,
            held: (exec.verdict == Verdict::Ask || exec.grant.is_some())
                .then(|| Held { kind: EXEC, digest: exec.digest.clone() }),
            grant: exec.grant.clone(),
        },
        Body::AskOpened(ask) => Act::Ask { ask: ask.ask.clone(), decision: ask.decision },
        Body::AskAnswered(answer) => {
            let allow = answer.answer == Answered::Allow;
            let (ask, decision, also) = (answer.ask.clone(), answer.decision, answer.also.clone());
            Act::Answer { ask, decision, allow, also }
        }
        Body::GrantGiven(given) => Act::Given {
            grant: given.grant.clone(),
            decision: given.decision,
            exact: given.scope == GrantScope::Run,
            uses: given.uses,
        },
        Body::GrantEnded(ended) => Act::Over { grant: ended.grant.clone() },
        Body::RequestInside(request) if request.what == QUESTION => Act::Question,
        Body::Launch(launch) => Act::Launch { argv: if cut { None } else { words(&launch.argv) } },
        Body::Landed(landed) => Act::Landed { path: whole(&landed.path) },
        Body::Undone(undone) => Act::Landed { path: whole(&undone.path) },
        // Judged as what it is to git: a path in the workspace's git folder.
        Body::RefMoved(moved) => Act::Landed { path: Some([b".git/", moved.name.as_bytes()].concat()) },
        Body::ChangeAccepted(_) | Body::ChangeRejected(_) => Act::Said,
        Body::Resolved(resolved) if !resolved.allowed.is_empty() => {
            Act::Dialled { endpoint: resolved.endpoint.clone() }
        }
        Body::Outcome(outcome) => Act::Outcome { of: outcome.of },
        Body::Flow(flow) if flow.recorded.is_some() => Act::Tape(Taped::Open),
        Body::CassetteClosed(closed) => {
            let sha256 = hex::decode(&closed.sha256).and_then(|sha256| sha256.try_into().ok());
            Act::Tape(sha256.map_or(Taped::Open, Taped::Closed))
        }
        Body::Discarded(discarded) if discarded.cassette => Act::Tape(Taped::Discarded),
        _ => Act::Other,
    }
}

/// What an action is about that its deed must be about as well; `None` where there is no deed to compare, or it was cut.
fn about(action: &ActionRecord) -> Option<Vec<u8>> {
    match action {
        ActionRecord::Launch(command) => words(&command.argv),
        ActionRecord::Land { path } => path.is_whole().then(|| path.as_bytes().to_vec()),
        ActionRecord::Connect { endpoint } | ActionRecord::Http { endpoint, .. } => {
            Some(endpoint.clone().into_bytes())
        }
        _ => None,
    }
}

/// Arguments as one text: none of them holds a NUL.
fn words(argv: &[OsText]) -> Option<Vec<u8>> {
    let whole = argv.iter().all(OsText::is_whole);
    whole.then(|| argv.iter().flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect())
}

/// An event's body, read no further than the story and the schema ask for.
#[derive(Debug)]
pub(crate) enum Sketch<'l> {
    Exec(Box<ExecSketch<'l>>),
    Opened,
    Whole(Box<Body>),
}

/// An [`Exec`](crate::Exec) whose texts stay where they stand. What is no `Exec` is no sketch of one.
#[derive(Debug, Deserialize)]
pub(crate) struct ExecSketch<'l> {
    #[serde(rename = "pid")]
    _pid: u32,
    #[serde(rename = "ppid")]
    _ppid: u32,
    #[serde(borrow)]
    program: Spelled<'l>,
    #[serde(borrow)]
    argv: Vec<Spelled<'l>>,
    #[serde(default, borrow)]
    env: Vec<Spelled<'l>>,
    #[serde(rename = "cwd", borrow)]
    _cwd: Spelled<'l>,
    #[serde(borrow)]
    digest: Text<'l>,
    verdict: Verdict,
    #[serde(default, rename = "need", borrow)]
    _need: Option<Text<'l>>,
    #[serde(default, rename = "reasons")]
    _reasons: Vec<Reason>,
    #[serde(rename = "default_applied")]
    _default_applied: bool,
    #[serde(default, borrow)]
    grant: Option<Text<'l>>,
}

/// An [`Opened`](crate::Opened) of which nothing is kept.
#[derive(Debug, Deserialize)]
struct OpenedSketch<'l> {
    #[serde(rename = "entries", borrow)]
    _entries: Vec<OpenSketch<'l>>,
}

#[derive(Debug, Deserialize)]
struct OpenSketch<'l> {
    #[serde(rename = "pid")]
    _pid: u32,
    #[serde(rename = "access")]
    _access: Access,
    #[serde(default, rename = "act")]
    _act: Option<NameAct>,
    #[serde(rename = "path", borrow)]
    _path: Spelled<'l>,
    #[serde(rename = "count")]
    _count: u64,
}

impl<'l> Bodies<'l> for Sketch<'l> {
    fn of<A: MapAccess<'l>>(kind: &str, members: A) -> Result<Sketch<'l>, A::Error> {
        match kind {
            "exec" => Box::deserialize(MapAccessDeserializer::new(members)).map(Sketch::Exec),
            "opened" => {
                OpenedSketch::deserialize(MapAccessDeserializer::new(members)).map(|_| Sketch::Opened)
            }
            _ => Body::of(kind, members).map(|body| Sketch::Whole(Box::new(body))),
        }
    }
}

impl ExecSketch<'_> {
    fn act(&self, cut: bool) -> Act {
        let true_digest = cut || hex::spells(&self.digest.0, &Sha256::digest(self.action()));
        let grant = self.grant.as_ref().map(|grant| grant.0.as_ref().to_owned());
        let is_held = self.verdict == Verdict::Ask || grant.is_some();
        let held = is_held.then(|| Held { kind: EXEC, digest: self.digest.0.as_ref().to_owned() });
        Act::Decision { permits: Deed::Untold, verdict: self.verdict, about: None, true_digest, held, grant }
    }

    /// The action's canonical JSON. A text has one spelling, so that it stands in it as it stood in the event.
    fn action(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Action<'a, 'l> {
            kind: &'static str,
            program: &'a Spelled<'l>,
            argv: &'a [Spelled<'l>],
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            env: &'a [Spelled<'l>],
        }
        let mut json = Vec::with_capacity(512);
        let action = Action { kind: "exec", program: &self.program, argv: &self.argv, env: &self.env };
        // Strings under string keys, and a list in memory, which takes them all.
        let _ = serde_json::to_writer(&mut json, &action);
        json
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::{Exec, OpenEntry, Opened, once, words};

    fn leaf(body: impl Into<Body>, cut: bool) -> Vec<u8> {
        let (run, trust) = ("a".to_owned(), Trust::Observed);
        Event { v: 1, seq: 7, ts: 1, mono: 2, run, trust, cause: Some(3), cut, body: body.into() }.leaf()
    }

    fn execs(argv: &[Vec<u8>], why: Option<String>, verdict: Verdict) -> Exec {
        let program = OsText::new(argv.first().map_or(b"/bin/true", |word| word));
        let reasons = vec![Reason { why, ..Reason::default() }];
        let mut exec =
            Exec { program, argv: words(argv), env: words(argv), verdict, reasons, ..Exec::default() };
        exec.digest = exec.action().digest();
        exec
    }

    /// A leaf is sketched as what it is when it is read, or not at all; what is no event is no sketch of one.
    fn same(leaf: &[u8]) -> bool {
        let read = Event::read(leaf).ok().map(|event| format!("{:?}", Gist::of(&event)));
        let sketched = once(leaf).map(|event| format!("{:?}", Gist::of_sketch(&event)));
        sketched.is_none() || sketched == read
    }

    fn sketched(leaf: &[u8]) -> Option<Gist> {
        once(leaf).map(|event| Gist::of_sketch(&event))
    }

    #[test]
    fn an_event_is_sketched_as_it_would_be_read() {
        let argv = [b"/bin/\xff".to_vec(), b"a\\b\"\n".to_vec(), "\u{e9}".into()];
        let exec = execs(&argv, Some("\"".into()), Verdict::Allow);
        let false_digest = Exec { digest: Exec::default().action().digest(), ..exec.clone() };
        for (exec, cut) in
            [(exec.clone(), false), (exec, true), (false_digest.clone(), false), (false_digest, true)]
        {
            let is_true = cut || exec.action().digest() == exec.digest;
            let leaf = leaf(exec, cut);
            assert!(same(&leaf));
            let act = sketched(&leaf).map(|gist| gist.act);
            assert!(
                matches!(act, Some(Act::Decision { true_digest, .. }) if true_digest == is_true),
                "{act:?}"
            );
        }
        let entries =
            vec![OpenEntry { pid: 1, access: Access::Read, act: None, path: "/x".into(), count: 1 }];
        let opened = leaf(Opened { entries }, false);
        assert!(same(&opened) && sketched(&opened).is_some());
    }

    proptest! {
        #[test]
        fn what_is_changed_in_a_leaf_is_sketched_as_it_would_be_read_or_not_at_all(
            argv in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..5),
            why in proptest::option::of(".{0,20}"),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
            opened in any::<bool>(),
            made in any::<bool>(),
        ) {
            let paths = argv.iter().map(|path| OsText::new(path));
            let entry = |path| OpenEntry { pid: 1, access: Access::Write, act: made.then_some(NameAct::Made), path, count: 1 };
            let mut leaf = match opened {
                true => leaf(Opened { entries: paths.map(entry).collect() }, false),
                false => leaf(execs(&argv, why, Verdict::Ask), false),
            };
            prop_assert!(same(&leaf) && sketched(&leaf).is_some());
            let at = at.index(leaf.len());
            leaf[at] = byte;
            prop_assert!(same(&leaf));
            leaf.remove(at);
            prop_assert!(same(&leaf));
        }
    }
}
