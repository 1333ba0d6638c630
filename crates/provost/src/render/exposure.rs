//! What a run could have seen, as a person reads it and as a program does.
//!
//! Owns the words, the order and the keys. What the record cannot tell is said and not left out. Does not own the facts (`insight`).

use std::collections::BTreeMap;

use insight::Story;
use insight::exposure::Exposure;
use insight::places::{Place, Places, is_named_like_a_secret};
use ledger::OsText;
use ledger::event::{Evidence, HostRule, Passed};
use serde_json::{Value, json};

use super::fit::Line;
use super::{Paint, Tone, clean, count, ground, short, size};

/// Rows of one part before the rest is only counted.
const MOST: usize = 14;
/// Letters of a list that is one row.
const WIDE: usize = 220;

/// What is told.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// What it could, and did.
    pub exposure: &'a Exposure,
    /// The hosts it reached and what it was refused.
    pub story: &'a Story,
    /// Where things are.
    pub places: &'a Places,
    /// Files named like secrets that it could have read and did not open, as the disk is now.
    pub unread: &'a [OsText],
    /// Whether all of the disk was looked at for them.
    pub whole: bool,
}

/// As a person reads it.
pub fn text(told: Told<'_>, paint: Paint, columns: Option<usize>) -> Vec<String> {
    let parts: [(&str, Vec<Line>); 11] = [
        ("evidence", vec![evidence(told.exposure)]),
        ("could read", trees(told, |asked| (&asked.read, &asked.hidden), "but nothing of")),
        ("secrets", secrets(told)),
        ("did read", read(told)),
        ("could write", writable(told)),
        ("did change", changed(told)),
        ("could reach", reachable(told.exposure)),
        ("did reach", reached(told)),
        ("credentials", credentials(told.exposure)),
        ("variables", variables(told.exposure)),
        ("refused", refused(told)),
    ];
    let mut lines = Vec::new();
    for (name, rows) in parts {
        lines.push(String::new());
        let more = rows.len().saturating_sub(MOST);
        for (at, row) in rows.into_iter().take(MOST).enumerate() {
            let name = if at == 0 { name } else { "" };
            let mut line = Line::default().toned(Tone::Strong, format!("{name:<12}"));
            line = line.join(row);
            lines.push(line.print(paint, columns));
        }
        if more > 0 {
            lines.push(format!(
                "{:<12}{}",
                "",
                paint.on(Tone::Faint, format!("and {more} more (--format json has all)"))
            ));
        }
    }
    lines
}

fn plain(text: impl Into<String>) -> Line {
    Line::default().and(text)
}

fn faint(text: impl Into<String>) -> Line {
    Line::default().toned(Tone::Faint, text)
}

fn evidence(exposure: &Exposure) -> Line {
    match exposure.evidence {
        Evidence::Full => plain("full: every program, open and connection was seen"),
        Evidence::Writes => Line::default()
            .toned(Tone::Notice, "writes: reads were not recorded; whatever could be read may have been"),
        Evidence::Exec => Line::default().toned(
            Tone::Notice,
            "exec: neither reads nor changes were recorded; whatever could be read or written may have been",
        ),
    }
}

type Pick = fn(&policy::Confinement) -> (&Vec<std::path::PathBuf>, &Vec<std::path::PathBuf>);

fn trees(told: Told<'_>, pick: Pick, but: &str) -> Vec<Line> {
    let Some(asked) = &told.exposure.confinement else {
        return vec![Line::default().toned(Tone::Notice, "the record does not say")];
    };
    let (open, closed) = pick(asked);
    let mut groups: BTreeMap<Place, Vec<String>> = BTreeMap::new();
    for tree in open {
        let path = os(tree);
        let place = told.places.of(&path);
        let name = if place == Place::Project { clean(&path.to_string()) } else { named(&path, told.places) };
        groups.entry(place).or_default().push(name);
    }
    let mut rows: Vec<Line> = groups
        .into_iter()
        .map(|(place, names)| {
            Line::default().and(format!("{:<14}", word(place))).toned(Tone::Faint, listed(&names))
        })
        .collect();
    let closed: Vec<String> = closed.iter().map(|tree| named(&os(tree), told.places)).collect();
    if !closed.is_empty() {
        rows.push(plain(format!("{but} {}", listed(&closed))));
    }
    if asked.judged_opens {
        rows.push(faint("within these each open was judged by itself: some rules speak of single files"));
    }
    if rows.is_empty() {
        rows.push(plain("nothing"));
    }
    rows
}

fn writable(told: Told<'_>) -> Vec<Line> {
    let mut rows = trees(told, |asked| (&asked.write, &asked.frozen), "but not");
    rows.push(plain("and temporary folders and a home of its own, which are gone with the run"));
    rows
}

fn os(path: &std::path::Path) -> OsText {
    use std::os::unix::ffi::OsStrExt as _;
    OsText::new(path.as_os_str().as_bytes())
}

fn named(path: &OsText, places: &Places) -> String {
    let name = places.short(path);
    clean(if name == "." { "the project" } else { &name })
}

