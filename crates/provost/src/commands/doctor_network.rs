//! `provost doctor --network`: what the tools of this machine get through.

use serde::Serialize;

use super::DONE;
use crate::doctor::network::{Got, Row, WAYS, try_all};
use crate::failure::Failure;
use crate::render::{Out, Tone, clean, folded, table};

/// The exit status where something that is installed does not get through.
const NOT_ALL: u8 = 1;
/// A word of progress after so many tries.
const EACH: usize = 8;

/// All that is said.
#[derive(Debug, Serialize)]
struct Report<'a> {
    works: bool,
    tools: &'a [Row],
}

pub(super) fn doctor(out: Out) -> Result<u8, Failure> {
    let program = std::env::current_exe().map_err(|error| Failure::of(&error))?;
    if out.human() {
        out.aside("provost: the tools of this machine are tried in a run; it takes some seconds");
    }
    let mut told = 0;
    let rows = try_all(&program, |done, all| {
        if out.human() && done >= told + EACH {
            told = done;
            out.aside(format!("provost: {done} of at most {all} tries"));
        }
    })?;
    let works = rows.iter().all(Row::works);
    if out.human() {
        print(&rows, works, out);
    } else {
        out.json(&Report { works, tools: &rows });
    }
    Ok(if works { DONE } else { NOT_ALL })
}

fn print(rows: &[Row], works: bool, out: Out) {
    let paint = out.paint();
    let head = std::iter::once("  tool").chain(WAYS).map(str::to_owned).collect();
    let cells = |row: &Row| {
        let mut cells = vec![format!("  {}", row.tool)];
        match (row.installed, row.ways.is_empty()) {
            (false, _) => cells.push("not installed".to_owned()),
            (true, true) => cells.push("not tried".to_owned()),
            (true, false) => cells.extend(WAYS.iter().map(|way| match row.ways.get(way) {
                Some(Got::Through) => "ok".to_owned(),
                _ => "NO".to_owned(),
            })),
        }
        cells
    };
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(rows.iter().map(cells)).collect();
    table::rows(&lines).iter().for_each(|line| out.line(line));
    out.line("");
    out.line("  In TLS that is tunnelled, or opened because requests are looked at; direct: without the variables that lead to a proxy.");
    for row in rows.iter().filter(|row| row.installed) {
        let said = row.because.iter().map(|because| clean(because)).chain(row.fix.map(str::to_owned));
        for text in said {
            folded(&format!("{}: {text}", row.tool), 4, out.columns()).iter().for_each(|line| out.line(line));
        }
    }
    let (tone, verdict) = match works {
        true => (
            Tone::Good,
            "What is installed here gets through, in TLS that is tunnelled and in TLS that is opened.",
        ),
        false => (Tone::Bad, "Some of what is installed here does not get through."),
    };
    out.line(paint.on(tone, verdict));
}
