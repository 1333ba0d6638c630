//! What an open or a change of names will come to, told before it happens.
//!
//! Owns: following a path to what it names and whether the kernel would have it so, for the record of calls that are let
//! go. Does not own: any permission: nothing rests on what is said here but the record. A folder is looked up once and
//! held for a moment, so that what lies in it costs one call.

use crate::open::is_of_the_kernel;
use crate::view::View;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, OFlags, Stat};
use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How many folders are held.
const FOLDERS_MAX: usize = 64;
/// How many links are followed from one name to the next.
const LINKS_MAX: usize = 16;

/// What the agent's processes may do by owning a file.
#[derive(Clone, Debug)]
pub(crate) struct Rights {
    uid: u32,
    groups: Vec<u32>,
}

/// To read, to write.
const READ: u32 = 4;
const WRITE: u32 = 2;

impl Rights {
    /// Those of every process of a run: our own ids without a capability, and root's without its other groups.
    pub(crate) fn of_the_run() -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let others = if uid == 0 { Vec::new() } else { rustix::process::getgroups().unwrap_or_default() };
        let groups = others.into_iter().map(rustix::fs::Gid::as_raw);
        Self { uid, groups: groups.chain([rustix::process::getegid().as_raw()]).collect() }
    }

    fn allow(&self, facts: &Stat, what: u32) -> bool {
        let shift = if facts.st_uid == self.uid {
            6
        } else if self.groups.contains(&facts.st_gid) {
            3
        } else {
            0
        };
        facts.st_mode >> shift & what == what
    }
}

/// A folder that is held.
#[derive(Debug)]
struct Folder {
    object: OwnedFd,
    path: PathBuf,
}

/// Looks at the inside.
#[derive(Debug)]
pub(crate) struct Sight {
    view: View,
    rights: Rights,
    folders: HashMap<OsString, Option<Folder>>,
    since: Instant,
    /// How long a folder is held.
    moment: Duration,
}

/// Something that a name names.
pub(crate) struct Thing {
    /// Where it lies, the links on the way to its folder followed.
    pub(crate) path: PathBuf,
    /// The folder that holds the name may be changed.
    pub(crate) movable: bool,
    pub(crate) facts: Stat,
}

impl Thing {
    pub(crate) fn is_folder(&self) -> bool {
        self.kind().is_dir()
    }

    /// Whether a way can lead through it to other names.
    pub(crate) fn leads_on(&self) -> bool {
        self.kind().is_dir() || self.kind().is_symlink()
    }

    fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.facts.st_mode)
    }
}

impl Sight {
    /// `moment` is how long what was seen of a folder may be out of date.
    pub(crate) fn new(root: OwnedFd, moment: Duration) -> Self {
        let rights = Rights::of_the_run();
        Self { view: View::new(root), rights, folders: HashMap::new(), since: Instant::now(), moment }
    }

    /// Names change: whatever is known of folders may be so no more.
    pub(crate) fn forget(&mut self) {
        self.folders.clear();
    }

    /// What an open with these flags opens or makes; `None` where it fails, and where it leads to what the kernel makes.
    pub(crate) fn opened(&mut self, path: &Path, flags: OFlags) -> Option<PathBuf> {
        self.refresh();
        self.follow(path, flags)
    }

    fn refresh(&mut self) {
        if self.since.elapsed() > self.moment {
            self.folders.clear();
            self.since = Instant::now();
        }
    }

    /// Where a folder lies, the links on the way to it followed.
    pub(crate) fn folder(&mut self, path: &Path) -> Option<PathBuf> {
        held(&mut self.folders, &self.view, path).map(|folder| folder.path.clone())
    }

    fn follow(&mut self, path: &Path, flags: OFlags) -> Option<PathBuf> {
        let mut path = Cow::Borrowed(path);
        for _ in 0..LINKS_MAX {
            if is_of_the_kernel(&path) {
                return None;
            }
            let Some((folder, name)) = split(&path) else { return self.whole(&path, flags) };
            let at = held(&mut self.folders, &self.view, folder)?;
            let facts = match rustix::fs::statat(&at.object, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(facts) => facts,
                Err(rustix::io::Errno::NOENT) if makes(flags) => {
                    let folder = rustix::fs::fstat(&at.object).ok()?;
                    return self.rights.allow(&folder, WRITE).then(|| at.path.join(name));
                }
                Err(_) => return None,
            };
            if !FileType::from_raw_mode(facts.st_mode).is_symlink() {
                return opens(&self.rights, &facts, flags).then(|| joined(&at.path, name));
            }
            if flags.contains(OFlags::NOFOLLOW) {
                return flags.contains(OFlags::PATH).then(|| at.path.join(name));
            }
            if makes(flags) && flags.contains(OFlags::EXCL) {
                return None;
            }
            let text = rustix::fs::readlinkat(&at.object, name, Vec::new()).ok()?;
            path = Cow::Owned(at.path.join(OsStr::from_bytes(text.as_bytes())));
        }
        None
    }