fn listed(names: &[String]) -> String {
    let mut text = String::new();
    for (at, name) in names.iter().enumerate() {
        if text.chars().count() + name.chars().count() > WIDE && at > 0 {
            return format!("{text}, +{}", names.len() - at);
        }
        text = if at == 0 { name.clone() } else { format!("{text}, {name}") };
    }
    text
}

fn word(place: Place) -> &'static str {
    match place {
        Place::Project => "the project",
        Place::Home => "of the home",
        Place::Tools => "of tools",
        Place::System => "of the system",
        Place::Passing => "temporary",
        Place::Other => "elsewhere",
    }
}

fn secrets(told: Told<'_>) -> Vec<Line> {
    let name = |path: &OsText| short(&named(path, told.places), 100);
    let mut rows: Vec<Line> = told
        .exposure
        .read
        .iter()
        .filter(|path| is_named_like_a_secret(path))
        .map(|path| Line::default().toned(Tone::Bad, format!("{}  was read", name(path))))
        .collect();
    let ending = if told.exposure.knows_reads() {
        "could be read, and was not opened"
    } else {
        "could be read; reads were not recorded"
    };
    rows.extend(
        told.unread
            .iter()
            .map(|path| Line::default().toned(Tone::Notice, format!("{}  {ending}", name(path)))),
    );
    if rows.is_empty() {
        rows.push(plain("nothing that is named like a secret could be read"));
    }
    let partly = if told.whole { "" } else { ", of which only a part was looked at" };
    rows.push(faint(format!("by their names alone; what was not opened is as the disk is now{partly}")));
    rows
}

/// Files by folder, the project's first; what belongs to tools and the system is summed.
fn read(told: Told<'_>) -> Vec<Line> {
    if !told.exposure.knows_reads() {
        return vec![Line::default().toned(Tone::Notice, "not recorded at this depth of evidence")];
    }
    by_folder(told.exposure.read.iter(), told)
}

fn changed(told: Told<'_>) -> Vec<Line> {
    if !told.exposure.knows_changes() {
        return vec![Line::default().toned(
            Tone::Notice,
            "not recorded at this depth of evidence; `provost review` shows what is left of it",
        )];
    }
    by_folder(told.exposure.changed.iter(), told)
}

fn by_folder<'p>(paths: impl Iterator<Item = &'p OsText>, told: Told<'_>) -> Vec<Line> {
    let mut folders: BTreeMap<(Place, String), (u64, Vec<String>)> = BTreeMap::new();
    for path in paths {
        let place = told.places.of(path);
        let name = clean(&told.places.short(path));
        let folder = match place {
            Place::Project | Place::Home | Place::Other => name
                .rsplit_once('/')
                .map_or("", |(folder, _)| folder)
                .split('/')
                .take(3)
                .collect::<Vec<_>>()
                .join("/"),
            Place::Tools | Place::System | Place::Passing => String::new(),
        };
        let (files, names) = folders.entry((place, folder)).or_default();
        *files += 1;
        if names.len() < 6 {
            names.push(name.rsplit('/').next().unwrap_or(&name).to_owned());
        }
    }
    let mut rows: Vec<Line> = folders
        .into_iter()
        .map(|((place, folder), (files, names))| {
            let head = match (place, folder.as_str()) {
                (Place::Project, "") => "the project".to_owned(),
                (_, "") => word(place).to_owned(),
                (_, folder) => format!("{folder}/"),
            };
            let own = matches!(place, Place::Project | Place::Home | Place::Other);
            let more = files.saturating_sub(names.len() as u64);
            let more = if more > 0 { format!(", +{more}") } else { String::new() };
            let names = if own { format!("  {}{more}", names.join(", ")) } else { String::new() };
            Line::default()
                .and(format!("{:<14} {}", short(&head, 60), count(files, "file")))
                .toned(Tone::Faint, names)
        })
        .collect();
    if told.exposure.more > 0 {
        rows.push(faint("and more, which were too many to be named"));
    }
    if rows.is_empty() {
        rows.push(plain("nothing"));
    }
    rows
}

fn reachable(exposure: &Exposure) -> Vec<Line> {
    let line = |rule: &&HostRule| {
        let but =
            if rule.except.is_empty() { String::new() } else { format!(" but {}", rule.except.join(", ")) };
        let pattern = clean(&format!("{}{but}", rule.pattern.as_deref().unwrap_or_default()));
        let (tone, need) = need(rule);
        let from = format!("  rule {} of {}", clean(&rule.rule), clean(&rule.layer));
        let kind = if rule.kind == "http" { " (some requests)" } else { "" };
        Line::default()
            .toned(tone, format!("{need:<14}"))
            .and(format!(" {pattern}{kind}"))
            .toned(Tone::Faint, from)
    };
    let mut rows: Vec<Line> = exposure.reachable().iter().map(line).collect();
    rows.push(match exposure.unknown_hosts() {
        Some(rule) => {
            let (tone, need) = need(rule);
            Line::default().toned(tone, format!("{need:<14}")).and(" every other host")
        }
        None if exposure.hosts.is_empty() => faint("the record does not name the rules on hosts"),
        None => plain("denied         every other host"),
    });
    rows
}

