//! A run as it goes on: a line for each thing worth knowing.
//!
//! Owns what is worth a line, and that many small things are one line: changed files are told once a second, alike programs by one
//! parent are counted. Does not own where the events come from (`commands::watch`).

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use insight::places::{Place, Places};
use insight::processes::{Process, ProcessTree};
use insight::{Moment, Story, What};
use ledger::event::{self, Body, Event, Verdict};
use ledger::{OsText, Trust};
use serde_json::{Value, json};

use super::fit::Line;
use super::{Out, Tone, clean, count, ground, processes, short, story, time};

/// How long changes are gathered before they are told.
const GATHERED: Duration = Duration::from_secs(1);
/// Names in one line.
const NAMED: usize = 4;
/// Alike programs by one parent that are told one by one.
const ALIKE: u64 = 3;
/// Letters of a command where no terminal says how many fit.
const WIDE: usize = 160;
/// Levels that are drawn.
const LEVELS: usize = 12;

/// What was seen so far.
#[derive(Debug)]
pub struct Watch {
    out: Out,
    tree: ProcessTree,
    story: Story,
    places: Places,
    began: Option<(u64, u64)>,
    /// Files that changed since they were last told.
    changed: BTreeSet<OsText>,
    told: Instant,
    /// How many alike each parent started.
    alike: HashMap<(Option<usize>, OsText), u64>,
    more: u64,
    /// Reads of what is only not shown: runtimes look around like that by the dozen.
    around: u64,
    at: u64,
}

impl Watch {
    /// Tells to `out`.
    pub fn new(out: Out) -> Watch {
        Watch {
            out,
            tree: ProcessTree::default(),
            story: Story::default(),
            places: Places::default(),
            began: None,
            changed: BTreeSet::new(),
            told: Instant::now(),
            alike: HashMap::new(),
            more: 0,
            around: 0,
            at: 0,
        }
    }

    /// Takes the next event, and says it if it is worth a line.
    pub fn see(&mut self, event: &Event) {
        let (ts, mono) = *self.began.get_or_insert((event.ts, event.mono));
        self.at = event.mono.checked_sub(mono).unwrap_or(event.ts.saturating_sub(ts)) / 1_000_000;
        self.places.see(event);
        let whose = self.tree.see(event);
        self.story.see(event);
        let moments = std::mem::take(&mut self.story.moments);
        match &event.body {
            Body::RunOpened(opened) => self.opened(event, opened),
            Body::Launch(_) => self.started(event, whose),
            Body::Exec(exec) if exec.verdict == Verdict::Allow => self.started(event, whose),
            Body::Opened(opened) => self.touched(opened),
            Body::AskOpened(asked) => self.asked(event, asked),
            Body::Exited(exited) => self.exited(event, exited),
            Body::Denied(denied) => self.denied(event, denied, whose, &moments),
            _ => moments.iter().for_each(|moment| self.moment(event, moment)),
        }
        if self.told.elapsed() >= GATHERED {
            self.pause();
        }
    }

    /// There is nothing more to see for now: what was gathered long enough is told.
    pub fn pause(&mut self) {
        if self.told.elapsed() >= GATHERED {
            self.tell_gathered();
        }
    }

    /// The watching is over; whether the run said its last word.
    pub fn end(&mut self, ended: bool) {
        self.tell_gathered();
        if !ended && self.story.ended.is_none() && self.story.interrupted.is_none() {
            let text = "the run was cut short: nobody governs it any more";
            self.line(
                Trust::Observed,
                Line::default().toned(Tone::Bad, text),
                || json!({ "what": "cut-short" }),
            );
        }
    }

    fn opened(&mut self, event: &Event, opened: &event::RunOpened) {
        let line = Line::default()
            .toned(Tone::Strong, format!("run {}  {}", event.run, short(&clean(&opened.task), 80)))
            .toned(Tone::Faint, format!("  in {}", clean(&opened.workspace.to_string())));
        self.line(event.trust, line, || json!({ "what": "opened", "run": event.run, "task": opened.task }));
    }

    fn started(&mut self, event: &Event, whose: Option<usize>) {
        let Some(process) = whose.and_then(|id| self.tree.get(id)).cloned() else { return };
        let Some(image) = process.image() else { return };
        let key = (process.parent, image.program.clone());
        let alike = self.alike.entry(key).or_default();
        *alike += 1;
        if *alike > ALIKE && self.out.human() {
            self.more += 1;
            return;
        }
        let deep = self.tree.depth(process.id);
        let words = short(&processes::words(&image.argv), WIDE);
        let line = Line::default()
            .and("  ".repeat(deep.min(LEVELS)))
            .and(words)
            .toned(Tone::Faint, format!("  #{}", process.id));
        let seq = event.seq;
        self.line(event.trust, line, || {
            json!({
                "what": "started", "seq": seq, "id": process.id, "pid": process.pid, "parent": process.parent, "depth": deep,
                "argv": image.argv, "program": image.program,
            })
        });
    }

