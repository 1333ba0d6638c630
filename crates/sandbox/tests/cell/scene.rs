//! A workspace, a policy and a ledger, and a shell that works in them.

use admission::{Admission, Asking, Bounds, Launch};
use ledger::{Access, Body, Event, Host, NameAct, OpenEntry, Reader, RunId, RunOpened};
use policy::{AbsPath, Anchors, Confinement, Context, Layer, LayerKind, Policy};
use rustix::fd::OwnedFd;
use rustix::pipe::{PipeFlags, pipe_with};
use sandbox::plan::{Cache, Order, Plan, PlanError, Stage, look_at_host};
use sandbox::{Carriage, Cell, Exit, Jail, JailError, Running, Watch};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Where carried connections are taken.
const CARRIER: u16 = 9318;

/// What a program wrote so far, and the thread that takes it up.
struct Stream {
    said: Arc<Mutex<Vec<u8>>>,
    thread: JoinHandle<()>,
}

impl Stream {
    fn of(mut from: File) -> Self {
        let said = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&said);
        let thread = std::thread::spawn(move || {
            let mut block = vec![0; 65_536];
            loop {
                match from.read(&mut block).unwrap() {
                    0 => break,
                    read => all.lock().unwrap().extend_from_slice(&block[..read]),
                }
            }
        });
        Self { said, thread }
    }

    fn all(self) -> String {
        self.thread.join().unwrap();
        text_of(&self.said.lock().unwrap())
    }
}

/// Everything a case may set before its script runs.
pub(crate) struct Scene {
    cell: Cell,
    streams: [Stream; 2],
    pub(crate) input: Option<File>,
    pub(crate) root: PathBuf,
    /// Where the ledger is.
    pub(crate) state: PathBuf,
    /// Rules beside those that show the system and open the workspace.
    pub(crate) rules: String,
    /// `nested = true` and the like: what stands before the rules.
    pub(crate) head: String,
    /// What an exec needs that no rule speaks of.
    pub(crate) execs: &'static str,
    pub(crate) attended: bool,
    /// How long a question stands.
    pub(crate) patience: Duration,
    pub(crate) copy: bool,
    pub(crate) evidence: ledger::Evidence,
    pub(crate) terminal: bool,
    pub(crate) ports: Vec<u16>,
    /// Who takes connections to the outside.
    pub(crate) carriage: Option<Arc<dyn Carriage>>,
    pub(crate) caches: Vec<Cache>,
    pub(crate) files: Vec<(PathBuf, Vec<u8>)>,
    pub(crate) env: Vec<(OsString, OsString)>,
    /// What a policy says under `[limits]`.
    pub(crate) limits: String,
}

/// A run that stands, not yet let go.
pub(crate) struct Set {
    pub(crate) jail: Jail,
    pub(crate) admission: Admission,
    pub(crate) asked: Confinement,
    streams: [Stream; 2],
    input: Option<File>,
    launch: Launch,
    watch: Watch,
    ledger: PathBuf,
}

/// A run that was let go.
pub(crate) struct Going {
    pub(crate) running: Running,
    pub(crate) admission: Admission,
    streams: [Stream; 2],
    input: Option<File>,
    ledger: PathBuf,
}

/// A run that is over.
pub(crate) struct Ran {
    pub(crate) exit: Result<Exit, JailError>,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) events: Vec<Event>,
}

