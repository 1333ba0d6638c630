//! A run's story, moment by moment.
//!
//! Owns how a moment reads. Does not own their order or what belongs together (`insight`).

use std::collections::BTreeSet;

use insight::{Moment, Story, What};
use ledger::OsText;
use ledger::event::{Answered, GrantOver, Manner, MovedBy};
use serde_json::{Value, json};

use super::{Paint, Tone, clean, ground, short, time};

/// A line a moment: when, who vouches, what. Left out is what processes did, which stands beside it: execs, and what was refused
/// them, which is told by these numbers.
pub fn text(story: &Story, placed: &BTreeSet<u64>, paint: Paint) -> Vec<String> {
    let mut around = 0;
    let shown = story.moments.iter().filter(|moment| is_beside(moment, placed)).filter(|moment| {
        let looking = is_looking_around(moment);
        around += usize::from(looking);
        !looking || around == 1
    });
    let shown: Vec<&Moment> = shown.collect();
    let moments = shown.into_iter().map(|moment| match &moment.what {
        What::Denied(denial) if around > 1 && is_looking_around(moment) => {
            let text = format!(
                "denied read of {around} places that are not shown, {} first (--events has each)",
                short(&clean(&denial.target), 60)
            );
            stamped(moment, paint, &paint.on(Tone::Faint, text))
        }
        What::Reached { endpoint } if was_never_there(story, endpoint) => {
            let text = format!("allowed {}, but it could not be reached", clean(endpoint));
            stamped(moment, paint, &paint.on(Tone::Notice, text))
        }
        told => stamped(moment, paint, &what(told, paint)),
    });
    moments.collect()
}

fn is_beside(moment: &Moment, placed: &BTreeSet<u64>) -> bool {
    match moment.what {
        What::Launch { .. } | What::Exec { .. } => false,
        What::Denied(_) => !placed.contains(&moment.seq),
        _ => true,
    }
}

/// Whether it is a read of what is only not shown: runtimes look around like that by the dozen.
fn is_looking_around(moment: &Moment) -> bool {
    matches!(&moment.what, What::Denied(denial) if denial.kind == "read" && denial.rule == "default")
}

fn was_never_there(story: &Story, endpoint: &str) -> bool {
    story.reached().any(|reached| reached.endpoint == endpoint && reached.was_never_there())
}

fn stamped(moment: &Moment, paint: Paint, told: &str) -> String {
    let at = paint.on(Tone::Faint, format!("{:>10}", time(moment.at / 1_000_000)));
    format!("{at} {} {told}", voice(moment.trust))
}

/// The sign of who vouches for a line.
pub(super) fn voice(trust: ledger::Trust) -> &'static str {
    match trust {
        ledger::Trust::Observed => " ",
        ledger::Trust::Attested => "✓",
        ledger::Trust::Reported => "“",
    }
}

/// What was agreed to for longer than once, and that it holds no longer.
fn grant(what: &What, paint: Paint) -> String {
    match what {
        What::Granted(given) => {
            let word = paint.on(Tone::Good, "agreed to for longer");
            format!("{word} by {}: {}", clean(&given.by), clean(&given.selector))
        }
        What::Over(over) => {
            let because = match over.because {
                GrantOver::Expired => "its time was up",
                GrantOver::Used => "it was used up",
                GrantOver::Revoked => "it was taken back",
                GrantOver::Ended => "the run ended",
            };
            format!("that holds no longer: {because}, used {}", super::count(over.used, "time"))
        }
        _ => String::new(),
    }
}

