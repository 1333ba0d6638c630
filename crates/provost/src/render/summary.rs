//! What a run comes to, on one screen: what changed, what was denied by which rule, where it connected, how it ended, and
//! what to do next.
//!
//! Owns that choice and its form for people and programs. Does not own the sums (`insight`).

mod explain;

use insight::{Fate, Story};
use ledger::Mode;
use ledger::event::{Change, Risk};
use serde::Serialize;

use super::{Paint, Tone, clean, count, short, size, time};

/// Names in one line before the rest is only counted.
const NAMED: usize = 5;
/// Lines of one list before the rest is only counted.
const MOST: usize = 12;
/// Most letters of a path: an agent's names are as long as it likes, and `review` has the whole.
const LONGEST: usize = 160;

/// A run's summary; its keys are an interface.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// The run's id.
    pub run: String,
    /// What was asked.
    pub task: String,
    /// The agent.
    pub agent: String,
    /// The workspace.
    pub workspace: String,
    /// Where its writes went: `staged`, `direct`.
    pub mode: &'static str,
    /// `running`, `ended`, `interrupted`.
    pub state: &'static str,
    /// The agent's exit status, if it ended by itself.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub exit_signal: Option<i32>,
    /// The signal by which somebody told Provost to end it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<u8>,
    /// Milliseconds from the first event to the last.
    pub wall_ms: u64,
    /// Processor milliseconds of everything inside.
    pub cpu_ms: u64,
    /// The profile.
    pub profile: Option<String>,
    /// When it began: nanoseconds since 1970-01-01 UTC.
    pub began: u64,
    /// Files that differ.
    pub changes: Vec<ChangeLine>,
    /// What somebody changed outside while it went on; nothing where nobody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved: Option<MovedLine>,
    /// Commits that the run made, if it made any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commits: Option<CommitsLine>,
    /// What was refused.
    pub denied: Vec<DenialLine>,
    /// Where it connected.
    pub reached: Vec<ReachedLine>,
    /// Credentials that the agent holds itself.
    pub credentials: Vec<String>,
    /// What the agent asked for.
    pub requests: Vec<RequestLine>,
    /// Limits it ran into.
    pub limits: Vec<String>,
    /// Programs started, files read and written, asks, events.
    pub counts: Counted,
    /// What a person should know beside.
    pub notes: Vec<String>,
    /// Commands that follow.
    pub next: Vec<String>,
}

/// What was changed outside while a run went on.
#[derive(Debug, Serialize)]
pub struct MovedLine {
    /// How many files.
    pub files: u64,
    /// Their names, as far as they are known.
    pub names: Vec<String>,
    /// Those that the run changed too: where both changed the same lines, the file will stay as the person has it.
    pub both: Vec<String>,
    /// Those of which the run does not see the change.
    pub stale: Vec<String>,
}

/// A file that differs.
#[derive(Debug, Serialize)]
pub struct ChangeLine {
    /// Its path beneath the workspace.
    pub path: String,
    /// `added`, `modified`, `deleted`, `mode`, `link`.
    pub change: String,
    /// Lines added.
    pub added: u64,
    /// Lines removed.
    pub removed: u64,
    /// Whether other programs later execute or obey it.
    pub handoff: bool,
    /// `low`, `medium`, `high`; nothing where nothing speaks of a risk.
    pub risk: Option<Risk>,
    /// `waiting`, `kept`, `part` (some hunks landed, the rest waits), `landed`, `direct` (written into the folder itself),
    /// `discarded`.
    pub fate: &'static str,
    /// Why it was kept back, or waits.
    pub why: Option<String>,
}

/// The commits of a run.
#[derive(Debug, Serialize)]
pub struct CommitsLine {
    /// How many.
    pub commits: u64,
    /// The branches that they become.
    pub branches: Vec<String>,
    /// `waiting`, `kept`, `landed`, `discarded`.
    pub fate: &'static str,
    /// Why they are kept back.
    pub why: Option<String>,
}

