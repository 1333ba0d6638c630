//! From what the policy asks to what the jail does, step by step: pure, so that it can be read, snapshotted and tested.
//!
//! Owns: the order and content of mounts, links, writable places and the start of the program. Does not own: doing
//! any of it (`jail.rs`), or what the policy means (`policy::Confinement`).

mod bare;
mod look;
mod names;

use crate::limits;
pub use bare::{Bare, Place};
use ledger::Evidence;
pub use look::{is_plain, look_at_host};
use policy::{Confinement, Limits};
use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// Bytes that the kernel gave or takes (a path, a word), as text that JSON can carry: one character a byte.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub struct Bytes(Vec<u8>);

impl From<Bytes> for String {
    fn from(bytes: Bytes) -> Self {
        bytes.0.iter().map(|byte| char::from(*byte)).collect()
    }
}

impl From<String> for Bytes {
    fn from(text: String) -> Self {
        // What we wrote has no character beyond a byte; anything else is no text of ours and loses its meaning.
        Self(text.chars().map(|character| u8::try_from(character).unwrap_or(b'?')).collect())
    }
}

impl<T: AsRef<OsStr> + ?Sized> From<&T> for Bytes {
    fn from(text: &T) -> Self {
        Self(text.as_ref().as_bytes().to_vec())
    }
}

impl Bytes {
    /// The bytes as a path.
    #[must_use]
    pub fn path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// The bytes themselves.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "{:?}", OsStr::from_bytes(&self.0))
    }
}

/// One step of building the view. `at` is a path inside; every `from`, `lower`, `upper` a path of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// An empty, private place in memory.
    Private {
        /// Where.
        at: Bytes,
        /// Its mode bits.
        mode: u32,
    },
    /// A tree of the host, as it is; read-only unless `writable`.
    Show {
        /// What is shown.
        from: Bytes,
        /// Where.
        at: Bytes,
        /// Whether it may be written.
        writable: bool,
    },
    /// A tree of the host under a layer that takes the writes.
    Layer {
        /// What is beneath, and stays as it is.
        lower: Bytes,
        /// What takes the writes.
        upper: Bytes,
        /// The kernel's work folder, beside `upper`.
        work: Bytes,
        /// Where.
        at: Bytes,
    },
    /// A symbolic link.
    Link {
        /// Where.
        at: Bytes,
        /// Its text.
        target: Bytes,
    },
    /// A private copy of a few bytes.
    File {
        /// Where.
        at: Bytes,
        /// Its content.
        content: Bytes,
        /// Its mode bits.
        mode: u32,
    },
    /// A private copy of a few bytes over a file that is shown; everybody may read it.
    Over {
        /// What is covered.
        at: Bytes,
        /// The content.
        content: Bytes,
    },
    /// An unreadable, empty thing over something that must not be seen.
    Mask {
        /// What is covered.
        at: Bytes,
        /// Whether that is a folder.
        directory: bool,
    },
    /// What is shown at `at` keeps its own mount, so that it stays writable when a parent is frozen.
    Keep {
        /// What keeps it.
        at: Bytes,
    },
    /// The mount at `at` takes no writes any more; mounts beneath it are left alone.
    Freeze {
        /// The mount.
        at: Bytes,
    },
}

/// The whole work order for a jail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Host name inside; the same for every run.
    pub host_name: String,
    /// The view, in order.
    pub steps: Vec<Step>,
    /// Places where the program may write; everything else is closed a second time by Landlock.
    pub writable: Vec<Bytes>,
    /// TCP ports on the inside's loopback whose listening sockets are handed out. The first is the proxy's.
    pub ports: Vec<u16>,
    /// The port on which carried connections are taken; where names are asked follows from [`Plan::ports`]. `None` where
    /// nothing is carried.
    pub carrier: Option<u16>,
    /// Path of the program, as it is found inside.
    pub program: Bytes,
    /// Words of the program, the first included.
    pub argv: Vec<Bytes>,
    /// `NAME=value`, sorted.
    pub env: Vec<Bytes>,
    /// The workspace's root.
    pub workspace: Bytes,
    /// Where the program starts.
    pub folder: Bytes,
    /// Which of stdin, stdout, stderr are the run's terminal; the others are passed on as they are.
    pub terminal: [bool; 3],
    /// How much is seen; everything where a rule can only be held at the open.
    pub evidence: Evidence,
    /// Some rule is about execs, so what came of each is checked.
    pub judged_execs: bool,
    /// Namespaces may be made inside; Landlock's file rules are off.
    pub nested: bool,
    /// Without namespaces: what the run rests on instead of a view.
    pub bare: Option<Bare>,
    /// How much of the machine it may use.
    pub limits: Limits,
}

