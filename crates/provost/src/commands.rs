//! One file a verb: parse, call, render.
//!
//! Owns choosing among them, and what every command does first. Does not own what they call.

mod answer;
mod apply;
mod asks;
mod credential;
mod demo;
mod discard;
mod doctor;
mod doctor_network;
mod init;
mod ledger;
mod policy;
mod request;
mod review;
mod run;
mod runs;
mod show;
mod status;
mod stop;
mod trust;
mod undo;
mod watch;
mod which;
mod why;

use std::process::ExitCode;

use ::ledger::{Host, Reader, RunId};
use clap::Parser as _;
use insight::Story;

use which::{find, find_aloud};

use crate::cli::{Cli, Format, Verb};
use crate::failure::Failure;
use crate::folders::Folders;
use crate::mend;
use crate::render::{Out, Tone};

/// The exit status of a command that did what it was told.
pub const DONE: u8 = 0;

/// The whole program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let out = Out::new(cli.format);
    match perform(cli.verb, out) {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            out.failure(&failure);
            ExitCode::from(failure.status)
        }
    }
}

/// What clap has to say; a mistake is our failure, help and version are not.
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // A reader that went away does not matter.
        let _ = error.print();
        return ExitCode::from(DONE);
    }
    let words: Vec<_> = std::env::args_os().collect();
    let json = words.windows(2).any(|two| two == ["--format", "json"])
        || words.iter().any(|one| one == "--format=json");
    Out::new(if json { Format::Json } else { Format::Human }).failure(&mistyped(error));
    ExitCode::from(crate::failure::OURS)
}

/// What was typed wrong, why, and an example where we know one better than the usage line.
fn mistyped(error: &clap::Error) -> Failure {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    let text = error.render().to_string();
    let mut parts = text.split("\n\n").map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
    let because = parts.next().unwrap_or_default();
    let because = because.strip_prefix("error: ").unwrap_or(&because).to_owned();
    let rest: Vec<String> = parts.collect();
    let tip = rest.iter().find_map(|part| part.strip_prefix("tip: "));
    let usage = rest.iter().find_map(|part| part.strip_prefix("Usage: "));
    let usage = usage.map(|usage| format!("it is typed so: {usage}"));
    let about = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(one)) => one.clone(),
        Some(ContextValue::Strings(all)) => all.join(" "),
        _ => String::new(),
    };
    let mut failure = Failure::new("the command is not understood");
    if error.kind() == ErrorKind::MissingRequiredArgument && about.contains("--only") {
        failure.because.push("nothing says what is to land".to_owned());
        return failure.hint(
            "`provost review` shows what waits; then `provost apply --all`, `--only 'src/**'` or `--hunk ID`",
        );
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        failure.because.push("it lacks the command within".to_owned());
        return failure.hint(format!("one of these comes next: {}", within(&text).join(", ")));
    }
    failure.because.push(because);
    let timed = ["--timeout", "--ask-timeout", "--for"].iter().find(|option| about.contains(**option));
    if let Some(option) = timed.filter(|_| error.kind() == ErrorKind::ValueValidation) {
        return failure
            .hint(format!("a time is a number and its unit: `{option} 90s`, `{option} 20m`, `{option} 2h`"));
    }
    if error.kind() == ErrorKind::ValueValidation && about.contains("--limit") {
        return failure.hint("as in `--limit memory=4GiB`, `--limit cpu=30m`, `--limit processes=512`");
    }
    match tip.map(str::to_owned).or(usage) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// The commands that a help text lists.
fn within(help: &str) -> Vec<&str> {
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    // What belongs to a command and did not fit beside it stands further in.
    let names = list.take_while(|line| !line.is_empty()).filter_map(|line| line.strip_prefix("  "));
    names.filter(|line| !line.starts_with(' ')).filter_map(|line| line.split_whitespace().next()).collect()
}

fn perform(verb: Option<Verb>, out: Out) -> Result<u8, Failure> {
    match verb {
        Some(Verb::Run(order)) => run::run(&order, out),
        Some(Verb::Shell(flags)) => run::shell(flags, out),
        Some(Verb::Init(order)) => init::init(&order, out),
        Some(Verb::Demo(order)) => demo::demo(&order, out),
        Some(Verb::Doctor(order)) if order.network => doctor_network::doctor(out),
        Some(Verb::Doctor(_)) => doctor::doctor(out),
        None | Some(Verb::Status) => status::status(out),
        Some(Verb::Stop(order)) => stop::stop(&order, out),
        Some(Verb::Runs(order)) => runs::runs(&order, out),
        Some(Verb::Show(order)) => show::show(&order, out),
        Some(Verb::Watch(order)) => watch::watch(&order, out),
        Some(Verb::Review(order)) => review::review(&order, out),
        Some(Verb::Apply(order)) => apply::apply(&order, out),
        Some(Verb::Undo(order)) => undo::undo(&order, out),
        Some(Verb::Discard(order)) => discard::discard(&order, out),
        Some(Verb::Asks(order)) => asks::asks(&order, out),
        Some(Verb::Allow(order)) => answer::allow(&order, out),
        Some(Verb::Deny(order)) => answer::deny(&order, out),
        Some(Verb::Request(order)) => request::request(&order, out),
        Some(Verb::Why(order)) => why::why(&order, out),
        Some(Verb::Policy(order)) => policy::policy(&order, out),
        Some(Verb::Credential(order)) => credential::credential(&order, out),
        Some(Verb::Trust(order)) => trust::trust(&order, out),
        Some(Verb::Ledger(order)) => ledger::ledger(&order, out),
    }
}

/// The state, with runs that were found dead marked as such; which they were.
fn open(folders: &Folders, by: &str) -> Result<(Host, Vec<RunId>), Failure> {
    let host = folders.open()?;
    let mut found = Vec::new();
    for run in host.interrupted()? {
        match host.mark_interrupted(&run, by) {
            Ok(_) => {
                crate::run::tier::leave(&host.run_dir(&run));
                found.push(run);
            }
            // It came alive, or another command was faster.
            Err(::ledger::HostError::Running(_) | ::ledger::HostError::Standing(..)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok((host, found))
}

/// The same, with every landing that was cut short put in order, and that said.
fn open_whole(folders: &Folders, by: &'static str, out: Out) -> Result<(Host, Vec<RunId>), Failure> {
    let (host, dead) = open(folders, by)?;
    for mended in mend::mend((folders, &host), by)? {
        match out.human() {
            true => out.aside(out.paint_aside().on(Tone::Notice, mended.told())),
            false => out.aside(mended.json()),
        }
    }
    Ok((host, dead))
}

/// Its story.
fn story(host: &Host, run: &RunId) -> Result<Story, Failure> {
    let mut story = Story::default();
    each(host, run, |event| story.see(event))?;
    Ok(story)
}

/// Every event of a run, in order.
fn each(host: &Host, run: &RunId, mut see: impl FnMut(&::ledger::Event)) -> Result<(), Failure> {
    let broken = |error: ::ledger::reader::ReadError| {
        Failure::of(&error)
            .during(format!("could not read the ledger of run {run}"))
            .hint("`provost ledger verify` says what is broken")
    };
    let mut reader = Reader::open(&host.ledger_dir(run)).map_err(broken)?;
    while let Some(event) = reader.read().map_err(broken)? {
        see(&event);
    }
    Ok(())
}
