//! A run's summary as a person reads it.
//!
//! Owns the words and the order. Does not own what is in it (`summary`).

use ledger::event::Risk;

use super::explain;
use super::headline::headline;
use super::{ChangeLine, CommitsLine, DenialLine, LoginLine, ModelLine, ReachedLine, RequestLine, Summary};
use crate::render::{Paint, Tone, clean, count, ground, short, size};

/// Names in one line before the rest is only counted.
const NAMED: usize = 5;
/// Lines of one list before the rest is only counted.
const MOST: usize = 12;
/// Bodies of requests that are shown of one place.
const LARGEST: usize = 3;
/// Most letters of a path: an agent's names are as long as it likes, and `review` has the whole.
const LONGEST: usize = 160;

/// The summary as a person reads it.
pub fn text(summary: &Summary, paint: Paint) -> Vec<String> {
    let mut lines = vec![headline(summary, paint)];
    let direct = "direct: written into the folder itself; `provost undo` puts back what was there".to_owned();
    let mode: Vec<String> = (summary.mode == "direct").then_some(direct).into_iter().collect();
    section(&mut lines, paint, "mode", &mode);
    let tier = summary.tier.iter().map(|tier| format!("{}: it held less, see docs/tiers.md", clean(tier)));
    section(&mut lines, paint, "tier", &tier.collect::<Vec<_>>());
    section(&mut lines, paint, "changed", &changes(summary, paint));
    section(&mut lines, paint, "outside", &outside(summary, paint));
    section(&mut lines, paint, "commits", &committed(summary, paint));
    section(&mut lines, paint, "denied", &denials(summary, paint));
    section(&mut lines, paint, "reached", &reaches(summary));
    section(&mut lines, paint, "sent", &sent(summary));
    section(&mut lines, paint, "models", &models(summary));
    section(&mut lines, paint, "recorded", &recorded(summary));
    section(&mut lines, paint, "asked for", &asked_for(summary));
    let holds = |name: &String| format!("{} itself entered the run", clean(name));
    section(&mut lines, paint, "credential", &summary.credentials.iter().map(holds).collect::<Vec<_>>());
    section(&mut lines, paint, "login", &logins(summary, paint));
    section(&mut lines, paint, "limit", &summary.limits.iter().map(|limit| clean(limit)).collect::<Vec<_>>());
    section(&mut lines, paint, "note", &summary.notes.iter().map(|note| clean(note)).collect::<Vec<_>>());
    section(&mut lines, paint, "saw", &[saw(summary)]);
    section(&mut lines, paint, "next", &summary.next);
    lines
}

fn logins(summary: &Summary, paint: Paint) -> Vec<String> {
    let row = |line: &LoginLine| match &line.because {
        Some(because) => paint.on(Tone::Bad, format!("{}: {}", clean(&line.login), clean(because))),
        None if line.refreshed == 0 => format!("{}: refreshed by somebody else", clean(&line.login)),
        None => format!("{}: refreshed {}", clean(&line.login), count(line.refreshed, "time")),
    };
    summary.logins.iter().map(row).collect()
}

fn section(lines: &mut Vec<String>, paint: Paint, name: &str, rows: &[String]) {
    for (at, row) in rows.iter().take(MOST).enumerate() {
        let name = if at == 0 { name } else { "" };
        lines.push(format!("  {} {row}", paint.on(Tone::Faint, format!("{name:<10}"))));
    }
    if let Some(more) = rows.len().checked_sub(MOST).filter(|more| *more > 0) {
        lines.push(format!("  {:<10} and {more} more", ""));
    }
}

