//! `provost show --traffic`: every request and tunnel of a run; with `--flow` one that was recorded, heads and bodies.
//!
//! Owns the choice of what is shown of them. Everything in them is the agent's or a server's: it is shown as text that a terminal can
//! only show. Does not own what was recorded (`gateway::cassette`) or what the ledger knows of it (`insight::traffic`).

use std::collections::{BTreeMap, BTreeSet};

use gateway::cassette::{self, Entry, Fault, Flow, Tape};
use insight::traffic::{Exchange, Traffic};
use ledger::{Body, Host, Run, Standing};
use serde_json::{Value, json};

use crate::commands::{DONE, each};
use crate::failure::Failure;
use crate::render::{Out, Tone, clean, short, size, table, time};
use crate::run::recorded::FOLDER;

/// Bytes of bodies that are read at most.
const READ: usize = 64 << 20;
/// Bytes of one body that a person is shown.
const SHOWN: usize = 16 * 1024;
/// Letters of a target in the list.
const LONGEST: usize = 100;

pub(super) fn traffic(host: &Host, run: &Run, flow: Option<u64>, out: Out) -> Result<u8, Failure> {
    match flow {
        Some(number) => one(host, run, number, out),
        None => list(host, run, out),
    }
}

// === the list ===

fn list(host: &Host, run: &Run, out: Out) -> Result<u8, Failure> {
    let (mut traffic, discarded) = (Traffic::default(), is_discarded(host, run)?);
    each(host, &run.run, |event| traffic.see(event))?;
    let mut exchanges = traffic.exchanges();
    exchanges.extend(open(host, run, &exchanges));
    if !out.human() {
        exchanges.iter().for_each(|exchange| out.json(&in_json(exchange)));
        return Ok(DONE);
    }
    if exchanges.is_empty() {
        out.line("nothing went through the gateway");
        return Ok(DONE);
    }
    let titles = ["FLOW", "AT", "WHAT", "STATUS", "UP", "DOWN", "TOOK", "RULE"];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    for exchange in &exchanges {
        rows.push(row(exchange));
        rows.extend(exchange.answers.iter().map(answer));
    }
    table::rows(&rows).iter().for_each(|line| out.line(line));
    match exchanges.iter().any(|exchange| recorded(exchange).is_some()) {
        true if discarded => out.aside("heads and bodies of those with a number were discarded"),
        true => out.aside(format!(
            "provost show {} --traffic --flow N shows heads and bodies of one with a number",
            run.run
        )),
        false => out.aside("heads and bodies were not recorded: `record = \"full\"` on a rule records them"),
    }
    Ok(DONE)
}

/// Whether what was recorded was thrown away.
fn is_discarded(host: &Host, run: &Run) -> Result<bool, Failure> {
    let mut discarded = false;
    each(host, &run.run, |event| {
        discarded |= matches!(&event.body, Body::Discarded(discarded) if discarded.cassette);
    })?;
    Ok(discarded)
}

/// Recorded flows of which the ledger knows no end: they go on, or their run was cut short.
fn open(host: &Host, run: &Run, known: &[Exchange]) -> Vec<Exchange> {
    let known: BTreeSet<u64> = known.iter().filter_map(recorded).collect();
    let mut open = BTreeMap::new();
    let Ok(tape) = Tape::open(&host.run_dir(&run.run).join(FOLDER)) else { return Vec::new() };
    // What cannot be read is said where one is looked at.
    let _ = tape.lines(|line| {
        match line.what {
            Entry::ReqHead(head) if !known.contains(&line.flow) => {
                let (target, at) = (format!("{} {}", head.method, head.url), line.t_us.saturating_mul(1_000));
                open.insert(
                    line.flow,
                    Exchange { at, target, recorded: Some(line.flow), ..Exchange::default() },
                );
            }
            // A refusal is in the ledger.
            Entry::Refused { .. } => drop(open.remove(&line.flow)),
            _ => {}
        }
        Ok(())
    });
    open.into_values().collect()
}

fn recorded(exchange: &Exchange) -> Option<u64> {
    exchange.recorded
}

