//! The loop that joins the person's terminal and the agent's.
//!
//! Owns: carrying keys in and filtered output out, the window's size, standing still while a person is asked, giving the
//! terminal back. Does not own: the filter, the modes. Nothing here waits for a reader or writer that may never come:
//! every call returns at once, every wait has an end, and `stop` is always heard.

use super::TerminalError;
use super::filter::Filter;
use super::filtered::Filtered;
use super::line::{Line, Moved, lost, wait};
use super::raw::{Changed, Manner};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::termios::{OptionalActions, Winsize, tcgetwinsize, tcsetattr, tcsetwinsize};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How much may wait on either side before the other is not read any more.
const HIGH_WATER: usize = 64 * 1024;
/// How often the window's size is looked at. A signal handler would hear of a change at once, but belongs to the whole
/// process and would need unsafe code; nobody sees a quarter of a second.
const GLANCE: Duration = Duration::from_millis(250);
/// How long the last output of a run may take to reach the terminal.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long a terminal may hold up a pause.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long to look away from a terminal that no process holds at the moment.
const NAP: Duration = Duration::from_millis(50);

/// How a relay ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relayed {
    /// What was kept from the person's terminal.
    pub filtered: Filtered,
    /// The person's terminal went away before the run ended.
    pub hung_up: bool,
}

/// Joins the terminals until `stop` is readable; then carries what is left, and gives the terminal back.
///
/// `input` is the person's terminal where they type (`None`: their input is no terminal, nothing is read and no mode is
/// changed), `output` where they look, `master` our side of the agent's terminal. To be run on a thread of its own.
pub fn relay(
    input: Option<BorrowedFd<'_>>,
    output: impl AsFd,
    master: OwnedFd,
    stop: impl AsFd,
    control: &Control,
) -> Result<Relayed, TerminalError> {
    // ORDER: first here, so last to go: whoever waits for a pause goes on only when the terminal is given back.
    let _running = Running::start(control);
    let keys = input.map(Line::open).transpose()?;
    let manner = input.map(|input| Changed::enter(input, Manner::Raw)).transpose()?;
    let program = Line::own(master)?;
    if let Some(manner) = &manner {
        // The person's own habits (which key erases, UTF-8) hold inside too. A terminal that takes them not keeps its own.
        let _ = tcsetattr(&program, OptionalActions::Now, manner.before());
    }
    let mut joint = Joint {
        input,
        keys,
        manner,
        screen: Line::open(output.as_fd())?,
        program,
        size: None,
        filter: Filter::new(),
        out: Vec::new(),
        typed: Vec::new(),
        hung_up: false,
        away_until: None,
    };
    joint.carry(stop.as_fd(), control)?;
    joint.farewell();
    Ok(Relayed { filtered: joint.filter.filtered().clone(), hung_up: joint.hung_up })
}

/// What the loop works on.
struct Joint<'a> {
    input: Option<BorrowedFd<'a>>,
    keys: Option<Line>,
    manner: Option<Changed>,
    screen: Line,
    program: Line,
    size: Option<(u16, u16)>,
    filter: Filter,
    /// Filtered, not yet on the screen.
    out: Vec<u8>,
    /// Typed, not yet taken by the program.
    typed: Vec<u8>,
    hung_up: bool,
    away_until: Option<Instant>,
}

