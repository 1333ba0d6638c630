//! `provost ledger`: verify, hand out and look at the evidence.

mod export;
mod traffic;
mod verify;

use std::collections::VecDeque;

use super::{DONE, each, find};
use crate::cli::{Ledger, Prove, Tail};
use crate::failure::Failure;
use crate::folders::Folders;
use crate::render::Out;

pub(super) fn ledger(order: &Ledger, out: Out) -> Result<u8, Failure> {
    match order {
        Ledger::Verify(order) => verify::verify(order, out),
        Ledger::Export(order) => export::export(order, out),
        Ledger::Prove(order) => prove(order, out),
        Ledger::Key => key(out),
        Ledger::Tail(order) => tail(order, out),
    }
}

/// The key that everything on this host is under: what a stranger is given apart from a bundle.
fn key(out: Out) -> Result<u8, Failure> {
    let key = Folders::find()?.open()?.verifier().to_string();
    if out.human() {
        out.line(key);
    } else {
        out.json(&serde_json::json!({ "host_key": key }));
    }
    Ok(DONE)
}

/// A proof as other programs take it, and for programs the event itself beside it.
fn prove(order: &Prove, out: Out) -> Result<u8, Failure> {
    let host = Folders::find()?.open()?;
    let run = find(&host, order.run.as_deref())?.run;
    let (proof, leaf) = match (order.event, order.from) {
        (Some(event), _) => {
            let (proof, leaf) = host.prove(&run, event)?;
            (proof.to_string(), Some(String::from_utf8_lossy(&leaf).into_owned()))
        }
        (None, from) => (host.prove_growth(&run, from.unwrap_or_default())?.to_string(), None),
    };
    if out.human() {
        out.line(proof.trim_end());
    } else {
        out.json(&serde_json::json!({ "run": run.as_str(), "leaf": leaf, "proof": proof }));
    }
    Ok(DONE)
}

fn tail(order: &Tail, out: Out) -> Result<u8, Failure> {
    let folders = Folders::find()?;
    let host = folders.open()?;
    let run = find(&host, order.run.as_deref())?;
    let mut last = VecDeque::new();
    each(&host, &run.run, |event| {
        if last.len() == order.count {
            last.pop_front();
        }
        last.push_back(event.clone());
    })?;
    last.iter().for_each(|event| out.json(event));
    Ok(DONE)
}
