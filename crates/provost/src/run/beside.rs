//! Beside an open editor: what the person changes while the run goes on is brought before the agent, or is said to be
//! stale; and what is routine of the agent's work lands, where the person has said so.
//!
//! Owns when: at a quiet point, which is when nothing inside has started a program, opened a file or connected for
//! [`QUIET`]; a run that is never quiet is not waited for longer than [`PATIENCE`], since on a plain disk it would see the
//! edit at once. Does not own noticing (`workspace`), nor how the view is brought up to date (`sandbox`).

use std::collections::{BTreeSet, HashMap};
use std::io::{PipeReader, PipeWriter};
use std::path::{Path, PathBuf};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant, SystemTime};

use admission::{Admission, LedgerClosed};
use ledger::Trust;
use ledger::event::{MovedFile, WorkspaceMoved};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sandbox::Overlay;

use crate::workspace::{LandError, Landing, Moment, Moves, Workspace};

/// From so long on without a held call the inside counts as quiet.
const QUIET: Duration = Duration::from_millis(200);
/// How long a quiet point is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long after its beginning a run is left alone: its agent starts, and nobody has edited anything yet.
const START: Duration = Duration::from_secs(1);
/// How soon, and then how seldom, what could not be brought before the agent is tried again: it makes the kernel look up
/// every name anew.
const AGAIN: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
/// How often it is looked for what can land, where something may.
const LANDS: Duration = Duration::from_secs(1);
/// How long a file must have been left alone before it lands.
const SETTLED: Duration = Duration::from_secs(1);
/// Looking for what can land takes at most this part of one processor.
const PART: u32 = 20;
/// How often the quiet is looked for.
const LOOK: Duration = Duration::from_millis(50);
/// Names and bytes of names that one event tells.
const NAMES: (usize, usize) = (100, 16 << 10);

/// A thread that looks after it while the run goes on.
#[derive(Debug)]
pub(super) struct Beside<'scope> {
    stop: Option<PipeWriter>,
    thread: Option<ScopedJoinHandle<'scope, Result<(), LedgerClosed>>>,
}

impl<'scope> Beside<'scope> {
    pub(super) fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        (workspace, lands): (&'env Workspace, bool),
        overlay: Option<Overlay>,
        admission: &'env Admission,
    ) -> std::io::Result<Beside<'scope>> {
        let (stopped, stop) = std::io::pipe()?;
        let look_after = move || {
            Watch {
                workspace,
                overlay,
                admission,
                unseen: BTreeSet::new(),
                again: AGAIN.0,
                lands,
                tried: HashMap::new(),
                next: Instant::now(),
            }
            .attend(&stopped)
        };
        let thread = thread::Builder::new().name("beside".to_owned()).spawn_scoped(scope, look_after)?;
        Ok(Beside { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Beside<'_> {
    /// What was changed until now is told before the run is over.
    fn drop(&mut self) {
        drop(self.stop.take());
        // Whoever finds the ledger closed next says so.
        drop(self.thread.take().map(ScopedJoinHandle::join));
    }
}

struct Watch<'a> {
    workspace: &'a Workspace,
    overlay: Option<Overlay>,
    admission: &'a Admission,
    /// What changed outside and is not yet seen inside.
    unseen: BTreeSet<PathBuf>,
    /// When that is tried again.
    again: Duration,
    /// Whether routine files land by themselves.
    lands: bool,
    /// How each file stood when it was last tried to land.
    tried: HashMap<PathBuf, Moment>,
    /// When it is looked for what can land, at the soonest.
    next: Instant,
}

impl Watch<'_> {
    fn attend(mut self, stop: &PipeReader) -> Result<(), LedgerClosed> {
        let mut over = waits(stop, None, Some(START));
        if over {
            // A run that was over at once: whatever was changed meanwhile is found where it lands.
            return Ok(());
        }
        // What was there is not known: landing says so, and nothing is told beside.
        let Ok(mut moves) = self.workspace.moves() else { return Ok(()) };
        while !over {
            // What happened before anybody listened is found by a first look.
            over = self.wait_for_quiet(&mut moves, stop);
            self.look(&mut moves)?;
            if !over {
                self.land(&mut moves, false)?;
            }
            over = over || self.sleep(&moves, stop);
        }
        self.look(&mut moves)?;
        self.land(&mut moves, true)
    }

    /// Until something happens outside, or something is to be tried again; whether the run is over.
    fn sleep(&self, moves: &Moves, stop: &PipeReader) -> bool {
        let again = (!self.unseen.is_empty()).then_some(self.again);
        let lands = self.lands.then_some(LANDS);
        let pause = moves.pause().map(|pause| pause.max(LOOK));
        waits(stop, Some(moves), again.into_iter().chain(lands).chain(pause).min())
    }

