//! What git holds of the files that stood as it knows them when the run began: contents that need not be saved beside it.
//!
//! Owns: the copy of the person's index in the run's folder (`base/index`), which files stood as it says, and asking the
//! host's git for their contents. It runs over the objects that no run writes, and reads neither the repository's
//! configuration nor anything else of it: a repository may be hostile. Does not own saving other contents (`saved`).

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::base::Entry;
use super::beneath::{Kind, Moment};
use super::index::{self, Tracked};
use super::sides::{LARGE, hex};
use crate::toolchains::git;

/// An index as it was, and when it was written.
#[derive(Debug, Default)]
pub(crate) struct Index {
    files: HashMap<PathBuf, Tracked>,
    written: Moment,
    /// The workspace beneath the repository's folder.
    below: PathBuf,
    /// The run's folder that it lies in.
    base_dir: PathBuf,
}

/// How surely a file stood as an index says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum As {
    /// All bookkeeping is that of the index.
    Known,
    /// It has the length and the time of the index, on another file system or under another number: a tree that was
    /// copied.
    Copied,
}

/// The folder of the repository that a workspace lies in.
pub(crate) fn top(root: &Path) -> Option<&Path> {
    root.ancestors().find(|folder| folder.join(".git").symlink_metadata().is_ok())
}