/// How the workspace is put inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The folder under a layer.
    Overlay {
        /// The folder itself.
        lower: PathBuf,
        /// What takes the writes.
        upper: PathBuf,
        /// The kernel's work folder, beside `upper`.
        work: PathBuf,
    },
    /// A folder that takes the writes itself: a private copy, or the workspace where nothing is staged.
    Copy {
        /// Where it is.
        from: PathBuf,
    },
}

/// A writable place that outlives the run: a tool's cache, private to the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// Where the tool looks for it.
    pub at: PathBuf,
    /// The person's own cache, shown beneath; `None` starts empty.
    pub lower: Option<PathBuf>,
    /// What the runs of this workspace added.
    pub upper: PathBuf,
    /// The kernel's work folder beside `upper`.
    pub work: PathBuf,
}

/// Everything beside the policy that a plan rests on.
#[derive(Clone, Debug)]
pub struct Order {
    /// The workspace's root; the same inside and outside.
    pub workspace: PathBuf,
    /// How it is put inside.
    pub stage: Stage,
    /// The person's home: private inside.
    pub home: PathBuf,
    /// Places that outlive the run.
    pub caches: Vec<Cache>,
    /// Private copies beneath `home` (absolute paths).
    pub files: Vec<(PathBuf, Vec<u8>)>,
    /// Private copies over files that are shown; none without a view.
    pub over: Vec<(PathBuf, Vec<u8>)>,
    /// See [`Plan::ports`].
    pub ports: Vec<u16>,
    /// See [`Plan::carrier`].
    pub carrier: Option<u16>,
    /// The program, as it is found inside.
    pub program: PathBuf,
    /// Its words, the first included.
    pub argv: Vec<OsString>,
    /// The whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Where the program starts.
    pub folder: PathBuf,
    /// Which of stdin, stdout, stderr are the run's terminal.
    pub terminal: [bool; 3],
    /// How much is seen.
    pub evidence: Evidence,
}

/// What stands at a path of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A file, or anything else that is no folder.
    File,
    /// A folder.
    Directory,
    /// A link.
    Link {
        /// Its text.
        text: PathBuf,
        /// The canonical path of what it leads to, if anything.
        leads_to: Option<PathBuf>,
    },
}

/// Whose files lie in a place of the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The run's own: nothing of the host was ever there.
    Run,
    /// Tools': the run's own over what the host has.
    Cache,
    /// The host's: the workspace, and what is shown.
    Host,
}

/// Why no plan can be made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PlanError {
    /// A rule lets the agent write on the host, outside the staged workspace.
    #[error("cannot stage writes to `{0}`: it lies outside the workspace")]
    WritesOutside(PathBuf),
    /// The folder where the program starts is not shown.
    #[error("cannot start in `{0}`: the policy does not show it")]
    FolderHidden(PathBuf),
    /// There are no layers where no mount can be made.
    #[error("cannot stage `{0}` without a copy")]
    NoCopy(PathBuf),
    /// A rule on files is no tree, so that every open must be judged, and opens are not to be seen.
    #[error("the policy can only be held by judging every open, which `--evidence {}` does not see", .0.word())]
    Unseen(Evidence),
}

/// The host's name inside: the same for every run, so that a run can be repeated.
pub const HOST_NAME: &str = "provost";

/// Memory-backed places that every program expects and that never hold anything of the host.
pub const PRIVATE: [(&str, u32); 4] =
    [("/tmp", 0o1777), ("/var/tmp", 0o1777), ("/dev/shm", 0o1777), ("/run", 0o755)];