impl Joint<'_> {
    fn carry(&mut self, stop: BorrowedFd<'_>, control: &Control) -> Result<(), TerminalError> {
        loop {
            if control.is_wanted() {
                self.stand_still(control)?;
            }
            self.follow_size();
            if self.wait(stop, control)? {
                return Ok(());
            }
            self.read_program()?;
            self.read_keys()?;
            self.write()?;
        }
    }

    /// Waits for work; true if it is time to stop.
    fn wait(&mut self, stop: BorrowedFd<'_>, control: &Control) -> Result<bool, TerminalError> {
        let now = Instant::now();
        self.away_until = self.away_until.filter(|until| *until > now);
        let mut watched = vec![
            PollFd::from_borrowed_fd(stop, PollFlags::IN),
            PollFd::new(&control.shared.wake, PollFlags::IN),
        ];
        // Only what something can be done about is watched: a closed terminal would end every wait at once.
        let mut program = PollFlags::empty();
        program.set(PollFlags::IN, self.out.len() < HIGH_WATER);
        program.set(PollFlags::OUT, !self.typed.is_empty());
        if self.away_until.is_none() && !program.is_empty() {
            watched.push(PollFd::new(&self.program, program));
        }
        if let Some(keys) = self.keys.as_ref().filter(|_| self.typed.len() < HIGH_WATER) {
            watched.push(PollFd::new(keys, PollFlags::IN));
        }
        if !self.out.is_empty() && !self.hung_up {
            watched.push(PollFd::new(&self.screen, PollFlags::OUT));
        }
        wait(&mut watched, if self.away_until.is_some() { NAP } else { GLANCE })?;
        let [stop, wake, ..] = watched.as_slice() else { return Ok(true) };
        let stopped = !stop.revents().is_empty();
        if !wake.revents().is_empty() {
            control.hear_wake();
        }
        Ok(stopped)
    }

    fn read_program(&mut self) -> Result<(), TerminalError> {
        if self.away_until.is_some() || self.out.len() >= HIGH_WATER {
            return Ok(());
        }
        self.read_program_once().map(|_| ())
    }

    fn read_program_once(&mut self) -> Result<Moved, TerminalError> {
        let mut bytes = [0; 16 * 1024];
        let moved = self.program.read(&mut bytes)?;
        match moved {
            Moved::Bytes(count) => {
                self.filter.feed(bytes.get(..count).unwrap_or_default(), &mut self.out);
                self.typed.extend(self.filter.take_replies());
                if self.hung_up {
                    self.out.clear();
                }
            }
            // No process holds the agent's terminal now; another one may soon, until we are told to stop.
            Moved::Gone => self.away_until = Some(Instant::now() + NAP),
            Moved::Nothing => {}
        }
        Ok(moved)
    }

    fn read_keys(&mut self) -> Result<(), TerminalError> {
        let Some(keys) = self.keys.as_ref().filter(|_| self.typed.len() < HIGH_WATER) else { return Ok(()) };
        let mut bytes = [0; 4096];
        match keys.read(&mut bytes)? {
            Moved::Bytes(count) => self.typed.extend_from_slice(bytes.get(..count).unwrap_or_default()),
            Moved::Nothing => {}
            Moved::Gone => {
                // The window was closed. The program learns it as it would at the end of a file.
                self.keys = None;
                self.hung_up = true;
                self.out.clear();
                self.typed.push(0x04);
            }
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), TerminalError> {
        if !self.typed.is_empty()
            && self.away_until.is_none()
            && let Moved::Bytes(count) = self.program.write(&self.typed)?
        {
            self.typed.drain(..count);
        }
        if !self.out.is_empty() && !self.hung_up {
            match self.screen.write(&self.out)? {
                Moved::Bytes(count) => drop(self.out.drain(..count)),
                Moved::Nothing => {}
                Moved::Gone => {
                    self.hung_up = true;
                    self.out.clear();
                }
            }
        }
        Ok(())
    }

    /// Tells the agent's terminal when the person's window has another size. A screen without a size has none to tell.
    fn follow_size(&mut self) {
        let Ok(size) = tcgetwinsize(&self.screen) else { return };
        let now = (size.ws_row, size.ws_col);
        if self.size != Some(now) && now.0 > 0 && now.1 > 0 && tcsetwinsize(&self.program, size).is_ok() {
            self.size = Some(now);
        }
    }

    /// Gives the terminal away until nobody wants it any more, then takes it back and has the program draw again.
    fn stand_still(&mut self, control: &Control) -> Result<(), TerminalError> {
        let mut words = std::mem::take(&mut self.out);
        self.filter.suspend(&mut words);
        // A screen that takes no output must not hold up the question: it will not show that either, and then refuses.
        let _ = self.screen.write_all(&words, PATIENCE);
        self.manner = None;
        control.stand_still();
        self.manner = self.input.map(|input| Changed::enter(input, Manner::Raw)).transpose()?;
        self.filter.resume(&mut self.out);
        self.nudge();
        Ok(())
    }

    /// A size that changes makes a program draw its screen again; one that has changed back before it looks does not.
    fn nudge(&mut self) {
        if let Some((rows, columns)) = self.size.take() {
            let size =
                Winsize { ws_row: rows.saturating_add(1), ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
            // It is only about the picture.
            let _ = tcsetwinsize(&self.program, size);
            std::thread::sleep(NAP);
        }
    }

    /// The last words of the program, then the terminal as it was.
    fn farewell(&mut self) {
        let deadline = Instant::now() + FAREWELL;
        while !self.hung_up && Instant::now() < deadline {
            match self.read_program_once() {
                Ok(Moved::Bytes(_)) => {}
                Ok(Moved::Nothing | Moved::Gone) | Err(_) => break,
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if self.screen.write_all(&std::mem::take(&mut self.out), left).is_err() {
                break;
            }
        }
        self.filter.suspend(&mut self.out);
        if !self.hung_up {
            let left = deadline.saturating_duration_since(Instant::now()).max(NAP);
            // The run is over either way; a screen that takes nothing shows nothing.
            let _ = self.screen.write_all(&std::mem::take(&mut self.out), left);
        }
    }
}

/// The handle by which others ask the relay to stand still.
#[derive(Clone, Debug)]
pub struct Control {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    wake: OwnedFd,
}

#[derive(Debug, Default)]
struct State {
    /// How many want the terminal.
    wanted: usize,
    running: bool,
    still: bool,
}

impl Control {
    /// A handle for one relay.
    pub fn new() -> Result<Self, TerminalError> {
        let wake = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).map_err(lost)?;
        Ok(Self { shared: Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), wake }) })
    }

    /// Makes the relay stand still and waits until it does: the terminal has its usual modes, nothing is read from it and
    /// nothing of the run is shown, until the answer is dropped. If no relay runs there is nothing to wait for.
    pub fn pause(&self) -> Paused {
        let mut state = self.lock();
        state.wanted += 1;
        // The counter cannot overflow by ones; a full one wakes as well.
        let _ = rustix::io::write(&self.shared.wake, &1_u64.to_ne_bytes());
        while state.running && !state.still {
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        Paused { control: self.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_wanted(&self) -> bool {
        self.lock().wanted > 0
    }

    fn hear_wake(&self) {
        let mut count = [0; 8];
        // Empty already is as good as emptied.
        let _ = rustix::io::read(&self.shared.wake, &mut count);
    }

    /// The relay's part of a pause.
    fn stand_still(&self) {
        let mut state = self.lock();
        state.still = true;
        self.shared.changed.notify_all();
        while state.wanted > 0 {
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.still = false;
    }
}

/// While this lives the relay stands still.
#[derive(Debug)]
#[must_use = "the relay goes on as soon as this is dropped"]
pub struct Paused {
    control: Control,
}

impl Drop for Paused {
    fn drop(&mut self) {
        let mut state = self.control.lock();
        state.wanted = state.wanted.saturating_sub(1);
        self.control.shared.changed.notify_all();
    }
}

/// While this lives a relay runs; it ends on every way out of [`relay`], so nobody waits for one that is gone.
struct Running<'a> {
    control: &'a Control,
}

impl<'a> Running<'a> {
    /// Not before those who have the terminal already are done with it.
    fn start(control: &'a Control) -> Self {
        let mut state = control.lock();
        while state.wanted > 0 {
            state = control.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.running = true;
        drop(state);
        Self { control }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.control.lock().running = false;
        self.control.shared.changed.notify_all();
    }
}

#[cfg(test)]
pub(crate) mod tests;
