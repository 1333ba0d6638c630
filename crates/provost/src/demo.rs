//! `provost demo`: a scripted agent in a scratch folder, what it says beside what the kernel saw, and what becomes of its
//! work and of the record.
//!
//! Owns the story and holds every act to what is promised of it: the demo is a check of this machine too. Nothing in it
//! is pretended: the agent runs by `provost run` like any other, and the commands that follow are the ones a person types.

mod acts;
mod aftermath;
mod caller;
mod page;
mod play;
mod scene;
mod sight;
mod stop;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::commands::DONE;
use crate::failure::{Failure, NO, OURS};
use crate::render::{Out, Tone, count};

use acts::{ACTS, Act, CALLED};
use page::Page;
use play::{Play, Turn};
use scene::Scene;
use stop::Stop;

/// The call of the demo's agent, from inside.
///
/// # Errors
/// This is not the inside of a run.
pub fn call(endpoint: &str, out: Out) -> Result<u8, Failure> {
    Ok(if caller::call(endpoint, out)? { DONE } else { NO })
}

/// Plays the demo; 0 if everything went as told.
///
/// # Errors
/// A run cannot start on this machine, or the demo was broken off.
pub fn demo(unattended: bool, out: Out) -> Result<u8, Failure> {
    use std::io::IsTerminal as _;
    let stop = Stop::listen()?;
    let page = Page::new(out, stop.clone());
    let attended = !unattended && page.is_live() && std::io::stdin().is_terminal();
    let scene = Scene::make()?;
    let mut show = Show { scene: &scene, page: &page, stop: &stop, attended, out, told: Vec::new() };
    show.opening()?;
    let before = scene.digest().map_err(|error| Failure::of(&error))?;
    show.run()?;
    aftermath::play(&mut show, &before)?;
    let (told, program) = (show.told, scene.program.clone());
    scene.clear()?;
    closing(&told, &page, out, &next(&program))
}

/// What it came to, and what may be typed next.
fn closing(told: &[Told], page: &Page, out: Out, next: &[String]) -> Result<u8, Failure> {
    let (skipped, played): (Vec<&Told>, Vec<&Told>) = told.iter().partition(|told| told.skipped.is_some());
    let broken: Vec<usize> = played.iter().filter(|told| !told.as_told).map(|told| told.act).collect();
    let verdict = if broken.is_empty() { "as told" } else { "not as told" };
    if !out.human() {
        out.json(&serde_json::json!({
            "demo": verdict, "acts": told.len(), "not_as_told": broken, "skipped": skipped.len(), "next": next,
        }));
        return Ok(if broken.is_empty() { DONE } else { NO });
    }
    page.line("", None)?;
    if !broken.is_empty() {
        let numbers = broken.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        page.line(&format!("NOT everything went as told: see act {numbers}."), Some(Tone::Bad))?;
        page.line("Do not trust Provost on this machine before you know why.", Some(Tone::Bad))?;
        return Ok(NO);
    }
    let left_out = if skipped.is_empty() { String::new() } else { format!(", {} left out", skipped.len()) };
    let acts = count(played.len() as u64, "act");
    page.line(&format!("All {acts} went as told{left_out}. The scratch folder is gone."), Some(Tone::Good))?;
    let heading = match next.first().is_some_and(|first| first.starts_with("npm")) {
        true => {
            "No agent that Provost knows is installed here. Install one, and run it in a folder of yours:"
        }
        false => "Now with your own agent, in a folder of yours:",
    };
    page.line(heading, None)?;
    next.iter().try_for_each(|line| page.under(line, None))?;
    Ok(DONE)
}

/// What can be asked of the agents that are known, and how to get them.
const EXAMPLES: [(&str, &str, &str); 2] = [
    ("codex", "codex exec \"fix the failing test\"", "npm install -g @openai/codex"),
    ("claude", "claude -p \"fix the failing test\"", "npm install -g @anthropic-ai/claude-code"),
];

/// How an act went; its keys are an interface.
#[derive(Debug, Clone, Default, Serialize)]
struct Told {
    /// Its number.
    act: usize,
    /// Its name.
    name: &'static str,
    /// Its title.
    title: &'static str,
    /// What must be so.
    expected: &'static str,
    /// What the agent said.
    said: Vec<String>,
    /// What was seen.
    seen: Vec<String>,
    /// Whether it was so.
    as_told: bool,
    /// Why it was left out, where it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<&'static str>,
}

/// The demo while it plays.
struct Show<'a> {
    scene: &'a Scene,
    page: &'a Page,
    stop: &'a Stop,
    attended: bool,
    out: Out,
    told: Vec<Told>,
}

