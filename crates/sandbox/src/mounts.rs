//! Building the view inside the cell: new root, shown trees, layers, private places, devices, the terminal.
//!
//! Owns: how a `plan::Step` is done and the fixed parts of every view (/proc, /dev, the change of root). Does not
//! own: which steps there are (`plan.rs`). A mount is restricted before it is attached, so nothing is ever visible
//! with more rights than planned, and every source is opened beneath the host's old root without leaving it.

use crate::cell::{At, Failed};
use crate::limits::{self, Knobs};
use crate::plan::{Bytes, Plan, Step};
use crate::sys::namespace::{
    MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY, restrict_mount,
    restrict_mount_at,
};
use rustix::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags};
use rustix::mount::{
    FsPickFlags, MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, fspick,
    mount, mount_change, move_mount, open_tree, unmount,
};
use std::ffi::CString;
use std::fs::{DirBuilder, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Where the host's tree is while the view is built.
const OLD: &str = "/old";
/// Where the view is built.
const NEW: &str = "/new";
/// Where what all private places share is made.
const POOL: &str = "/pool";
const PLAIN: u64 = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;

/// The run's own terminal.
#[derive(Debug)]
pub(crate) struct Terminal {
    pub(crate) master: OwnedFd,
    pub(crate) slave: OwnedFd,
}

/// Keeps mounts made here from reaching the host, and the host's later ones from reaching here.
pub(crate) fn detach_from_host() -> rustix::io::Result<()> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
}

/// What every view has, standing: the new root with its devices and processes. The plan may still be in the making.
#[derive(Debug)]
pub(crate) struct Shell {
    /// The host's root.
    host: OwnedFd,
    knobs: Knobs,
}

/// Builds what every view has.
pub(crate) fn begin() -> Result<Shell, Failed> {
    scaffold().at("make the new root")?;
    let host = rustix::fs::open(OLD, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .at("open the host's root")?;
    devices(&host)?;
    let knobs = processes()?;
    Ok(Shell { host, knobs })
}

/// Does the whole plan in it and enters the view.
pub(crate) fn finish(Shell { host, knobs }: Shell, plan: &Plan) -> Result<Option<Terminal>, Failed> {
    knobs.set(&plan.limits);
    pool(&limits::pool_size(&plan.limits)).at("make the private places")?;
    for step in &plan.steps {
        perform(step, &host)?;
    }
    restrict_mount_at(&path_in(Path::new("/")), MOUNT_ATTR_RDONLY, false).at("freeze the new root")?;
    drop(host);
    enter().at("enter the view")?;
    plan.terminal.contains(&true).then(|| open_terminal("/dev/pts/ptmx")).transpose()
}

/// An empty file system as root, with the host's tree at `/old` and a second one at `/new` for the view.
fn scaffold() -> rustix::io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("tmpfs", "/tmp", "tmpfs", flags, Some(c"mode=0755"))?;
    rustix::fs::mkdir("/tmp/old", Mode::from_raw_mode(0o755))?;
    rustix::fs::mkdir("/tmp/new", Mode::from_raw_mode(0o755))?;
    mount("tmpfs", "/tmp/new", "tmpfs", flags, Some(c"mode=0755"))?;
    rustix::fs::mkdir("/tmp/pool", Mode::from_raw_mode(0o700))?;
    rustix::process::pivot_root("/tmp", "/tmp/old")?;
    rustix::process::chdir("/")
}

/// What all private places share, as large as they may be.
fn pool(size: &str) -> std::io::Result<()> {
    let options = CString::new(format!("mode=0700,size={size}"))?;
    mount("tmpfs", POOL, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(options.as_c_str()))?;
    Ok(())
}

fn enter() -> rustix::io::Result<()> {
    rustix::process::chdir(NEW)?;
    rustix::process::pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")
}

/// The path of a place of the view while it is built.
fn path_in(at: &Path) -> PathBuf {
    Path::new(NEW).join(at.strip_prefix("/").unwrap_or(at))
}

fn perform(step: &Step, host: &OwnedFd) -> Result<(), Failed> {
    match step {
        Step::Private { at, mode } => private(at.path(), *mode),
        Step::Show { from, at, writable } => show(host, from.path(), at.path(), *writable),
        Step::Layer { lower, upper, work, at } => layer(host, [lower, upper, work], at.path()),
        Step::Link { at, target } => link(at.path(), target.path()),
        Step::File { at, content, mode } => file(at.path(), content.as_slice(), *mode),
        Step::Over { at, content } => over(at.path(), content.as_slice()),
        Step::Mask { at, directory } => mask(at.path(), *directory),
        Step::Keep { at } => keep(at.path()),
        Step::Freeze { at } => {
            restrict_mount_at(&path_in(at.path()), MOUNT_ATTR_RDONLY, false).at(naming("freeze", at.path()))
        }
    }
}

fn naming(what: &str, at: &Path) -> String {
    format!("{what} `{}`", at.display())
}