/// A refusal.
#[derive(Debug, Serialize)]
pub struct DenialLine {
    /// What was tried: `exec`, `read`, `connect`, ..
    pub what: String,
    /// On what.
    pub target: String,
    /// The layer of the rule.
    pub layer: String,
    /// The rule.
    pub rule: String,
    /// Its words.
    pub why: Option<String>,
    /// How often.
    pub count: u64,
}

/// A place that was connected to.
#[derive(Debug, Serialize)]
pub struct ReachedLine {
    /// Host and port.
    pub endpoint: String,
    /// Connections.
    pub connections: u64,
    /// Whether nobody was ever at the other end.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unreachable: bool,
    /// Bytes out.
    pub bytes_up: u64,
    /// Bytes in.
    pub bytes_down: u64,
}

/// Something the agent asked for.
#[derive(Debug, Serialize)]
pub struct RequestLine {
    /// `connect`, `read`, `exec`, `question`.
    pub what: String,
    /// Which.
    pub text: String,
    /// Why, in its words.
    pub why: String,
}

/// Counts.
#[derive(Debug, Default, Serialize)]
pub struct Counted {
    /// Programs started.
    pub execs: u64,
    /// Opens to read.
    pub reads: u64,
    /// Opens to write.
    pub writes: u64,
    /// Times a person was asked.
    pub asks: u64,
    /// Events in the ledger.
    pub events: u64,
    /// Sequences kept from the terminal.
    pub filtered: u64,
}

/// The summary of a story.
pub fn of(story: &Story, running: bool, notes: Vec<String>) -> Summary {
    let opened = story.opened.clone().unwrap_or_default();
    let state = match (&story.ended, &story.interrupted) {
        (_, Some(_)) => "interrupted",
        (Some(_), None) => "ended",
        (None, None) if running => "running",
        (None, None) => "interrupted",
    };
    let mut summary = Summary {
        run: story.run.clone(),
        task: opened.task,
        agent: opened.agent.name,
        workspace: opened.workspace.to_string(),
        mode: match opened.mode {
            Mode::Staged => "staged",
            Mode::Direct => "direct",
        },
        state,
        exit_code: story.ended.and_then(|end| end.exit.code),
        stopped: story.ended.and_then(|end| end.stopped),
        exit_signal: story.ended.and_then(|end| end.exit.signal),
        wall_ms: story
            .ended
            .map_or_else(|| story.last.saturating_sub(story.began) / 1_000_000, |end| end.wall_ms),
        cpu_ms: story.ended.map_or(0, |end| end.cpu_ms),
        profile: story.policy.as_ref().and_then(|policy| policy.profile.clone()),
        began: story.began,
        changes: story.changes().map(change).collect(),
        moved: moved(&story.moved),
        commits: story.commits.as_ref().map(commits),
        denied: story.denials().map(denial).collect(),
        reached: story
            .reached()
            .filter(|reached| reached.connections > reached.denied)
            .map(reached)
            .collect(),
        credentials: credentials(story),
        requests: requests(story),
        limits: story.limits.clone(),
        counts: Counted {
            execs: story.counts.execs + u64::from(story.moments.iter().any(is_launch)),
            reads: story.opens.reads,
            writes: story.opens.writes,
            asks: story.counts.asks,
            events: story.counts.events,
            filtered: story.counts.filtered,
        },
        notes,
        next: Vec::new(),
    };
    summary.next = next(&summary, story.waits());
    summary
}

fn is_launch(moment: &insight::Moment) -> bool {
    matches!(moment.what, insight::What::Launch { .. })
}

fn moved(moved: &insight::Moved) -> Option<MovedLine> {
    let files = moved.files.len() as u64 + moved.unnamed;
    let names = |is: &dyn Fn(&(bool, bool)) -> bool| {
        moved.files.iter().filter(|(_, how)| is(how)).map(|(path, _)| path.to_string()).collect()
    };
    (files > 0).then(|| MovedLine {
        files,
        names: names(&|_| true),
        both: names(&|(both, _)| *both),
        stale: names(&|(_, stale)| *stale),
    })
}