    /// A path that is no name in a folder: `/`, `x/`, `x/..`.
    fn whole(&self, path: &Path, flags: OFlags) -> Option<PathBuf> {
        let found = self.view.find(path, true).ok()?;
        let facts = rustix::fs::fstat(&found.object).ok()?;
        let exclusive = makes(flags) && flags.contains(OFlags::EXCL);
        (!exclusive && opens(&self.rights, &facts, flags)).then_some(found.path)
    }

    /// What a name names now; no last link is followed.
    pub(crate) fn named(&mut self, path: &Path) -> Option<Thing> {
        let (folder, movable, name) = self.place(path)?;
        let facts = rustix::fs::statat(&folder.object, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some(Thing { path: joined(&folder.path, name), movable, facts })
    }

    /// Where a name would come to be that names nothing yet.
    pub(crate) fn unnamed(&mut self, path: &Path) -> Option<PathBuf> {
        let (folder, movable, name) = self.place(path)?;
        let facts = rustix::fs::statat(&folder.object, name, AtFlags::SYMLINK_NOFOLLOW);
        (facts.err()? == rustix::io::Errno::NOENT && movable).then(|| joined(&folder.path, name))
    }

    /// The folder of a name, and whether names in it may be changed.
    fn place<'p>(&mut self, path: &'p Path) -> Option<(&Folder, bool, &'p OsStr)> {
        let (above, name) = (path.parent()?, path.file_name()?);
        self.refresh();
        let folder = held(&mut self.folders, &self.view, above)?;
        let facts = rustix::fs::fstat(&folder.object).ok()?;
        Some((folder, self.rights.allow(&facts, WRITE), name))
    }
}

/// As `join`, with room for both from the beginning: most opens end here.
fn joined(folder: &Path, name: &OsStr) -> PathBuf {
    let mut path = PathBuf::with_capacity(folder.as_os_str().len() + 1 + name.len());
    path.push(folder);
    path.push(name);
    path
}

fn makes(flags: OFlags) -> bool {
    flags.contains(OFlags::CREATE) && !flags.contains(OFlags::PATH)
}

/// The folder and the name in it, where a path is as plain as that.
fn split(path: &Path) -> Option<(&Path, &OsStr)> {
    let bytes = path.as_os_str().as_bytes();
    let at = bytes.iter().rposition(|byte| *byte == b'/')?;
    let (folder, name) = (bytes.get(..at.max(1))?, bytes.get(at + 1..)?);
    let plain = !matches!(name, b"" | b"." | b"..");
    plain.then(|| (Path::new(OsStr::from_bytes(folder)), OsStr::from_bytes(name)))
}

fn held<'f>(
    folders: &'f mut HashMap<OsString, Option<Folder>>,
    view: &View,
    path: &Path,
) -> Option<&'f Folder> {
    if !folders.contains_key(path.as_os_str()) {
        if folders.len() >= FOLDERS_MAX {
            folders.clear();
        }
        let found = view.find(path, true).ok();
        let folder = found.map(|found| Folder { object: found.object, path: found.path });
        folders.insert(path.into(), folder);
    }
    folders.get(path.as_os_str())?.as_ref()
}

