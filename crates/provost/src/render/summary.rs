//! What a run comes to, on one screen: what changed, what was denied by which rule, where it connected, how it ended, and
//! what to do next.
//!
//! Owns that choice and its form for programs; `text` owns how it reads. Does not own the sums (`insight`).

mod explain;
mod headline;
mod text;

use insight::{Fate, Story};
use ledger::Mode;
use ledger::event::{CassetteClosed, CassetteGap, Change, Risk};
use serde::Serialize;

pub use text::{outside, text};

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
    /// What it rested on, where that was less than namespaces: `landlock`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// How much of it was recorded: `full`, `writes`, `exec`.
    pub evidence: &'static str,
    /// `running`, `ended`, `interrupted`.
    pub state: &'static str,
    /// The agent's exit status, if it ended by itself.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub exit_signal: Option<i32>,
    /// The signal by which somebody told Provost to end it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<u8>,
    /// The limit that ended it: `cpu`, `memory`, `processes`, `disk`, `time`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<String>,
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
    /// The models that it asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelLine>,
    /// The recorded traffic, where there is some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded: Option<RecordedLine>,
    /// Credentials that the agent holds itself.
    pub credentials: Vec<String>,
    /// Logins whose tokens had to be refreshed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logins: Vec<LoginLine>,
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
    /// Refusals.
    pub denied: u64,
    /// Bodies of requests that left; nothing of what was in tunnels and WebSockets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<SentLine>,
}

/// Bodies of requests that left for one place.
#[derive(Debug, Serialize)]
pub struct SentLine {
    /// How many.
    pub bodies: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Each different one, the largest first; of very many the largest.
    pub different: Vec<SentBodyLine>,
}

/// One body, however often it was sent.
#[derive(Debug, Serialize)]
pub struct SentBodyLine {
    /// Its SHA-256.
    pub sha256: String,
    /// Its bytes.
    pub bytes: u64,
    /// How often it was sent.
    pub times: u64,
    /// Whether it broke off.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    /// Method and path of the first request with it.
    pub first: String,
}

/// The recorded traffic of a run.
#[derive(Debug, Serialize)]
pub struct RecordedLine {
    /// Requests in it.
    pub flows: u64,
    /// Bytes on the disk.
    pub bytes: u64,
    /// The SHA-256 of its lines.
    pub sha256: String,
    /// What passed and is not in it.
    pub gaps: Vec<GapLine>,
    /// Why it ends before the run did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// What passed and was not recorded.
#[derive(Debug, Serialize)]
pub struct GapLine {
    /// Host and port.
    pub endpoint: String,
    /// `tunnel`, `not asked`.
    pub because: String,
    /// How many.
    pub flows: u64,
}

/// A model that was asked, and what its answers came to.
#[derive(Debug, Serialize)]
pub struct ModelLine {
    /// Host and port.
    pub endpoint: String,
    /// The model, as it names itself.
    pub model: String,
    /// Answers.
    pub answers: u64,
    /// Tokens of input, those from a cache included.
    pub input: u64,
    /// Those of them that came from a cache.
    pub cached: u64,
    /// Tokens of output.
    pub output: u64,
    /// What they cost, in US dollars.
    pub cost_usd: f64,
    /// Calls of tools that it wanted.
    pub calls: u64,
    /// Whether tokens are in part an estimate, or the price is that of the dearest model known.
    pub estimated: bool,
}

/// A login whose tokens had to be refreshed.
#[derive(Debug, Default, Serialize)]
pub struct LoginLine {
    /// Its name.
    pub login: String,
    /// How often the gateway refreshed it.
    pub refreshed: u64,
    /// How often somebody else had, and their tokens were taken.
    pub adopted: u64,
    /// Why the last attempt came to nothing, where it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
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
        tier: tier(story),
        evidence: opened.evidence.word(),
        state,
        exit_code: story.ended.and_then(|end| end.exit.code),
        stopped: story.ended.and_then(|end| end.stopped),
        exit_signal: story.ended.and_then(|end| end.exit.signal),
        ended_by: story.ended_by.clone(),
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
        models: story.consulted().map(model).collect(),
        recorded: story.cassette.as_ref().map(recorded),
        credentials: credentials(story),
        logins: logins(story),
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

/// What a run rested on, where it was a lesser tier.
fn tier(story: &Story) -> Option<String> {
    let tier = story.enforcement.as_ref()?.get("tier")?.as_str()?;
    (tier != "namespaces").then(|| tier.to_owned())
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
        denied: reached.denied,
        sent: (reached.sent.bodies > 0).then(|| sent(&reached.sent)),
    }
}

fn sent(sent: &insight::Sent) -> SentLine {
    let one = |body: &insight::SentBody| {
        let insight::SentBody { sha256, bytes, times, cut, first } = body.clone();
        SentBodyLine { sha256, bytes, times, cut, first }
    };
    let different = sent.largest().into_iter().map(one).collect();
    SentLine { bodies: sent.bodies, bytes: sent.bytes, different }
}

fn recorded(closed: &CassetteClosed) -> RecordedLine {
    let gap = |gap: &CassetteGap| {
        let CassetteGap { endpoint, because, flows } = gap.clone();
        GapLine { endpoint, because, flows }
    };
    RecordedLine {
        flows: closed.flows,
        bytes: closed.bytes,
        sha256: closed.sha256.clone(),
        gaps: closed.gaps.iter().map(gap).collect(),
        failed: closed.failed.clone(),
    }
}

fn model((endpoint, model, sum): (&str, &str, &insight::Consulted)) -> ModelLine {
    ModelLine {
        endpoint: endpoint.to_owned(),
        model: model.to_owned(),
        answers: sum.answers,
        input: sum.input,
        cached: sum.cached,
        output: sum.output,
        cost_usd: sum.cost as f64 / 1e6,
        calls: sum.calls,
        estimated: sum.estimated > 0 || sum.unpriced,
    }
}

fn credentials(story: &Story) -> Vec<String> {
    let real = |moment: &insight::Moment| match &moment.what {
        insight::What::Credential { name, real: true } => Some(name.clone()),
        _ => None,
    };
    story.moments.iter().filter_map(real).collect()
}

fn logins(story: &Story) -> Vec<LoginLine> {
    let mut lines: Vec<LoginLine> = Vec::new();
    let refreshes = story.moments.iter().filter_map(|moment| match &moment.what {
        insight::What::Login(refresh) => Some(refresh),
        _ => None,
    });
    for refresh in refreshes {
        if !lines.iter().any(|line| line.login == refresh.login) {
            lines.push(LoginLine { login: refresh.login.clone(), ..LoginLine::default() });
        }
        for line in lines.iter_mut().filter(|line| line.login == refresh.login) {
            line.refreshed += u64::from(refresh.outcome == "refreshed");
            line.adopted += u64::from(refresh.outcome == "adopted");
            line.because.clone_from(&refresh.because);
        }
    }
    lines
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