impl Plan {
    /// Makes the plan. `look` tells what stands at a path of the host.
    ///
    /// # Errors
    /// The policy asks for what no view can hold.
    pub fn new(
        asked: &Confinement,
        order: &Order,
        look: &dyn Fn(&Path) -> Option<Standing>,
    ) -> Result<Self, PlanError> {
        if asked.judged_opens && order.evidence != Evidence::Full {
            return Err(PlanError::Unseen(order.evidence));
        }
        let writes = workspace_writes(asked, order)?;
        if !order.folder.starts_with(&order.workspace)
            || !asked.read.iter().any(|tree| order.folder.starts_with(tree))
        {
            return Err(PlanError::FolderHidden(order.folder.clone()));
        }
        let mut placed = places(asked, order, look);
        // ORDER: a place comes before what lies beneath it; equal paths keep their order (the later covers).
        placed.sort_by_key(|(at, _)| at.components().count());
        let mut steps: Vec<Step> = placed.into_iter().map(|(_, step)| step).collect();
        steps.extend(closures(asked, order, &writes, look));
        steps.extend(order.files.iter().map(|(at, content)| Step::File {
            at: at.as_path().into(),
            content: Bytes(content.clone()),
            mode: 0o600,
        }));
        steps.extend(
            order
                .over
                .iter()
                .map(|(at, content)| Step::Over { at: at.as_path().into(), content: Bytes(content.clone()) }),
        );
        if order.carrier.is_some() {
            steps.extend(names::step(names_at(&order.ports), look));
        }
        Ok(Self {
            host_name: HOST_NAME.to_owned(),
            steps,
            writable: writable(&writes, order),
            ports: order.ports.clone(),
            carrier: order.carrier,
            program: order.program.as_path().into(),
            argv: order.argv.iter().map(Bytes::from).collect(),
            env: order.env.iter().map(|(name, value)| environment_entry(name, value)).collect(),
            workspace: order.workspace.as_path().into(),
            folder: order.folder.as_path().into(),
            terminal: order.terminal,
            evidence: order.evidence,
            judged_execs: asked.judged_execs,
            nested: asked.nested,
            bare: None,
            limits: limits::with_built_in(&asked.limits),
        })
    }
}

/// Where names are asked inside: on the usual address, unless a rule needs its port.
#[must_use]
pub fn names_at(ports: &[u16]) -> SocketAddrV4 {
    let last = if ports.contains(&NAMES_PORT) { 53 } else { 1 };
    SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, last), NAMES_PORT)
}

/// The port of DNS.
const NAMES_PORT: u16 = 53;

impl Plan {
    /// Masks the host's sockets where they would be shown: reading a view keeps nobody from connecting in it.
    pub(crate) fn mask_sockets(&mut self, bound: &[PathBuf]) {
        let shown: Vec<(PathBuf, PathBuf)> = self
            .steps
            .iter()
            .filter_map(|step| match step {
                Step::Show { from, at, .. } => Some((from.path().to_path_buf(), at.path().to_path_buf())),
                _ => None,
            })
            .collect();
        for socket in bound {
            for (from, at) in &shown {
                if let Ok(rest) = socket.strip_prefix(from) {
                    let at = if rest.as_os_str().is_empty() { at.clone() } else { at.join(rest) };
                    self.steps.push(Step::Mask { at: at.as_path().into(), directory: false });
                }
            }
        }
    }

    /// Where the run looks for programs.
    #[must_use]
    pub fn folders(&self) -> Vec<PathBuf> {
        let path =
            self.env.iter().find_map(|entry| entry.path().as_os_str().as_bytes().strip_prefix(b"PATH="));
        path.map(|path| crate::programs::folders(OsStr::from_bytes(path))).unwrap_or_default()
    }

