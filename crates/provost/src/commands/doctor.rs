//! `provost doctor`: what this machine can enforce, what is found here, and whether runs can start.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde::Serialize;

use super::DONE;
use crate::agents::{self, AGENTS, AgentError};
use crate::cli::RunFlags;
use crate::doctor::facts::Facts;
use crate::doctor::measure::{Measured, measure};
use crate::doctor::{Layer, State, can_run, examine};
use crate::failure::{Failure, OURS};
use crate::folders::Folders;
use crate::layers;
use crate::render::{Out, Paint, Tone, clean, folded, table};
use crate::run::{self, Order};
use crate::secrets::Credentials;
use crate::task::Task;
use crate::toolchains::variables;

/// All that is said.
#[derive(Debug, Serialize)]
struct Report {
    can_run: bool,
    /// Runs cannot start for want of namespaces alone, and those of the lesser tier can.
    lesser_tier: bool,
    machine: Facts,
    layers: Vec<Layer>,
    agents: Vec<Found>,
    /// Names of variables that hold credentials.
    credentials: Vec<String>,
    state: Kept,
    workspace: Workspace,
}

/// An agent, looked for.
#[derive(Debug, Serialize)]
struct Found {
    agent: &'static str,
    program: Option<String>,
    version: Option<String>,
    because: Option<String>,
}

/// The state folder.
#[derive(Debug, Serialize)]
struct Kept {
    path: String,
    /// In octal, as `ls` and `chmod` know it.
    mode: Option<String>,
    because: Option<String>,
    hint: Option<String>,
}

/// What a run here would work on, and under what.
#[derive(Debug, Serialize)]
struct Workspace {
    path: Option<String>,
    /// Whether there is a policy of its own, and it is trusted.
    policy: Option<&'static str>,
    /// The layers of the policy, in order.
    layers: Vec<String>,
    because: Option<String>,
    hint: Option<String>,
}

pub(super) fn doctor(out: Out) -> Result<u8, Failure> {
    let folders = Folders::find()?;
    let program = std::env::current_exe().map_err(|error| Failure::of(&error))?;
    let facts = Facts::read(Path::new("/"));
    let state = kept(&folders);
    // ORDER: the trial needs a process with one thread.
    let measured = measure(&folders.state, &folders.home);
    let measured = measured.map_err(|error| untried(&error, &folders, &state))?;
    let layers = examine(&facts, &measured, &program);
    let task = Task::understand(&RunFlags::default(), None, &[], &folders);
    let (workspace, policy_holds) = workspace(&folders);
    let report = Report {
        can_run: can_run(&layers) && state.because.is_none() && policy_holds,
        lesser_tier: is_for_lesser_tier(&facts, &measured, &layers),
        machine: facts,
        layers,
        agents: task.as_ref().map(agents).unwrap_or_default(),
        credentials: credentials(),
        state,
        workspace,
    };
    if out.human() {
        told(&report, out)
    } else {
        out.json(&report)
    }
    Ok(if report.can_run { DONE } else { OURS })
}

/// Whether `--tier landlock` is what is left here.
fn is_for_lesser_tier(facts: &Facts, measured: &Measured, layers: &[Layer]) -> bool {
    let no_namespaces = measured.refused.last().is_some_and(|refused| refused.step.is_none());
    let lacks = |layer: &&Layer| layer.needed && layer.state == State::Missing;
    let nothing_else = layers.iter().filter(lacks).all(|layer| layer.layer == "user namespace");
    no_namespaces && nothing_else && !facts.root && measured.landlock_abi >= policy::LEAST_LANDLOCK_ALONE
}

fn untried(error: &std::io::Error, folders: &Folders, state: &Kept) -> Failure {
    let hint =
        state.hint.clone().unwrap_or_else(|| "set XDG_STATE_HOME to a folder that you can write".to_owned());
    Failure::of(error).during(format!("could not try anything in `{}`", folders.state.display())).hint(hint)
}