fn need(rule: &HostRule) -> (Tone, String) {
    match rule.need.as_str() {
        "none" => (Tone::Notice, "free".to_owned()),
        "never" => (Tone::Good, "denied".to_owned()),
        need => (Tone::Strong, format!("asks {}", clean(need))),
    }
}

fn reached(told: Told<'_>) -> Vec<Line> {
    let mut rows: Vec<Line> = told
        .story
        .reached()
        .filter(|reached| reached.connections > 0)
        .map(|reached| {
            let far = if reached.was_never_there() { ", but nobody was there" } else { "" };
            plain(format!(
                "{}  {}, {} up, {} down{far}",
                clean(&reached.endpoint),
                count(reached.connections, "connection"),
                size(reached.bytes_up),
                size(reached.bytes_down)
            ))
        })
        .collect();
    if rows.is_empty() {
        rows.push(plain("no host"));
    }
    rows
}

fn credentials(exposure: &Exposure) -> Vec<Line> {
    let line = |passed: &ledger::event::CredentialPassed| {
        let (name, by) = (clean(&passed.name), clean(&passed.by));
        match passed.how {
            Passed::Real => Line::default().toned(Tone::Bad, format!("{name}  itself, by {by}")),
            Passed::Placeholder => plain(format!("{name}  as a placeholder, by {by}")),
        }
    };
    let mut rows: Vec<Line> = exposure.credentials.iter().map(line).collect();
    if rows.is_empty() {
        rows.push(plain("none"));
    }
    rows
}

fn variables(exposure: &Exposure) -> Vec<Line> {
    let names = |with: bool| -> Vec<String> {
        let given = exposure.environment.iter().filter(|variable| variable.value.is_some() == with);
        given.map(|variable| clean(&variable.name.to_string())).collect()
    };
    let (plainly, kept) = (names(true), names(false));
    let mut rows = vec![
        Line::default()
            .and(format!("{} given  ", plainly.len() + kept.len()))
            .toned(Tone::Faint, listed(&plainly)),
    ];
    if !kept.is_empty() {
        rows.push(Line::default().toned(
            Tone::Notice,
            format!("{} whose values the record does not keep: {}", kept.len(), listed(&kept)),
        ));
    }
    rows
}

fn refused(told: Told<'_>) -> Vec<Line> {
    let mut all: Vec<&insight::Denial> = told.story.denials().collect();
    let looking = |denial: &&insight::Denial| denial.kind == "read" && denial.rule == "default";
    // What a rule speaks of comes first; then what is named like a secret; then what was only not shown.
    all.sort_by_key(|denial| (looking(denial), !is_named_like_a_secret(&OsText::from(&*denial.target))));
    let line = |denial: &&insight::Denial| {
        let target = if denial.target.starts_with('/') {
            told.places.short(&OsText::from(&*denial.target))
        } else {
            denial.target.clone()
        };
        let times = if denial.count > 1 { format!(" ×{}", denial.count) } else { String::new() };
        let rule = format!("{times}  {}", ground::brief(&denial.layer, &denial.rule, denial.why.as_deref()));
        Line::default()
            .toned(Tone::Bad, format!("{} {}", clean(&denial.kind), short(&clean(&target), 80)))
            .toned(Tone::Faint, rule)
    };
    let mut rows: Vec<Line> = all.iter().map(line).collect();
    if rows.is_empty() {
        rows.push(plain("nothing"));
    }
    rows
}

/// The same for a program; its keys are an interface.
pub fn json(told: Told<'_>) -> Value {
    let Told { exposure, story, unread, whole, .. } = told;
    let secret = |path: &&OsText| is_named_like_a_secret(path);
    json!({
        "run": story.run,
        "evidence": exposure.evidence,
        "reads_recorded": exposure.knows_reads(),
        "writes_recorded": exposure.knows_changes(),
        "confinement": exposure.confinement,
        "read": exposure.read,
        "changed": exposure.changed,
        "more_opens": exposure.more,
        "secrets": {
            "read": exposure.read.iter().filter(secret).collect::<Vec<_>>(),
            "readable_now": unread,
            "looked_at_all": whole,
        },
        "hosts": exposure.hosts,
        "reached": story.reached().filter(|it| it.connections > 0).map(|it| json!({
            "endpoint": it.endpoint, "connections": it.connections, "bytes_up": it.bytes_up, "bytes_down": it.bytes_down,
            "unreachable": it.was_never_there(),
        })).collect::<Vec<_>>(),
        "credentials": exposure.credentials,
        "environment": exposure.environment,
        "denied": story.denials().map(|it| json!({
            "what": it.kind, "target": it.target, "layer": it.layer, "rule": it.rule, "why": it.why, "count": it.count,
        })).collect::<Vec<_>>(),
    })
}