impl Scene {
    /// Makes the cell, first of all, and then the folders.
    pub(crate) fn new(root: &Path) -> Self {
        let (input, give) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let (take_out, out) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let (take_err, err) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let kept = [dup(rustix::stdio::stdin()), dup(rustix::stdio::stdout()), dup(rustix::stdio::stderr())];
        stand_on([&input, &out, &err]);
        let cell = Cell::spawn();
        stand_on([&kept[0], &kept[1], &kept[2]]);
        let cell = cell.unwrap_or_else(|error| panic!("{error}: {:?}", std::error::Error::source(&error)));
        for name in ["work", "home", "upper", "kernel"] {
            std::fs::create_dir(root.join(name)).unwrap();
        }
        Self {
            cell,
            streams: [take_out, take_err].map(|from| Stream::of(from.into())),
            input: Some(File::from(give)),
            root: root.to_owned(),
            state: root.join("state"),
            rules: String::new(),
            head: String::new(),
            execs: "none",
            attended: false,
            patience: admission::ASK_TIMEOUT,
            copy: false,
            evidence: ledger::Evidence::Full,
            terminal: false,
            ports: Vec::new(),
            carriage: None,
            caches: Vec::new(),
            files: Vec::new(),
            env: Vec::new(),
            limits: String::new(),
        }
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    fn policy(&self) -> Policy {
        let anchors = Anchors {
            workspace: self.work(),
            home: self.home(),
            state: self.state.clone(),
            config: self.root.join("config"),
        };
        let text = format!(
            "version = 1\n{}limits = {{ {} }}\ndefault = {{ launch = \"none\", exec = \"{}\", read = \"deny\", write = \"deny\", connect = \"deny\" }}\n\
             [[rule]]\nid = \"workspace\"\nread = [\"./**\"]\nwrite = [\"./**\"]\nneed = \"none\"\n{}",
            self.head, self.limits, self.execs, self.rules
        );
        let layers =
            [("system", LayerKind::System, policy::system_layer()), ("test", LayerKind::File, text.as_str())];
        let layers = layers.map(|(name, kind, text)| Layer::parse(name, kind, text).unwrap()).into();
        let context = Context { attended: self.attended, ..Context::default() };
        Policy::compile(layers, &anchors, &context).unwrap()
    }

    fn order(&self, argv: &[&str]) -> Order {
        let work = self.work();
        let stage = if self.copy {
            Stage::Copy { from: self.root.join("upper") }
        } else {
            Stage::Overlay {
                lower: work.clone(),
                upper: self.root.join("upper"),
                work: self.root.join("kernel"),
            }
        };
        let mut env: Vec<(OsString, OsString)> =
            [("HOME", self.home().into_os_string()), ("PATH", "/usr/local/bin:/usr/bin:/bin".into())]
                .map(|(name, value)| (name.into(), value))
                .into();
        env.extend(self.env.clone());
        Order {
            workspace: work.clone(),
            stage,
            home: self.home(),
            caches: self.caches.clone(),
            files: self.files.clone(),
            over: Vec::new(),
            ports: self.ports.clone(),
            carrier: self.carriage.is_some().then_some(CARRIER),
            program: argv[0].into(),
            argv: argv.iter().map(OsString::from).collect(),
            env,
            folder: work,
            terminal: [self.terminal; 3],
            evidence: self.evidence,
        }
    }

    /// What would be done for this, or why not.
    pub(crate) fn plan(&self, argv: &[&str]) -> Result<Plan, PlanError> {
        Plan::new(&self.policy().confinement().unwrap(), &self.order(argv), &look_at_host)
    }

    /// Builds the view, up to the program's first instruction.
    pub(crate) fn set(self, argv: &[&str]) -> Set {
        let policy = self.policy();
        let asked = policy.confinement().unwrap();
        let order = self.order(argv);
        let plan = Plan::new(&asked, &order, &look_at_host).unwrap();
        let host = Host::open(&self.state).unwrap();
        let run: RunId = host.new_run().unwrap();
        let writer = host.begin(&run, RunOpened::default()).unwrap();
        // What is tried here is tried over and over.
        let bounds = Bounds { rate: usize::MAX, open: usize::MAX, remembered_ms: 0, ..Bounds::default() };
        let asking = Asking { attended: self.attended, timeout: self.patience, bounds };
        let admission = Admission::start_with(Arc::new(policy), writer, asking);
        let jail = self.cell.prepare(&plan).unwrap_or_else(|error| panic!("{error}"));
        let words = argv.iter().map(|word| word.as_bytes().to_vec()).collect();
        let program = AbsPath::new(Path::new(argv[0])).unwrap();
        Set {
            jail,
            admission,
            launch: Launch(policy::Command::new(program, words, Vec::new())),
            watch: Watch {
                quiet: Vec::new(),
                judged_opens: asked.judged_opens,
                carriage: self.carriage,
                guests: None,
                evidence: order.evidence,
            },
            asked,
            streams: self.streams,
            input: self.input,
            ledger: host.ledger_dir(&run),
        }
    }

    /// Runs a script of bash from start to end.
    pub(crate) fn bash(self, script: &str) -> Ran {
        self.run(&["/bin/bash", "-c", script])
    }

    pub(crate) fn run(self, argv: &[&str]) -> Ran {
        self.set(argv).go().unwrap_or_else(|error| panic!("{error}")).end()
    }
}

impl Set {
    pub(crate) fn go(self) -> Result<Going, JailError> {
        let permit =
            self.admission.admit(self.launch).wait().permit().unwrap_or_else(|denial| panic!("{denial}"));
        let running = self.jail.go(permit, &self.admission, self.watch)?;
        Ok(Going {
            running,
            admission: self.admission,
            streams: self.streams,
            input: self.input,
            ledger: self.ledger,
        })
    }
}

impl Going {
    /// How often the program wrote this so far.
    pub(crate) fn said(&self, words: &str) -> usize {
        text_of(&self.streams[0].said.lock().unwrap()).matches(words).count()
    }