/// Opens the state as a run would.
fn kept(folders: &Folders) -> Kept {
    let failure = folders.open().err();
    let mode = std::fs::metadata(&folders.state).ok().map(|found| format!("{:04o}", found.mode() & 0o7777));
    Kept {
        path: folders.state.display().to_string(),
        mode,
        because: failure.as_ref().map(ToString::to_string),
        hint: failure.and_then(|failure| failure.hint),
    }
}

/// Looks for every known agent, as a run would.
fn agents(task: &Task) -> Vec<Found> {
    let known = AGENTS.iter().filter(|agent| agent.name() != agents::recognise(&[]).name());
    let look = |agent: &&'static dyn agents::Agent| {
        let argv = [OsString::from(agent.name())];
        let host = agents::Host { environment: &task.environment, argv: &argv, folder: &task.folder };
        let none = Found { agent: agent.name(), program: None, version: None, because: None };
        match agent.outfit(&host, &Credentials::default()) {
            Ok(outfit) => {
                Found { program: Some(outfit.program.display().to_string()), version: outfit.version, ..none }
            }
            Err(error) => Found { because: Some(because(&error)), ..none },
        }
    };
    known.map(look).collect()
}

fn because(error: &AgentError) -> String {
    match error {
        AgentError::NotFound { because, .. } => because.clone(),
        error => error.to_string(),
    }
}

/// Names only: a value is shown nowhere.
fn credentials() -> Vec<String> {
    let secret = |(name, value): (OsString, OsString)| {
        let (name, value) = (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned());
        let is =
            !value.is_empty() && (variables::is_secret_name(&name) || variables::is_secret_value(&value));
        is.then_some(name)
    };
    let mut names: Vec<String> = std::env::vars_os().filter_map(secret).collect();
    names.sort();
    names
}

/// What a run here would be prepared with, and whether its policy holds. A folder that can be no workspace is said, and is
/// no fault of the machine.
fn workspace(folders: &Folders) -> (Workspace, bool) {
    let none = Workspace { path: None, policy: None, layers: Vec::new(), because: None, hint: None };
    let said = |failure: Failure| (Some(failure.to_string()), failure.hint);
    let task = Task::understand(&RunFlags::default(), None, &[], folders);
    let fit = task.and_then(|task| Ok(crate::workspace::place::root(&task.workspace, &folders.around())?));
    let path = match fit {
        Ok(path) => path,
        Err(failure) => {
            let (because, hint) = said(failure);
            return (Workspace { because, hint, ..none }, true);
        }
    };
    let own = path.join(layers::REPO).exists();
    let trusted = if layers::is_trusted(folders, &path) { "trusted" } else { "not trusted" };
    let here = Workspace { path: Some(path.display().to_string()), policy: own.then_some(trusted), ..none };
    let flags = RunFlags::default();
    let order = Order { flags: &flags, task: None, argv: &["sh".into()], say: |_| {} };
    match run::understand(&order, folders).and_then(|task| run::prepare(&order, task, folders)) {
        Ok(prepared) => {
            let name = |layer: &policy::Layer| match layers::kind(layer) {
                kind if kind == layer.name => kind,
                kind => format!("{} ({kind})", layer.name),
            };
            (Workspace { layers: prepared.policy.layers().iter().map(name).collect(), ..here }, true)
        }
        Err(failure) => {
            let (because, hint) = said(failure);
            (Workspace { because, hint, ..here }, false)
        }
    }
}

// === for people ===

fn told(report: &Report, out: Out) {
    let paint = out.paint();
    let machine = &report.machine;
    let who = if machine.root { ", as root" } else { "" };
    out.line(
        paint.on(
            Tone::Strong,
            format!("{}, Linux {}{who}", clean(&machine.system.name), clean(&machine.kernel)),
        ),
    );
    report.layers.iter().for_each(|layer| told_layer(layer, out));
    out.line("");
    table::rows(&around(report)).iter().for_each(|line| out.line(line));
    out.line("");
    let (tone, verdict) = match (report.can_run, &report.workspace.because) {
        (true, None) => (Tone::Good, "Runs can start here."),
        (true, Some(_)) => (Tone::Good, "Runs can start on this machine, in the folder of a project."),
        (false, _) => {
            (Tone::Bad, "Runs cannot start here: mend what is missing, then call `provost doctor` again.")
        }
    };
    out.line(paint.on(tone, verdict));
    if report.lesser_tier {
        out.line("Until then `provost run --tier landlock` works without namespaces. It is a lesser choice: names and metadata of your");
        out.line("files can be looked up, no server can listen inside, a kill of Provost may leave what runs. docs/tiers.md has all of it.");
    }
}

