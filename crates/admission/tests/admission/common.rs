//! What the tests share: a line with a ledger in a directory of its own, and effects to ask for.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use admission::{Admission, Asking, Connect, Exec, Land, Launch, Open};
use ledger::event::{PolicyLoaded, RunOpened};
use ledger::{Body, Event, Host, Reader, RunId, Trust};
use policy::{AbsPath, Anchors, Command, Context, Endpoint, Layer, LayerKind, Policy};

pub(crate) struct Line {
    dir: Option<tempfile::TempDir>,
    host: Host,
    run: RunId,
    pub(crate) admission: Admission,
}

/// A host whose run is over.
pub(crate) struct Over {
    host: Host,
    _dir: Option<tempfile::TempDir>,
}

impl std::ops::Deref for Over {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.host
    }
}

/// What the tests ask about, each rule named for what it decides.
const RULES: &str = r#"
version = 1
default = { connect = "never", exec = "never", launch = "none", read = "never", land = "never" }
[[rule]]
id = "allowed"
connect = ["allowed.example:443"]
need = "none"
[[rule]]
id = "asks"
connect = ["ask.example:443", "ask.example:80", "host.example:*"]
need = "human"
[[rule]]
id = "asks-two"
connect = ["two.example:443"]
need = "humans(2)"
[[rule]]
id = "no"
connect = ["never.example:443"]
need = "never"
why = "Use the mirror."
[[rule]]
id = "inside"
connect = ["10.1.2.3:443"]
need = "none"
[[rule]]
id = "in-house"
connect = ["in-house.example:443"]
need = "none"
leads_to = ["10.0.0.0/8", "93.184.0.0/16", "100.64.0.0/10", "[fc00::]/7", "198.18.0.0/15", "203.0.113.80", "127.0.0.8"]
[[rule]]
id = "no-such-address"
connect = ["93.184.216.66:443"]
need = "never"
[[rule]]
id = "local"
connect = ["localhost:8080"]
need = "none"
[[rule]]
id = "true"
exec = ["/bin/true"]
need = "none"
[[rule]]
id = "ask-exec"
exec = ["ask **"]
need = "human"
[[rule]]
id = "land"
land = ["/w/**"]
need = "none"
[[rule]]
id = "file"
read = ["/asked/**"]
need = "human"
[[rule]]
id = "read"
read = ["/r/**"]
need = "none"
"#;

fn policy() -> Policy {
    let layer = Layer::parse("tests", LayerKind::File, RULES).unwrap();
    let anchors = Anchors {
        workspace: "/w".into(),
        home: "/home/someone".into(),
        state: "/state".into(),
        config: "/config".into(),
    };
    Policy::compile(vec![layer], &anchors, &Context::default()).unwrap()
}

impl Line {
    pub(crate) fn start(attended: bool) -> Line {
        Line::start_with(attended, Duration::from_secs(60))
    }

    pub(crate) fn start_with(attended: bool, timeout: Duration) -> Line {
        Line::asking(Asking { timeout, ..Asking::usual(attended) })
    }

    pub(crate) fn asking(asking: Asking) -> Line {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::open(&dir.path().join("state")).unwrap();
        Line::on(host, Some(dir), asking)
    }

    pub(crate) fn start_at(state: &Path, attended: bool) -> Line {
        Line::on(Host::open(state).unwrap(), None, Asking::usual(attended))
    }

    fn on(host: Host, dir: Option<tempfile::TempDir>, asking: Asking) -> Line {
        let run = host.new_run().unwrap();
        let opened = RunOpened { workspace: "/w".into(), ..RunOpened::default() };
        let mut writer = host.begin(&run, opened).unwrap();
        writer.append(PolicyLoaded::default(), Trust::Observed, None).unwrap();
        let admission = Admission::start_with(Arc::new(policy()), writer, asking);
        Line { dir, host, run, admission }
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.host.ledger_dir(&self.run)
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        Reader::open(&self.ledger()).unwrap().map(Result::unwrap).collect()
    }

    /// Ends the run and seals it in the register.
    pub(crate) fn close(self, ended: impl Into<Body>) -> (Over, RunId) {
        let Line { dir, host, run, admission } = self;
        let sealed = admission.close(ended.into()).unwrap();
        host.seal(&run, &sealed).unwrap();
        (Over { host, _dir: dir }, run)
    }

    /// Lets go of the line as a program does that returns early.
    pub(crate) fn drop_it(self) -> (Over, RunId) {
        let Line { dir, host, run, admission } = self;
        drop(admission);
        (Over { host, _dir: dir }, run)
    }
}

pub(crate) fn connect(endpoint: &str) -> Connect {
    Connect(Endpoint::parse(endpoint).unwrap())
}

pub(crate) fn path(path: &str) -> AbsPath {
    AbsPath::new(Path::new(path)).unwrap()
}

pub(crate) fn land(at: &str) -> Land {
    Land(path(at))
}

pub(crate) fn read(at: &str) -> Open {
    Open { path: path(at), write: false }
}

fn command(program: &str) -> Command {
    Command::new(path(program), vec![b"word".to_vec()], vec![(b"LD_PRELOAD".to_vec(), b"x".to_vec())])
}

pub(crate) fn exec(program: &str) -> Exec {
    Exec::new(command(program), 7, 3, "/w".into())
}

pub(crate) fn launch() -> Launch {
    Launch(command("/bin/true"))
}