fn changes(summary: &Summary, paint: Paint) -> Vec<String> {
    if summary.changes.is_empty() && summary.mode == "direct" {
        return vec![match summary.state {
            "ended" => "nothing: the folder is as it was".to_owned(),
            _ => "not looked at yet: `provost review` does".to_owned(),
        }];
    }
    if summary.changes.is_empty() {
        return vec!["nothing: the folder and the staged copy are the same".to_owned()];
    }
    let row = |change: &ChangeLine| {
        let sign = match change.change.as_str() {
            "added" => "+",
            "deleted" => "-",
            "modified" => "~",
            _ => "!",
        };
        let lines = if change.added + change.removed > 0 {
            format!("  +{} -{}", change.added, change.removed)
        } else {
            String::new()
        };
        let note = match (change.fate, change.handoff) {
            ("direct", true) => paint.on(
                Tone::Bad,
                format!(
                    "  in the folder already, though {}",
                    clean(change.why.as_deref().unwrap_or("others obey it"))
                ),
            ),
            ("landed", _) => paint.on(Tone::Good, "  landed"),
            ("discarded", _) => paint.on(Tone::Faint, "  discarded"),
            (_, true) => paint.on(
                Tone::Notice,
                format!(
                    "  {}: {}",
                    if summary.mode == "direct" { "taken back, and waits" } else { "handoff" },
                    clean(change.why.as_deref().unwrap_or("other programs obey it"))
                ),
            ),
            ("part", _) => paint.on(Tone::Notice, "  landed in part"),
            _ => String::new(),
        };
        let waits = !matches!(change.fate, "landed" | "discarded");
        let risk = match change.risk.filter(|risk| waits && *risk > Risk::Low) {
            Some(Risk::High) => paint.on(Tone::Bad, "  high risk"),
            Some(_) => paint.on(Tone::Notice, "  medium risk"),
            None => String::new(),
        };
        format!("{sign} {}{lines}{risk}{note}", short(&clean(&change.path), LONGEST))
    };
    summary.changes.iter().map(row).collect()
}

/// What the person changed meanwhile, and what that means.
pub fn outside(summary: &Summary, paint: Paint) -> Vec<String> {
    let Some(moved) = &summary.moved else { return Vec::new() };
    let named = |names: &[String]| {
        let shown: Vec<String> = names.iter().take(NAMED).map(|name| clean(name)).collect();
        let more =
            if names.len() > NAMED { format!(" and {} more", names.len() - NAMED) } else { String::new() };
        format!("{}{more}", shown.join(", "))
    };
    let was = if moved.files == 1 { "was" } else { "were" };
    let files = count(moved.files, "file");
    let mut rows = vec![format!("{files} {was} changed outside while it ran: {}", named(&moved.names))];
    if !moved.both.is_empty() {
        let text =
            format!("the run changed too: {}  where both changed a line, yours stays", named(&moved.both));
        rows.push(paint.on(Tone::Notice, text));
    }
    if !moved.stale.is_empty() {
        rows.push(paint.on(Tone::Notice, format!("stale, the run did not see: {}", named(&moved.stale))));
    }
    rows
}

fn committed(summary: &Summary, paint: Paint) -> Vec<String> {
    let row = |line: &CommitsLine| {
        let branches = line.branches.iter().map(|name| clean(name)).collect::<Vec<_>>().join(", ");
        let number = count(line.commits, "commit");
        match (line.fate, &line.why) {
            (_, Some(why)) => paint.on(Tone::Notice, format!("kept back: {}", clean(why))),
            ("landed", _) => {
                format!("{number}{}", paint.on(Tone::Good, format!("  landed as branch {branches}")))
            }
            ("discarded", _) => format!("{number}{}", paint.on(Tone::Faint, "  discarded")),
            _ => format!("{number}, to land as branch {branches}"),
        }
    };
    summary.commits.iter().map(row).collect()
}

/// What a rule speaks of comes first; reads of what is only not shown are many, and mostly programs looking around.
fn denials(summary: &Summary, paint: Paint) -> Vec<String> {
    let looking = |denial: &&DenialLine| denial.rule == "default" && denial.what == "read";
    let (around, spoken): (Vec<&DenialLine>, Vec<&DenialLine>) = summary.denied.iter().partition(looking);
    let mut rows: Vec<String> = spoken.iter().map(|line| denied(line, paint)).collect();
    if let [only] = around.as_slice() {
        rows.push(denied(only, paint));
    } else if let Some(first) = around.first() {
        let target = short(&clean(&first.target), 50);
        rows.push(paint.on(
            Tone::Faint,
            format!("read of {} places that are not shown, {target} among them", around.len()),
        ));
    }
    let alone = around.first().filter(|_| around.len() == 1);
    // One of each kind is enough to learn the rest from.
    let mut kinds: Vec<&str> = Vec::new();
    for line in spoken.iter().chain(alone) {
        if !kinds.contains(&&*line.what)
            && let Some(words) = explain::command(line, summary.profile.as_deref())
        {
            kinds.push(&line.what);
            rows.push(paint.on(Tone::Faint, format!("what would allow it: {words}")));
        }
    }
    rows
}

