//! The host's own git program, run so that it does what it is told and nothing else.
//!
//! Owns: finding it, an environment without anything that steers it, its limits of time, memory and output. No hook, no
//! watcher, no pager, no filter of history and no network is left to it. It is run in two places only: over a repository
//! that we made ourselves, with no configuration but ours; and over the person's repository with the person's
//! configuration, to read it and to add to it. Never over what a run staged.
//!
//! Does not own what it is asked (`commits`).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::MemfdFlags;
use rustix::process::{PidfdFlags, Resource, Rlimit, pidfd_open, prlimit};

use super::diff::harmless;

/// Most memory that git takes at once.
const MOST_MEMORY: &str = "134217728";
/// Most memory of its own that one git has: it gathers a whole answer before it writes any of it.
const MOST_IN_ALL: u64 = 1 << 30;
/// Longest that a question may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked how much it wrote.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
/// Most bytes of an answer.
const ANSWER: u64 = 64 << 20;

/// What is set whoever's repository it is. A later setting on the command line wins over every file.
const SETTINGS: [&str; 15] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.pager=cat",
    "core.editor=false",
    "core.sshCommand=false",
    "core.askPass=false",
    "core.bigFileThreshold=16m",
    "core.deltaBaseCacheLimit=32m",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.allow=never",
    "commit.gpgSign=false",
    "tag.gpgSign=false",
    "safe.bareRepository=explicit",
    "user.useConfigOnly=true",
];

/// Why git could not be asked, or what it refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GitError {
    /// There is none.
    #[error("there is no git program on this machine")]
    Missing,
    /// It said no.
    #[error("git {what} refused: {because}")]
    Refused {
        /// Which of its commands.
        what: String,
        /// What it said last.
        because: String,
    },
    /// It went on for too long.
    #[error("git {0} took too long and was ended")]
    TooLong(String),
    /// It had more to say than anybody reads.
    #[error("git {0} gave more than is taken")]
    TooMuch(String),
    /// It could not be run.
    #[error("git {what} could not be run")]
    Io {
        /// Which of its commands.
        what: String,
        /// Why not.
        #[source]
        because: io::Error,
    },
}

impl GitError {
    /// What to do about it, where there is something to do.
    #[must_use]
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            GitError::Missing => Some("install git; without it commits can be neither checked nor written"),
            GitError::Refused { because, .. } if because.contains("dubious ownership") => {
                Some("the repository belongs to somebody else: git itself says how to trust it")
            }
            GitError::Refused { .. } | GitError::TooLong(_) | GitError::TooMuch(_) | GitError::Io { .. } => {
                None
            }
        }
    }
}

/// Whose repository it is run over.
#[derive(Debug, Clone)]
enum Whose {
    /// One of ours: its folder.
    Ours(PathBuf),
    /// The person's: the workspace's root.
    Persons(PathBuf),
}

/// Git over one repository.
#[derive(Debug, Clone)]
pub(crate) struct Git {
    program: PathBuf,
    whose: Whose,
    variables: Vec<(&'static str, OsString)>,
    /// When every question is over, however many there are.
    until: Option<Instant>,
}

/// One question to git.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    git: &'a Git,
    words: Vec<OsString>,
    input: Option<File>,
    most: u64,
    patience: Duration,
}

impl Git {
    /// Git over a repository that we made.
    pub(crate) fn ours(folder: &Path) -> Result<Git, GitError> {
        Ok(Git {
            program: find(folder)?,
            whose: Whose::Ours(folder.to_owned()),
            variables: Vec::new(),
            until: None,
        })
    }

    /// Git over the repository of a workspace.
    pub(crate) fn persons(root: &Path) -> Result<Git, GitError> {
        Ok(Git {
            program: find(root)?,
            whose: Whose::Persons(root.to_owned()),
            variables: Vec::new(),
            until: None,
        })
    }

    /// The same, with an index of its own.
    pub(crate) fn with_index(&self, index: &Path) -> Git {
        let mut git = self.clone();
        git.variables.push(("GIT_INDEX_FILE", index.into()));
        git
    }

    /// The same, with an end to all its questions together.
    pub(crate) fn until(&self, end: Instant) -> Git {
        let sooner = self.until.map_or(end, |until| until.min(end));
        Git { until: Some(sooner), ..self.clone() }
    }

