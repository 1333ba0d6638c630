//! What the pages show is what the program does: the tour of the README runs as it is written, and every command is one.

use super::repository::page;
use e2e::built;
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

/// One script of all commands, each followed by a line with its status, so that `cd` holds for those that follow.
fn script(tour: &[Shown<'_>]) -> String {
    let each = |shown: &Shown<'_>| format!("{{ {}\n}} 2>&1 </dev/null\necho \"{AFTER}$?\"\n", shown.command);
    tour.iter().map(each).collect()
}

const AFTER: &str = "-- ended with ";

#[test]
fn the_tour_of_the_readme_runs_as_it_is_written() {
    let page = page("README.md");
    let tour = shown(&page);
    assert!(tour.len() > 5, "only {} commands in the README", tour.len());
    let mut stage = Stage::new(Person::myself());
    let program = built::provost(stage.person);
    stage.set("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", program.parent().unwrap().display()));
    let ran = run(stage.command("/bin/sh").arg("-c").arg(script(&tour)));
    let mut said = ran.stdout.split(AFTER);
    let mut words = said.next().unwrap();
    for (Shown { command, lines }, next) in tour.iter().zip(said.by_ref()) {
        let (status, after) = next.split_once('\n').unwrap();
        assert_eq!(status, "0", "`{command}` in the README: {ran}");
        for line in lines {
            assert!(says(words, line), "`{command}` shows `{line}` in the README, but: {words}");
        }
        words = after;
    }
}

#[test]
fn the_policy_of_the_readme_is_one() {
    let page = page("README.md");
    let policy = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let stage = Stage::new(Person::myself());
    stage.says(&["policy", "test", &stage.policy(policy)]).ended(0).printed("no-force");
}

/// The words of a command up to the first that is a placeholder, a flag or an argument.
fn verbs(command: &str) -> Vec<&str> {
    let is_verb = |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase());
    command.split_whitespace().skip(1).take_while(is_verb).collect()
}

/// The commands that the page of the command line speaks of.
fn listed(page: &str) -> Vec<&str> {
    let cells = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    cells.filter(|command| *command == "provost" || command.starts_with("provost ")).collect()
}

#[test]
fn every_command_of_the_command_lines_page_is_one_and_none_is_left_out() {
    let page = page("docs/command-line.md");
    let commands = listed(&page);
    let stage = Stage::new(Person::myself());
    for command in &commands {
        let words = [verbs(command), vec!["--help"]].concat();
        stage.says(&words).ended(0).printed("Usage: provost");
    }
    let help = stage.says(&["--help"]).ended(0).stdout;
    let known = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let known: Vec<&str> = known.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(known.contains(&"run") && known.len() > 10, "{known:?}");
    for verb in known {
        let said = commands.iter().any(|command| verbs(command).first() == Some(&verb));
        assert!(said, "`provost {verb}` is not on the page of the command line");
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
