//! A person's home with a project and a run's folder, and a stand-in for the kernel that turns edits into an upper layer.

use super::super::*;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use rustix::fs::{CWD, FileType, Mode};

pub(crate) struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    pub(crate) fn new() -> Desk {
        Desk::on(tempfile::tempdir().unwrap())
    }

    /// In memory where that can be had: what is synced there takes no time.
    pub(crate) fn in_memory() -> Desk {
        Desk::on(tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap())
    }

    fn on(dir: tempfile::TempDir) -> Desk {
        let desk = Desk { dir };
        fs::create_dir_all(desk.root()).unwrap();
        fs::create_dir_all(desk.run_dir()).unwrap();
        desk.write("src/main.rs", "fn main() {}\n");
        desk
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        fs::canonicalize(self.dir.path()).unwrap().join(name)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.path("home/app")
    }

    pub(crate) fn run_dir(&self) -> PathBuf {
        self.path("state/runs/r1")
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        write(&self.root(), name, content);
    }

    pub(crate) fn stage(&self) -> Workspace {
        self.stage_run("r1")
    }

    pub(crate) fn stage_run(&self, run: &str) -> Workspace {
        let (home, state, config) = (self.path("home"), self.path("state"), self.path("config"));
        let around = Surroundings { home: &home, state: &state, config: &config };
        let workspace = {
            let run_dir = self.path("state/runs").join(run);
            fs::create_dir_all(&run_dir).unwrap();
            Workspace::stage(&self.root(), &run_dir, &around).unwrap()
        };
        // What was there is known before anything changes, as it is long before an agent is up.
        workspace.base().unwrap();
        workspace
    }

    /// What the run left once `edit` was done to what it saw. Returns where it was done.
    pub(crate) fn edited(&self, workspace: &Workspace, edit: impl FnOnce(&Path)) -> PathBuf {
        let seen = self.path("seen");
        copy(&self.root(), &seen);
        edit(&seen);
        match workspace.staged() {
            Stage::Overlay { lower, upper, .. } => lay(lower, &seen, upper),
            Stage::Copy { .. } => panic!("a copy is edited in place"),
        }
        seen
    }
}

