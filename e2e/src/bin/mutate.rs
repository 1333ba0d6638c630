//! Takes each defence of `mutations/` away in a copy of the repository and demands that the tests it names then fail.
//!
//!     cargo run -p e2e --bin mutate [NAME...]
//!
//! The copy and what is built of it are in `target/mutate`. Every named test must first pass as things are. A change
//! that does not compile shows nothing and counts as missed.
#![forbid(unsafe_code)]

use e2e::mutation::{Mutation, Test};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// How long one test may take, in seconds, before it counts as failed: without its defence it may wait for ever.
const LONGEST_SECONDS: &str = "600";

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(why) => {
            say(&format!("mutate: {why}"));
            ExitCode::FAILURE
        }
    }
}

/// How many mutations no test noticed.
fn run(wanted: Vec<String>) -> Result<usize, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no workspace")?;
    let mut all = Mutation::all(root)?;
    all.retain(|mutation| wanted.is_empty() || wanted.contains(&mutation.name));
    if all.is_empty() {
        return Err("no mutation of that name".to_owned());
    }
    let copy = Copy::of(root)?;
    for test in all.iter().flat_map(|mutation| &mutation.tests).collect::<BTreeSet<_>>() {
        if copy.run(test)? != Ended::Passed {
            return Err(format!("`{} {}` does not pass as things are", test.member, test.name));
        }
    }
    let mut missed = 0;
    for mutation in &all {
        let found = copy.without(mutation)?;
        missed += usize::from(!found.is_empty());
        let verdict = if found.is_empty() { "caught" } else { "MISSED" };
        say(&format!("{verdict} {}: {}", mutation.name, mutation.what));
        found.iter().for_each(|line| say(&format!("       {line}")));
    }
    say(&format!("mutations: {} passed, {missed} failed", all.len() - missed));
    Ok(missed)
}

#[derive(Debug, PartialEq, Eq)]
enum Ended {
    Passed,
    Failed,
    NotBuilt,
    NotFound,
}

/// A copy of the repository that may be changed.
struct Copy {
    tree: PathBuf,
    built: PathBuf,
    agents: PathBuf,
}

impl Copy {
    fn of(root: &Path) -> Result<Self, String> {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let copy = Self {
            tree: target.join("mutate/tree"),
            built: target.join("mutate/build"),
            agents: target.join("agents"),
        };
        if copy.tree.exists() {
            std::fs::remove_dir_all(&copy.tree).map_err(|why| why.to_string())?;
        }
        let listed = Command::new("git")
            .args(["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .map_err(|why| format!("git: {why}"))?;
        for name in String::from_utf8_lossy(&listed.stdout).split_terminator('\0') {
            let (from, to) = (root.join(name), copy.tree.join(name));
            if from.is_file() {
                let folder = to.parent().unwrap_or(&copy.tree);
                std::fs::create_dir_all(folder).map_err(|why| why.to_string())?;
                std::fs::copy(&from, &to).map_err(|why| format!("{name}: {why}"))?;
            }
        }
        Ok(copy)
    }

    /// What is wrong with the tests once the defence is gone: nothing where each of them fails.
    fn without(&self, mutation: &Mutation) -> Result<Vec<String>, String> {
        let mut before = Vec::new();
        for change in &mutation.changes {
            let path = self.tree.join(&change.file);
            let text = std::fs::read_to_string(&path).map_err(|why| format!("{}: {why}", change.file))?;
            std::fs::write(&path, change.made(&text)?).map_err(|why| why.to_string())?;
            before.push((path, text));
        }
        let mut wrong = Vec::new();
        for test in &mutation.tests {
            match self.run(test)? {
                Ended::Failed => {}
                other => wrong.push(format!("{} {}: {other:?}", test.member, test.name)),
            }
        }
        for (path, text) in before.into_iter().rev() {
            std::fs::write(&path, text).map_err(|why| why.to_string())?;
        }
        Ok(wrong)
    }

    fn run(&self, test: &Test) -> Result<Ended, String> {
        if test.member == "e2e" && !self.cargo(&["build", "-p", "provost"])?.0 {
            return Ok(Ended::NotBuilt);
        }
        if !self.cargo(&["test", "--no-run", "-p", &test.member])?.0 {
            return Ok(Ended::NotBuilt);
        }
        let (passed, said) = self.cargo(&["test", "--no-fail-fast", "-p", &test.member, &test.name])?;
        let ran = said.lines().any(|line| line.starts_with("test ") && !line.starts_with("test result"));
        Ok(match (passed, ran) {
            (true, true) => Ended::Passed,
            (true, false) => Ended::NotFound,
            (false, _) => Ended::Failed,
        })
    }

    fn cargo(&self, words: &[&str]) -> Result<(bool, String), String> {
        let (first, rest) = words.split_first().ok_or("no word for cargo")?;
        let told = Command::new("timeout")
            .args(["--kill-after=10", LONGEST_SECONDS, env!("CARGO"), first, "--locked", "--offline"])
            .args(rest)
            .env("CARGO_TARGET_DIR", &self.built)
            .env("PROVOST_TEST_AGENTS", &self.agents)
            .current_dir(&self.tree)
            .stdin(Stdio::null())
            .output()
            .map_err(|why| format!("timeout, cargo: {why}"))?;
        Ok((told.status.success(), String::from_utf8_lossy(&told.stdout).into_owned()))
    }
}

fn say(line: &str) {
    // Nobody to tell where the reader has gone.
    let _ = writeln!(std::io::stdout(), "{line}");
}