/// Where what a layer carries begins.
const COLUMN: usize = 28;

fn told_layer(layer: &Layer, out: Out) {
    let paint = out.paint();
    let columns = out.columns();
    let rest = columns.map(|columns| columns.saturating_sub(COLUMN));
    let mut carries = folded(layer.carries, 0, rest).into_iter();
    let first = carries.next().unwrap_or_default();
    out.line(format!("  {}  {:<20}  {first}", mark(layer, paint), layer.layer));
    carries.for_each(|line| out.line(format!("{:COLUMN$}{line}", "")));
    let beneath = |text: &str, tone| {
        for line in folded(&clean(text), 0, rest) {
            out.line(format!("{:COLUMN$}{}", "", paint.on(tone, line)));
        }
    };
    layer.found.iter().for_each(|found| beneath(found, Tone::Faint));
    layer.because.iter().for_each(|because| beneath(because, Tone::Notice));
    for fix in &layer.fixes {
        out.line(format!("      {}", clean(&fix.why)));
        fix.lines.iter().for_each(|line| out.line(format!("          {}", clean_line(line))));
    }
}

/// A line to be copied: as it is, its indent too, if a terminal can only show it.
fn clean_line(line: &str) -> String {
    if line.chars().any(char::is_control) { clean(line) } else { line.to_owned() }
}

fn mark(layer: &Layer, paint: Paint) -> String {
    match (layer.state, layer.needed) {
        (State::Given, _) => paint.on(Tone::Good, "ok"),
        (State::Missing, true) => paint.on(Tone::Bad, "NO"),
        (State::Missing, false) => paint.on(Tone::Notice, "no"),
        (State::Untried, _) => paint.on(Tone::Faint, "? "),
    }
}

/// What is found here, beside the machine.
fn around(report: &Report) -> Vec<Vec<String>> {
    let row = |name: &str, value: String| vec![format!("  {name}"), value];
    let mut rows: Vec<Vec<String>> =
        report.agents.iter().map(|found| row(found.agent, agent(found))).collect();
    let credentials = match report.credentials.as_slice() {
        [] => "none are set".to_owned(),
        names => format!("{} (set; no value is shown)", clean(&names.join(", "))),
    };
    rows.push(row("credentials", credentials));
    let state = &report.state;
    let mode = state.mode.as_deref().unwrap_or("not there");
    rows.push(row("state", format!("{}, {mode}", clean(&state.path))));
    rows.extend(state.because.iter().chain(&state.hint).map(|text| row("", clean(text))));
    let here = &report.workspace;
    if let Some(path) = &here.path {
        let policy = match here.policy {
            None => "no policy of its own (`provost init` writes one)",
            Some("trusted") => "its own policy is trusted",
            Some(_) => "its own policy only narrows (`provost trust` lets it allow, too)",
        };
        rows.push(row("workspace", format!("{}: {policy}", clean(path))));
    }
    if !here.layers.is_empty() {
        rows.push(row("policy", clean(&here.layers.join(", "))));
    }
    rows.extend(here.because.iter().chain(&here.hint).map(|text| row("here", clean(text))));
    rows
}

fn agent(found: &Found) -> String {
    match (&found.program, &found.version) {
        (Some(program), Some(version)) => format!("{} {}", clean(program), clean(version)),
        (Some(program), None) => clean(program),
        (None, _) => format!("not found: {}", clean(found.because.as_deref().unwrap_or_default())),
    }
}
