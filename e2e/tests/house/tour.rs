//! What the pages show is what the program does: the tour of the README runs as it is written, and every command is one.

use super::repository::page;
use e2e::person::Person;
use e2e::ran::run;
use e2e::stage::Stage;

/// A command that a page shows, and the lines it shows beneath.
#[derive(Debug, PartialEq)]
struct Shown<'a> {
    command: &'a str,
    lines: Vec<&'a str>,
}

/// The commands of a page's ```console blocks: after `$ `, up to the next one.
fn shown(page: &str) -> Vec<Shown<'_>> {
    let mut all: Vec<Shown<'_>> = Vec::new();
    for block in page.split("```console\n").skip(1) {
        for line in block.split("```").next().unwrap().lines() {
            match line.strip_prefix("$ ") {
                Some(command) => all.push(Shown { command, lines: Vec::new() }),
                None => all.last_mut().expect("a block begins with a command").lines.push(line),
            }
        }
    }
    all
}

/// True where all parts of a shown line are there, one after the other; `...` stands for anything.
fn says(said: &str, line: &str) -> bool {
    said.lines().any(|real| {
        let mut rest = Some(real);
        for part in line.split("...").map(str::trim).filter(|part| !part.is_empty()) {
            rest = rest.and_then(|rest| rest.split_once(part)).map(|(_, after)| after);
        }
        rest.is_some()
    })
}

#[test]
fn the_tour_of_the_readme_runs_as_it_is_written() {
    let page = page("README.md");
    let tour = shown(&page);
    assert!(tour.len() > 5, "only {} commands in the README", tour.len());
    let mut stage = Stage::new(Person::myself());
    let program = e2e::built::provost(stage.person);
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", program.parent().unwrap().display());
    stage.set("PATH", path);
    for Shown { command, lines } in tour {
        let ran = run(stage.command("/bin/sh").arg("-c").arg(command)).ended(0);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        for line in lines {
            assert!(says(&said, line), "the README shows `{line}`, which is not in: {ran}");
        }
    }
}

/// The words of a command up to the first that is a placeholder, a flag or an argument.
fn verbs(command: &str) -> Vec<&str> {
    let is_verb = |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase());
    command.split_whitespace().skip(1).take_while(is_verb).collect()
}

#[test]
fn every_command_of_the_command_lines_page_is_one() {
    let page = page("docs/command-line.md");
    let commands: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split('`').next())
        .filter(|command| command.starts_with("provost "))
        .collect();
    assert!(commands.len() > 15, "only {} commands are read", commands.len());
    let stage = Stage::new(Person::myself());
    for command in commands {
        let words = [verbs(command), vec!["--help"]].concat();
        stage.says(&words).ended(0).printed("Usage: provost");
    }
}

#[test]
fn a_page_is_read_as_it_is_written() {
    let page = "x\n```console\n$ a b\nout ... end\n$ c\n```\n$ no\n";
    let shown = shown(page);
    assert_eq!(shown[0], Shown { command: "a b", lines: vec!["out ... end"] });
    assert_eq!(shown[1], Shown { command: "c", lines: vec![] });
    assert_eq!(shown.len(), 2);
    assert!(says("zero\nout 1 2 end\n", "out ... end") && !says("end out", "out ... end"));
    assert_eq!(verbs("provost policy check FILE"), ["policy", "check"]);
}
