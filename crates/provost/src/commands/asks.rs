//! `provost asks`: what waits for a person's answer, in all runs, and what was agreed to for longer.

use std::collections::HashSet;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use ::ledger::{Host, RunId};
use serde_json::json;

use super::{DONE, open};
use crate::cli::Asks;
use crate::desk::callers::{self, Line, Standings};
use crate::desk::words::{Asked, Granted, Reply, What, extent, where_it_was};
use crate::failure::Failure;
use crate::folders::Folders;
use crate::render::{Out, Tone, clean, count, time};

/// How often it is looked for new runs.
const GLANCE: Duration = Duration::from_millis(300);

pub(super) fn asks(order: &Asks, out: Out) -> Result<u8, Failure> {
    let folders = Folders::find()?;
    let (host, dead) = open(&folders, "asks")?;
    dead.iter().for_each(|run| callers::clear(&host, run));
    if order.follow {
        return follow(&host, out);
    }
    let standings = callers::standings(&host)?;
    print(out, &standings);
    Ok(DONE)
}

fn print(out: Out, standings: &Standings) {
    let Standings { asks, grants, silent } = standings;
    if !out.human() {
        asks.iter().for_each(|ask| out.json(&json!({ "ask": ask })));
        grants.iter().for_each(|grant| out.json(&json!({ "grant": grant })));
        return;
    }
    if asks.is_empty() && grants.is_empty() {
        out.line("Nothing is asked.");
    }
    asks.iter().for_each(|ask| one(out, ask));
    if !grants.is_empty() {
        out.line("Agreed to for longer than once:");
        grants.iter().for_each(|grant| given(out, grant));
    }
    for (run, because) in silent {
        out.aside(format!("provost: run {run} does not say what is asked there: {}", clean(because)));
    }
}

/// One ask: what, who, why, how long, and what can be typed.
pub(super) fn one(out: Out, ask: &Asked) {
    let paint = out.paint();
    let place = ask.folder.as_ref().map_or_else(String::new, |folder| format!("  in {}", clean(folder)));
    out.line(format!(
        "{}  {}{place}",
        paint.on(Tone::Strong, &ask.id),
        paint.on(Tone::Notice, clean(&ask.text))
    ));
    let claim = ask.claim.as_ref().map(|claim| format!("    the agent claims: \"{}\"", clean(claim)));
    out.line(format!(
        "    {}; asked by {} in run {}, {}",
        ask.effect,
        clean(&ask.asker.agent),
        ask.asker.run,
        clean(&ask.asker.workspace)
    ));
    let rule = ask.rule.as_ref().map(|rule| {
        let why = ask.why.as_ref().map_or_else(String::new, |why| format!(": {}", clean(why)));
        format!("rule {} of {}{why}; ", clean(rule), clean(ask.layer.as_deref().unwrap_or_default()))
    });
    let yes = match ask.said_yes.len() {
        0 => String::new(),
        _ => format!(", {} said yes", ask.said_yes.iter().map(|by| clean(by)).collect::<Vec<_>>().join(", ")),
    };
    let waits = match (ask.requested, ask.waiting) {
        (true, _) => "asked beforehand".to_owned(),
        (false, 1) => "held".to_owned(),
        (false, waiting) => format!("{} held", count(waiting as u64, "call")),
    };
    let left = time(ask.left_ms);
    out.line(format!("    {}needs {}{yes}; {waits}, {left} left", rule.unwrap_or_default(), ask.need));
    claim.into_iter().for_each(|claim| out.line(claim));
    let id = &ask.id;
    if ask.kind == "question" {
        out.line(paint.on(
            Tone::Faint,
            format!("    provost allow {id} --why \"your answer\"  |  provost deny {id} --why \"...\""),
        ));
        return;
    }
    out.line(paint.on(Tone::Faint, format!("    provost allow {id}  |  provost deny {id} --why \"...\"")));
    if let Some(class) = &ask.class {
        out.line(
            paint.on(
                Tone::Faint,
                format!("    provost allow {id} --scope class    agrees to: {}", clean(class)),
            ),
        );
    }
    if let Some(rule) = &ask.offer {
        out.line(paint.on(Tone::Faint, "    for good, after review, in your policy.toml:"));
        rule.lines().for_each(|line| out.line(paint.on(Tone::Faint, format!("        {}", clean(line)))));
    }
}

fn given(out: Out, grant: &Granted) {
    let paint = out.paint();
    let used = if grant.used == 0 {
        "not used yet".to_owned()
    } else {
        format!("used {}", count(grant.used, "time"))
    };
    out.line(format!("{}  {}", paint.on(Tone::Strong, &grant.id), clean(&extent(grant))));
    out.line(format!("    by {} in run {}; {used}", clean(&grant.by), grant.asker.run));
    out.line(paint.on(Tone::Faint, format!("    provost deny {}    takes it back", grant.id)));
}

/// Everything as it comes, from every run at work and every one to come.
fn follow(host: &Host, out: Out) -> Result<u8, Failure> {
    let (sender, told) = channel::<(RunId, Reply)>();
    let mut known = HashSet::new();
    loop {
        for run in callers::at_work(host)? {
            if !known.contains(&run)
                && let Ok(Some(line)) = Line::to(host, &run)
            {
                known.insert(run.clone());
                listen(line, run, sender.clone());
            }
        }
        while let Ok((run, reply)) = told.recv_timeout(GLANCE) {
            tell(out, &run, &reply);
        }
    }
}

fn listen(mut line: Line, run: RunId, sender: Sender<(RunId, Reply)>) {
    thread::spawn(move || {
        if line.order(What::Follow).and_then(|()| line.wait_forever()).is_err() {
            return;
        }
        while let Ok(Some(reply)) = line.hear() {
            if sender.send((run.clone(), reply)).is_err() {
                return;
            }
        }
    });
}

fn tell(out: Out, run: &RunId, reply: &Reply) {
    if !out.human() {
        if let Some(asked) = &reply.asked {
            out.json(&json!({ "asked": asked }));
        }
        if let Some(answered) = &reply.answered {
            out.json(&json!({ "answered": answered, "run": run.as_str() }));
        }
        if let Some(granted) = &reply.granted {
            out.json(&json!({ "granted": granted }));
        }
        if let Some(over) = &reply.over {
            out.json(&json!({ "over": over, "run": run.as_str() }));
        }
        return;
    }
    if let Some(asked) = &reply.asked {
        one(out, asked);
    }
    if let Some(ended) = &reply.answered {
        let why = ended.why.as_ref().map_or_else(String::new, |why| format!(": {}", clean(why)));
        let said = match ended.answer.as_str() {
            "expired" if ended.how == "timeout" => "nobody answered in time".to_owned(),
            "expired" => "not waited for any more".to_owned(),
            answer => {
                let word = if answer == "allow" { "allowed" } else { "denied" };
                format!("{word} by {} ({})", clean(&ended.by), where_it_was(&ended.how))
            }
        };
        out.line(format!("{}  {said}{why}", ended.id));
    }
    if let Some(grant) = &reply.granted {
        out.line(format!("{}  agreed to: {}", grant.id, clean(&extent(grant))));
    }
    if let Some(over) = &reply.over {
        let because = match over.because.as_str() {
            "expired" => "its time was up".to_owned(),
            "used" => "it was used up".to_owned(),
            "revoked" => format!("taken back by {}", clean(&over.by)),
            _ => "the run ended".to_owned(),
        };
        out.line(format!("{}  holds no longer: {because}; used {}", over.id, count(over.used, "time")));
    }
}
