//! What ran, process by process: a tree for people, a list for programs.
//!
//! Owns how a row of the tree reads and the keys of the list. Does not own what ran, nor which processes are told by themselves
//! (`insight`), nor one process in full (`process`).

use insight::Denial;
use insight::places::{Place, Places, is_named_like_a_secret};
use insight::processes::{
    Calls, Files, Folding, Ground, Linked, Process, ProcessTree, Row, Rows, Sum, Touch,
};
use ledger::OsText;
use serde_json::{Value, json};

use super::fit::Line;
use super::{Paint, Tone, clean, count, ground, short, time};

/// Rows that a person reads before something is folded.
const ROWS: usize = 40;
/// Rows that are printed at most, unless all are wanted.
const MOST: usize = 200;
/// Names in one line before the rest is only counted.
const NAMED: usize = 3;
/// Refusals and places of one process that are told in its rows.
const TOLD: usize = 4;
/// Letters of a command where no terminal says how many fit.
const WIDE: usize = 160;
/// Columns below which a terminal has room for one figure only.
const NARROW: usize = 120;

/// How the tree is told.
#[derive(Debug, Clone, Copy)]
pub struct Telling<'a> {
    /// The processes.
    pub tree: &'a ProcessTree,
    /// Where things are.
    pub places: &'a Places,
    /// Every process by itself.
    pub all: bool,
    /// Whether the run goes on.
    pub running: bool,
    /// The columns of the terminal, if it is one.
    pub columns: Option<usize>,
    /// Colours.
    pub paint: Paint,
}

impl Telling<'_> {
    fn is_narrow(self) -> bool {
        self.columns.is_some_and(|columns| columns < NARROW)
    }
}

/// The tree.
pub fn text(telling: Telling<'_>) -> Vec<String> {
    let Telling { tree, places, all, columns, paint, .. } = telling;
    let rows = tree.rows(Folding { all, rows: ROWS }, places);
    if rows.is_empty() {
        return Vec::new();
    }
    let calls = tree.calls();
    let heads = figures(telling, "#", ["at", "took", "cpu"].map(str::to_owned)).toned(Tone::Faint, "process");
    let mut lines = vec![heads.print(paint, columns)];
    let most = if all { usize::MAX } else { MOST };
    for row in rows.iter().take(most) {
        lines.extend(row_lines(row, &calls, telling).iter().map(|line| line.print(paint, columns)));
    }
    let more = rows.len().saturating_sub(most);
    if more > 0 {
        lines.push(paint.on(Tone::Faint, format!("  and {more} more rows: `provost show --all` has them")));
    }
    lines.extend(grounds(&calls, tree, paint));
    lines
}

/// On what ground calls are told apart: what is not known is not shown as known.
fn grounds(calls: &Calls, tree: &ProcessTree, paint: Paint) -> Vec<String> {
    let agent = clean(tree.agent());
    let has = |ground: Ground| calls.all().iter().any(|call| call.ground == ground);
    let sure = format!("  call N   {agent} set it up with its own program, as it does for tool calls");
    let open = format!(
        "  call N?  {agent} started it, by the process tree; whether the model asked for it is not recorded"
    );
    let told = [(has(Ground::OwnSetup), sure), (has(Ground::ProcessTree), open)];
    told.into_iter().filter(|(has, _)| *has).map(|(_, text)| paint.on(Tone::Faint, text)).collect()
}

fn row_lines(row: &Row, calls: &Calls, telling: Telling<'_>) -> Vec<Line> {
    match &row.what {
        Rows::One { id, adrift, beneath, .. } => match telling.tree.get(*id) {
            Some(process) => one(row, (process, *adrift, *beneath), calls, telling),
            None => Vec::new(),
        },
        Rows::Alike { first, count, sum } => alike(row, (*first, *count, *sum), telling),
        Rows::Quiet { programs, sum } => vec![quiet(row, programs, *sum, telling)],
    }
}