/// An empty folder of the pool. Each is mounted apart, so that none leads to another.
fn private(at: &Path, mode: u32) -> Result<(), Failed> {
    let make = || -> std::io::Result<()> {
        let folder = Path::new(POOL).join(std::fs::read_dir(POOL)?.count().to_string());
        std::fs::create_dir(&folder)?;
        std::fs::set_permissions(&folder, Permissions::from_mode(mode))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        attach(&rustix::fs::open(&folder, flags, Mode::empty())?, at, PLAIN)
    };
    make().at(naming("make a private", at))
}

/// Opens a path of the host beneath the host's own root, following its links as the host would.
fn open_host(host: &OwnedFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    let relative = path.strip_prefix("/").unwrap_or(path);
    let relative = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
    rustix::fs::openat2(host, relative, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::IN_ROOT)
}

fn show(host: &OwnedFd, from: &Path, at: &Path, writable: bool) -> Result<(), Failed> {
    let source = open_host(host, from).at(naming("find", from))?;
    attach(&source, at, if writable { PLAIN } else { PLAIN | MOUNT_ATTR_RDONLY }).at(naming("show", at))
}

/// Attaches a copy of what `source` is at `at`, restricted before anyone can see it.
fn attach(source: &OwnedFd, at: &Path, attributes: u64) -> std::io::Result<()> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(source, "", flags)?;
    restrict_mount(tree.as_fd(), attributes)?;
    let inside = path_in(at);
    let directory =
        rustix::fs::fstat(source).map(|found| rustix::fs::FileType::from_raw_mode(found.st_mode).is_dir())?;
    if directory {
        make_folder(&inside)?
    } else {
        make_file(&inside)?
    };
    move_mount(tree.as_fd(), "", CWD, &inside, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    Ok(())
}

/// An overlay in a user namespace: user xattrs, and no syncs, since a cut run is not landed from.
fn layer(host: &OwnedFd, [lower, upper, work]: [&Bytes; 3], at: &Path) -> Result<(), Failed> {
    let open = |path: &Bytes| open_host(host, path.path()).at(naming("find", path.path()));
    let (lower, upper, work) = (open(lower)?, open(upper)?, open(work)?);
    forget_last_use(&work).at(naming("take up again", at))?;
    let inside = path_in(at);
    make_folder(&inside).at(naming("make", at))?;
    // By descriptor: no comma, colon or link in a path can mean anything to the mount's option parser.
    let named = |fd: &OwnedFd| format!("{OLD}/proc/self/fd/{}", fd.as_raw_fd());
    let options = format!(
        "lowerdir={},upperdir={},workdir={},userxattr,volatile",
        named(&lower),
        named(&upper),
        named(&work)
    );
    let options = CString::new(options).at(naming("layer", at))?;
    mount("overlay", &inside, "overlay", MountFlags::NOSUID | MountFlags::NODEV, Some(options.as_c_str()))
        .at(naming("lay an overlay over", at))
}

/// Takes away the mark by which the kernel refuses what was layered without syncs before: what a machine that lost power
/// may leave behind is a torn file of a cache, which tools look out for themselves.
fn forget_last_use(work: &OwnedFd) -> std::io::Result<()> {
    const MARK: [(&str, AtFlags); 2] =
        [("work/incompat/volatile/dirty", AtFlags::empty()), ("work/incompat/volatile", AtFlags::REMOVEDIR)];
    MARK.iter().try_for_each(|(path, flags)| match rustix::fs::unlinkat(work, *path, *flags) {
        Err(rustix::io::Errno::NOENT) => Ok(()),
        other => Ok(other?),
    })
}

fn link(at: &Path, target: &Path) -> Result<(), Failed> {
    let inside = path_in(at);
    if let Some(parent) = inside.parent() {
        make_folder(parent).at(naming("make", parent))?;
    }
    std::os::unix::fs::symlink(target, &inside).at(naming("link", at))
}

fn file(at: &Path, content: &[u8], mode: u32) -> Result<(), Failed> {
    let inside = path_in(at);
    if let Some(parent) = inside.parent() {
        make_private_folder(parent).at(naming("make", parent))?;
    }
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(mode)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&inside)
        .at(naming("write", at))?;
    file.write_all(content).at(naming("write", at))
}

