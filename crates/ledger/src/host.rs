//! The state directory: the host's key, the register, and the runs.
//!
//! Owns how a run's ledger comes to be, is taken up again, and is ended for a run that died; and who may: a run's ledger is
//! locked by the process that writes it. Does not own what else lies in a run's directory.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::event::{RunInterrupted, RunOpened, RunReopened, Trust};
use crate::frame::Kind;
use crate::key::{close_to_others, host_key};
use crate::log::{Log, Make, Unsigned};
use crate::note::{NoteError, Signer, Verifier};
use crate::register::{self, Entry, Excerpt, Register};
use crate::run::{Certificate, Head, Record, Run, RunId, Standing};
use crate::scan::segment_path;
use crate::verify::{Against, Broken, Verified, Wrong, check};
use crate::writer::{Sealed, Stamp, WriteError, Writer};

/// How often, and how long apart, a lock is tried for that somebody may only be looking at.
const TRIES: u32 = 20;
const APART: Duration = Duration::from_millis(5);

/// The state directory failed us.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The disk refused.
    #[error("`{path}` could not be used")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// Why not.
        #[source]
        because: io::Error,
    },
    /// The state directory or the key is another's, or open to others.
    #[error("`{path}` must be yours alone (it is owned by uid {uid}, mode {mode:o})")]
    Exposed {
        /// What is exposed.
        path: PathBuf,
        /// Who owns it.
        uid: u32,
        /// Its mode bits.
        mode: u32,
    },
    /// The host's key is not one.
    #[error("`{path}` does not hold a key")]
    Key {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        #[source]
        because: NoteError,
    },
    /// There is a register, and the key that signs it is gone.
    #[error("`{0}` is gone, and the register is signed by it")]
    KeyGone(PathBuf),
    /// The system gave no randomness.
    #[error("the system gave no randomness")]
    Randomness(#[source] io::Error),
    /// A ledger could not be written.
    #[error("the ledger could not be written")]
    Write(#[from] WriteError),
    /// A ledger or the register is not what was written.
    #[error("the evidence is broken: {}", .0.first().map(ToString::to_string).unwrap_or_default())]
    Broken(Vec<Broken>),
    /// No run by that name.
    #[error("no run `{0}`")]
    NoSuchRun(String),
    /// More than one run begins like that.
    #[error("`{0}` could be any of {n} runs: {some}{dots}", n = .1.len(), some = some(.1), dots = if .1.len() > SOME { ", .." } else { "" })]
    Ambiguous(String, Vec<RunId>),
    /// A process writes this run's ledger.
    #[error("run {0} is still running")]
    Running(RunId),
    /// The run stands otherwise than this needs.
    #[error("run {0} {1}")]
    Standing(RunId, &'static str),
}

/// So many of the runs that a text could mean are named.
const SOME: usize = 8;

fn some(runs: &[RunId]) -> String {
    runs.iter().take(SOME).map(RunId::as_str).collect::<Vec<_>>().join(", ")
}

impl HostError {
    /// What to do about it, where there is something to do.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            HostError::Exposed { .. } => {
                "if it is yours and nobody read it, take the rights of others away: `chmod go= FILE`"
            }
            HostError::Key { .. } | HostError::KeyGone(_) => {
                "restore it from a backup, or move the whole state directory away: what it holds stays verifiable"
            }
            HostError::Broken(_) => {
                "`provost ledger verify --all` says everything that is broken; keep the files as they are"
            }
            HostError::Write(WriteError::Io(_)) => {
                "look at the space on the disk that holds the state directory"
            }
            HostError::NoSuchRun(_) | HostError::Ambiguous(..) => "`provost runs` lists them",
            HostError::Running(_) => "`provost stop` ends it",
            _ => return None,
        })
    }
}

/// The state directory, its key and its register.
#[derive(Debug)]
pub struct Host {
    dir: PathBuf,
    key: Signer,
    register: Register,
}

impl Host {
    /// Opens the state directory, making it, the host's key and the register where they are not there yet.
    ///
    /// # Errors
    /// It cannot be made or read, or is exposed to others.
    pub fn open(dir: &Path) -> Result<Host, HostError> {
        let mut make = DirBuilder::new();
        make.recursive(true).mode(0o700).create(dir).map_err(at(dir))?;
        close_to_others(dir)?;
        let (runs, register) = (dir.join("runs"), dir.join("register"));
        make.create(&runs).map_err(at(&runs))?;
        let key = host_key(&dir.join("key"), register::exists(&register))?;
        let register = Register::open(register.clone(), key.copy()).map_err(at(&register))?;
        Ok(Host { dir: dir.to_owned(), key, register })
    }