/// Whether an open of what stands there succeeds.
fn opens(rights: &Rights, facts: &Stat, flags: OFlags) -> bool {
    let kind = FileType::from_raw_mode(facts.st_mode);
    if flags.contains(OFlags::PATH) {
        return kind.is_dir() || !flags.contains(OFlags::DIRECTORY);
    }
    if makes(flags) && (flags.contains(OFlags::EXCL) || kind.is_dir()) {
        return false;
    }
    let temporary = flags.contains(OFlags::TMPFILE);
    let way = flags & OFlags::RWMODE;
    let (reads, writes) = (way != OFlags::WRONLY, way != OFlags::RDONLY || flags.contains(OFlags::TRUNC));
    let fits = match kind {
        FileType::Directory => temporary || !writes,
        FileType::Socket => false,
        _ => !flags.contains(OFlags::DIRECTORY),
    };
    let wanted =
        if temporary { WRITE } else { (if reads { READ } else { 0 }) | (if writes { WRITE } else { 0 }) };
    fits && rights.allow(facts, wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::Mode;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    /// Every open that the sight speaks of is done as well: what it says must be what the kernel does.
    #[test]
    fn what_is_told_of_an_open_is_what_the_kernel_does() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::write(root.join("file"), "x").unwrap();
        fs::create_dir_all(root.join("folder/within")).unwrap();
        symlink("file", root.join("link")).unwrap();
        symlink("folder/within/../../file", root.join("winding")).unwrap();
        symlink("nothing", root.join("dangling")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        symlink("folder", root.join("way")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
        let names = [
            "file",
            "folder",
            "folder/",
            "folder/..",
            "link",
            "winding",
            "dangling",
            "loop",
            "nothing",
            "socket",
            "way/within",
            "way/new",
            "file/x",
            "nowhere/x",
            ".",
            "folder/within/.",
        ];
        let kinds = [
            OFlags::RDONLY,
            OFlags::WRONLY,
            OFlags::RDWR,
            OFlags::RDONLY | OFlags::DIRECTORY,
            OFlags::RDONLY | OFlags::NOFOLLOW,
            OFlags::PATH,
            OFlags::PATH | OFlags::NOFOLLOW,
            OFlags::WRONLY | OFlags::CREATE,
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL,
            OFlags::RDONLY | OFlags::CREATE | OFlags::NOFOLLOW,
            OFlags::RDWR | OFlags::TMPFILE,
        ];
        let open = |path: &str, flags| rustix::fs::open(path, flags, Mode::empty());
        let mut sight = Sight::new(open("/", OFlags::PATH).unwrap(), Duration::from_secs(60));
        for name in names {
            for flags in kinds {
                let path = format!("{}/{name}", root.display());
                let before: Vec<_> = list(&root);
                let told = sight.opened(Path::new(&path), flags);
                let done = rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600)).ok();
                let done = done.map(|file| crate::view::whereabouts(file).unwrap());
                if flags.contains(OFlags::TMPFILE) {
                    // What it makes has no name.
                    assert_eq!(told.is_some(), done.is_some(), "{name} {flags:?}");
                } else {
                    assert_eq!(told, done, "{name} {flags:?}");
                }
                for made in list(&root).into_iter().filter(|path| !before.contains(path)) {
                    fs::remove_file(made).unwrap();
                }
            }
        }
    }

    fn list(root: &Path) -> Vec<PathBuf> {
        let names =
            |at: &Path| fs::read_dir(at).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
        [names(root), names(&root.join("folder"))].concat()
    }

    #[test]
    fn rights_are_those_of_the_owner_then_the_group_then_everybody() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let allow = |uid, groups: &[u32], mode, what| {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            Rights { uid, groups: groups.to_vec() }.allow(&rustix::fs::stat(&file).unwrap(), what)
        };
        assert!(allow(uid, &[], 0o400, READ) && !allow(uid, &[], 0o400, READ | WRITE));
        // An owner is held to the owner's bits, whatever others may.
        assert!(!allow(uid, &[gid], 0o077, READ));
        assert!(allow(uid + 1, &[gid], 0o040, READ) && !allow(uid + 1, &[gid], 0o704, READ));
        assert!(allow(uid + 1, &[gid + 1], 0o004, READ) && !allow(uid + 1, &[], 0o770, READ));
    }

    #[test]
    fn a_folder_that_is_another_now_is_looked_up_again() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for name in ["a", "b"] {
            fs::create_dir(root.join(name)).unwrap();
            fs::write(root.join(name).join("file"), "x").unwrap();
        }
        symlink("a", root.join("current")).unwrap();
        let path = root.join("current/file");
        let open = rustix::fs::open("/", OFlags::PATH, Mode::empty()).unwrap();
        let mut sight = Sight::new(open, Duration::from_secs(60));
        assert_eq!(sight.opened(&path, OFlags::RDONLY), Some(root.join("a/file")));
        fs::remove_file(root.join("current")).unwrap();
        symlink("b", root.join("current")).unwrap();
        sight.forget();
        assert_eq!(sight.opened(&path, OFlags::RDONLY), Some(root.join("b/file")));
    }
}