    /// The places of the view, each with whose it is; the deeper after the shallower.
    #[must_use]
    pub fn own(&self) -> Vec<(PathBuf, Whose)> {
        let cache = |at: &Bytes| if *at == self.workspace { Whose::Host } else { Whose::Cache };
        let own = |step: &Step| match step {
            Step::Private { at, .. } => Some((at.path().to_path_buf(), Whose::Run)),
            Step::Show { at, writable: false, .. } => Some((at.path().to_path_buf(), Whose::Host)),
            Step::Show { at, .. } | Step::Layer { at, .. } => Some((at.path().to_path_buf(), cache(at))),
            Step::Link { .. }
            | Step::File { .. }
            | Step::Over { .. }
            | Step::Mask { .. }
            | Step::Keep { .. }
            | Step::Freeze { .. } => None,
        };
        let mut places: Vec<_> = self.steps.iter().filter_map(own).collect();
        places.sort_by_key(|(at, _)| at.components().count());
        places
    }
}

fn environment_entry(name: &OsStr, value: &OsStr) -> Bytes {
    let mut entry = name.to_os_string().into_vec();
    entry.push(b'=');
    entry.extend_from_slice(value.as_bytes());
    Bytes(entry)
}

/// Whether a path lies in a place that is private anyway.
#[must_use]
pub fn is_private(path: &Path, home: &Path) -> bool {
    path.starts_with(home)
        || path.starts_with("/dev")
        || PRIVATE.iter().any(|(place, _)| path.starts_with(place))
}

/// The writable trees beneath the workspace; anything else that is not private anyway cannot be staged.
fn workspace_writes(asked: &Confinement, order: &Order) -> Result<Vec<PathBuf>, PlanError> {
    let mut writes = Vec::new();
    for tree in &asked.write {
        if tree.starts_with(&order.workspace) || order.workspace.starts_with(tree) {
            writes.push(if tree.starts_with(&order.workspace) {
                tree.clone()
            } else {
                order.workspace.clone()
            });
        } else if !is_private(tree, &order.home) {
            return Err(PlanError::WritesOutside(tree.clone()));
        }
    }
    writes.sort();
    writes.dedup();
    Ok(writes)
}

/// Private places, shown trees, the workspace and the caches, each with its path.
fn places(
    asked: &Confinement,
    order: &Order,
    look: &dyn Fn(&Path) -> Option<Standing>,
) -> Vec<(PathBuf, Step)> {
    let mut placed: Vec<(PathBuf, Step)> = Vec::new();
    for (at, mode) in PRIVATE {
        placed.push((at.into(), Step::Private { at: at.into(), mode }));
    }
    placed.push((order.home.clone(), Step::Private { at: order.home.as_path().into(), mode: 0o700 }));
    for tree in shown(asked, order) {
        if let Some(step) = show(tree, asked, order, look) {
            placed.push((tree.clone(), step));
        }
    }
    if asked.read.iter().any(|tree| order.workspace.starts_with(tree) || tree.starts_with(&order.workspace)) {
        placed.push((order.workspace.clone(), stage(order)));
    }
    for cache in &order.caches {
        placed.push((cache.at.clone(), keep_cache(cache)));
    }
    placed
}

/// The readable trees that need a mount of their own: not those that another tree, the workspace or a private place
/// of the kernel already covers.
fn shown<'a>(asked: &'a Confinement, order: &Order) -> Vec<&'a PathBuf> {
    let covered_by_kernel = |tree: &Path| {
        [Path::new("/proc"), Path::new("/dev"), Path::new("/")]
            .iter()
            .any(|own| tree == *own || (own.parent().is_some() && tree.starts_with(own)))
            || PRIVATE.iter().any(|(place, _)| tree == Path::new(place))
            || tree == order.home
    };
    let mut trees: Vec<&PathBuf> = asked
        .read
        .iter()
        .filter(|tree| !tree.starts_with(&order.workspace) && !covered_by_kernel(tree))
        .filter(|tree| !order.caches.iter().any(|cache| tree.starts_with(&cache.at)))
        .collect();
    trees.sort();
    trees.dedup();
    let all = trees.clone();
    trees.retain(|tree| !all.iter().any(|other| other != tree && tree.starts_with(other)));
    trees
}