/// One moment in words.
pub(super) fn what(what: &What, paint: Paint) -> String {
    match what {
        What::Launch { argv } => paint.on(Tone::Strong, format!("launch {}", words(argv))),
        What::Exec { argv, more, .. } => {
            let more = if *more > 0 { format!("  and {more} more like it") } else { String::new() };
            format!("exec {}{}", words(argv), paint.on(Tone::Faint, more))
        }
        What::Denied(denial) => {
            let text = format!("denied {} {}", clean(&denial.kind), short(&clean(&denial.target), 100));
            let rule = format!("  {}", ground::full(&denial.layer, &denial.rule, denial.why.as_deref()));
            format!("{}{}", paint.on(Tone::Bad, text), paint.on(Tone::Faint, rule))
        }
        What::Asked { text, .. } => paint.on(Tone::Notice, format!("asked: {}", clean(text))),
        What::Answered { answer, by, why, .. } => {
            let (tone, word) = match answer {
                Answered::Allow => (Tone::Good, "allowed by "),
                Answered::Deny => (Tone::Bad, "denied by "),
                Answered::Expired if by == "clock" => return paint.on(Tone::Bad, "nobody answered in time"),
                Answered::Expired => return paint.on(Tone::Faint, "nobody waits for that answer any more"),
            };
            let why = why.as_ref().map(|why| format!(": {}", clean(why))).unwrap_or_default();
            format!("{}{}{why}", paint.on(tone, word), clean(by))
        }
        What::Granted(_) | What::Over(_) => grant(what, paint),
        What::Reached { endpoint } => format!("reached {}", clean(endpoint)),
        What::Credential { name, real: true } => {
            paint.on(Tone::Notice, format!("credential {} itself entered", clean(name)))
        }
        What::Credential { name, real: false } => format!("credential {} as a placeholder", clean(name)),
        What::Login(refresh) => login(refresh, paint),
        What::Requested { what, text, why } => {
            format!(
                "asked for {} {}  because: {}",
                clean(what),
                short(&clean(text), 80),
                short(&clean(why), 120)
            )
        }
        What::Filtered { kind, count } => format!("kept from the terminal: {} ×{count}", clean(kind)),
        What::Limit { what } => paint.on(Tone::Bad, format!("limit: {}", clean(what))),
        What::Moved { count, files, both, stale } => moved(*count, files, (*both, *stale), paint),
        What::Staged { files } => format!("staged {}", super::count(*files as u64, "file")),
        What::PreimagesKept { .. } | What::Direct { .. } => gate(what, paint),
        What::Accepted { .. } | What::Rejected { .. } | What::Landed { .. } | What::Undone { .. } => {
            gate(what, paint)
        }
        What::Committed { .. } | What::RefMoved { .. } => git(what, paint),
        What::Kept { path, because } => {
            paint.on(Tone::Notice, format!("kept back {}: {}", clean(&path.to_string()), clean(because)))
        }
        What::Recovered(recovered) => {
            let (files, kept) = (recovered.files, recovered.kept);
            let what = match (recovered.taken_back, recovered.undo) {
                (true, _) => "was taken back: nothing had changed yet".to_owned(),
                (false, undo) => {
                    let word = if undo { "put back" } else { "landed" };
                    format!("was finished: {} {word}, {kept} kept back", super::count(files, "file"))
                }
            };
            paint.on(Tone::Notice, format!("a landing that was cut short {what}"))
        }
        What::Discarded { files } => format!("discarded {}", super::count(*files, "file")),
        What::Reopened { by } => format!("taken up again by {}", clean(by)),
        What::Interrupted { by } => paint.on(Tone::Bad, format!("found dead by {}", clean(by))),
        What::Ended(end) => match (end.exit.code, end.exit.signal) {
            (Some(code), _) => paint.on(Tone::Strong, format!("ended with status {code}")),
            (None, Some(signal)) => paint.on(Tone::Bad, format!("ended by signal {signal}")),
            (None, None) => paint.on(Tone::Bad, "never started"),
        },
    }
}

fn login(refresh: &ledger::event::LoginRefresh, paint: Paint) -> String {
    let (login, outcome) = (clean(&refresh.login), clean(&refresh.outcome));
    match &refresh.because {
        Some(because) => paint.on(Tone::Bad, format!("login {login} {outcome}: {}", clean(because))),
        None => format!("login {login} {outcome}"),
    }
}

fn moved(count: u64, files: &[OsText], (both, stale): (usize, usize), paint: Paint) -> String {
    let names: Vec<String> = files.iter().take(5).map(|path| clean(&path.to_string())).collect();
    let both = if both > 0 { format!("  {both} of them by the run too") } else { String::new() };
    let stale = if stale > 0 { format!("  {stale} of them not seen by it") } else { String::new() };
    let text = format!("outside: {} changed: {}", super::count(count, "file"), short(&names.join(", "), 100));
    format!("{text}{}", paint.on(Tone::Notice, format!("{both}{stale}")))
}

/// What a person said at the gate, and what came of it.
fn gate(what: &What, paint: Paint) -> String {
    match what {
        What::PreimagesKept { files, bytes } => {
            let (files, bytes) = (super::count(*files, "file"), super::size(*bytes));
            paint.on(Tone::Notice, format!("writes go to the folder itself; {files} kept, {bytes}"))
        }
        What::Direct { files } => {
            format!("changed {} in the folder itself", super::count(*files as u64, "file"))
        }
        What::Accepted { by, named: None } => format!("all that may land accepted by {}", clean(by)),
        What::Accepted { by, named: Some(named) } => {
            format!("accepted by {}: {}", clean(by), short(&clean(&named.join(", ")), 100))
        }
        What::Rejected { path, hunk, by, why } => {
            let hunk = hunk.as_ref().map(|hunk| format!(" hunk {}", clean(hunk))).unwrap_or_default();
            let text =
                format!("rejected {}{hunk} by {}: {}", clean(&path.to_string()), clean(by), clean(why));
            paint.on(Tone::Notice, text)
        }
        What::Landed { path, manner } => {
            let manner = match manner {
                Manner::Verbatim => "",
                Manner::Part => "  the chosen hunks of it",
                Manner::Merged => "  with an edit made meanwhile",
                Manner::Already => "  as somebody had done by hand",
                Manner::Edited => "  edited by hand",
            };
            format!(
                "{}{}",
                paint.on(Tone::Good, format!("landed {}", clean(&path.to_string()))),
                paint.on(Tone::Faint, manner)
            )
        }
        What::Undone { path } => paint.on(Tone::Notice, format!("put back {}", clean(&path.to_string()))),
        _ => String::new(),
    }
}

