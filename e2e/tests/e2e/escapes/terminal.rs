//! The terminal: nothing the agent prints reaches beyond drawing, and nothing types into it.

use super::everybody;
use e2e::ran::{Ran, run};
use e2e::stage::Stage;

/// Runs a line with a terminal around it.
fn in_terminal(stage: &Stage, line: &str) -> Ran {
    run(stage.command("script").env("TERM", "xterm-256color").args([
        "--quiet",
        "--return",
        "--command",
        line,
        "/dev/null",
    ]))
}

fn provost(stage: &Stage, line: &str) -> String {
    let program = stage.provost([""; 0]).get_program().to_owned();
    format!("{} run --unattended -- sh -c '{line}'", program.display())
}

const CLIPBOARD: &str = r"\033]52;c;cHduZWQ=\007";

#[test]
fn nothing_printed_writes_the_clipboard_or_asks_the_terminal() {
    everybody(|stage| {
        let line =
            format!("printf \"before {CLIPBOARD}\\033[c\\033]0;title\\007\\033[31mred\\033[0m after\\n\"");
        let ran = in_terminal(stage, &provost(stage, &line));
        assert!(ran.stdout.contains("before") && ran.stdout.contains("after"), "{ran}");
        assert!(!ran.stdout.contains("]52") && !ran.stdout.contains("\u{1b}[c"), "{ran:?}");
        assert!(ran.stdout.contains("\u{1b}[31m"), "colours are drawing: {ran:?}");
        let bare = in_terminal(stage, &line);
        assert!(bare.stdout.contains("]52"), "no attempt at all: {bare:?}");
        assert!(stage.ledger().of("terminal.filtered").count() > 0);
    });
}

#[test]
fn an_interactive_program_has_a_terminal_and_cannot_type_into_it() {
    everybody(|stage| {
        let ran = in_terminal(
            stage,
            &provost(
                stage,
                "test -t 0 && test -t 1 && echo is a terminal; ./probe type-into-terminal; stty size",
            ),
        );
        assert!(ran.stdout.contains("is a terminal"), "{ran}");
        assert!(ran.stdout.contains("type-into-terminal: EPERM"), "{ran}");
    });
}

#[test]
fn pipes_stay_pipes() {
    everybody(|stage| {
        stage
            .inside("test -t 1 || echo no terminal; printf out; printf err >&2")
            .ended(0)
            .printed("no terminal\nout")
            .complained("err");
    });
}