impl Index {
    /// Takes a copy of the index of a workspace's repository into a run's folder. Without a repository there is none.
    pub(crate) fn take(root: &Path, base_dir: &Path) -> io::Result<Index> {
        let Some(place) = top(root).and_then(index::place) else { return Ok(Index::default()) };
        let mut file = match std::fs::File::open(place) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Index::default()),
            Err(error) => return Err(error),
        };
        let data = file.metadata()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let written = (data.mtime(), data.mtime_nsec() as u32);
        let fresh = base_dir.join("index.new");
        std::fs::write(&fresh, [&bytes[..], &written.0.to_le_bytes(), &written.1.to_le_bytes()].concat())?;
        std::fs::rename(fresh, base_dir.join("index"))?;
        Ok(Index::of(&bytes, written, (root, base_dir)))
    }

    /// The copy that was taken when the run began.
    pub(crate) fn load(root: &Path, base_dir: &Path) -> io::Result<Index> {
        let bytes = match std::fs::read(base_dir.join("index")) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Index::default()),
            Err(error) => return Err(error),
        };
        let split = bytes.split_last_chunk::<4>().and_then(|(rest, nanoseconds)| {
            let (bytes, seconds) = rest.split_last_chunk::<8>()?;
            Some((bytes, (i64::from_le_bytes(*seconds), u32::from_le_bytes(*nanoseconds))))
        });
        Ok(split.map_or_else(Index::default, |(bytes, written)| Index::of(bytes, written, (root, base_dir))))
    }

    /// What is no index knows nothing.
    fn of(bytes: &[u8], written: Moment, (root, base_dir): (&Path, &Path)) -> Index {
        let below = top(root).and_then(|top| root.strip_prefix(top).ok()).unwrap_or(Path::new(""));
        let files = index::entries(bytes).unwrap_or_default().into_iter();
        Index {
            files: files.map(|file| (file.path.clone(), file)).collect(),
            written,
            below: below.to_owned(),
            base_dir: base_dir.to_owned(),
        }
    }

    /// Whether a file stood as the index says, so that git has its content.
    pub(crate) fn knows(&self, entry: &Entry) -> Option<As> {
        let file = self.file(entry)?;
        let stamp = &entry.found.stamp;
        let same = |known: (u32, u32), now: Moment| known.0 == now.0 as u32 && known.1 == now.1;
        // One that was written after the index, or in the same moment, may be another than the index means.
        let is_sure = entry.found.stamp.mtime < self.written && file.mtime.1 != 0;
        if !is_sure || file.size != stamp.size as u32 || !same(file.mtime, stamp.mtime) {
            return None;
        }
        let all = file.ino == stamp.ino as u32 && same(file.ctime, stamp.ctime);
        Some(if all { As::Known } else { As::Copied })
    }

    fn file(&self, entry: &Entry) -> Option<&Tracked> {
        let is_file = entry.found.kind == Kind::File;
        self.files.get(&self.below.join(&entry.path)).filter(|file| is_file && file.is_file)
    }

    /// Reads what git has of these files, as long as they are of a size to be compared, and gives each that has the
    /// length that was there: another one was converted when it was checked out.
    pub(crate) fn read<'a>(
        &self,
        root: &Path,
        entries: &[&'a Entry],
        mut take: impl FnMut(&'a Entry, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let small =
            entries.iter().filter(|entry| entry.found.stamp.size <= LARGE && self.knows(entry).is_some());
        let wanted: Vec<(&'a Entry, String)> =
            small.filter_map(|entry| Some((*entry, hex(&self.file(entry)?.blob)))).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let Some(top) = top(root) else { return Ok(()) };
        let Some(mut command) = command(top, &self.base_dir.join("git"))? else { return Ok(()) };
        let Ok(mut child) = command.spawn() else { return Ok(()) };
        let (asking, answers) = (child.stdin.take(), child.stdout.take());
        let names: Vec<String> = wanted.iter().map(|(_, name)| format!("{name}\n")).collect();
        // It is asked by a thread: git answers while it reads, and neither waits for the other with a full pipe.
        let asker = std::thread::Builder::new().name("git".into()).spawn(move || {
            // One that does not read any more has ended, which its answers tell.
            asking.map(|mut asking| asking.write_all(names.concat().as_bytes()))
        });
        let read = answers.map(|answers| -> io::Result<()> {
            let mut answers = BufReader::new(answers);
            for (entry, _) in &wanted {
                match answer(&mut answers)? {
                    Some(content) if content.len() as u64 == entry.found.stamp.size => take(entry, &content)?,
                    Some(_) | None => {}
                }
            }
            Ok(())
        });
        // Whatever it still has to say is not wanted.
        let _ = child.kill();
        let _ = child.wait();
        drop(asker.map(std::thread::JoinHandle::join));
        match read {
            // A git that went away in the middle: what it did not say is not known.
            Some(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            read => read.unwrap_or(Ok(())),
        }
    }
}

/// One answer: a line `NAME blob SIZE`, the content and a line end; or a line that says that there is none.
fn answer(from: &mut impl io::BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    from.take(256).read_until(b'\n', &mut line)?;
    let line = String::from_utf8_lossy(&line);
    let mut words = line.trim_end().split(' ').skip(1);
    let (kind, size) = (words.next(), words.next().and_then(|size| size.parse::<u64>().ok()));
    let size = match (kind, size) {
        (Some("blob"), Some(size)) if size <= LARGE => size,
        (Some("missing"), None) => return Ok(None),
        _ => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
    };
    let mut content = vec![0; usize::try_from(size).unwrap_or_default() + 1];
    from.read_exact(&mut content)?;
    content.pop();
    Ok(Some(content))
}

/// Git as it reads these objects and does nothing else: in an empty repository of ours, so that no word of another one's
/// configuration is read.
fn command(top: &Path, ours: &Path) -> io::Result<Option<Command>> {
    let (Some(git), Some(objects)) = (git::system(), index::folder(top).map(objects)) else {
        return Ok(None);
    };
    for folder in ["objects", "refs"] {
        std::fs::create_dir_all(ours.join(folder))?;
    }
    std::fs::write(ours.join("HEAD"), "ref: refs/heads/none\n")?;
    std::fs::write(ours.join("config"), "[core]\n\trepositoryformatversion = 0\n\tbare = true\n")?;
    let mut command = Command::new(git);
    command.arg("--git-dir").arg(ours).args(["cat-file", "--batch"]);
    command.env_clear().current_dir("/").env("GIT_OBJECT_DIRECTORY", objects);
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    Ok(Some(command))
}

/// Where the objects lie; of a worktree, with those of its repository.
fn objects(folder: PathBuf) -> PathBuf {
    let common = std::fs::read(folder.join("commondir")).ok();
    let common = common.as_deref().map(|text| text.split(|byte| *byte == b'\n').next().unwrap_or_default());
    common.map_or(folder.clone(), |common| folder.join(OsStr::from_bytes(common))).join("objects")
}
