//! Measuring commands against each other, on a machine that does other things as well.
//!
//! Rounds are interleaved, so that a busy moment falls on all alike. Wall time is told as the median and the least of all
//! rounds; processor time as the mean, for it is counted in hundredths of a second and only many rounds give it a meaning.

use crate::person::Person;
use crate::stage::Stage;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A stage whose workspace is a committed repository with what `prepare` puts there. Tools that live in the home of whoever
/// measures are found if `own_tools` says so.
#[must_use]
pub fn stage_for(person: Person, own_tools: bool, prepare: fn(&Stage)) -> Stage {
    let mut stage = Stage::new(person);
    if own_tools {
        let state = stage.home.join(".local/state");
        stage.set("XDG_STATE_HOME", &state);
        let own = std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "HOME");
        own.for_each(|(name, value)| stage.set(&name.to_string_lossy(), value));
    }
    prepare(&stage);
    stage.write("work", "");
    person.owns(&stage.workspace);
    stage.git(&["-c", "user.name=a", "-c", "user.email=a@example.org", "add", "--all"]);
    stage.git(&["-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "work"]);
    stage
}

/// What is measured: its name, and the command of a round, made before the round's time begins.
pub struct Contender<'a> {
    /// For people.
    pub name: &'a str,
    /// Makes the command of the next round.
    pub command: Box<dyn FnMut() -> Command + 'a>,
}

impl std::fmt::Debug for Contender<'_> {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.debug_tuple("Contender").field(&self.name).finish()
    }
}

impl<'a> Contender<'a> {
    /// What `command` makes, known as `name`.
    pub fn new(name: &'a str, command: impl FnMut() -> Command + 'a) -> Self {
        Self { name, command: Box::new(command) }
    }
}

/// What the rounds of one contender took.
#[derive(Debug, Clone, Default)]
pub struct Times {
    walls: Vec<Duration>,
    ticks: u64,
}

impl Times {
    /// Milliseconds of the round in the middle.
    #[must_use]
    pub fn median(&self) -> f64 {
        let mut sorted = self.walls.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).map_or(f64::NAN, |wall| wall.as_secs_f64() * 1e3)
    }

    /// Milliseconds of the fastest round.
    #[must_use]
    pub fn least(&self) -> f64 {
        self.walls.iter().min().map_or(f64::NAN, |wall| wall.as_secs_f64() * 1e3)
    }

    /// Milliseconds of processor time of a round, with everything that it started and waited for.
    #[must_use]
    pub fn cpu(&self) -> f64 {
        self.ticks as f64 * 10.0 / self.walls.len() as f64
    }
}

/// Runs everybody `rounds` times in turns, after one round that is not counted. What fails is broken, not slow.
///
/// # Panics
/// A command cannot be started, or ends with another status than 0.
#[must_use]
pub fn race(rounds: usize, contenders: &mut [Contender<'_>]) -> Vec<Times> {
    let mut times = vec![Times::default(); contenders.len()];
    for number in 0..=rounds {
        for (contender, times) in contenders.iter_mut().zip(&mut times) {
            let (wall, ticks) = round(contender);
            if number > 0 {
                times.walls.push(wall);
                times.ticks += ticks;
            }
        }
    }
    times
}

fn round(contender: &mut Contender<'_>) -> (Duration, u64) {
    let mut command = (contender.command)();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let (before, began) = (children_ticks(), Instant::now());
    let status = command.status().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let wall = began.elapsed();
    assert!(status.success(), "{} ended with {status}: {command:?}", contender.name);
    (wall, children_ticks() - before)
}

/// Processor time of all children that were waited for, with theirs, in hundredths of a second (proc(5), fields 16 and 17).
fn children_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("/proc tells about ourselves");
    let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    behind_name.split_whitespace().skip(13).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

/// The first of `other` and `ours` in one line, each to be at most `goal` times as slow.
#[must_use]
pub fn line(what: &str, (name, other): (&str, &Times), ours: &Times, goal: Option<f64>) -> String {
    let ratio = ours.median() / other.median();
    let held = match goal {
        Some(goal) if ratio > goal => format!("goal {goal:.2} MISSED"),
        Some(goal) => format!("goal {goal:.2} held"),
        None => String::new(),
    };
    format!(
        "{what:<34} {name:<5} {:>9.2} ms  ours {:>9.2} ms  wall {ratio:>5.2}  least {:>5.2}  cpu {:>5.2}  {held}",
        other.median(),
        ours.median(),
        ours.least() / other.least(),
        ours.cpu() / other.cpu(),
    )
}
