//! One landing at a time in a workspace, and which one is half done.
//!
//! Owns `workspaces/<id>/landing` in the state folder: its lock is the right to change the workspace, and the run that is
//! named in it is one whose journal may be open. Does not own that journal (`journal`), nor finishing what it says
//! (`recover`).

use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long another process may go on landing before one that wants to land there gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
const APART: Duration = Duration::from_millis(20);

/// The right to change a workspace, until it is dropped or its process dies.
#[derive(Debug)]
pub struct Hold {
    file: File,
    run: Option<String>,
}

impl Hold {
    /// Waits for the right to land in the workspace whose own folder this is. `None`: another process is at it still.
    ///
    /// # Errors
    /// The disk refused.
    pub(crate) fn take(folder: &Path, patience: Duration) -> io::Result<Option<Hold>> {
        std::fs::create_dir_all(folder)?;
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(place(folder))?;
        // ORDER: the name of the file is on disk before anything is written to it that must be found again.
        File::open(folder)?.sync_all()?;
        let until = Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(APART),
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        let run = read(&mut file)?;
        Ok(Some(Hold { file, run }))
    }

    /// The run whose landing was cut short here, if one was.
    #[must_use]
    pub fn half_landed(&self) -> Option<&str> {
        self.run.as_deref()
    }

    /// Says that a run begins to land. Whoever comes after a crash knows by it.
    pub(super) fn begin(&mut self, run: &str) -> io::Result<()> {
        self.file.rewind()?;
        self.file.write_all(format!("{run}\n").as_bytes())?;
        self.file.sync_all()?;
        self.run = Some(run.to_owned());
        Ok(())
    }

    /// Says that nothing is half done any more.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.sync_all()?;
        self.run = None;
        Ok(())
    }
}

/// The run that lands in the workspace whose own folder this is, or that was cut short there, without waiting for it.
pub(crate) fn named(folder: &Path) -> Option<String> {
    read(&mut File::open(place(folder)).ok()?).ok()?
}

fn place(folder: &Path) -> std::path::PathBuf {
    folder.join("landing")
}

/// A name without its end was being written: its landing had not begun.
fn read(file: &mut File) -> io::Result<Option<String>> {
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    Ok(text.strip_suffix('\n').map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_lands_at_a_time_and_a_crash_is_known_by_its_run() {
        let dir = tempfile::tempdir().unwrap();
        let mut hold = Hold::take(dir.path(), PATIENCE).unwrap().unwrap();
        assert_eq!((hold.half_landed(), named(dir.path())), (None, None));
        hold.begin("r1").unwrap();
        assert_eq!(named(dir.path()).as_deref(), Some("r1"));
        // Another comes, waits, and has it when the first is gone without a word.
        let taken = std::thread::scope(|scope| {
            let other = scope.spawn(|| Hold::take(dir.path(), PATIENCE).unwrap().unwrap());
            std::thread::sleep(APART * 3);
            assert!(!other.is_finished());
            drop(hold);
            other.join().unwrap()
        });
        assert_eq!(taken.half_landed(), Some("r1"));
        let mut taken = taken;
        taken.end().unwrap();
        assert_eq!((taken.half_landed(), named(dir.path())), (None, None));
    }

    #[test]
    fn a_name_that_was_cut_is_none() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(place(dir.path()), "r1").unwrap();
        assert_eq!(Hold::take(dir.path(), PATIENCE).unwrap().unwrap().half_landed(), None);
    }
}