pub(crate) fn write(root: &Path, name: impl AsRef<OsStr>, content: impl AsRef<[u8]>) {
    let path = root.join(Path::new(name.as_ref()));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn names(folder: &Path) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

fn look(path: &Path) -> Option<fs::Metadata> {
    fs::symlink_metadata(path).ok()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Copies one thing, and all in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    let found = look(from).unwrap();
    if found.is_symlink() {
        symlink(fs::read_link(from).unwrap(), to).unwrap();
    } else if found.is_dir() {
        fs::create_dir(to).unwrap();
        names(from).iter().for_each(|name| copy(&from.join(name), &to.join(name)));
        set_mode(to, found.mode() & 0o7777);
    } else if !found.is_file() {
        rustix::fs::mknodat(CWD, to, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    } else {
        fs::write(to, fs::read(from).unwrap()).unwrap();
        set_mode(to, found.mode() & 0o7777);
    }
}

fn same(one: &Path, other: &Path) -> bool {
    let (Some(left), Some(right)) = (look(one), look(other)) else { return false };
    if left.file_type() != right.file_type() {
        return false;
    }
    if left.is_symlink() {
        return fs::read_link(one).unwrap() == fs::read_link(other).unwrap();
    }
    left.mode() == right.mode()
        && match left.is_dir() {
            true => {
                let all = names(one);
                all == names(other) && all.iter().all(|name| same(&one.join(name), &other.join(name)))
            }
            false => fs::read(one).unwrap() == fs::read(other).unwrap(),
        }
}

/// Writes into `upper` what an overlay over `lower` would hold if `seen` were what it shows. A file whose name ends in
/// `t` is copied up though nothing of it changed.
fn lay(lower: &Path, seen: &Path, upper: &Path) {
    for name in names(seen) {
        let (low, now, up) = (lower.join(&name), seen.join(&name), upper.join(&name));
        let folder = |path: &Path| look(path).is_some_and(|found| found.is_dir());
        if same(&low, &now) {
            if name.as_encoded_bytes().ends_with(b"t") && !folder(&now) {
                copy(&now, &up);
            }
        } else if folder(&low) && folder(&now) {
            fs::create_dir(&up).unwrap();
            lay(&low, &now, &up);
            set_mode(&up, look(&now).unwrap().mode() & 0o7777);
        } else {
            copy(&now, &up);
            if folder(&now) && look(&low).is_some() {
                hide(&up);
            }
        }
    }
    for name in names(lower).iter().filter(|name| look(&seen.join(name)).is_none()) {
        rustix::fs::mknodat(CWD, upper.join(name), FileType::CharacterDevice, Mode::empty(), 0).unwrap();
    }
}

/// Makes a folder hide what lies under it.
pub(crate) fn hide(folder: &Path) {
    rustix::fs::setxattr(folder, c"user.overlay.opaque", b"y", rustix::fs::XattrFlags::empty()).unwrap();
}

/// A line on which everything may land but what is named `secret`, with its ledger.
pub(crate) struct Line {
    pub(crate) admission: Admission,
    pub(crate) host: ledger::Host,
    pub(crate) run: ledger::RunId,
    _dir: tempfile::TempDir,
}

pub(crate) fn line() -> Line {
    line_for(Path::new("/w"))
}

/// The same, for the run of a workspace.
pub(crate) fn line_for(root: &Path) -> Line {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| fs::canonicalize(dir.path()).unwrap().join(name);
    let host = ledger::Host::open(&place("state")).unwrap();
    let run = host.new_run().unwrap();
    let opened = ledger::event::RunOpened { workspace: root.into(), ..ledger::event::RunOpened::default() };
    let writer = host.begin(&run, opened).unwrap();
    let rules = vec![
        policy::RuleSpec::new("all", policy::Need::None).tree(policy::Kind::Land, "/"),
        policy::RuleSpec::new("secrets", policy::Need::Never).pattern(policy::Kind::Land, "/**/secret"),
    ];
    let layer = policy::Layer::from_rules("test", policy::LayerKind::File, rules).unwrap();
    let anchors = policy::Anchors {
        workspace: place("w"),
        home: place("home"),
        state: place("state"),
        config: place("config"),
    };
    let context = policy::Context::default();
    let policy = policy::Policy::compile(vec![layer], &anchors, &context).unwrap();
    let admission = Admission::start(Arc::new(policy), writer, false);
    admission.note(ledger::event::PolicyLoaded::default().into(), Trust::Observed, None).unwrap();
    Line { admission, host, run, _dir: dir }
}

impl Line {
    /// The events so far.
    pub(crate) fn events(&self) -> Vec<ledger::Body> {
        self.read().into_iter().map(|event| event.body).collect()
    }

    fn read(&self) -> Vec<ledger::Event> {
        self.admission.barrier().unwrap();
        let mut reader = ledger::Reader::open(&self.host.ledger_dir(&self.run)).unwrap();
        std::iter::from_fn(|| reader.read().unwrap()).collect()
    }

    /// Puts a landing in order that was cut short, as the next command does.
    pub(crate) fn recover(&self, workspace: &Workspace) -> Option<Recovered> {
        let mut told = Told::default();
        self.read().iter().for_each(|event| told.see(event));
        let recovered = workspace.recover(&mut workspace.hold().unwrap(), &self.admission, &told).unwrap();
        assert!(!workspace.is_half_landed() && workspace.hold().unwrap().half_landed().is_none());
        recovered
    }

    /// Ends the run: its ledger is whole, its story too.
    pub(crate) fn ends_whole(&self) {
        let ended = ledger::event::RunEnded::default();
        let sealed = self.admission.clone().close(ledger::Body::RunEnded(ended)).unwrap();
        self.host.seal(&self.run, &sealed).unwrap();
        let found = self.host.verify(&self.run);
        assert!(found.as_ref().is_ok_and(|verified| verified.ended), "{found:?}");
    }
}

/// All beneath a folder, one line each.
pub(crate) fn listing(root: &Path) -> Vec<String> {
    let base = Base::take(&Root::open(root).unwrap(), (0, 0)).unwrap();
    let line = |entry: &base::Entry| {
        let content = if entry.found.kind == beneath::Kind::File {
            fs::read(root.join(&entry.path)).unwrap()
        } else {
            vec![]
        };
        format!(
            "{:?} {:o} {:?} {:?}",
            entry.path,
            entry.found.mode,
            entry.target,
            String::from_utf8_lossy(&content)
        )
    };
    base.entries.iter().map(line).collect()
}