fn one(
    row: &Row,
    (process, adrift, beneath): (&Process, bool, Option<Sum>),
    calls: &Calls,
    telling: Telling<'_>,
) -> Vec<Line> {
    let Telling { tree, places, .. } = telling;
    let took = process.ended.map_or_else(String::new, |ended| time(ms(ended.saturating_sub(process.seen))));
    let cpu = process.exit.map_or_else(String::new, |exit| cpu(exit.cpu_us));
    let id = format!("#{}", process.id);
    let mut line = figures(telling, &id, [time(ms(process.seen)), took, cpu]).toned(Tone::Faint, rails(row));
    if let Some(call) = calls.of(process.id).filter(|call| call.by == process.id) {
        line = line.toned(
            Tone::Notice,
            format!("call {}{}  ", call.number, if call.ground == Ground::OwnSetup { "" } else { "?" }),
        );
    }
    line = line.toned(Tone::Strong, said(process, tree));
    line = end(line, process, telling);
    if adrift {
        line = line.toned(Tone::Faint, "  (who started it was gone)");
    }
    let mut lines = vec![line];
    let indent = indent(row, telling);
    let details = details(process, tree, places);
    if !details.is_empty() {
        lines.push(indent.clone().toned(Tone::Faint, details));
    }
    let (around, refused): (Vec<&Denial>, Vec<&Denial>) =
        process.refused.iter().partition(|refusal| refusal.is_looking_around());
    for refusal in refused.iter().take(TOLD) {
        let what = format!(
            "denied {} {}",
            clean(&refusal.kind),
            short(&clean(&shortened(&refusal.target, places)), 80)
        );
        let rule = format!(
            "{}  {}",
            times(refusal.count),
            ground::brief(&refusal.layer, &refusal.rule, refusal.why.as_deref())
        );
        lines.push(indent.clone().toned(Tone::Bad, what).toned(Tone::Faint, rule));
    }
    let more = refused.len().saturating_sub(TOLD) as u64 + process.more_refused;
    if !around.is_empty() {
        let text = format!("denied {} of what is only not shown", count(around.len() as u64, "read"));
        lines.push(indent.clone().toned(Tone::Faint, text));
    }
    if more > 0 {
        lines.push(indent.clone().toned(Tone::Bad, format!("and {more} more denials")));
    }
    lines.extend(connections(process).map(|text| indent.clone().and(text)));
    if let Some(sum) = beneath.filter(|sum| sum.processes > 0) {
        lines.push(indent.toned(Tone::Faint, format!("beneath it: {}", summed(sum))));
    }
    lines
}

fn alike(row: &Row, (first, number, sum): (usize, usize, Sum), telling: Telling<'_>) -> Vec<Line> {
    let Some(process) = telling.tree.get(first) else { return Vec::new() };
    let name =
        process.asked().map_or_else(|| "fork".to_owned(), |image| last_part(&image.argv, &image.program));
    let line = figures(telling, "", [time(ms(process.seen)), String::new(), cpu(sum.cpu_us)])
        .toned(Tone::Faint, rails(row))
        .toned(Tone::Strong, format!("{name} × {number}"))
        .toned(Tone::Faint, format!("  alike, the first #{first}: "))
        .and(said(process, telling.tree));
    let line = end(line, process, telling);
    let mut told = Vec::new();
    if sum.processes > number {
        told.push(format!("{} processes with those beneath", sum.processes));
    }
    told.extend(changed(sum));
    let detail = (!told.is_empty()).then(|| indent(row, telling).toned(Tone::Faint, told.join(" · ")));
    [Some(line), detail].into_iter().flatten().collect()
}

fn quiet(row: &Row, programs: &[(String, usize)], sum: Sum, telling: Telling<'_>) -> Line {
    let name = |(name, count): &(String, usize)| match count {
        1 => clean(name),
        _ => format!("{} × {count}", clean(name)),
    };
    let named: Vec<String> = programs.iter().take(2 * NAMED).map(name).collect();
    let more = programs.len().saturating_sub(named.len());
    let more = if more > 0 { format!(" and {more} other programs") } else { String::new() };
    figures(telling, "", [String::new(), String::new(), cpu(sum.cpu_us)])
        .toned(Tone::Faint, rails(row))
        .toned(
            Tone::Faint,
            format!("{} that only looked at the system: {}{more}", sum.processes, named.join(", ")),
        )
}

