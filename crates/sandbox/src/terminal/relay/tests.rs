//! Two real terminals each: the person's (its other end is the test) and the agent's.

use super::*;
use crate::terminal::filtered::Kind;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use std::thread;

/// A terminal: the end that plays the hardware, and the end that programs have.
pub(crate) fn pair() -> (OwnedFd, OwnedFd) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let slave =
        rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    (master, slave)
}

/// What can be read within the time; nothing if nothing comes.
pub(crate) fn read_some(fd: &OwnedFd, time: Duration) -> String {
    wait(&mut [PollFd::new(fd, PollFlags::IN)], time).unwrap();
    let mut ready = [PollFd::new(fd, PollFlags::IN)];
    wait(&mut ready, Duration::ZERO).unwrap();
    if ready[0].revents().is_empty() {
        return String::new();
    }
    let mut bytes = [0; 65536];
    let count = rustix::io::read(fd, &mut bytes).unwrap_or(0);
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}

/// Reads until `wanted` was seen; the test fails if it does not come.
fn read_until(fd: &OwnedFd, wanted: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut seen = String::new();
    while !seen.contains(wanted) {
        assert!(Instant::now() < deadline, "{wanted:?} did not come, but {seen:?}");
        seen.push_str(&read_some(fd, Duration::from_millis(100)));
    }
    seen
}

struct Scene {
    /// Where the person's keys are pressed and their screen is seen.
    person: OwnedFd,
    /// What provost was started on.
    terminal: OwnedFd,
    /// What the agent has.
    agent: OwnedFd,
    stop: OwnedFd,
    control: Control,
    thread: thread::JoinHandle<Result<Relayed, TerminalError>>,
}