fn row(exchange: &Exchange) -> Vec<String> {
    let (at, rule) = (time(exchange.at / 1_000_000), clean(exchange.rule.as_deref().unwrap_or("-")));
    let Some(flow) = &exchange.flow else {
        let target = short(&clean(&exchange.target), LONGEST);
        let nothing = || "-".to_owned();
        let (number, word) = match exchange.recorded {
            Some(number) => (number.to_string(), "no end"),
            None => (nothing(), "refused"),
        };
        return vec![number, at, target, word.to_owned(), nothing(), nothing(), nothing(), rule];
    };
    let what = match (&flow.method, &flow.path) {
        (Some(method), Some(path)) => format!("{method} {}{path}", flow.endpoint),
        _ => format!("tunnel {}", flow.endpoint),
    };
    let status = flow.status.map_or_else(
        || flow.outcome.clone(),
        |status| match flow.outcome.as_str() {
            "closed" => status.to_string(),
            other => format!("{status} {other}"),
        },
    );
    vec![
        exchange.recorded.map_or_else(|| "-".to_owned(), |number| number.to_string()),
        at,
        short(&clean(&what), LONGEST),
        clean(&status),
        size(flow.bytes_up),
        size(flow.bytes_down),
        time(flow.ms),
        rule,
    ]
}

/// What a model answered, beneath its request.
fn answer(answered: &ledger::event::ModelAnswered) -> Vec<String> {
    let calls: Vec<String> = answered.calls.iter().map(|call| clean(&call.name)).collect();
    let calls = if calls.is_empty() { String::new() } else { format!(", calls {}", calls.join(", ")) };
    let read = answered.input + answered.cache_read + answered.cache_write;
    let said = format!("  {}: {read} tokens in, {} out{calls}", clean(&answered.model), answered.output);
    vec![String::new(), String::new(), short(&said, LONGEST)]
}

fn in_json(exchange: &Exchange) -> Value {
    let flow = exchange.flow.as_ref();
    let answers = exchange.answers.iter().map(|answered| {
        let calls = answered.calls.iter().map(|call| json!({ "id": call.id, "name": call.name }));
        json!({
            "model": answered.model, "input": answered.input, "cache_read": answered.cache_read,
            "cache_write": answered.cache_write, "output": answered.output, "calls": calls.collect::<Vec<_>>(),
        })
    });
    json!({
        "flow": recorded(exchange),
        "event": exchange.seq,
        "at_ms": exchange.at / 1_000_000,
        "what": match flow { None if exchange.recorded.is_some() => "open", None => "refused", Some(flow) if flow.method.is_some() => "request", Some(_) => "tunnel" },
        "target": exchange.target,
        "method": flow.and_then(|flow| flow.method.clone()),
        "path": flow.and_then(|flow| flow.path.clone()),
        "status": flow.and_then(|flow| flow.status),
        "outcome": flow.map(|flow| flow.outcome.clone()),
        "bytes_up": flow.map(|flow| flow.bytes_up),
        "bytes_down": flow.map(|flow| flow.bytes_down),
        "ms": flow.map(|flow| flow.ms),
        "sent": flow.and_then(|flow| flow.sent.clone()),
        "rule": exchange.rule,
        "answers": answers.collect::<Vec<_>>(),
    })
}

// === one flow ===

fn one(host: &Host, run: &Run, number: u64, out: Out) -> Result<u8, Failure> {
    let (dir, discarded) = (host.run_dir(&run.run).join(FOLDER), is_discarded(host, run)?);
    let failed = |fault: Fault| match fault {
        Fault::Missing if discarded => {
            Failure::new(format!("the recorded traffic of run {} was discarded", run.run))
                .hint("`provost show --traffic` lists what the ledger has of it")
        }
        Fault::Missing => Failure::new(format!("run {} has no recorded traffic", run.run))
            .hint("`record = \"full\"` on a rule records it"),
        fault => Failure::of(&fault)
            .during("could not read the recorded traffic")
            .hint("`provost ledger verify` says whether it is what was written"),
    };
    let flow = Tape::open(&dir).and_then(|tape| tape.flow(number, READ)).map_err(failed)?;
    let Some(flow) = flow else {
        return Err(Failure::new(format!("run {} has no recorded flow {number}", run.run))
            .hint("`provost show --traffic` lists them"));
    };
    if !out.human() {
        out.json(&flow_json(number, &flow));
        return Ok(DONE);
    }
    if run.standing == Standing::Running {
        out.aside("the run goes on: what is not here yet may still come");
    }
    text(&flow, out);
    Ok(DONE)
}