    /// Until nothing happens on either side; whether the run is over.
    fn wait_for_quiet(&self, moves: &mut Moves, stop: &PipeReader) -> bool {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            moves.hears();
            let is_busy = self.overlay.as_ref().is_some_and(|overlay| overlay.quiet() < QUIET);
            if waits(stop, None, Some(LOOK)) {
                return true;
            }
            // An editor that saves does it in several steps.
            let saves = moves.bell().is_some_and(|bell| {
                poll(&mut [PollFd::from_borrowed_fd(bell, PollFlags::IN)], Some(&Timespec::default()))
                    == Ok(1)
            });
            if !is_busy && !saves {
                return false;
            }
        }
        false
    }

    /// Brings what changed before the agent, and tells it.
    fn look(&mut self, moves: &mut Moves) -> Result<(), LedgerClosed> {
        // What cannot be looked at now is found the next time, or when it is to land.
        let moved: BTreeSet<PathBuf> = moves.moved().unwrap_or_default().into_iter().collect();
        let was_unseen = std::mem::take(&mut self.unseen);
        let asked: Vec<PathBuf> = moved.union(&was_unseen).cloned().collect();
        if asked.is_empty() {
            return Ok(());
        }
        self.again = if moved.is_empty() { (self.again * 2).min(AGAIN.1) } else { AGAIN.0 };
        let both: BTreeSet<PathBuf> =
            self.workspace.touched(&asked).unwrap_or_default().into_iter().collect();
        let is_stale = |path: &&PathBuf| !both.contains(*path) && !self.sees(moves, path);
        if asked.iter().any(|path| is_stale(&path)) {
            // Where the kernel will not, the run is stale, which is told.
            let _ = self.overlay.as_ref().map(Overlay::refresh);
        }
        self.unseen = asked.iter().filter(is_stale).cloned().collect();
        let news = asked.iter().filter(|path| moved.contains(*path) || !self.unseen.contains(*path));
        let files = news.map(|path| MovedFile {
            path: path.as_path().into(),
            both: both.contains(path),
            stale: self.unseen.contains(path),
        });
        let files = files.collect();
        if self.overlay.is_none() {
            // A copy never shows it.
            self.unseen.clear();
        }
        self.tell(files)
    }

    /// Whether the inside sees at a path what stands there.
    fn sees(&self, moves: &Moves, path: &Path) -> bool {
        let Some(overlay) = &self.overlay else { return false };
        let stands = moves.stands(path);
        overlay.sees(path).is_ok_and(|seen| Workspace::is_alike(stands.as_ref(), seen.as_ref()))
    }

    /// Lands what is routine, settled and held by nobody; at the end of the run nothing is held any more.
    fn land(&mut self, moves: &mut Moves, is_over: bool) -> Result<(), LedgerClosed> {
        let Some(overlay) = self.overlay.as_ref().filter(|_| self.lands) else { return Ok(()) };
        let is_quiet = is_over || (overlay.quiet() >= QUIET && Instant::now() >= self.next);
        // Where it cannot be told who writes what, nothing lands before the run is over.
        let written = if is_over { Some(BTreeSet::new()) } else { overlay.written().ok() };
        let Some(written) = written.filter(|_| is_quiet) else { return Ok(()) };
        let began = Instant::now();
        let tried = std::cell::RefCell::new(&mut self.tried);
        let is_settled = |path: &Path| {
            let Some(changed) = self.workspace.changed_at(path).filter(|_| !written.contains(path)) else {
                return false;
            };
            (is_over || age(changed) >= SETTLED)
                && tried.borrow_mut().insert(path.to_owned(), changed) != Some(changed)
        };
        let landing = match self.workspace.land_routine(self.admission, &is_settled) {
            Ok(landing) => landing,
            Err(LandError::Ledger(closed)) => return Err(closed),
            // What could not land is staged, and is in order again before anything else lands.
            Err(_) => Landing::default(),
        };
        moves.know(&landing.landed);
        self.next = Instant::now() + began.elapsed() * PART;
        Ok(())
    }

    fn tell(&self, mut files: Vec<MovedFile>) -> Result<(), LedgerClosed> {
        if files.is_empty() {
            return Ok(());
        }
        let count = files.len() as u64;
        // What matters most is named first.
        files.sort_by_key(|file| (!file.both, !file.stale));
        let mut room = NAMES.1;
        let mut fits = |file: &MovedFile| {
            let fits = file.path.as_bytes().len() <= room;
            room = room.saturating_sub(file.path.as_bytes().len());
            fits
        };
        let named = files.iter().take(NAMES.0).take_while(|file| fits(file)).count();
        files.truncate(named);
        self.admission.note(WorkspaceMoved { count, files }.into(), Trust::Observed, None)?;
        Ok(())
    }
}

/// How long ago this was, by the clock that file systems use.
fn age((seconds, nanoseconds): Moment) -> Duration {
    let then = SystemTime::UNIX_EPOCH + Duration::new(seconds.unsigned_abs(), nanoseconds);
    SystemTime::now().duration_since(then).unwrap_or_default()
}

/// Waits until the run is over, something happens outside, or the time is up; whether the run is over.
fn waits(stop: &PipeReader, moves: Option<&Moves>, time: Option<Duration>) -> bool {
    let mut watched = vec![PollFd::new(stop, PollFlags::IN)];
    watched.extend(moves.and_then(Moves::bell).map(|bell| PollFd::from_borrowed_fd(bell, PollFlags::IN)));
    let time = time.and_then(|time| Timespec::try_from(time).ok());
    match poll(&mut watched, time.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        // A kernel that cannot wait: what is left is told at the end.
        Err(_) => return true,
    }
    watched.first().is_some_and(|stop| !stop.revents().is_empty())
}