fn commits(made: &insight::MadeCommits) -> CommitsLine {
    let (fate, why) = fate(&made.fate);
    let branches = made.tips.iter().map(|tip| tip.name.trim_start_matches("refs/heads/").to_owned());
    CommitsLine { commits: made.commits, branches: branches.collect(), fate, why }
}

fn fate(fate: &Fate) -> (&'static str, Option<String>) {
    match fate {
        Fate::Waiting => ("waiting", None),
        Fate::Kept(why) => ("kept", Some(why.clone())),
        Fate::Part => ("part", None),
        Fate::Landed => ("landed", None),
        Fate::Direct => ("direct", None),
        Fate::Discarded => ("discarded", None),
    }
}

fn change(changed: &insight::Changed) -> ChangeLine {
    let (fate, kept) = fate(&changed.fate);
    ChangeLine {
        path: changed.path.to_string(),
        change: word(changed.change).to_owned(),
        added: changed.added,
        removed: changed.removed,
        handoff: changed.handoff,
        risk: changed.risk,
        fate,
        why: kept.or_else(|| changed.why.clone()),
    }
}

fn word(change: Change) -> &'static str {
    match change {
        Change::Added => "added",
        Change::Modified => "modified",
        Change::Deleted => "deleted",
        Change::Mode => "mode",
        Change::Link => "link",
    }
}

fn denial(denial: &insight::Denial) -> DenialLine {
    DenialLine {
        what: denial.kind.clone(),
        target: denial.target.clone(),
        layer: denial.layer.clone(),
        rule: denial.rule.clone(),
        why: denial.why.clone(),
        count: denial.count,
    }
}

fn reached(reached: &insight::Reached) -> ReachedLine {
    ReachedLine {
        endpoint: reached.endpoint.clone(),
        connections: reached.connections.saturating_sub(reached.denied),
        unreachable: reached.was_never_there(),
        bytes_up: reached.bytes_up,
        bytes_down: reached.bytes_down,
    }
}

fn credentials(story: &Story) -> Vec<String> {
    let real = |moment: &insight::Moment| match &moment.what {
        insight::What::Credential { name, real: true } => Some(name.clone()),
        _ => None,
    };
    story.moments.iter().filter_map(real).collect()
}

fn requests(story: &Story) -> Vec<RequestLine> {
    let asked = |moment: &insight::Moment| match &moment.what {
        insight::What::Requested { what, text, why } => {
            Some(RequestLine { what: what.clone(), text: text.clone(), why: why.clone() })
        }
        _ => None,
    };
    story.moments.iter().filter_map(asked).collect()
}

fn next(summary: &Summary, waits: bool) -> Vec<String> {
    let run = &summary.run;
    if summary.state == "running" {
        return vec![format!("provost stop {run}")];
    }
    // Of a run in direct mode that was cut short nobody said yet what it wrote.
    let cut = summary.mode == "direct" && summary.state == "interrupted" && summary.changes.is_empty();
    let written = cut || summary.changes.iter().any(|change| change.fate == "direct");
    if written {
        return vec![format!("provost review {run}"), format!("provost undo {run}")];
    }
    if !waits {
        return vec![format!("provost show {run}")];
    }
    let lands =
        summary.changes.iter().any(|change| matches!(change.fate, "waiting" | "part") && !change.handoff);
    let lands = lands || summary.commits.as_ref().is_some_and(|commits| commits.fate == "waiting");
    let mut next = vec![format!("provost review {run}")];
    next.extend(lands.then(|| format!("provost apply {run} --all")));
    next.push(format!("provost discard {run}"));
    next
}