fn text(flow: &Flow, out: Out) {
    let paint = out.paint();
    let strong = |text: String| out.line(paint.on(Tone::Strong, text));
    let headers = |headers: &[(String, String)]| {
        headers.iter().for_each(|(name, value)| out.line(format!("{}: {}", clean(name), clean(value))));
    };
    if let Some(head) = &flow.head {
        strong(format!("{} {} {}", clean(&head.method), clean(&head.url), clean(&head.version)));
        headers(&head.headers);
        payload(&flow.up, flow.up_end.as_ref().map(|side| side.bytes), out);
    }
    if let Some((status, line)) = &flow.refused {
        out.line("");
        strong(format!("refused {status}"));
        out.line(clean(line));
    }
    if let Some((status, given)) = &flow.answer {
        out.line("");
        strong(status.to_string());
        headers(given);
        payload(&flow.answered(), flow.down_end.as_ref().map(|side| side.bytes), out);
        headers(&flow.trailers);
    }
    for frame in &flow.frames {
        out.line("");
        let after = time(frame.t_us.saturating_sub(flow.began) / 1_000);
        strong(format!(
            "{} {} after {after}",
            if frame.dir == "up" { "->" } else { "<-" },
            opcode(frame.opcode)
        ));
        payload(&frame.bytes, None, out);
    }
    out.line("");
    match &flow.close {
        Some(close) => out.line(format!(
            "{}: {} up, {} down",
            clean(&close.outcome),
            size(close.bytes_up),
            size(close.bytes_down)
        )),
        None => out.line("its end is not recorded"),
    }
}

fn opcode(opcode: u8) -> String {
    match opcode {
        0 => "more of it".to_owned(),
        1 => "text".to_owned(),
        2 => "binary".to_owned(),
        8 => "close".to_owned(),
        9 => "ping".to_owned(),
        10 => "pong".to_owned(),
        other => format!("opcode {other}"),
    }
}

/// A body as text, line by line, the beginning of it.
fn payload(bytes: &[u8], whole: Option<u64>, out: Out) {
    if bytes.is_empty() {
        return;
    }
    let most = bytes.len().min(SHOWN);
    let shown = bytes.get(..most).unwrap_or_default();
    // A cut may be within a letter.
    let text = match std::str::from_utf8(shown) {
        Ok(text) => Some(text),
        Err(error) if error.valid_up_to() + 4 > most && most < bytes.len() => {
            shown.get(..error.valid_up_to()).and_then(|valid| std::str::from_utf8(valid).ok())
        }
        Err(_) => None,
    };
    let all = whole.unwrap_or(bytes.len() as u64);
    let Some(text) = text else {
        return out.line(format!("({} that are no text; --format json has them)", size(all)));
    };
    out.line("");
    text.lines().for_each(|line| out.line(clean(line)));
    let left = all.saturating_sub(text.len() as u64);
    if left > 0 {
        out.line(format!("({} more; --format json has them)", size(left)));
    }
}

fn flow_json(number: u64, flow: &Flow) -> Value {
    let side = |side: &Option<cassette::Side>| side.as_ref().map(|side| json!(side));
    let pieces = flow.down.iter().map(|piece| json!({ "t_us": piece.t_us, "bytes": piece.bytes.len() }));
    let frames = flow.frames.iter().map(|frame| {
        json!({
            "t_us": frame.t_us, "dir": frame.dir, "opcode": frame.opcode, "fin": frame.fin, "body": body(&frame.bytes),
        })
    });
    json!({
        "flow": number,
        "t_us": flow.began,
        "request": flow.head,
        "request_body": body(&flow.up),
        "request_end": side(&flow.up_end),
        "status": flow.answer.as_ref().map(|(status, _)| status),
        "headers": flow.answer.as_ref().map(|(_, headers)| headers),
        "answer_body": body(&flow.answered()),
        "answer_pieces": pieces.collect::<Vec<_>>(),
        "answer_end": side(&flow.down_end),
        "trailers": flow.trailers,
        "frames": frames.collect::<Vec<_>>(),
        "refused": flow.refused.as_ref().map(|(status, line)| json!({ "status": status, "line": line })),
        "close": flow.close,
    })
}

/// As a line of a cassette says it: `text`, or `base64`.
fn body(bytes: &[u8]) -> Value {
    json!(cassette::Part::short(bytes))
}