/// Commits, and what became of them.
fn git(what: &What, paint: Paint) -> String {
    match what {
        What::Committed { refused: Some(because), .. } => {
            paint.on(Tone::Notice, format!("made commits, kept back: {}", clean(because)))
        }
        What::Committed { commits, refused: None } => format!("made {}", super::count(*commits, "commit")),
        What::RefMoved { name, to, by } => {
            let name = clean(name.trim_start_matches("refs/heads/"));
            let to = clean(to.as_deref().map_or("", crate::workspace::short));
            let text = match by {
                MovedBy::Import => format!("took its commits over as branch {name}, {to}"),
                MovedBy::Commit => format!("committed on {name}, {to}"),
                MovedBy::Branch => format!("committed on the new branch {name}, {to}"),
                MovedBy::Undo => format!("took branch {name} away again"),
            };
            paint.on(if *by == MovedBy::Undo { Tone::Notice } else { Tone::Good }, text)
        }
        _ => String::new(),
    }
}

fn words(argv: &[OsText]) -> String {
    let words: Vec<String> = argv.iter().map(|word| clean(&word.to_string())).collect();
    short(&words.join(" "), 120)
}

/// The moments for a program: keys as in the text, each with its event's number.
pub fn json(moment: &Moment) -> Value {
    let mut value = body(&moment.what);
    if let Some(map) = value.as_object_mut() {
        map.insert("seq".to_owned(), json!(moment.seq));
        map.insert("at_ms".to_owned(), json!(moment.at / 1_000_000));
        map.insert("trust".to_owned(), json!(moment.trust));
        map.insert("depth".to_owned(), json!(moment.depth));
    }
    value
}

fn body(what: &What) -> Value {
    match what {
        What::Launch { argv } => json!({ "what": "launch", "argv": argv }),
        What::Exec { argv, program, more } => {
            json!({ "what": "exec", "argv": argv, "program": program, "more": more })
        }
        What::Denied(denial) => json!({
            "what": "denied", "kind": denial.kind, "target": denial.target,
            "layer": denial.layer, "rule": denial.rule, "why": denial.why,
        }),
        What::Asked { ask, text } => json!({ "what": "asked", "ask": ask, "text": text }),
        What::Answered { ask, answer, by, why } => {
            json!({ "what": "answered", "ask": ask, "answer": answer, "by": by, "why": why })
        }
        What::Granted(given) => json!({ "what": "granted", "grant": given }),
        What::Over(over) => json!({ "what": "over", "grant": over }),
        What::Reached { endpoint } => json!({ "what": "reached", "endpoint": endpoint }),
        What::Credential { name, real } => json!({ "what": "credential", "name": name, "real": real }),
        What::Login(refresh) => json!({ "what": "login", "refresh": refresh }),
        What::Requested { what, text, why } => {
            json!({ "what": "requested", "kind": what, "text": text, "why": why })
        }
        What::Filtered { kind, count } => json!({ "what": "filtered", "kind": kind, "count": count }),
        What::Limit { what } => json!({ "what": "limit", "limit": what }),
        What::Moved { count, files, both, stale } => {
            json!({ "what": "moved", "count": count, "files": files, "both": both, "stale": stale })
        }
        What::Staged { files } => json!({ "what": "staged", "files": files }),
        What::PreimagesKept { files, bytes } => {
            json!({ "what": "preimages.kept", "files": files, "bytes": bytes })
        }
        What::Direct { files } => json!({ "what": "direct", "files": files }),
        What::Accepted { by, named } => json!({ "what": "accepted", "by": by, "named": named }),
        What::Rejected { path, hunk, by, why } => {
            json!({ "what": "rejected", "path": path, "hunk": hunk, "by": by, "why": why })
        }
        What::Landed { path, manner } => json!({ "what": "landed", "path": path, "manner": manner }),
        What::Undone { path } => json!({ "what": "undone", "path": path }),
        What::Kept { path, because } => json!({ "what": "kept", "path": path, "because": because }),
        What::Recovered(recovered) => json!({
            "what": "recovered", "taken_back": recovered.taken_back, "undo": recovered.undo,
            "files": recovered.files, "kept": recovered.kept,
        }),
        What::Committed { commits, refused } => {
            json!({ "what": "committed", "commits": commits, "refused": refused })
        }
        What::RefMoved { name, to, by } => json!({ "what": "ref-moved", "name": name, "to": to, "by": by }),
        What::Discarded { files } => json!({ "what": "discarded", "files": files }),
        What::Reopened { by } => json!({ "what": "reopened", "by": by }),
        What::Interrupted { by } => json!({ "what": "interrupted", "by": by }),
        What::Ended(end) => json!({
            "what": "ended", "exit_code": end.exit.code, "exit_signal": end.exit.signal,
            "wall_ms": end.wall_ms, "cpu_ms": end.cpu_ms,
        }),
    }
}