impl Scene {
    fn set() -> Self {
        let (person, terminal) = pair();
        let (master, agent) = pair();
        tcsetwinsize(&terminal, Winsize { ws_row: 40, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let stop = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
        let control = Control::new().unwrap();
        let thread = {
            let (terminal, stop, control) =
                (terminal.try_clone().unwrap(), stop.try_clone().unwrap(), control.clone());
            thread::spawn(move || relay(Some(terminal.as_fd()), &terminal, master, stop, &control))
        };
        let scene = Self { person, terminal, agent, stop, control, thread };
        scene.until(|scene| !scene.local().contains(LocalModes::ICANON));
        scene
    }

    fn until(&self, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !holds(self) {
            assert!(Instant::now() < deadline);
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn local(&self) -> LocalModes {
        tcgetattr(&self.terminal).unwrap().local_modes
    }

    fn types(&self, keys: &[u8]) {
        rustix::io::write(&self.person, keys).unwrap();
    }

    fn prints(&self, bytes: &[u8]) {
        rustix::io::write(&self.agent, bytes).unwrap();
    }

    fn end(self) -> Relayed {
        rustix::io::write(&self.stop, &1_u64.to_ne_bytes()).unwrap();
        self.thread.join().unwrap().unwrap()
    }
}

#[test]
fn keys_go_in_and_output_comes_out_filtered() {
    let scene = Scene::set();
    scene.types(b"hello\r");
    assert_eq!(read_until(&scene.agent, "\n"), "hello\n");
    scene.prints(b"\x1b]52;c;cm0gLXJm\x07\x1b[31mred\x1b[m done\n");
    let seen = read_until(&scene.person, "done\r\n");
    assert!(seen.ends_with("\x1b[31mred\x1b[m done\r\n"), "{seen:?}");
    assert!(!seen.contains("]52"), "{seen:?}");
    assert_eq!(scene.end().filtered.of(Kind::Clipboard), 1);
}

#[test]
fn interrupt_and_suspend_are_bytes_for_the_inside() {
    let scene = Scene::set();
    let mut inside = tcgetattr(&scene.agent).unwrap();
    inside.make_raw();
    tcsetattr(&scene.agent, OptionalActions::Now, &inside).unwrap();
    scene.types(b"\x03\x1a\x1c");
    assert_eq!(read_until(&scene.agent, "\x1c"), "\x03\x1a\x1c");
    scene.end();
}

#[test]
fn the_size_is_told_at_the_start_and_when_it_changes() {
    let scene = Scene::set();
    let inside = |scene: &Scene| {
        let size = tcgetwinsize(&scene.agent).unwrap();
        (size.ws_row, size.ws_col)
    };
    scene.until(|scene| inside(scene) == (40, 120));
    tcsetwinsize(&scene.terminal, Winsize { ws_row: 50, ws_col: 90, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    scene.until(|scene| inside(scene) == (50, 90));
    scene.end();
}

#[test]
fn harmless_questions_are_answered_without_the_terminal() {
    let scene = Scene::set();
    scene.prints(b"\x1b[c\x1b[5n");
    let mut inside = tcgetattr(&scene.agent).unwrap();
    inside.make_raw();
    tcsetattr(&scene.agent, OptionalActions::Now, &inside).unwrap();
    assert_eq!(read_until(&scene.agent, "0n"), "\x1b[?1;2c\x1b[0n");
    assert_eq!(read_some(&scene.person, Duration::from_millis(200)), "");
    assert!(scene.end().filtered.is_empty());
}

#[test]
fn the_last_words_are_shown_and_the_terminal_is_as_it_was() {
    let scene = Scene::set();
    scene.prints(b"\x1b[?1049h\x1b[?25l\x1b[?2004h\x1b[7mlast words");
    let (person, terminal) = (scene.person.try_clone().unwrap(), scene.terminal.try_clone().unwrap());
    scene.end();
    let seen = read_until(&person, "\x1b[?2004l");
    for undone in ["last words", "\x1b[m", "\x1b[?25h", "\x1b[?1049l"] {
        assert!(seen.contains(undone), "{undone:?} in {seen:?}");
    }
    assert!(
        tcgetattr(&terminal)
            .unwrap()
            .local_modes
            .contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    );
}

#[test]
fn while_paused_nothing_moves_and_the_modes_are_usual() {
    let scene = Scene::set();
    scene.prints(b"\x1b[?1000h\x1b[?1049hbefore");
    read_until(&scene.person, "before");
    let paused = scene.control.pause();
    let seen = read_until(&scene.person, "\x1b[?1000l");
    assert!(seen.contains("\x1b[?1049l"), "{seen:?}");
    assert!(scene.local().contains(LocalModes::ICANON | LocalModes::ECHO));
    scene.prints(b"meanwhile");
    assert_eq!(read_some(&scene.person, Duration::from_millis(300)), "");
    drop(paused);
    let seen = read_until(&scene.person, "meanwhile");
    assert!(seen.contains("\x1b[?1000h") && seen.contains("\x1b[?1049h"), "{seen:?}");
    assert!(!scene.local().contains(LocalModes::ICANON));
    scene.end();
}

#[test]
fn a_question_can_be_asked_in_the_middle_and_keys_reach_only_the_question() {
    let scene = Scene::set();
    let paused = scene.control.pause();
    let (person, terminal) = (scene.person.try_clone().unwrap(), scene.terminal.try_clone().unwrap());
    let typist = thread::spawn(move || {
        read_until(&person, "refuses: ");
        rustix::io::write(&person, b"yes\r").unwrap();
    });
    let question = ["connect example.com:443?".to_owned()];
    let answer = crate::terminal::ask_on_terminal(
        &terminal,
        &terminal,
        (&question, &[]),
        "yes",
        Duration::from_secs(10),
        &|| false,
    );
    assert_eq!(answer.unwrap(), Some(true));
    typist.join().unwrap();
    drop(paused);
    assert_eq!(read_some(&scene.agent, Duration::from_millis(300)), "");
    scene.types(b"on\r");
    assert_eq!(read_until(&scene.agent, "\n"), "on\n");
    scene.end();
}

#[test]
fn a_pause_without_a_relay_does_not_wait() {
    let control = Control::new().unwrap();
    drop(control.pause());
    let scene = Scene::set();
    let control = scene.control.clone();
    scene.end();
    drop(control.pause());
}

#[test]
fn a_screen_that_nobody_reads_holds_nothing_up() {
    let scene = Scene::set();
    let flood = {
        let agent = scene.agent.try_clone().unwrap();
        rustix::fs::fcntl_setfl(&agent, OFlags::NONBLOCK).unwrap();
        thread::spawn(move || {
            let (deadline, mut taken) = (Instant::now() + Duration::from_secs(1), 0);
            while Instant::now() < deadline {
                match rustix::io::write(&agent, &[b'x'; 4096]) {
                    Ok(count) => taken += count,
                    Err(_) => thread::sleep(Duration::from_millis(5)),
                }
            }
            taken
        })
    };
    let taken = flood.join().unwrap();
    assert!(taken < 4 * 1024 * 1024, "the program was held back, not buffered for: {taken}");
    scene.types(b"still heard\r");
    assert!(read_until(&scene.agent, "heard\n").contains("still"));
    let began = Instant::now();
    let paused = scene.control.pause();
    assert!(began.elapsed() < Duration::from_secs(5));
    drop(paused);
    let began = Instant::now();
    scene.end();
    assert!(began.elapsed() < Duration::from_secs(6));
}

#[test]
fn a_window_that_closes_is_the_end_of_the_programs_input_not_of_the_run() {
    let scene = Scene::set();
    let Scene { person, terminal, agent, stop, control: _control, thread } = scene;
    drop((person, terminal));
    // End of file: a line discipline turns ^D at the start of a line into a read of nothing.
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut ended = false;
    while !ended && Instant::now() < deadline {
        wait(&mut [PollFd::new(&agent, PollFlags::IN)], Duration::from_millis(100)).unwrap();
        let mut ready = [PollFd::new(&agent, PollFlags::IN)];
        wait(&mut ready, Duration::ZERO).unwrap();
        ended = !ready[0].revents().is_empty() && rustix::io::read(&agent, &mut [0; 16]).unwrap() == 0;
    }
    assert!(ended);
    rustix::io::write(&agent, b"nobody sees this\n").unwrap();
    rustix::io::write(&stop, &1_u64.to_ne_bytes()).unwrap();
    assert!(thread.join().unwrap().unwrap().hung_up);
}

#[test]
fn a_program_may_close_its_terminal_and_open_it_again() {
    let (person, terminal) = pair();
    let (master, agent) = pair();
    let name = ptsname(&master, Vec::new()).unwrap();
    let stop = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
    let (stop_here, control) = (stop.try_clone().unwrap(), Control::new().unwrap());
    let thread = thread::spawn(move || relay(None, &terminal, master, stop_here, &control));
    drop(agent);
    thread::sleep(Duration::from_millis(200));
    let agent = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    rustix::io::write(&agent, b"back again").unwrap();
    read_until(&person, "back again");
    rustix::io::write(&stop, &1_u64.to_ne_bytes()).unwrap();
    assert!(!thread.join().unwrap().unwrap().hung_up);
}

#[test]
fn the_shells_descriptor_keeps_its_flags() {
    let scene = Scene::set();
    assert!(!rustix::fs::fcntl_getfl(&scene.terminal).unwrap().contains(OFlags::NONBLOCK));
    let terminal = scene.terminal.try_clone().unwrap();
    scene.end();
    assert!(!rustix::fs::fcntl_getfl(&terminal).unwrap().contains(OFlags::NONBLOCK));
}