/// What was changed, and apart from it what was only temporary.
fn changed(sum: Sum) -> Option<String> {
    let changed = (sum.changed > 0).then(|| count(sum.changed as u64, "file"));
    let temporary = (sum.temporary > 0).then(|| format!("{} temporary", sum.temporary));
    let both: Vec<String> = changed.into_iter().chain(temporary).collect();
    (!both.is_empty()).then(|| format!("changed {}", both.join(", ")))
}

fn summed(sum: Sum) -> String {
    let changed = changed(sum).map_or_else(String::new, |changed| format!(", {changed}"));
    let processes =
        if sum.processes == 1 { "1 process".to_owned() } else { format!("{} processes", sum.processes) };
    format!("{processes}, cpu {}{changed}", time(sum.cpu_us / 1000))
}

/// What stands before the tree: number, and when, how long, how much; on a narrow terminal only how long.
fn figures(telling: Telling<'_>, id: &str, [at, took, cpu]: [String; 3]) -> Line {
    let text = match telling.is_narrow() {
        true => format!("{id:>5}{took:>9}  "),
        false => format!("{id:>6}{at:>11}{took:>11}{cpu:>10}  "),
    };
    Line::default().toned(Tone::Faint, text)
}

fn indent(row: &Row, telling: Telling<'_>) -> Line {
    let before = if telling.is_narrow() { 16 } else { 40 };
    Line::default().toned(Tone::Faint, format!("{}{}", " ".repeat(before), beneath_rails(row)))
}

/// Processor time, where there was enough of it to be counted.
fn cpu(us: u64) -> String {
    if us < 1000 { String::new() } else { time(us / 1000) }
}

fn rails(row: &Row) -> String {
    if row.top {
        return String::new();
    }
    let own = if row.last { "└─ " } else { "├─ " };
    format!("{}{own}", above(row))
}

fn above(row: &Row) -> String {
    row.rails.iter().map(|goes_on| if *goes_on { "│  " } else { "   " }).collect()
}

/// What is drawn before the further lines of a row: its own level goes on, and a line leads down to what is beneath it.
fn beneath_rails(row: &Row) -> String {
    let own = match (row.top, row.last) {
        (true, _) => "",
        (false, true) => "   ",
        (false, false) => "│  ",
    };
    let down = match &row.what {
        Rows::One { opens: true, .. } => "│  ",
        _ => "   ",
    };
    format!("{}{own}{down}", above(row))
}

/// How it ended, where that is worth a word.
fn end(line: Line, process: &Process, telling: Telling<'_>) -> Line {
    match process.exit.map(|exit| (exit.code, exit.signal)) {
        Some((_, Some(signal))) => line.toned(Tone::Bad, format!("  killed by signal {signal}")),
        Some((Some(0), None)) => line,
        Some((Some(code), None)) => line.toned(Tone::Notice, format!("  exit {code}")),
        Some((None, None)) => line.toned(Tone::Notice, "  killed"),
        None if telling.running => line.toned(Tone::Good, "  at work"),
        None if telling.tree.knows_ends() => line.toned(Tone::Faint, "  its end was not seen"),
        None => line,
    }
}

/// The command, as the kernel took it.
fn said(process: &Process, tree: &ProcessTree) -> String {
    match process.asked() {
        Some(image) => short(&words(&image.argv), WIDE),
        None => {
            let above = process.parent.and_then(|id| tree.get(id)).and_then(Process::image);
            let of = above
                .map(|image| format!(" of {}", last_part(&image.argv, &image.program)))
                .unwrap_or_default();
            format!("(a fork{of} that started no program)")
        }
    }
}

/// Words, each apart from the next as a shell would take them.
pub(super) fn words(argv: &[OsText]) -> String {
    let word = |word: &OsText| {
        let text = word.to_string();
        let plain =
            !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "-_./=:,+@%^~".contains(c));
        if plain { text } else { format!("'{}'", clean(&text).replace('\'', "'\\''")) }
    };
    clean(&argv.iter().map(word).collect::<Vec<_>>().join(" "))
}

fn last_part(argv: &[OsText], program: &OsText) -> String {
    let text = argv.first().unwrap_or(program).to_string();
    clean(text.rsplit('/').next().unwrap_or(&text))
}