    /// The state directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The host's public key; its text is a C2SP verifier key.
    pub fn verifier(&self) -> Verifier {
        self.key.verifier()
    }

    /// `runs/<run>`.
    pub fn run_dir(&self, run: &RunId) -> PathBuf {
        self.dir.join("runs").join(run.as_str())
    }

    /// `runs/<run>/ledger`.
    pub fn ledger_dir(&self, run: &RunId) -> PathBuf {
        self.run_dir(run).join("ledger")
    }

    /// Takes a new id and makes its directory. Until [`Host::begin`] it is a directory and nothing more.
    ///
    /// # Errors
    /// The disk refused, or there is no randomness.
    pub fn new_run(&self) -> Result<RunId, HostError> {
        loop {
            let run = RunId::new(Stamp::now()).map_err(HostError::Randomness)?;
            let dir = self.run_dir(&run);
            match DirBuilder::new().mode(0o700).create(&dir) {
                Ok(()) => return Ok(run),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(at(&dir)(error)),
            }
        }
    }

    /// Opens a run: its ledger with the first event, and its entry in the register, both durable when this returns.
    ///
    /// # Errors
    /// The disk refused, or the register is broken.
    pub fn begin(&self, run: &RunId, opened: RunOpened) -> Result<Writer, HostError> {
        let dir = self.ledger_dir(run);
        DirBuilder::new().mode(0o700).create(&dir).map_err(at(&dir))?;
        let (signer, certificate) = self.certified(run, 0)?;
        let key = signer.verifier().to_string();
        let origin = run.origin();
        let make = Make { dir: &dir, origin: &origin, signer, ahead: true, certificate: Some(&certificate) };
        let log = Log::create(make)?;
        let mut writer = Writer::new(run.clone(), log, self.lock(run)?);
        writer.append(opened, Trust::Observed, None)?;
        // ORDER: the ledger before the register. A crash in between leaves a ledger that nobody speaks of, in which
        // nothing has happened; the other way round it would leave a run whose ledger seems to have been taken away.
        writer.sync()?;
        self.register.enter(Entry::Registered { run: run.to_string(), key, certificate })?;
        Ok(writer)
    }

    /// Takes up a sealed run again, to land or discard what it staged, under a new key. It is sealed by [`Host::seal`].
    ///
    /// # Errors
    /// It is not sealed, somebody holds it, or its ledger is broken.
    pub fn reopen(&self, run: &RunId, by: &str) -> Result<Writer, HostError> {
        let lock = self.lock(run)?;
        let record = self.record(run)?;
        let verified = self.check(&record)?;
        if !verified.sealed {
            return Err(HostError::Standing(run.clone(), "was interrupted and is not sealed"));
        }
        let (signer, certificate) = self.certified(run, verified.size)?;
        let key = signer.verifier().to_string();
        // ORDER: the register before the ledger, which must not grow beyond its sealed end unannounced.
        let entry = Entry::Reopened { run: run.to_string(), key, certificate: certificate.clone() };
        self.register.enter(entry)?;
        let (dir, origin) = (self.ledger_dir(run), run.origin());
        let make = Make { dir: &dir, origin: &origin, signer, ahead: true, certificate: Some(&certificate) };
        let (log, _) = Log::resume(make, &self.keys(&record), Unsigned::Keep)?;
        let mut writer = Writer::new(run.clone(), log, lock);
        writer.append(RunReopened { by: by.to_owned() }, Trust::Observed, None)?;
        writer.sync()?;
        Ok(writer)
    }

    /// Enters the end of a run in the register, durably. After that, fewer events than these, others, or more, show.
    ///
    /// # Errors
    /// The disk refused, or the register is broken.
    pub fn seal(&self, run: &RunId, sealed: &Sealed) -> Result<(), HostError> {
        let head = Head { size: sealed.size, root: sealed.root };
        Ok(self.register.enter(Entry::sealed(run, head, "run"))?)
    }

    /// Every run, newest first.
    ///
    /// # Errors
    /// The register is broken.
    pub fn runs(&self) -> Result<Vec<Run>, HostError> {
        let records = self.register.read().map_err(HostError::Broken)?;
        records.iter().rev().map(|record| self.stands(record)).collect()
    }