fn denied(denial: &DenialLine, paint: Paint) -> String {
    let times = if denial.count > 1 { format!(" ×{}", denial.count) } else { String::new() };
    let rule = ground::full(&denial.layer, &denial.rule, denial.why.as_deref());
    let what = format!("{} {}", clean(&denial.what), short(&clean(&denial.target), 60));
    format!("{}{times}  {}", paint.on(Tone::Bad, what), paint.on(Tone::Faint, rule))
}

fn reaches(summary: &Summary) -> Vec<String> {
    let row = |reached: &ReachedLine| {
        if reached.unreachable {
            return format!("{}  allowed, but it could not be reached", clean(&reached.endpoint));
        }
        // What is still at work tells its bytes when it ends.
        if summary.state != "running" && reached.bytes_up + reached.bytes_down == 0 {
            let tries = count(reached.connections, "connection");
            return format!(
                "{}  {tries} let through, but nothing was sent or answered",
                clean(&reached.endpoint)
            );
        }
        format!(
            "{}  {}, {} up, {} down",
            clean(&reached.endpoint),
            count(reached.connections, "connection"),
            size(reached.bytes_up),
            size(reached.bytes_down)
        )
    };
    summary.reached.iter().map(row).collect()
}

/// Bodies that left: how many to each place, and the largest few.
fn sent(summary: &Summary) -> Vec<String> {
    let rows = |reached: &ReachedLine| {
        let sent = reached.sent.as_ref()?;
        let bodies = if sent.bodies == 1 { "body" } else { "bodies" };
        let mut rows = vec![format!(
            "{}  {} {bodies} of requests, {}, {} different",
            clean(&reached.endpoint),
            sent.bodies,
            size(sent.bytes),
            sent.different.len()
        )];
        let largest = sent.different.iter().take(LARGEST);
        rows.extend(largest.map(|body| {
            let digest = body.sha256.get(..16).unwrap_or_default();
            format!("  {}  {}  {}", size(body.bytes), clean(digest), short(&clean(&body.first), LONGEST))
        }));
        Some(rows)
    };
    summary.reached.iter().filter_map(rows).flatten().collect()
}

fn recorded(summary: &Summary) -> Vec<String> {
    let Some(recorded) = &summary.recorded else { return Vec::new() };
    let mut rows = vec![format!(
        "{}, {}: provost show {} --traffic",
        count(recorded.flows, "request"),
        size(recorded.bytes),
        clean(&summary.run)
    )];
    let why = |because: &str| match because {
        "tunnel" => "nobody looks into a tunnel".to_owned(),
        "not asked" => "no rule records it".to_owned(),
        other => clean(other),
    };
    rows.extend(recorded.gaps.iter().map(|gap| {
        format!("not in it: {}, {} times: {}", clean(&gap.endpoint), gap.flows, why(&gap.because))
    }));
    rows.extend(
        recorded.failed.iter().map(|failed| format!("it ends before the run did: {}", clean(failed))),
    );
    rows
}

fn models(summary: &Summary) -> Vec<String> {
    let row = |model: &ModelLine| {
        let name = if model.model.is_empty() { &model.endpoint } else { &model.model };
        let about = if model.estimated { "about " } else { "" };
        format!(
            "{}  {}, {} tokens in ({} cached), {} out, {about}{:.4} USD",
            short(&clean(name), LONGEST),
            count(model.answers, "answer"),
            model.input,
            model.cached,
            model.output,
            model.cost_usd
        )
    };
    summary.models.iter().map(row).collect()
}

fn asked_for(summary: &Summary) -> Vec<String> {
    let row = |request: &RequestLine| {
        format!(
            "{} {}  because: {}",
            clean(&request.what),
            short(&clean(&request.text), 80),
            short(&clean(&request.why), 120)
        )
    };
    summary.requests.iter().map(row).collect()
}

fn saw(summary: &Summary) -> String {
    let counts = &summary.counts;
    let (programs, events) = (count(counts.execs, "program"), count(counts.events, "event"));
    let writes = || count(counts.writes, "write");
    let files = match summary.evidence {
        "exec" => "files were not recorded".to_owned(),
        "writes" => format!("{} of files, reads were not recorded", writes()),
        _ => format!("{} and {} of files", count(counts.reads, "read"), writes()),
    };
    format!("{programs}, {files}, {events}")
}