/// The summary as a person reads it.
pub fn text(summary: &Summary, paint: Paint) -> Vec<String> {
    let mut lines = vec![headline(summary, paint)];
    let direct = "direct: written into the folder itself; `provost undo` puts back what was there".to_owned();
    let mode: Vec<String> = (summary.mode == "direct").then_some(direct).into_iter().collect();
    section(&mut lines, paint, "mode", &mode);
    section(&mut lines, paint, "changed", &changes(summary, paint));
    section(&mut lines, paint, "outside", &outside(summary, paint));
    section(&mut lines, paint, "commits", &committed(summary, paint));
    section(&mut lines, paint, "denied", &denials(summary, paint));
    section(&mut lines, paint, "reached", &reaches(summary));
    section(&mut lines, paint, "asked for", &asked_for(summary));
    let holds = |name: &String| format!("{} itself entered the run", clean(name));
    section(&mut lines, paint, "credential", &summary.credentials.iter().map(holds).collect::<Vec<_>>());
    section(&mut lines, paint, "limit", &summary.limits.iter().map(|limit| clean(limit)).collect::<Vec<_>>());
    section(&mut lines, paint, "note", &summary.notes.iter().map(|note| clean(note)).collect::<Vec<_>>());
    section(&mut lines, paint, "saw", &[saw(summary)]);
    section(&mut lines, paint, "next", &summary.next);
    lines
}

fn headline(summary: &Summary, paint: Paint) -> String {
    let end = match (summary.state, summary.exit_code, summary.exit_signal) {
        ("running", ..) => paint.on(Tone::Notice, "is at work"),
        ("interrupted", ..) => paint.on(Tone::Bad, "was interrupted"),
        _ if summary.stopped.is_some() => {
            paint.on(Tone::Bad, format!("was stopped {}", stopper(summary.stopped)))
        }
        (_, None, Some(_)) if time_is_up(summary).is_some() => {
            let head = paint.on(Tone::Strong, format!("provost: run {}", summary.run));
            let up = format!("was ended: its time was up{}", time_is_up(summary).unwrap_or_default());
            return format!("{head} ({}) {}", clean(&summary.agent), paint.on(Tone::Bad, up));
        }
        (_, Some(0), _) => paint.on(Tone::Good, "ended well"),
        (_, Some(code), _) => paint.on(Tone::Notice, format!("ended with status {code}")),
        (_, _, Some(signal)) => paint.on(Tone::Bad, format!("was ended by signal {signal}")),
        _ => paint.on(Tone::Bad, "never started"),
    };
    let head = paint.on(Tone::Strong, format!("provost: run {}", summary.run));
    format!("{head} ({}) {end} after {}", clean(&summary.agent), time(summary.wall_ms))
}

/// Who ended a run by a signal.
fn stopper(signal: Option<u8>) -> &'static str {
    match signal {
        Some(1) => "because its terminal went away",
        _ => "by you",
    }
}

/// That the time of a run was up, and after how long.
fn time_is_up(summary: &Summary) -> Option<&str> {
    summary.limits.iter().find_map(|limit| limit.strip_prefix("wall time: the run was ended"))
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
    let explained =
        spoken.iter().chain(alone).find_map(|line| explain::command(line, summary.profile.as_deref()));
    rows.extend(explained.map(|words| paint.on(Tone::Faint, format!("what would allow it: {words}"))));
    rows
}

fn denied(denial: &DenialLine, paint: Paint) -> String {
    let times = if denial.count > 1 { format!(" ×{}", denial.count) } else { String::new() };
    let why = denial.why.as_ref().map(|why| format!(": {}", clean(why))).unwrap_or_default();
    let rule = format!("rule {} of {}{why}", clean(&denial.rule), clean(&denial.layer));
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
    format!(
        "{}, {} and {} of files, {}",
        count(counts.execs, "program"),
        count(counts.reads, "read"),
        count(counts.writes, "write"),
        count(counts.events, "event")
    )
}