    /// All that it wrote so far.
    pub(crate) fn heard(&self) -> String {
        self.streams.each_ref().map(|stream| text_of(&stream.said.lock().unwrap())).concat()
    }

    pub(crate) fn end(self) -> Ran {
        let (stop, _never) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        drop(self.input);
        let exit = self.running.wait(rustix::fd::AsFd::as_fd(&stop));
        let _ = self.admission.barrier();
        drop(self.admission);
        let events = Reader::open(&self.ledger).unwrap().collect::<Result<_, _>>().unwrap();
        let [out, err] = self.streams.map(Stream::all);
        Ran { exit, out, err, events }
    }
}

impl Ran {
    /// What the program wrote, if it ended well.
    pub(crate) fn fine(&self) -> &str {
        assert!(matches!(self.exit, Ok(Exit::Code(0))), "{:?}\n{}\n{}", self.exit, self.out, self.err);
        &self.out
    }

    /// What was denied: what, and about what.
    pub(crate) fn denials(&self) -> Vec<(String, String)> {
        self.events
            .iter()
            .filter_map(|event| match &event.body {
                Body::Denied(denied) => Some((denied.what.clone(), denied.target.to_string())),
                _ => None,
            })
            .collect()
    }

    /// Every process seen to end.
    pub(crate) fn ends(&self) -> Vec<ledger::ExitEntry> {
        let ended = self.events.iter().filter_map(|event| match &event.body {
            Body::Exited(exited) => Some(exited.entries.clone()),
            _ => None,
        });
        ended.flatten().collect()
    }

    /// Every file seen to be opened, with what for.
    pub(crate) fn opened(&self, access: Access) -> Vec<String> {
        let entries = self.entries().into_iter().filter(|entry| entry.access == access);
        entries.map(|entry| entry.path.to_string()).collect()
    }

    /// What was written down of opens and names.
    pub(crate) fn entries(&self) -> Vec<OpenEntry> {
        let opened = self.events.iter().filter_map(|event| match &event.body {
            Body::Opened(opened) => Some(opened.entries.clone()),
            _ => None,
        });
        opened.flatten().collect()
    }

    /// What was done to what, by everybody, how often.
    pub(crate) fn deeds(&self) -> BTreeMap<(Access, Option<NameAct>, String), u64> {
        let (mut known, mut sums) = (BTreeMap::new(), BTreeMap::new());
        for OpenEntry { pid, access, act, path, count } in self.entries() {
            let deed = (access, act, path.to_string());
            let before = known.insert((pid, deed.clone()), count).unwrap_or(0);
            *sums.entry(deed).or_insert(0) += if count > before { count - before } else { count };
        }
        sums
    }
}

fn dup(fd: rustix::fd::BorrowedFd<'_>) -> OwnedFd {
    rustix::io::fcntl_dupfd_cloexec(fd, 3).unwrap()
}

fn stand_on(streams: [&OwnedFd; 3]) {
    rustix::stdio::dup2_stdin(streams[0]).unwrap();
    rustix::stdio::dup2_stdout(streams[1]).unwrap();
    rustix::stdio::dup2_stderr(streams[2]).unwrap();
}

pub(crate) fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