/// What it became, files, folder, program.
fn details(process: &Process, tree: &ProcessTree, places: &Places) -> String {
    let mut told = Vec::new();
    let last = process.image().filter(|last| process.asked().is_some_and(|asked| asked.seq != last.seq));
    told.extend(last.map(|image| format!("then {}", short(&words(&image.argv), 60))));
    told.extend(changes(&process.files, places));
    told.extend(reads(&process.files, places));
    if let Some(image) = process.image() {
        let folder = above(process, tree).map(|image| &image.cwd);
        let usual = folder.map_or(places.project.as_slice(), OsText::as_bytes);
        if image.cwd.as_bytes() != usual {
            told.push(format!("in {}", clean(&places.short(&image.cwd))));
        }
        let name = image.program.to_string();
        let name = clean(name.rsplit('/').next().unwrap_or(&name));
        let digest =
            image.digest.as_deref().and_then(|digest| digest.get(..8)).map(|digest| format!(" {digest}"));
        told.push(format!("{name}{}", digest.unwrap_or_default()).trim().to_owned());
    }
    told.retain(|part| !part.is_empty());
    return told.join(" · ");

    /// The nearest program above.
    fn above<'t>(process: &Process, tree: &'t ProcessTree) -> Option<&'t insight::processes::Image> {
        let mut at = process.parent.and_then(|id| tree.get(id));
        for _ in 0..64 {
            match at.map(Process::image) {
                Some(Some(image)) => return Some(image),
                Some(None) => at = at.and_then(|it| it.parent).and_then(|id| tree.get(id)),
                None => break,
            }
        }
        None
    }
}

/// `read 214 files (12 of the project, 3 in ~/.config)`
fn reads(files: &Files, places: &Places) -> Option<String> {
    let reads = files.reads();
    let mut project = 0;
    let mut folders: Vec<(String, u64)> = Vec::new();
    let mut secrets = Vec::new();
    for (path, _, _) in &reads {
        if is_named_like_a_secret(path) {
            secrets.push(clean(&places.short(path)));
            continue;
        }
        match places.of(path) {
            Place::Project => project += 1,
            Place::Home | Place::Other => {
                let folder = folder(&places.short(path));
                match folders.iter_mut().find(|(known, _)| *known == folder) {
                    Some((_, count)) => *count += 1,
                    None => folders.push((folder, 1)),
                }
            }
            Place::System | Place::Tools | Place::Passing => {}
        }
    }
    folders.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let mut aside: Vec<String> = named(&secrets).into_iter().collect();
    aside.extend((project > 0).then(|| format!("{project} of the project")));
    aside.extend(folders.iter().take(NAMED).map(|(folder, count)| format!("{count} in {}", clean(folder))));
    let more = if files.more_reads > 0 { " and more" } else { "" };
    let aside = if aside.is_empty() { String::new() } else { format!(" ({})", aside.join(", ")) };
    (!reads.is_empty()).then(|| format!("read {}{more}{aside}", count(reads.len() as u64, "file")))
}

/// The first two parts of a folder.
fn folder(path: &str) -> String {
    let folder = path.rsplit_once('/').map_or(".", |(folder, _)| folder);
    let lead = folder.starts_with('/');
    let parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).take(2).collect();
    format!("{}{}", if lead { "/" } else { "" }, parts.join("/"))
}

/// `changed src/lib.rs, +2 · removed a`
fn changes(files: &Files, places: &Places) -> Vec<String> {
    let changes = files.changes();
    let groups: [(&str, &[Touch]); 4] = [
        ("changed", &[Touch::Wrote, Touch::Truncated, Touch::Made, Touch::Linked]),
        ("renamed", &[Touch::Renamed]),
        ("removed", &[Touch::Removed]),
        ("", &[]),
    ];
    let mut told = Vec::new();
    for (word, touches) in groups {
        let mut passing = 0_u64;
        let mut names: Vec<String> = Vec::new();
        for (path, _, _) in changes.iter().filter(|(_, touch, _)| touches.contains(touch)) {
            if places.of(path) == Place::Passing {
                passing += 1;
            } else {
                names.push(clean(&places.short(path)));
            }
        }
        names.dedup();
        let passing = (passing > 0).then(|| format!("{passing} temporary"));
        let all: Vec<String> = named(&names).into_iter().chain(passing).collect();
        if !all.is_empty() {
            told.push(format!("{word} {}", all.join(", ")));
        }
    }
    if files.more_changes > 0 {
        told.push("and more".to_owned());
    }
    told
}