fn show(
    tree: &Path,
    asked: &Confinement,
    order: &Order,
    look: &dyn Fn(&Path) -> Option<Standing>,
) -> Option<Step> {
    match look(tree)? {
        Standing::File | Standing::Directory => {
            Some(Step::Show { from: tree.into(), at: tree.into(), writable: false })
        }
        Standing::Link { text, leads_to } => {
            let target = leads_to?;
            let seen = asked.read.iter().any(|other| other != tree && target.starts_with(other));
            if seen || target.starts_with(&order.workspace) {
                return Some(Step::Link { at: tree.into(), target: text.as_path().into() });
            }
            Some(Step::Show { from: target.as_path().into(), at: tree.into(), writable: false })
        }
    }
}

fn stage(order: &Order) -> Step {
    let at = order.workspace.as_path().into();
    match &order.stage {
        Stage::Overlay { lower, upper, work } => Step::Layer {
            lower: lower.as_path().into(),
            upper: upper.as_path().into(),
            work: work.as_path().into(),
            at,
        },
        Stage::Copy { from } => Step::Show { from: from.as_path().into(), at, writable: true },
    }
}

fn keep_cache(cache: &Cache) -> Step {
    match &cache.lower {
        Some(lower) => Step::Layer {
            lower: lower.as_path().into(),
            upper: cache.upper.as_path().into(),
            work: cache.work.as_path().into(),
            at: cache.at.as_path().into(),
        },
        None => {
            Step::Show { from: cache.upper.as_path().into(), at: cache.at.as_path().into(), writable: true }
        }
    }
}

/// What closes again after the view stands: masks over hidden trees, frozen trees, a workspace that is only partly
/// or not at all writable.
fn closures(
    asked: &Confinement,
    order: &Order,
    writes: &[PathBuf],
    look: &dyn Fn(&Path) -> Option<Standing>,
) -> Vec<Step> {
    let mut steps = Vec::new();
    // Beneath a mask there is nothing to be closed again, and nothing to find.
    let masked = |tree: &Path| asked.hidden.iter().any(|hidden| tree.starts_with(hidden));
    let beneath_mask = |tree: &Path| tree.parent().is_some_and(masked);
    for tree in asked.hidden.iter().filter(|tree| !beneath_mask(tree)) {
        // Beneath a private place there is nothing of the host that could be seen.
        let private = is_private(tree, &order.home) && !is_placed(tree, asked, order);
        let visible = !private && asked.read.iter().any(|shown| tree.starts_with(shown));
        // A link holds nothing: what it leads to is judged, and hidden, by its own name.
        if visible && let Some(standing @ (Standing::File | Standing::Directory)) = look(tree) {
            steps.push(Step::Mask { at: tree.as_path().into(), directory: standing == Standing::Directory });
        }
    }
    if !writes.contains(&order.workspace) {
        for tree in writes.iter().filter(|tree| !masked(tree) && look(tree).is_some()) {
            steps.push(Step::Keep { at: tree.as_path().into() });
        }
        steps.push(Step::Freeze { at: order.workspace.as_path().into() });
    }
    for tree in &asked.frozen {
        let within = writes.iter().any(|open| tree.starts_with(open));
        if within && !masked(tree) && matches!(look(tree), Some(Standing::File | Standing::Directory)) {
            steps.push(Step::Keep { at: tree.as_path().into() });
            steps.push(Step::Freeze { at: tree.as_path().into() });
        }
    }
    steps
}

/// Whether something of the host is put in over a private place, and `tree` lies in it.
fn is_placed(tree: &Path, asked: &Confinement, order: &Order) -> bool {
    tree.starts_with(&order.workspace)
        || order.caches.iter().any(|cache| tree.starts_with(&cache.at))
        || shown(asked, order).into_iter().any(|shown| tree.starts_with(shown))
}

fn writable(writes: &[PathBuf], order: &Order) -> Vec<Bytes> {
    let mut places: Vec<Bytes> = PRIVATE.iter().map(|(at, _)| Bytes::from(*at)).collect();
    places.push(order.home.as_path().into());
    places.push("/dev".into());
    places.extend(order.caches.iter().map(|cache| Bytes::from(cache.at.as_path())));
    places.extend(writes.iter().map(|tree| Bytes::from(tree.as_path())));
    places
}

#[cfg(test)]
mod tests;
