//! `provost policy`: read, check and ask policies.
//!
//! Owns the verbs beneath it. What is shown and explained is what a run here would have: `run::prepare` puts it together.

mod explain;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use ::policy::{
    Anchors, Context, Layer, LayerKind, Listed, ListedLimit, Policy as Compiled, Shortfall, profiles,
};
use serde_json::json;

use super::DONE;
use crate::cli::{Policy, PolicyFile, PolicyShow, RunFlags};
use crate::failure::{Failure, NO};
use crate::folders::Folders;
use crate::layers;
use crate::render::{Out, Tone, clean, count, table};
use crate::run::{self, Order, Prepared};

pub(super) fn policy(order: &Policy, out: Out) -> Result<u8, Failure> {
    match order {
        Policy::Show(order) => show(order, out),
        Policy::Check(order) => check(order, out),
        Policy::Test(order) => test(order, out),
        Policy::Explain(order) => explain::explain(order, out),
    }
}

/// What a run here would be prepared with; without a named agent, one that nothing is known of.
fn prepared(flags: &RunFlags, agent: Option<&OsString>, folders: &Folders) -> Result<Prepared, Failure> {
    let argv = [agent.cloned().unwrap_or_else(|| "sh".into())];
    let order = Order { flags, task: None, argv: &argv, say: |_| {} };
    run::prepare(&order, run::understand(&order, folders)?, folders)
}

// === show ===

fn show(order: &PolicyShow, out: Out) -> Result<u8, Failure> {
    if order.profiles {
        for (name, _, purpose) in profiles() {
            if out.human() {
                out.line(format!("{name:<10}{purpose}"));
            } else {
                out.json(&json!({ "profile": name, "purpose": purpose }));
            }
        }
        return Ok(DONE);
    }
    if let Some(name) = &order.profile {
        return shipped(name, out);
    }
    let folders = Folders::find()?;
    let prepared = prepared(&RunFlags::default(), order.agent.as_ref(), &folders)?;
    let listed = prepared.policy.listed();
    let limits = prepared.policy.listed_limits();
    if !out.human() {
        listed.iter().for_each(|line| out.json(line));
        limits.iter().for_each(|line| out.json(line));
        if prepared.policy.records_models() {
            out.json(&json!({ "record": { "models": "full" } }));
        }
        return Ok(DONE);
    }
    let mut rows = vec![["LAYER", "NEED", "KIND", "PATTERN", "RULE"].map(str::to_owned).to_vec()];
    let brief = |layer: &str| explain::brief(layer, &prepared.task.workspace, &folders.home);
    rows.extend(listed.iter().map(|line| row(line, brief(&line.layer))));
    table::rows(&rows).iter().for_each(|line| out.line(line));
    if prepared.policy.records_models() {
        out.line("");
        out.line("what models are asked and answer is recorded, heads and bodies");
    }
    if !limits.is_empty() {
        let mut rows = vec![["LAYER", "LIMIT", "MOST"].map(str::to_owned).to_vec()];
        rows.extend(limits.iter().map(|line| limited(line, brief(&line.layer))));
        out.line("");
        table::rows(&rows).iter().for_each(|line| out.line(line));
    }
    Ok(DONE)
}

fn limited(line: &ListedLimit, layer: String) -> Vec<String> {
    let note = match &line.idle {
        Some(idle) => format!(" (does not count here: {})", clean(idle)),
        None if line.holds => String::new(),
        None => " (another layer says less)".to_owned(),
    };
    vec![layer, line.limit.to_string(), format!("{}{note}", line.text)]
}

/// A shipped profile, to the letter.
fn shipped(name: &str, out: Out) -> Result<u8, Failure> {
    let (name, text, purpose) = layers::shipped(name)?;
    if out.human() {
        text.lines().for_each(|line| out.line(line));
    } else {
        out.json(&json!({ "profile": name, "purpose": purpose, "text": text }));
    }
    Ok(DONE)
}