    /// What ended badly; a program that says no by its status is a matter of its own.
    fn exited(&mut self, event: &Event, exited: &event::Exited) {
        for entry in &exited.entries {
            let process = self.tree.by_pid_last(entry.pid).cloned();
            let Some(process) = process.filter(Process::did_something) else { continue };
            let words = process.first().map_or_else(|| "a fork".to_owned(), |it| processes::words(&it.argv));
            let (tone, how) = match (entry.code, entry.signal) {
                (_, Some(signal)) => (Tone::Bad, format!("killed by signal {signal}")),
                (Some(0), None) | (None, None) => (Tone::Faint, String::new()),
                (Some(code), None) => (Tone::Notice, format!("exit {code}")),
            };
            if how.is_empty() && self.out.human() {
                continue;
            }
            let deep = self.tree.depth(process.id).min(LEVELS);
            let line = Line::default()
                .and("  ".repeat(deep))
                .toned(tone, how)
                .toned(Tone::Faint, format!("  #{} {}", process.id, short(&words, 80)));
            let value = json!({
                "what": "ended-process", "seq": event.seq, "id": process.id, "pid": entry.pid, "code": entry.code,
                "signal": entry.signal, "cpu_ms": entry.cpu_us / 1000,
            });
            self.line(event.trust, line, || value);
        }
    }

    fn touched(&mut self, opened: &event::Opened) {
        let changes =
            opened.entries.iter().filter(|entry| entry.access == event::Access::Write || entry.act.is_some());
        let worth = changes.filter(|entry| self.places.of(&entry.path) != Place::Passing);
        self.changed.extend(worth.map(|entry| entry.path.clone()));
    }

    fn tell_gathered(&mut self) {
        self.told = Instant::now();
        let changed = std::mem::take(&mut self.changed);
        if !changed.is_empty() {
            let names: Vec<String> =
                changed.iter().take(NAMED).map(|path| short(&clean(&self.places.short(path)), 60)).collect();
            let more = changed.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(", +{more}") } else { String::new() };
            let line =
                Line::default().toned(Tone::Good, "changed ").and(format!("{}{more}", names.join(", ")));
            self.line(Trust::Observed, line, || json!({ "what": "changed", "files": changed }));
        }
        let (more, around) = (std::mem::take(&mut self.more), std::mem::take(&mut self.around));
        if more > 0 {
            let text = format!("and {} more like those before", count(more, "program"));
            self.line(Trust::Observed, Line::default().toned(Tone::Faint, text), || Value::Null);
        }
        if around > 0 {
            let text = format!("denied {} of what is only not shown", count(around, "read"));
            self.line(Trust::Observed, Line::default().toned(Tone::Faint, text), || Value::Null);
        }
    }

    fn asked(&mut self, event: &Event, asked: &event::AskOpened) {
        let id = clean(&asked.ask);
        let line = Line::default()
            .toned(Tone::Notice, format!("asks {id}: {}", short(&clean(&asked.text), 200)))
            .toned(Tone::Strong, format!("  provost allow {id} | provost deny {id} --why ..."))
            .toned(Tone::Faint, format!("  within {}", time(asked.timeout_ms)));
        let value = json!({ "what": "asked", "seq": event.seq, "ask": asked.ask, "text": asked.text, "timeout_ms": asked.timeout_ms });
        self.line(event.trust, line, || value);
    }

    fn denied(&mut self, event: &Event, denied: &event::Denied, whose: Option<usize>, moments: &[Moment]) {
        for moment in moments {
            let What::Denied(denial) = &moment.what else { continue };
            if denial.kind == "read" && denial.rule == "default" && self.out.human() {
                self.around += 1;
                continue;
            }
            let by = whose.map(|id| format!("  by #{id}")).unwrap_or_default();
            let line = Line::default()
                .toned(
                    Tone::Bad,
                    format!("denied {} {}", clean(&denial.kind), short(&clean(&denial.target), 100)),
                )
                .toned(
                    Tone::Faint,
                    format!("  {}{by}", ground::brief(&denial.layer, &denial.rule, denial.why.as_deref())),
                );
            let value = json!({
                "what": "denied", "seq": event.seq, "kind": denial.kind, "target": denial.target, "layer": denial.layer,
                "rule": denial.rule, "why": denial.why, "id": whose, "pid": denied.pid,
            });
            self.line(event.trust, line, || value);
        }
    }

    fn moment(&mut self, event: &Event, moment: &Moment) {
        if matches!(moment.what, What::Launch { .. } | What::Exec { .. }) {
            return;
        }
        if matches!(moment.what, What::Ended(_) | What::Interrupted { .. }) {
            self.tell_gathered();
        }
        let line = Line::default().and(story::what(&moment.what, super::Paint::PLAIN));
        let line = match moment.what {
            What::Denied(_) | What::Limit { .. } | What::Interrupted { .. } => line.all(Tone::Bad),
            What::Answered { .. } | What::Requested { .. } | What::Credential { .. } => {
                line.all(Tone::Notice)
            }
            What::Ended(_) => line.all(Tone::Strong),
            _ => line,
        };
        self.line(event.trust, line, || story::json(moment));
    }

    fn line(&self, trust: Trust, line: Line, value: impl FnOnce() -> Value) {
        if !self.out.human() {
            let mut value = value();
            if let Some(members) = value.as_object_mut() {
                members.insert("at_ms".to_owned(), json!(self.at));
                members.insert("trust".to_owned(), json!(trust));
                self.out.json(&value);
            }
            return;
        }
        let stamp =
            Line::default().toned(Tone::Faint, format!("{:>10} {} ", time(self.at), story::voice(trust)));
        self.out.line(stamp.join(line).print(self.out.paint(), self.out.columns()));
    }
}
