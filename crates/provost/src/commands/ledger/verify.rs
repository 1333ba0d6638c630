//! `provost ledger verify`: a run, all of them, or a bundle from anywhere.

use std::fs::File;
use std::io::BufReader;

use ledger::note::Verifier;
use ledger::verify::{Broken, Verified};
use ledger::{RunId, bundle};
use serde_json::json;

use super::super::{DONE, find};
use super::traffic;
use crate::cli::Verify;
use crate::failure::{Failure, NO};
use crate::folders::Folders;
use crate::layers::hex;
use crate::render::{Out, Tone, clean, count};

pub(super) fn verify(order: &Verify, out: Out) -> Result<u8, Failure> {
    match &order.what {
        // A file called like a run is named with its folder, as in `./a`.
        Some(file) if order.host_key.is_some() || RunId::parse(file).is_none() => a_bundle(file, order, out),
        named => ours(named.as_deref(), order.all, out),
    }
}

/// Reads only: an interrupted run is not marked by a look at it.
fn ours(named: Option<&str>, all: bool, out: Out) -> Result<u8, Failure> {
    let host = Folders::find()?.open()?;
    let checked = if all {
        host.verify_all()
    } else {
        let run = find(&host, named)?.run;
        host.verify(&run).map(|verified| vec![(run, verified)])
    };
    let whole = match checked {
        Ok(whole) => whole,
        Err(broken) => return Ok(tell_broken(&broken, out)),
    };
    let mut changed = false;
    for (run, verified) in &whole {
        let tape = traffic::stands(&host, run, verified.taped);
        changed |= matches!(tape, traffic::Stands::Changed(_));
        if out.human() {
            // The first word is the verdict, so what is broken comes first.
            let own = in_words(run, verified, out);
            match &tape {
                traffic::Stands::Changed(_) => tape.in_words(run).into_iter().for_each(|line| out.line(line)),
                _ => [Some(own), tape.in_words(run)].into_iter().flatten().for_each(|line| out.line(line)),
            }
        } else {
            let mut value = in_json(run, verified);
            if matches!(tape, traffic::Stands::Changed(_)) {
                value["verdict"] = json!("broken");
            }
            tape.word().into_iter().for_each(|word| value["cassette"] = json!(word));
            out.json(&value);
        }
    }
    if changed {
        return Ok(NO);
    }
    if whole.is_empty() && out.human() {
        out.line("whole: there is no run yet");
    }
    Ok(DONE)
}

/// Needs nothing of this machine's state: it may be anybody's.
fn a_bundle(file: &str, order: &Verify, out: Out) -> Result<u8, Failure> {
    let trusted = order.host_key.as_deref().map(Verifier::parse).transpose().map_err(|error| {
        Failure::of(&error)
            .during("could not read --host-key")
            .hint("`provost ledger key` prints it on the host of the run: give its one line, in quotes")
    })?;
    let opened = File::open(file).map_err(|error| {
        Failure::of(&error)
            .during(format!("could not open `{}`", clean(file)))
            .hint("a run is named by its id, a bundle by its file: `provost runs` lists the runs")
    })?;
    let opened = match bundle::verify(BufReader::new(opened), trusted.as_ref()) {
        Ok(opened) => opened,
        Err(broken) => return Ok(tell_broken(&broken, out)),
    };
    if !out.human() {
        let mut value = in_json(&opened.run, &opened.verified);
        value["host_key"] = json!(opened.host.to_string());
        value["trusted"] = json!(trusted.is_some());
        out.json(&value);
        return Ok(DONE);
    }
    out.line(in_words(&opened.run, &opened.verified, out));
    if trusted.is_some() {
        out.line(format!("signed under the host key that you trust: {}", opened.host));
    } else {
        out.line(format!("this shows only that the file fits the host key inside it: {}", opened.host));
        out.line(
            "whose key that is, a file cannot say: ask for `provost ledger key` and give it as --host-key",
        );
    }
    Ok(DONE)
}

fn in_words(run: &RunId, verified: &Verified, out: Out) -> String {
    let (events, root) = (count(verified.size, "event"), hex(&verified.root));
    let open = if verified.sealed { "" } else { ", not sealed: it may go on" };
    format!("{} run {run}, {events}, root {root}{open}", out.paint().on(Tone::Good, "whole"))
}

fn in_json(run: &RunId, verified: &Verified) -> serde_json::Value {
    let root = hex(&verified.root);
    json!({
        "verdict": "whole", "run": run.as_str(), "events": verified.size, "root": root, "sealed": verified.sealed,
    })
}

fn tell_broken(broken: &[Broken], out: Out) -> u8 {
    for one in broken {
        if out.human() {
            out.line(format!("{} {}", out.paint().on(Tone::Bad, "broken"), clean(&one.to_string())));
        } else {
            let place = one.place.map(|place| json!({ "segment": place.segment, "byte": place.offset }));
            out.json(&json!({
                "verdict": "broken", "message": one.to_string(), "run": one.run, "event": one.seq, "place": place,
            }));
        }
    }
    NO
}