fn row(line: &Listed, layer: String) -> Vec<String> {
    let mut pattern = line.pattern.as_deref().map_or_else(|| "(what no rule speaks of)".to_owned(), clean);
    if !line.except.is_empty() {
        pattern.push_str(&format!(" but {}", clean(&line.except.join(", "))));
    }
    for beside in line.conditions.iter().chain(&line.terms) {
        pattern.push_str(&format!("; {}", clean(beside)));
    }
    let mut rule = clean(&line.rule);
    match (&line.idle, line.narrows) {
        (Some(idle), _) => rule.push_str(&format!(" (does not count here: {})", clean(idle))),
        (None, true) => rule.push_str(" (only narrows)"),
        (None, false) => {}
    }
    vec![layer, line.need.to_string(), line.kind.word().to_owned(), pattern, rule]
}

// === check and test ===

fn check(order: &PolicyFile, out: Out) -> Result<u8, Failure> {
    let (name, kind, text) = read(&order.file)?;
    let refused = |error| Failure::from(error).status(NO);
    let layer = Layer::parse(&name, kind, &text).map_err(refused)?;
    layer.check().map_err(refused)?;
    let policy = Compiled::compile(vec![layer], &anywhere(), &Context::default()).map_err(refused)?;
    // What nothing can hold yet is said here, and not only when a run starts.
    let missing = policy.unheld();
    if !missing.is_empty() {
        return Err(Failure::from(Shortfall { missing }).status(NO));
    }
    let listed = policy.listed();
    let mut rules: Vec<&str> =
        listed.iter().filter(|line| line.layer == name).map(|line| line.rule.as_str()).collect();
    rules.retain(|rule| *rule != "default");
    rules.dedup();
    if out.human() {
        let word = match kind {
            LayerKind::Floor => "read as a floor, which nothing lifts",
            LayerKind::Repo => "read as a repository's own, which only narrows until it is trusted",
            _ => "read as one of yours; it holds where you name it with --policy, or as policy.toml",
        };
        out.line(format!("ok  {}: {}, {word}", clean(&name), count(rules.len() as u64, "rule")));
    } else {
        out.json(&json!({ "verdict": "ok", "file": name, "rules": rules.len() }));
    }
    Ok(DONE)
}

/// Whether a file holds does not depend on where it is checked.
fn anywhere() -> Anchors {
    let [workspace, home, state, config] =
        ["/workspace", "/home/person", "/state/provost", "/config/provost"].map(PathBuf::from);
    Anchors { workspace, home, state, config }
}

fn test(order: &PolicyFile, out: Out) -> Result<u8, Failure> {
    let (name, kind, text) = read(&order.file)?;
    let tested = Layer::test(&name, kind, &text).map_err(|error| Failure::from(error).status(NO))?;
    let mut faults = 0_u64;
    for one in &tested {
        faults += u64::from(one.fault.is_some());
        if !out.human() {
            out.json(one);
            continue;
        }
        let word = if one.must_match { "yes" } else { "no" };
        let said = format!(
            "{}:{}: rule {} {word} `{}`",
            clean(&name),
            one.line,
            clean(&one.rule),
            clean(&one.example)
        );
        match &one.fault {
            None => out.line(format!("{}  {said}", out.paint().on(Tone::Good, "ok"))),
            Some(fault) => {
                out.aside(format!("{}  {said}: {}", out.paint_aside().on(Tone::Bad, "no"), clean(fault)))
            }
        }
    }
    if out.human() && tested.is_empty() {
        out.line(format!("ok  {}: no examples. Give rules some: yes = [..], no = [..]", clean(&name)));
    }
    Ok(if faults == 0 { DONE } else { NO })
}

/// A file's name, where it would stand, and its text.
fn read(path: &Path) -> Result<(String, LayerKind, String), Failure> {
    let text = fs::read_to_string(path).map_err(|error| {
        Failure::of(&error).during(format!("could not read the policy `{}`", path.display())).status(NO)
    })?;
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let kind = if real.parent().is_some_and(|folder| folder.ends_with("policy.d")) {
        LayerKind::Floor
    } else if real.ends_with(layers::REPO) {
        LayerKind::Repo
    } else {
        LayerKind::File
    };
    Ok((path.display().to_string(), kind, text))
}
