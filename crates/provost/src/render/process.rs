//! One process in full.
//!
//! Owns what is said of it beyond its row in the tree. Does not own the tree (`processes`).

use insight::places::Places;
use insight::processes::{Ground, Linked, Process, ProcessTree, Touch};
use ledger::OsText;

use super::processes::{self, Telling};
use super::{Paint, Tone, clean, ground, time};

/// All that is known of one process.
pub fn text(process: &Process, telling: Telling<'_>) -> Vec<String> {
    let Telling { tree, places, paint, .. } = telling;
    let title = format!("process #{}, number {} on the host", process.id, process.pid);
    let mut lines = vec![paint.on(Tone::Strong, title)];
    let mut say = |name: &str, rows: Vec<String>| {
        for (at, row) in rows.into_iter().enumerate() {
            let name = if at == 0 { name } else { "" };
            lines.push(format!("  {} {row}", paint.on(Tone::Faint, format!("{name:<10}"))));
        }
    };
    say("started by", parent(process, tree));
    let last = process.images.len().saturating_sub(1);
    for (at, image) in process.images.iter().enumerate() {
        say(if at == last { "ran" } else { "first ran" }, vec![processes::words(&image.argv)]);
        say("program", vec![clean(&image.program.to_string())]);
        say("sha-256", vec![image.digest.as_deref().unwrap_or("not recorded").to_owned()]);
        say("in", vec![clean(&image.cwd.to_string())]);
        say("steered by", image.env.iter().map(|variable| clean(&variable.to_string())).collect());
    }
    if process.images.is_empty() {
        say("ran", vec!["no program: a fork".to_owned()]);
    }
    say("time", vec![lifetime(process)]);
    say("ended", vec![end(process, telling.running)]);
    say("call", call(process, tree));
    say("denied", denied(process, places));
    say("connected", connected(process));
    say("changed", files(process.files.changes(), process.files.more_changes, places, paint));
    say("read", files(process.files.reads(), process.files.more_reads, places, paint));
    say("started", children(process, tree));
    lines
}

fn parent(process: &Process, tree: &ProcessTree) -> Vec<String> {
    let parent = process.parent.and_then(|id| tree.get(id));
    match parent {
        Some(parent) => vec![named(parent)],
        None if tree.root().is_some_and(|root| root.id == process.id) => vec!["provost".to_owned()],
        None => vec!["nobody can tell: who started it was gone when it was first seen".to_owned()],
    }
}

fn named(process: &Process) -> String {
    let words = process.image().map_or_else(|| "a fork".to_owned(), |image| processes::words(&image.argv));
    format!("#{} {}", process.id, super::short(&words, 100))
}

fn lifetime(process: &Process) -> String {
    let from = time(process.seen / 1_000_000);
    let cpu = process.exit.map(|exit| format!(", cpu {}", time(exit.cpu_us / 1000))).unwrap_or_default();
    match process.ended {
        Some(ended) => format!("from {from} to {}{cpu}", time(ended / 1_000_000)),
        None => format!("from {from}{cpu}"),
    }
}

fn end(process: &Process, running: bool) -> String {
    match process.exit.map(|exit| (exit.code, exit.signal)) {
        Some((_, Some(signal))) => format!("killed by signal {signal}"),
        Some((Some(code), None)) => format!("with status {code}"),
        Some((None, None)) => "killed; this kernel does not say by which signal".to_owned(),
        None if running => "not yet".to_owned(),
        None => "its end was not seen".to_owned(),
    }
}

fn call(process: &Process, tree: &ProcessTree) -> Vec<String> {
    let calls = tree.calls();
    if calls.is_agent(process.id) {
        return vec!["none: it is the agent itself".to_owned()];
    }
    let told = calls.of(process.id).map(|call| {
        let began = tree.get(call.by).map(named).unwrap_or_default();
        format!("{}, by {}: it began with {began}", call.number, ground(call.ground))
    });
    told.into_iter().collect()
}

fn ground(ground: Ground) -> &'static str {
    match ground {
        Ground::ProcessTree => "the process tree alone",
        Ground::OwnSetup => "the process tree, and the agent set it up with its own program",
    }
}

fn denied(process: &Process, places: &Places) -> Vec<String> {
    let mut rows: Vec<String> = process
        .refused
        .iter()
        .map(|it| {
            let target = if it.target.starts_with('/') {
                places.short(&OsText::from(&*it.target))
            } else {
                it.target.clone()
            };
            let rule = ground::full(&it.layer, &it.rule, it.why.as_deref());
            format!("{:>4} × {} {}  {rule}", it.count, clean(&it.kind), clean(&target))
        })
        .collect();
    rows.extend((process.more_refused > 0).then(|| format!("and {} more", process.more_refused)));
    rows
}

fn connected(process: &Process) -> Vec<String> {
    let how = |how: Linked| match how {
        Linked::Inside => "inside",
        Linked::Carried => "to the gateway",
        Linked::Refused => "refused",
        Linked::Reached => "let through by the gateway",
        Linked::Denied => "denied by the gateway",
    };
    let mut rows: Vec<String> = process
        .links
        .iter()
        .map(|it| format!("{:>4} × {}  {}", it.count, clean(&it.target), how(it.how)))
        .collect();
    rows.extend((process.more_links > 0).then(|| format!("and {} more places", process.more_links)));
    rows
}

fn files(all: Vec<(&OsText, Touch, u64)>, more: u64, places: &Places, paint: Paint) -> Vec<String> {
    let row = |(path, touch, count): &(&OsText, Touch, u64)| {
        let word = if *touch == Touch::Read { String::new() } else { format!("{:<10}", touch.word()) };
        let name = clean(&places.short(path));
        let name =
            if insight::places::is_named_like_a_secret(path) { paint.on(Tone::Notice, name) } else { name };
        format!("{count:>4} × {word}{name}")
    };
    let mut rows: Vec<String> = all.iter().map(row).collect();
    rows.extend((more > 0).then(|| format!("and {more} times others, which were too many to be named")));
    rows
}

fn children(process: &Process, tree: &ProcessTree) -> Vec<String> {
    tree.all()
        .iter()
        .filter(|child| child.parent == Some(process.id) && child.did_something())
        .map(named)
        .collect()
}
