//! Starting and ending: status, signals, streams, the terminal, what is passed on.

use super::runner::Case;
use super::scene::{Scene, text_of};
use rustix::pipe::{PipeFlags, pipe_with};
use sandbox::{Exit, JailError};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

pub(crate) const CASES: &[Case] = &[
    ("the_status_is_the_programs_own", the_status_is_the_programs_own),
    ("a_signal_is_told_from_a_status", a_signal_is_told_from_a_status),
    ("a_program_that_is_not_there_does_not_start", a_program_that_is_not_there_does_not_start),
    ("pipes_stay_pipes_and_carry_both_ways", pipes_stay_pipes_and_carry_both_ways),
    ("nothing_is_passed_on_but_the_standard_streams", nothing_is_passed_on_but_the_standard_streams),
    ("a_terminal_is_one_and_controls_its_session", a_terminal_is_one_and_controls_its_session),
    ("time_that_is_up_ends_everything", time_that_is_up_ends_everything),
    ("a_word_from_outside_stops_everything", a_word_from_outside_stops_everything),
    ("signals_start_as_a_program_expects", signals_start_as_a_program_expects),
];

fn the_status_is_the_programs_own(root: &Path) {
    let ran = Scene::new(root).bash("echo out; echo err >&2; exit 7");
    assert!(matches!(ran.exit, Ok(Exit::Code(7))), "{:?} {} {}", ran.exit, ran.out, ran.err);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("out\n", "err\n"));
}

fn a_signal_is_told_from_a_status(root: &Path) {
    let ran = Scene::new(root).bash("kill -SEGV $$");
    assert!(matches!(ran.exit, Ok(Exit::Signal(libc::SIGSEGV))), "{:?}", ran.exit);
}

fn a_program_that_is_not_there_does_not_start(root: &Path) {
    let failed = Scene::new(root).set(&["/usr/bin/no-such-program"]).go().err().unwrap();
    let JailError::NotStarted { program, source } = failed else { panic!("{failed}") };
    assert_eq!(program, "/usr/bin/no-such-program");
    assert_eq!(source.raw_os_error(), Some(libc::ENOENT));
}

fn pipes_stay_pipes_and_carry_both_ways(root: &Path) {
    let mut scene = Scene::new(root);
    scene.input.take().unwrap().write_all(b"from outside\n").unwrap();
    let ran = scene.bash("for n in 0 1 2; do [ -p /proc/self/fd/$n ] || exit 1; done; cat");
    assert_eq!(ran.fine(), "from outside\n");
}

fn nothing_is_passed_on_but_the_standard_streams(root: &Path) {
    let _held = File::open("/etc/hostname").unwrap();
    let mut scene = Scene::new(root);
    scene.env.push(("ONLY".into(), "this".into()));
    let home = scene.home();
    let ran = scene.run(&["/usr/bin/perl", "-e", r#"
        opendir(my $d, "/proc/self/fd") or die; print join(",", sort grep { !/^\./ && $_ ne fileno($d) } readdir $d), "\n";
        print "$_=$ENV{$_}\n" for sort keys %ENV;"#]);
    let expected = format!("0,1,2\nHOME={}\nONLY=this\nPATH=/usr/local/bin:/usr/bin:/bin\n", home.display());
    assert_eq!(ran.fine(), expected);
}

fn a_terminal_is_one_and_controls_its_session(root: &Path) {
    let mut scene = Scene::new(root);
    scene.terminal = true;
    let mut set = scene.set(&[
        "/bin/bash",
        "-c",
        "[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && stty size && echo ok >/dev/tty; cat",
    ]);
    let master = set.jail.take_terminal().unwrap();
    let size = rustix::termios::Winsize { ws_row: 33, ws_col: 77, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&master, size).unwrap();
    let mut terminal = File::from(master);
    let going = set.go().unwrap();
    let mut seen = Vec::new();
    while !text_of(&seen).contains("ok") {
        let mut piece = [0; 256];
        let read = terminal.read(&mut piece).unwrap();
        seen.extend_from_slice(&piece[..read]);
    }
    assert!(text_of(&seen).contains("33 77"), "{}", text_of(&seen));
    // ^C is the terminal's to turn into a signal, so it must be the session's own.
    terminal.write_all(b"\x03").unwrap();
    let ran = going.end();
    assert!(matches!(ran.exit, Ok(Exit::Signal(libc::SIGINT) | Exit::Code(130))), "{:?}", ran.exit);
}

fn time_that_is_up_ends_everything(root: &Path) {
    let mut scene = Scene::new(root);
    scene.limits = "time = '1s'".to_owned();
    let ran = scene.bash("trap '' TERM INT HUP; while :; do sleep 1000; done");
    assert!(
        matches!(ran.exit, Ok(Exit::Limit(reached)) if reached.limit == policy::Limit::Time),
        "{:?}",
        ran.exit
    );
}

fn a_word_from_outside_stops_everything(root: &Path) {
    let going = Scene::new(root).set(&["/bin/sleep", "1000"]).go().unwrap();
    let (stop, say) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    File::from(say).write_all(b"x").unwrap();
    let exit = going.running.wait(rustix::fd::AsFd::as_fd(&stop));
    assert!(matches!(exit, Ok(Exit::Stopped)), "{exit:?}");
}

fn signals_start_as_a_program_expects(root: &Path) {
    let ran = Scene::new(root).bash("grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status");
    for line in ran.fine().lines().filter(|line| !line.starts_with("SigCgt")) {
        assert!(line.ends_with("0000000000000000"), "{line}");
    }
}