    /// The runs that were opened, never sealed, and that no process holds. Costs the same however many there were.
    ///
    /// # Errors
    /// The register is broken, or a ledger cannot be looked at.
    pub fn interrupted(&self) -> Result<Vec<RunId>, HostError> {
        let mut dead = Vec::new();
        for run in self.register.open_runs().map_err(HostError::Broken)? {
            if !self.held(&run)? {
                dead.push(run);
            }
        }
        Ok(dead)
    }

    /// The run a text names: by its id, by a beginning of it that no other has, or for nothing the last one.
    ///
    /// # Errors
    /// None or several, or the register is broken.
    pub fn find(&self, text: Option<&str>) -> Result<Run, HostError> {
        let named = text.unwrap_or("");
        let mut records = self.register.read().map_err(HostError::Broken)?;
        records.reverse();
        if text.is_none() {
            records.truncate(1);
        }
        if let Some(exact) = records.iter().position(|record| record.run.as_str() == named) {
            return self.stands(&records[exact]);
        }
        records.retain(|record| record.run.as_str().starts_with(named));
        match &records[..] {
            [one] => self.stands(one),
            [] => Err(HostError::NoSuchRun(named.to_owned())),
            several => {
                let runs = several.iter().map(|record| record.run.clone()).collect();
                Err(HostError::Ambiguous(named.to_owned(), runs))
            }
        }
    }

    /// Ends the ledger of an interrupted run: cuts off what a crash left half written, says `run.interrupted`, and seals
    /// it with a checkpoint by the host's own key, for the run's key died with the run.
    ///
    /// # Errors
    /// Somebody holds it, it is sealed already, or its ledger is broken.
    pub fn mark_interrupted(&self, run: &RunId, found_by: &str) -> Result<Sealed, HostError> {
        let lock = self.lock(run)?;
        let record = self.record(run)?;
        let verified = self.check(&record)?;
        if verified.sealed {
            return Err(HostError::Standing(run.clone(), "is sealed"));
        }
        let (dir, origin) = (self.ledger_dir(run), run.origin());
        let certificate = self.uncertified(&record)?;
        let (signer, certificate) = (self.key.copy(), certificate.as_deref());
        let make = Make { dir: &dir, origin: &origin, signer, ahead: false, certificate };
        let (log, cut_bytes) = Log::resume(make, &self.keys(&record), Unsigned::Keep)?;
        let mut writer = Writer::new(run.clone(), log, lock);
        // A run that died between its last word and its seal was not interrupted.
        if !verified.ended || verified.unsigned > 0 || cut_bytes > 0 {
            let found =
                RunInterrupted { found_by: found_by.to_owned(), cut_bytes, unsigned: verified.unsigned };
            writer.append(found, Trust::Observed, None)?;
        }
        let sealed = writer.seal()?;
        let head = Head { size: sealed.size, root: sealed.root };
        self.register.enter(Entry::sealed(run, head, "host"))?;
        Ok(sealed)
    }

    /// Verifies one run against the register.
    ///
    /// # Errors
    /// Everything that is broken in it, or in the register.
    pub fn verify(&self, run: &RunId) -> Result<Verified, Vec<Broken>> {
        let records = self.register.read()?;
        let Some(record) = records.iter().find(|record| record.run == *run) else {
            return Err(vec![unregistered(run)]);
        };
        self.held_against(record)
    }

    /// What the register says of a run, with the proof of it, the run's ledger being whole.
    ///
    /// # Errors
    /// There is no such run, or something is broken.
    pub(crate) fn excerpt(&self, run: &RunId) -> Result<(Excerpt, Verified), HostError> {
        let found = self.register.excerpt(run).map_err(HostError::Broken)?;
        let excerpt = found.ok_or_else(|| HostError::NoSuchRun(run.to_string()))?;
        let verified = self.check(&excerpt.record)?;
        Ok((excerpt, verified))
    }

    /// Verifies the register, every run in it, and that there is no ledger that it does not know.
    ///
    /// # Errors
    /// Everything that is broken.
    pub fn verify_all(&self) -> Result<Vec<(RunId, Verified)>, Vec<Broken>> {
        let records = self.register.read()?;
        let (mut whole, mut broken) = (Vec::new(), Vec::new());
        for record in &records {
            match self.held_against(record) {
                Ok(verified) => whole.push((record.run.clone(), verified)),
                Err(found) => broken.extend(found),
            }
        }
        broken.extend(self.unknown(&records));
        if broken.is_empty() { Ok(whole) } else { Err(broken) }
    }