impl Show<'_> {
    fn opening(&self) -> Result<(), Failure> {
        self.page.line("provost demo", Some(Tone::Strong))?;
        self.page.line(
            "A scripted agent works on a small project in a scratch folder, run by `provost run` as any agent would be. \
             Left is what it says. Right is what the kernel saw, read from the record of the run while it is written. \
             No model, no network, and nothing of yours is used.",
            None,
        )?;
        self.page.breathe()
    }

    /// The acts of the agent.
    fn run(&mut self) -> Result<(), Failure> {
        let mut play = Play::start(self.scene, self.attended)?;
        if let Turn::Gone(_) = play.turn(self.stop)? {
            return Err(cannot_start(&mut play)?);
        }
        // How the run was opened is not part of an act.
        play.seen(self.scene)?;
        self.page.heads()?;
        for act in &ACTS {
            self.act(act, &mut play)?;
        }
        play.go_on();
        let (status, complained) = play.end()?;
        if status.success() {
            return Ok(());
        }
        Err(Failure::new(format!("the run of the demo ended with {status}"))
            .hint(complained.lines().last().unwrap_or("`provost doctor` says what this machine can enforce")))
    }

    fn act(&mut self, act: &'static Act, play: &mut Play) -> Result<(), Failure> {
        self.page.title(self.told.len() + 1, act.title)?;
        let mut told = Told { name: act.name, title: act.title, expected: act.expected, ..Told::default() };
        if act.name == CALLED {
            self.before_the_call(play, &mut told)?;
        }
        told.as_told = self.turn(act, play, &mut told)?;
        if act.name == acts::PUSHED
            && told.said.iter().any(|line| line == acts::NO_GIT)
            && on_path("git").is_none()
        {
            told.skipped = Some("git is not installed here");
        }
        self.over(told)
    }

    /// What it says comes before the question, which has the terminal to itself.
    fn before_the_call(&self, play: &mut Play, told: &mut Told) -> Result<(), Failure> {
        play.go_on();
        let (Turn::Waits(said) | Turn::Gone(said)) = play.turn(self.stop)?;
        self.page.beside(&said, &[])?;
        told.said = said;
        if self.attended {
            let patience = caller::PATIENCE.as_secs();
            let asked = format!(
                "So you are asked, and either answer is fine: nobody has that name. It waits {patience} seconds."
            );
            self.page.under(&asked, Some(Tone::Notice))?;
        }
        Ok(())
    }

    /// One turn of the agent; whether what must be seen was seen.
    fn turn(&mut self, act: &Act, play: &mut Play, told: &mut Told) -> Result<bool, Failure> {
        play.go_on();
        let (said, gone) = match play.turn(self.stop)? {
            Turn::Waits(said) => (said, false),
            Turn::Gone(said) => (said, true),
        };
        if act.name == CALLED && self.attended {
            // A question that nobody answered leaves the terminal a little after the agent gave up.
            self.page.breathe()?;
        }
        let (events, as_told) = acts::await_sight(act, play, self, &said)?;
        let sights = sight::sights(&events, self.scene);
        self.page.beside(&said, &sights)?;
        told.seen.extend(sights.into_iter().map(|sight| sight.text));
        told.said.extend(said);
        Ok(as_told && !gone)
    }

    /// An act is over.
    fn over(&mut self, mut told: Told) -> Result<(), Failure> {
        told.act = self.told.len() + 1;
        if let Some(why) = told.skipped {
            self.page.under(&format!("left out: {why}"), Some(Tone::Notice))?;
        } else if !told.as_told {
            self.page.under(&format!("NOT AS TOLD. Expected: {}", told.expected), Some(Tone::Bad))?;
        }
        if !self.out.human() {
            self.out.json(&told);
        }
        self.told.push(told);
        self.page.breathe()
    }
}

/// Why the run of the demo did not start, as it said itself.
fn cannot_start(play: &mut Play) -> Result<Failure, Failure> {
    let (status, complained) = play.end()?;
    let said = complained.lines().rev().find_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let error = said.as_ref().and_then(|said| said.get("error"));
    let text = |name: &str| error.and_then(|error| error.get(name)).and_then(|value| value.as_str());
    let mut failure =
        Failure::new("a run cannot start on this machine, so there is nothing to show").status(OURS);
    failure
        .because
        .push(text("message").map_or_else(|| format!("`provost run` ended with {status}"), str::to_owned));
    let causes = error.and_then(|error| error.get("because")).and_then(|causes| causes.as_array());
    failure
        .because
        .extend(causes.into_iter().flatten().filter_map(|cause| cause.as_str()).map(str::to_owned));
    let hint =
        text("hint").unwrap_or("`provost doctor` says what this machine can enforce, and what it lacks");
    Ok(failure.hint(hint))
}

/// What a person may type next, by the agents that are installed.
fn next(program: &Path) -> Vec<String> {
    let here = on_path("provost").and_then(|found| found.canonicalize().ok());
    let provost =
        if here.is_some_and(|here| here == program) { "provost".into() } else { program.to_string_lossy() };
    let run = |words: &str| format!("{provost} run -- {words}");
    let installed = EXAMPLES.iter().filter(|(name, ..)| on_path(name).is_some());
    let lines: Vec<String> = installed.map(|(_, words, _)| run(words)).collect();
    match lines.is_empty() {
        true => EXAMPLES.iter().flat_map(|(_, words, install)| [(*install).to_owned(), run(words)]).collect(),
        false => lines,
    }
}

/// A program on the person's PATH.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_agent_that_is_known_has_an_example() {
        let known: Vec<&str> = crate::agents::AGENTS.iter().map(|agent| agent.name()).collect();
        let shown: Vec<&str> = EXAMPLES
            .iter()
            .map(|(_, words, _)| {
                let argv: Vec<std::ffi::OsString> = words.split(' ').map(Into::into).collect();
                crate::agents::recognise(&argv).name()
            })
            .collect();
        assert_eq!([shown.as_slice(), &["command"]].concat(), known);
    }
}
