//! What the kernel saw, for the right column: events of the ledger in a few words each.
//!
//! Owns which events a newcomer is shown, their words, and the questions the acts put to them. Does not own the events.

use ledger::event::{Access, Answered, Body, Reason, Verdict};
use ledger::{Event, OsText};

use super::scene::Scene;
use crate::render::{Tone, clean};

/// One thing that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sight {
    /// What.
    pub(super) text: String,
    /// How it is to be looked at.
    pub(super) tone: Option<Tone>,
    /// What to know beside: the rule and its words.
    pub(super) note: Option<String>,
}

/// What these events show, alike ones in a row together.
pub(super) fn sights(events: &[Event], scene: &Scene) -> Vec<Sight> {
    let mut sights: Vec<Sight> = events.iter().flat_map(|event| sight(&event.body, scene)).collect();
    sights.dedup();
    sights
}

fn sight(body: &Body, scene: &Scene) -> Vec<Sight> {
    match body {
        Body::Exec(exec) if exec.verdict == Verdict::Deny => {
            vec![denied("exec", &command(&exec.argv, scene), &exec.reasons)]
        }
        Body::Exec(exec) => vec![plain(format!("exec {}", command(&exec.argv, scene)))],
        Body::Opened(opened) => {
            let written = opened.entries.iter().filter(|entry| entry.access == Access::Write);
            written.map(|entry| plain(format!("write {}", near(&entry.path, scene)))).collect()
        }
        Body::Denied(denial) => vec![denied(&denial.what, &near(&denial.target, scene), &denial.reasons)],
        Body::Decision(decision) if decision.verdict == Verdict::Deny => {
            let text = clean(&decision.text);
            let (kind, target) = text.split_once(' ').unwrap_or(("", &text));
            let mut sight = denied(kind, target, &decision.reasons);
            if decision.need.is_some() {
                sight.note =
                    Some("no rule names this host, and nobody attends who could be asked".to_owned());
            }
            vec![sight]
        }
        Body::AskOpened(ask) => {
            vec![Sight { tone: Some(Tone::Notice), ..plain(format!("asked {}", clean(&ask.text))) }]
        }
        Body::AskAnswered(answered) => vec![answer(answered.answer)],
        Body::Outcome(outcome) if !outcome.detail.is_empty() => vec![plain(clean(&outcome.detail))],
        _ => Vec::new(),
    }
}

fn plain(text: String) -> Sight {
    Sight { text, tone: None, note: None }
}

fn denied(kind: &str, target: &str, reasons: &[Reason]) -> Sight {
    let rule = |reason: &Reason| {
        let why = reason.why.as_ref().map(|why| format!(": {}", clean(why))).unwrap_or_default();
        match policy::is_a_rule(&reason.layer, &reason.rule) || reason.rule == "default" {
            true => format!("rule {}{why}", clean(&reason.rule)),
            false => why.trim_start_matches(": ").to_owned(),
        }
    };
    Sight {
        text: format!("DENIED {} {target}", clean(kind)),
        tone: Some(Tone::Bad),
        note: reasons.first().map(rule),
    }
}

fn answer(answered: Answered) -> Sight {
    let (text, tone) = match answered {
        Answered::Allow => ("you allowed it", Tone::Good),
        Answered::Deny => ("you refused it", Tone::Bad),
        Answered::Expired => ("nobody answered: DENIED", Tone::Bad),
    };
    Sight { text: text.to_owned(), tone: Some(tone), note: None }
}

/// A command as a person would have typed it.
fn command(argv: &[OsText], scene: &Scene) -> String {
    let mut words = argv.iter().map(|word| near(word, scene));
    let program = words.next().unwrap_or_default();
    let program = program.rsplit('/').next().unwrap_or_default().to_owned();
    [program].into_iter().chain(words).collect::<Vec<_>>().join(" ")
}

/// A text with the long paths of the scratch folder left out.
fn near(text: &OsText, scene: &Scene) -> String {
    let (project, home) = (scene.project(), scene.home());
    let text = text.to_string();
    let text = text.replace(&format!("{}/", project.display()), "");
    clean(&text.replace(&home.display().to_string(), "~"))
}

/// Whether a file of the project was written.
pub(super) fn wrote(events: &[Event], file: &str) -> bool {
    let wrote = |event: &Event| match &event.body {
        Body::Opened(opened) => opened.entries.iter().any(|entry| {
            entry.access == Access::Write && entry.path.to_path().ends_with(format!("project/{file}"))
        }),
        _ => false,
    };
    events.iter().any(wrote)
}

/// Whether a command was started, or tried, that ends with these words.
pub(super) fn ran(events: &[Event], verdict: Verdict, words: &[&str]) -> bool {
    let ran = |event: &Event| match &event.body {
        Body::Exec(exec) => {
            let argv: Vec<String> = exec.argv.iter().map(OsText::to_string).collect();
            exec.verdict == verdict
                && argv.ends_with(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
        }
        _ => false,
    };
    events.iter().any(ran)
}

/// Whether a path beneath the home was refused by a rule.
pub(super) fn refused(events: &[Event], what: &str, path: &str, rule: &str) -> bool {
    let refused = |event: &Event| match &event.body {
        Body::Denied(denied) => {
            denied.what == what
                && denied.target.to_path().ends_with(path)
                && denied.reasons.iter().any(|reason| reason.rule == rule)
        }
        _ => false,
    };
    events.iter().any(refused)
}

/// Whether a host was asked about, or denied because nobody attends; and nothing was reached.
pub(super) fn held(events: &[Event], endpoint: &str, attended: bool) -> bool {
    let wanted = if attended { Verdict::Ask } else { Verdict::Deny };
    let judged = |event: &Event| match &event.body {
        Body::Decision(decision) => {
            decision.verdict == wanted && decision.text == format!("connect {endpoint}")
        }
        _ => false,
    };
    let answered = |event: &Event| matches!(event.body, Body::AskAnswered(_));
    let reached = |event: &Event| match &event.body {
        Body::Flow(flow) => flow.bytes_down > 0,
        Body::Resolved(resolved) => !resolved.allowed.is_empty(),
        _ => false,
    };
    events.iter().any(judged) && (!attended || events.iter().any(answered)) && !events.iter().any(reached)
}