    fn held_against(&self, record: &Record) -> Result<Verified, Vec<Broken>> {
        let host = self.verifier();
        check(&self.ledger_dir(&record.run), Against { host: Some(&host), record: Some(record) })
    }

    fn check(&self, record: &Record) -> Result<Verified, HostError> {
        self.held_against(record).map_err(HostError::Broken)
    }

    /// Ledgers that the register does not know and in which more happened than a beginning.
    fn unknown(&self, records: &[Record]) -> Vec<Broken> {
        let runs = fs::read_dir(self.dir.join("runs")).into_iter().flatten().flatten();
        let ids = runs.filter_map(|entry| RunId::parse(entry.file_name().to_str()?));
        let unknown = ids.filter(|run| !records.iter().any(|record| record.run == *run));
        unknown.filter(|run| !self.barely_begun(run)).map(|run| unregistered(&run)).collect()
    }

    /// Whether a ledger is what a crash before its registration leaves: none, or the first event at most.
    fn barely_begun(&self, run: &RunId) -> bool {
        let dir = self.ledger_dir(run);
        !fs::exists(&dir).unwrap_or(true)
            || crate::scan::walk(&dir, |_, _, _| {}).is_ok_and(|walked| walked.leaves <= 1)
    }

    fn record(&self, run: &RunId) -> Result<Record, HostError> {
        let records = self.register.read().map_err(HostError::Broken)?;
        let known = records.into_iter().find(|record| record.run == *run);
        known.ok_or_else(|| HostError::NoSuchRun(run.to_string()))
    }

    fn stands(&self, record: &Record) -> Result<Run, HostError> {
        let standing = match record.end() {
            Some(head) => Standing::Sealed(head),
            None if self.held(&record.run)? => Standing::Running,
            None => Standing::Interrupted,
        };
        Ok(Run { run: record.run.clone(), opened: record.opened, standing })
    }

    /// Whether a process holds the run's ledger.
    fn held(&self, run: &RunId) -> Result<bool, HostError> {
        let path = segment_path(&self.ledger_dir(run), 1);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(at(&path)(error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(at(&path)(error)),
        }
    }

    /// Takes the lock that says: this process writes the run's ledger.
    fn lock(&self, run: &RunId) -> Result<File, HostError> {
        let path = segment_path(&self.ledger_dir(run), 1);
        let file = File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => HostError::Standing(run.clone(), "has no ledger"),
            _ => at(&path)(error),
        })?;
        for _ in 0..TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => std::thread::sleep(APART),
                Err(TryLockError::Error(error)) => return Err(at(&path)(error)),
            }
        }
        Err(HostError::Running(run.clone()))
    }

    /// The keys that may have signed the end of a run's ledger.
    fn keys(&self, record: &Record) -> Vec<Verifier> {
        record.chapters.iter().map(|chapter| chapter.key.clone()).chain([self.verifier()]).collect()
    }

    /// The certificate of the last chapter, where the run died, or the disk was full, after the register had it and before the
    /// ledger did: each chapter of the one is a chapter of the other.
    fn uncertified(&self, record: &Record) -> Result<Option<String>, HostError> {
        let [.., before, last] = &record.chapters[..] else { return Ok(None) };
        let Some(Head { size: from, .. }) = before.end else { return Ok(None) };
        let certificate = Certificate { run: record.run.clone(), key: last.key.clone(), from };
        let certificate = self.key.sign(&certificate.to_string());
        let (dir, mut found) = (self.ledger_dir(&record.run), false);
        crate::scan::walk(&dir, |_, kind, payload| {
            found |= kind == Kind::Certificate && payload == certificate.as_bytes();
        })
        .map_err(at(&dir))?;
        Ok((!found).then_some(certificate))
    }

    /// A new key for a run's ledger from `from` on, and the host's word for it.
    fn certified(&self, run: &RunId, from: u64) -> Result<(Signer, String), HostError> {
        let signer = Signer::generate(&run.origin()).map_err(HostError::Randomness)?;
        let certificate = Certificate { run: run.clone(), key: signer.verifier(), from };
        Ok((signer, self.key.sign(&certificate.to_string())))
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> HostError {
    let path = path.to_owned();
    move |because| HostError::Io { path, because }
}

fn unregistered(run: &RunId) -> Broken {
    Broken { run: Some(run.to_string()), seq: None, place: None, what: Wrong::Unregistered }
}