/// The first names, and how many more.
fn named(names: &[String]) -> Option<String> {
    let shown: Vec<String> = names.iter().take(NAMED).map(|name| short(name, 60)).collect();
    let more = names.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(", +{more}") } else { String::new() };
    (!names.is_empty()).then(|| format!("{}{more}", shown.join(", ")))
}

fn connections(process: &Process) -> impl Iterator<Item = String> {
    let outward = process.links.iter().filter(|link| link.how != Linked::Inside);
    let told = outward.clone().take(TOLD).map(|link| {
        let word = match link.how {
            Linked::Inside | Linked::Reached => "reached",
            Linked::Carried => "connected to",
            Linked::Refused => "was refused a connection to",
            Linked::Denied => "was denied",
        };
        format!("{word} {}{}", short(&clean(&link.target), 80), times(link.count))
    });
    let more = outward.count().saturating_sub(TOLD) as u64 + process.more_links;
    told.chain((more > 0).then(|| format!("and {more} more places"))).collect::<Vec<_>>().into_iter()
}

fn times(count: u64) -> String {
    if count > 1 { format!(" ×{count}") } else { String::new() }
}

fn shortened(target: &str, places: &Places) -> String {
    if target.starts_with('/') { places.short(&OsText::from(target)) } else { target.to_owned() }
}

fn ms(ns: u64) -> u64 {
    ns / 1_000_000
}

// === for programs ===

/// Every process, in the order in which they were first seen. Files that were read are named where `all` is wanted, else counted.
pub fn json(tree: &ProcessTree, all: bool) -> Vec<Value> {
    let calls = tree.calls();
    tree.all().iter().map(|process| one_json(process, &calls, all)).collect()
}

/// One process; its keys are an interface.
pub fn one_json(process: &Process, calls: &Calls, all: bool) -> Value {
    let image = process.image();
    let call = calls.of(process.id);
    let files = &process.files;
    let reads = files.reads();
    let file = |(path, touch, count): &(&OsText, Touch, u64)| json!({ "path": path, "act": touch.word(), "count": count });
    let mut read = json!({
        "files": reads.len(), "opens": reads.iter().map(|(_, _, count)| count).sum::<u64>() + files.more_reads,
    });
    if let Some(read) = read.as_object_mut().filter(|_| all) {
        read.insert("named".to_owned(), reads.iter().map(file).collect());
    }
    json!({
        "id": process.id,
        "pid": process.pid,
        "parent": process.parent,
        "argv": image.map(|image| &image.argv),
        "program": image.map(|image| &image.program),
        "digest": image.and_then(|image| image.digest.as_deref()),
        "cwd": image.map(|image| &image.cwd),
        "env": image.map(|image| &image.env),
        "before": process.images.iter().rev().skip(1).rev().map(|image| &image.argv).collect::<Vec<_>>(),
        "started_ms": ms(process.seen),
        "ended_ms": process.ended.map(ms),
        "exit": process.exit.map(|exit| json!({ "code": exit.code, "signal": exit.signal })),
        "cpu_ms": process.exit.map(|exit| exit.cpu_us / 1000),
        "reads": read,
        "writes": files.changes().iter().map(file).collect::<Vec<_>>(),
        "more_writes": files.more_changes,
        "denied": process.refused.iter().map(|it| json!({
            "what": it.kind, "target": it.target, "layer": it.layer, "rule": it.rule, "why": it.why, "count": it.count,
        })).collect::<Vec<_>>(),
        "more_denied": process.more_refused,
        "connections": process.links.iter().map(|it| json!({
            "target": it.target, "how": it.how.word(), "count": it.count,
        })).collect::<Vec<_>>(),
        "more_connections": process.more_links,
        "call": call.map(|call| json!({ "number": call.number, "began_with": call.by, "ground": call.ground.word() })),
    })
}

#[cfg(test)]
mod tests;
