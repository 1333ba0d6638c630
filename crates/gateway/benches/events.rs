//! How much later the events of an answer come than without anybody between, the first of them above all.
//!
//! Owns its goal and its table. Does not own what opens the connections.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::time::Duration;

use crate::common::{EVENTS, Opened, head, median, now, percentile, small};

const ROUNDS: usize = 5;
/// Answers that are taken on a connection, one after the other.
const ANSWERS: usize = 4;
/// How much later the first event may come, in microseconds.
const GOAL: f64 = 2000.0;

/// A way to the origin, by its name.
pub(crate) type Way<'a> = (&'a str, &'a dyn Fn() -> Opened);

/// What is looked at of what was seen.
type Measure = fn(&Seen) -> f64;

/// What was seen on a way, in microseconds.
#[derive(Default)]
struct Seen {
    /// From a question to the first event of its answer.
    first: Vec<f64>,
    /// From when an event was sent to when it came.
    each: Vec<f64>,
}

/// Takes answers by each way in turns. What the first way takes is what the others are held against.
pub(crate) fn compare(ways: &[Way<'_>], server: &str) {
    let mut seen: Vec<Seen> = ways.iter().map(|_| Seen::default()).collect();
    for _ in 0..ROUNDS {
        for (seen, (_, open)) in seen.iter_mut().zip(ways) {
            let mut stream = open();
            small(&mut stream, server);
            (0..ANSWERS).for_each(|_| take(&mut stream, server, seen));
        }
    }
    let measures: [(&str, Measure); 4] = [
        ("question to first event, us", |seen| median(seen.first.clone())),
        ("the same, p99", |seen| percentile(seen.first.clone(), 99)),
        ("event sent to event come, us", |seen| median(seen.each.clone())),
        ("the same, p99", |seen| percentile(seen.each.clone(), 99)),
    ];
    for (at, (what, measure)) in measures.iter().enumerate() {
        let direct = seen.first().map_or(0.0, measure);
        print!("{what:<40}");
        for ((name, _), seen) in ways.iter().zip(&seen) {
            let later = measure(seen) - direct;
            let held = if later <= GOAL { "held" } else { "MISSED" };
            let verdict = if at == 0 { format!(" (goal {GOAL}: {held})") } else { String::new() };
            match *name {
                "direct" => print!("{direct:>10.1}"),
                name => print!("  {name} +{later:.1}{verdict}"),
            }
        }
        println!();
    }
}

fn take(stream: &mut Opened, server: &str, seen: &mut Seen) {
    let question = "{\"model\":\"gpt-5\",\"stream\":true,\"input\":\"say it\"}";
    let length = question.len();
    let asked = now();
    stream
        .write_all(
            format!(
                "POST /v1/responses HTTP/1.1\r\nhost: {server}\r\ncontent-length: {length}\r\n\r\n{question}"
            )
            .as_bytes(),
        )
        .unwrap();
    head(stream);
    let mut stream = BufReader::new(stream);
    for at in 0..EVENTS {
        let sent = event(&mut stream);
        let came = now();
        if at == 0 {
            seen.first.push(micros(came.saturating_sub(asked)));
        }
        seen.each.push(micros(came.saturating_sub(sent)));
    }
    let mut end = [0; 5];
    stream.read_exact(&mut end).unwrap();
    assert_eq!(&end, b"0\r\n\r\n");
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// When the next event was sent. It is a chunk of its own.
fn event(stream: &mut BufReader<&mut Opened>) -> Duration {
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    let mut chunk = vec![0; usize::from_str_radix(line.trim(), 16).unwrap() + 2];
    stream.read_exact(&mut chunk).unwrap();
    let text = String::from_utf8(chunk).unwrap();
    let stamp = text.split('"').find_map(|part| part.parse().ok().filter(|_| part.len() == 12));
    Duration::from_micros(stamp.unwrap())
}