    /// A question.
    pub(crate) fn ask<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Question<'_> {
        let words = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
        Question { git: self, words, input: None, most: ANSWER, patience: PATIENCE }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear().process_group(0);
        for (name, value) in [
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
            ("LC_ALL", "C"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_GRAFT_FILE", "/dev/null"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_LITERAL_PATHSPECS", "1"),
            ("GIT_ALLOW_PROTOCOL", ""),
            ("GIT_ALLOC_LIMIT", MOST_MEMORY),
        ] {
            command.env(name, value);
        }
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        match &self.whose {
            Whose::Ours(folder) => {
                command.current_dir(folder).env("GIT_DIR", folder).env("HOME", "/nonexistent");
                command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
                command.env("GIT_ATTR_NOSYSTEM", "1").args(["-c", "core.commitGraph=false"]);
            }
            Whose::Persons(root) => {
                command.current_dir(root);
                command.env("GIT_CEILING_DIRECTORIES", root.parent().unwrap_or(root));
                // Where the person keeps their own configuration, and nothing else that steers git.
                for name in ["HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"] {
                    if let Some(value) = std::env::var_os(name) {
                        command.env(name, value);
                    }
                }
            }
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Question<'_> {
    /// The same question in these words.
    pub(crate) fn with_words<W: AsRef<OsStr>>(self, words: impl IntoIterator<Item = W>) -> Self {
        Question { words: words.into_iter().map(|word| word.as_ref().to_owned()).collect(), ..self }
    }

    /// With this to read.
    pub(crate) fn reading(mut self, input: &[u8]) -> Result<Self, GitError> {
        let held = || -> io::Result<File> {
            let mut held = memory()?;
            held.write_all(input)?;
            held.rewind()?;
            Ok(held)
        };
        self.input = Some(held().map_err(|because| self.io(because))?);
        Ok(self)
    }

    /// With this file to read.
    pub(crate) fn reading_file(self, input: File) -> Self {
        Question { input: Some(input), ..self }
    }

    /// With a shorter or longer patience.
    pub(crate) fn within(self, patience: Duration) -> Self {
        Question { patience, ..self }
    }

    /// The answer.
    pub(crate) fn answer(self) -> Result<Vec<u8>, GitError> {
        let mut answer = memory().map_err(|because| self.io(because))?;
        let io = self.named();
        self.answer_into(&answer)?;
        let mut bytes = Vec::new();
        let read = answer.rewind().and_then(|()| answer.read_to_end(&mut bytes));
        read.map_err(|because| GitError::Io { what: io, because })?;
        Ok(bytes)
    }

    /// The answer as one line of text.
    pub(crate) fn line(self) -> Result<String, GitError> {
        let answer = self.answer()?;
        Ok(String::from_utf8_lossy(&answer).trim_end_matches('\n').to_owned())
    }

    /// Writes the answer into a file, at most so many bytes.
    pub(crate) fn answer_to(self, file: &File, most: u64) -> Result<(), GitError> {
        Question { most, ..self }.answer_into(file)
    }

    fn answer_into(mut self, file: &File) -> Result<(), GitError> {
        let what = self.named();
        let io = |because| GitError::Io { what: what.clone(), because };
        let mut complaints = memory().map_err(io)?;
        let mut command = self.git.command();
        command.args(&self.words);
        command.stdin(self.input.take().map_or_else(Stdio::null, Stdio::from));
        command.stdout(file.try_clone().map_err(io)?).stderr(complaints.try_clone().map_err(io)?);
        let mut child = command.spawn().map_err(io)?;
        if let Some(pid) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
            // What it maps of packs does not count. One that is over already needs no limit.
            let most = Rlimit { current: Some(MOST_IN_ALL), maximum: Some(MOST_IN_ALL) };
            let _ = prlimit(Some(pid), Resource::Data, most);
        }
        let ended = self.wait(&mut child, [file, &complaints]);
        if ended.is_err() {
            end(&mut child);
        }
        if ended? {
            return Ok(());
        }
        let mut said = String::new();
        let read = complaints.rewind().and_then(|()| (&complaints).take(ANSWER).read_to_string(&mut said));
        read.map_err(io)?;
        Err(GitError::Refused { what, because: last_words(&said) })
    }

    /// Waits for the end within the limits; whether it ended well.
    fn wait(&self, child: &mut Child, grows: [&File; 2]) -> Result<bool, GitError> {
        let began = Instant::now();
        let pid = rustix::process::Pid::from_raw(child.id().cast_signed());
        let ends = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        loop {
            if let Some(status) = child.try_wait().map_err(|because| self.io(because))? {
                let sizes = grows.iter().map(|file| file.metadata().map_or(0, |data| data.len()));
                return match sizes.max() > Some(self.most) {
                    true => Err(GitError::TooMuch(self.named())),
                    false => Ok(status.success()),
                };
            }
            if grows.iter().any(|file| file.metadata().map_or(0, |data| data.len()) > self.most) {
                return Err(GitError::TooMuch(self.named()));
            }
            let is_over = self.git.until.is_some_and(|until| Instant::now() > until);
            if is_over || began.elapsed() > self.patience {
                return Err(GitError::TooLong(self.named()));
            }
            // Whichever comes first: its end, or time to look how much it wrote.
            match &ends {
                Some(ends) => {
                    let _ = poll(&mut [PollFd::new(ends, PollFlags::IN)], Some(&LOOK));
                }
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        }
    }

    fn named(&self) -> String {
        let mut words = self.words.iter().filter(|word| !word.as_encoded_bytes().starts_with(b"-"));
        words.next().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default()
    }

    fn io(&self, because: io::Error) -> GitError {
        GitError::Io { what: self.named(), because }
    }
}

/// Ends a git that goes too far, and whatever it started.
fn end(child: &mut Child) {
    if let Some(group) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// A file in memory, that no program started beside us holds open.
fn memory() -> io::Result<File> {
    Ok(File::from(rustix::fs::memfd_create("git", MemfdFlags::CLOEXEC)?))
}

/// The most telling line of what git complained, as text that does nothing to a terminal.
fn last_words(said: &str) -> String {
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let telling = ["fatal: ", "error: "];
    let line = lines.iter().find(|line| telling.iter().any(|start| line.starts_with(start)));
    let line = line.or(lines.last()).copied().unwrap_or("it did not say why");
    let line = telling.iter().find_map(|start| line.strip_prefix(start)).unwrap_or(line);
    harmless(line.chars().take(300).collect::<String>().as_bytes())
}

/// The program: the system's, else one on PATH that is not the workspace's own.
fn find(not_in: &Path) -> Result<PathBuf, GitError> {
    let system = ["/usr/bin/git", "/usr/local/bin/git", "/bin/git"].map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let others: Vec<PathBuf> = std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .filter_map(|folder| std::fs::canonicalize(folder.join("git")).ok())
        .filter(|git| !git.starts_with(not_in))
        .collect();
    system.into_iter().chain(others).find(|git| git.is_file()).ok_or(GitError::Missing)
}
