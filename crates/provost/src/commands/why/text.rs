//! The answer as a person reads it: from what was asked back to who said yes.
//!
//! Owns that order. Does not own what is in it.

use super::Answer;
use super::trail::{FileTrail, RunTrail, Told};
use crate::render::{Paint, Tone, clean};
use crate::workspace::short;

/// The lines.
pub(super) fn lines(answer: &Answer, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(line) = &answer.line {
        let place = format!("{}:{}", clean(&line.path.to_string()), line.number);
        lines.push(format!("{}  {}", paint.on(Tone::Strong, place), line.text));
        if line.committed == Some(false) {
            lines.push(row(paint, "commit", "not committed yet"));
        }
    }
    if let Some(commit) = &answer.commit {
        let by = match commit.by {
            "provost" => "written by provost apply",
            "run" => "made by the agent in its run",
            _ => "by no run that is known here",
        };
        let id = short(&commit.id);
        lines.push(row(paint, "commit", &format!("{id} {}, by {}; {by}", commit.subject, commit.author)));
        match commit.ledger_holds {
            Some(true) => lines.push(row(paint, "ledger", "has the root that the commit names")),
            Some(false) => {
                let text = paint.on(Tone::Bad, "does not have the root that the commit names");
                lines.push(row(paint, "ledger", &text));
            }
            None => {}
        }
    }
    answer.causes.iter().for_each(|told| lines.push(event(paint, "because", told)));
    lines.extend(answer.event.as_ref().map(|told| event(paint, "event", told)));
    answer.effects.iter().for_each(|told| lines.push(event(paint, "then", told)));
    lines.extend(answer.run.iter().flat_map(|told| run(told, paint)));
    lines.extend(answer.files.iter().flat_map(|told| file(told, paint)));
    answer.unknown.iter().for_each(|unknown| {
        lines.push(row(paint, "unknown", &paint.on(Tone::Notice, unknown)));
    });
    lines
}

fn run(run: &RunTrail, paint: Paint) -> Vec<String> {
    let profile = run.profile.as_deref().map(|name| format!(", profile {}", clean(name))).unwrap_or_default();
    vec![
        row(paint, "run", &format!("{} of {}, {}{profile}", run.run, date(run.began), clean(&run.principal))),
        row(paint, "task", &clean(&run.task)),
        row(paint, "agent", &clean(&run.agent)),
    ]
}

fn file(file: &FileTrail, paint: Paint) -> Vec<String> {
    let mut lines = vec![row(paint, "file", &clean(&file.path.to_string()))];
    lines.extend(file.wrote.iter().map(|told| event(paint, "wrote", told)));
    if file.wrote.is_empty() {
        lines.extend(file.named.iter().map(|told| event(paint, "named it", told)));
    }
    lines.extend(file.decided.iter().map(|told| event(paint, "decided", told)));
    lines.extend(file.answered.iter().map(|told| event(paint, "answered", told)));
    lines.extend(file.accepted.iter().map(|told| event(paint, "accepted", told)));
    lines.extend(file.landed.iter().map(|told| event(paint, "landed", told)));
    lines
}

fn event(paint: Paint, name: &str, told: &Told) -> String {
    let place = paint.on(Tone::Faint, format!("  [{} {} {}]", told.seq, told.kind, date(told.ts)));
    row(paint, name, &format!("{}{place}", told.text))
}

fn row(paint: Paint, name: &str, text: &str) -> String {
    format!("  {} {text}", paint.on(Tone::Faint, format!("{name:<9}")))
}

/// A moment, in UTC.
fn date(ns: u64) -> String {
    let moment = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(ns);
    humantime::format_rfc3339_seconds(moment).to_string()
}