/// A private file over one that is shown. Where there is none, and none can be made, there is nothing to be covered.
fn over(at: &Path, content: &[u8]) -> Result<(), Failed> {
    let (private, inside) = (Path::new("/over"), path_in(at));
    if let Err(error) = make_file(&inside) {
        use std::io::ErrorKind::{NotADirectory, PermissionDenied, ReadOnlyFilesystem};
        let none = matches!(error.kind(), NotADirectory | PermissionDenied | ReadOnlyFilesystem);
        return if none { Ok(()) } else { Err(error).at(naming("make", at)) };
    }
    std::fs::write(private, content).at(naming("write", at))?;
    let source = rustix::fs::open(private, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let attached = attach(&source.at(naming("find", at))?, at, PLAIN | MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC);
    // The mount keeps the file; the next one needs the name.
    std::fs::remove_file(private).at(naming("write", at))?;
    attached.at(naming("show", at))
}

fn mask(at: &Path, directory: bool) -> Result<(), Failed> {
    let inside = path_in(at);
    // What is gone needs no mask, and must not be made where nothing can be.
    if rustix::fs::lstat(&inside).is_err_and(|error| error == rustix::io::Errno::NOENT) {
        return Ok(());
    }
    if directory {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::RDONLY;
        return mount("tmpfs", &inside, "tmpfs", flags, Some(c"mode=0000,size=4k")).at(naming("mask", at));
    }
    let nothing = Path::new("/nothing");
    if !nothing.exists() {
        File::options().write(true).create_new(true).mode(0o000).open(nothing).at("make a mask")?;
    }
    let source =
        rustix::fs::open(nothing, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).at("open the mask")?;
    attach(&source, at, PLAIN | MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC).at(naming("mask", at))
}

fn keep(at: &Path) -> Result<(), Failed> {
    let source =
        rustix::fs::open(path_in(at), OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
            .at(naming("find", at))?;
    attach(&source, at, PLAIN).at(naming("keep", at))
}

/// Makes a folder and its parents; one that is there already is fine.
fn make_folder(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(path)
}

fn make_private_folder(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn make_file(path: &Path) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        make_folder(parent)?;
    }
    match File::options().write(true).create_new(true).mode(0o444).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// The devices every program expects; everything else of /dev stays outside.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
const DEVICE_LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

fn devices(host: &OwnedFd) -> Result<(), Failed> {
    let dev = path_in(Path::new("/dev"));
    make_folder(&dev).at("make /dev")?;
    mount("tmpfs", &dev, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=0755"))
        .at("make a private /dev")?;
    for name in DEVICES {
        let source = open_host(host, &Path::new("/dev").join(name)).at(format!("find /dev/{name}"))?;
        // Devices are the point of this mount, so it alone is made without `nodev`. Read-only holds for the node, whose
        // mode root would otherwise change on the host, not for what is written through it.
        let attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY;
        attach(&source, &Path::new("/dev").join(name), attributes).at(format!("show /dev/{name}"))?;
    }
    for (name, target) in DEVICE_LINKS {
        std::os::unix::fs::symlink(target, dev.join(name)).at(format!("link /dev/{name}"))?;
    }
    for name in ["pts", "shm"] {
        make_folder(&dev.join(name)).at(format!("make /dev/{name}"))?;
    }
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount("devpts", dev.join("pts"), "devpts", flags, Some(c"newinstance,ptmxmode=0666,mode=0620"))
        .at("make the terminals")?;
    restrict_mount_at(&dev, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC, false).at("freeze /dev")
}

/// Parts of /proc that change or tell about the machine rather than about processes.
const PROC_READ_ONLY: [&str; 5] = ["sys", "sysrq-trigger", "irq", "bus", "fs"];
const PROC_MASKED: [&str; 5] = ["kcore", "keys", "kmsg", "timer_list", "sched_debug"];

fn processes() -> Result<Knobs, Failed> {
    let proc = path_in(Path::new("/proc"));
    make_folder(&proc).at("make /proc")?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", &proc, "proc", flags, None).at("mount /proc")?;
    // ORDER: what is open for writing before these parts are frozen can still be written after.
    let knobs = Knobs::open(&proc);
    for name in PROC_READ_ONLY.iter().filter(|name| proc.join(name).exists()) {
        let at = Path::new("/proc").join(name);
        let source = rustix::fs::open(path_in(&at), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .at(naming("find", &at))?;
        attach(&source, &at, PLAIN | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY).at(naming("freeze", &at))?;
    }
    for name in PROC_MASKED.iter().filter(|name| proc.join(name).exists()) {
        mask(&Path::new("/proc").join(name), false)?;
    }
    Ok(knobs)
}

/// What the kernel reconfigures the layer over the workspace by, if the workspace is one. Whoever holds it, and has power
/// over the cell's users, can have the kernel forget what it remembers of names there.
pub(crate) fn workspace_layer(plan: &Plan) -> Option<OwnedFd> {
    let workspace = plan.workspace.path();
    let is_layer = |step: &Step| matches!(step, Step::Layer { at, .. } if at.path() == workspace);
    // Where the kernel gives none, what changes outside is said to be stale.
    plan.steps
        .iter()
        .any(is_layer)
        .then(|| fspick(CWD, workspace, FsPickFlags::FSPICK_CLOEXEC).ok())
        .flatten()
}

/// The root of the view, for the supervisor to look things up beneath.
pub(crate) fn root() -> rustix::io::Result<OwnedFd> {
    rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// A terminal that nobody has yet.
pub(crate) fn open_terminal(maker: &str) -> Result<Terminal, Failed> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master = rustix::fs::open(maker, flags, Mode::empty()).at("open the terminal")?;
    rustix::pty::unlockpt(&master).at("unlock the terminal")?;
    let slave = rustix::pty::ioctl_tiocgptpeer(
        &master,
        rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY | rustix::pty::OpenptFlags::CLOEXEC,
    )
    .at("open the terminal's other side")?;
    Ok(Terminal { master, slave })
}
