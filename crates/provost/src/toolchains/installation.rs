//! From a program to everything it needs to run: the links on the way to it, the installation it belongs to, the
//! interpreter that its first line names.
//!
//! Owns: guessing an installation's root, narrowly: what cannot be recognised as one is shown as the single file it is.
//! Does not own: which programs there are (`search.rs`).

use super::places::{self, Places};
use super::ways::Way;
use super::{LeftOut, Shown};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

/// Longest chain of interpreters we follow.
const INTERPRETERS: usize = 3;

/// Folders whose children are installations of their own.
const SHELVES: [&str; 7] =
    [".local/share", ".local/lib", ".local/opt", ".local/libexec", ".local/pipx", "opt", "Applications"];

/// What an installation's root has beside programs. `Documents` has none of these.
const SIGNS: [&str; 23] = [
    "bin",
    "global",
    "store",
    "platform-tools",
    "ports",
    "lib",
    "lib64",
    "libexec",
    "share",
    "include",
    "versions",
    "toolchains",
    "installs",
    "candidates",
    "shims",
    "node-versions",
    "nvm.sh",
    "venvs",
    "pyvenv.cfg",
    "release",
    "VERSION",
    "package.json",
    "tools",
];

/// What is to be shown, gathered before it is decided.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    trees: BTreeMap<PathBuf, String>,
    links: BTreeMap<PathBuf, String>,
    /// The installation of every program of a folder, where it is known.
    roots: HashMap<PathBuf, PathBuf>,
    left_out: Vec<LeftOut>,
}

impl Gathered {
    /// Shows a whole tree that a tool's own variable or custom names, if it looks like what it should be.
    pub(crate) fn tree(&mut self, path: &Path, places: &Places, why: &str) {
        let Some(real) = places.real(path) else { return };
        if let Some(because) = places.refusal(path).or_else(|| places.refusal(&real)) {
            return self.leave(path, because);
        }
        self.follow(path, places, why);
        self.insert(real, places, why);
    }

    /// Shows the root of a tool, which its variable may have put anywhere: it must look like one.
    pub(crate) fn root(&mut self, path: &Path, places: &Places, why: &str) {
        let fits = looks_installed(path)
            || path.ends_with("bin")
            || holds_installations(path)
            || holds_packages(path);
        if path.is_dir() && !fits {
            return self.leave(path, "it does not look like an installation");
        }
        self.tree(path, places, why);
    }

    /// Shows one file whose content was looked at, wherever it lies.
    pub(crate) fn file(&mut self, path: &Path, places: &Places, why: &str) {
        let Some(real) = places.real(path) else { return };
        let in_home = places.beneath_home(&real).is_some();
        if let Some(because) = places.refusal(&real).filter(|_| in_home) {
            return self.leave(path, because);
        }
        self.follow(path, places, why);
        self.insert(real, places, why);
    }

    /// Shows what a program needs to run.
    pub(crate) fn program(&mut self, path: &Path, places: &Places, why: &str) {
        self.program_at_depth(path, places, why, 0);
    }

    fn program_at_depth(&mut self, path: &Path, places: &Places, why: &str, depth: usize) {
        let Some(Way { real, links }) = places.way(path) else { return };
        if places.in_workspace(&real) {
            return;
        }
        self.pass(links, places, why);
        if places::is_system(&real) {
            return;
        }
        match self.root_of(&real, places) {
            Ok(root) => {
                self.interpreter_of_environment(&root, places, why, depth);
                self.insert(root, places, why);
            }
            Err(because) => return self.leave(path, because),
        }
        if depth < INTERPRETERS
            && let Some(interpreter) = interpreter(&real)
        {
            self.program_at_depth(&interpreter, places, why, depth + 1);
        }
    }

    /// As [`root_of`], but the installation is looked for once a folder.
    fn root_of(&mut self, program: &Path, places: &Places) -> Result<PathBuf, &'static str> {
        if let Some(because) = places.refusal(program) {
            return Err(because);
        }
        let folder = program.parent().unwrap_or(program);
        if let Some(known) = self.roots.get(folder) {
            return Ok(known.clone());
        }
        let root = root_of(program, places)?;
        if root != program {
            self.roots.insert(folder.to_owned(), root.clone());
        }
        Ok(root)
    }

    /// A Python environment borrows its interpreter from somewhere else.
    fn interpreter_of_environment(&mut self, root: &Path, places: &Places, why: &str, depth: usize) {
        if depth < INTERPRETERS && root.join("pyvenv.cfg").is_file() {
            self.program_at_depth(&root.join("bin/python"), places, why, depth + 1);
        }
    }

    /// Notes the links on the way to a path.
    pub(crate) fn follow(&mut self, path: &Path, places: &Places, why: &str) {
        self.pass(places.way(path).unwrap_or_default().links, places, why);
    }

    fn pass(&mut self, links: Vec<PathBuf>, places: &Places, why: &str) {
        for link in links {
            let link = match places.beneath_home(&link) {
                Some(rest) => places.home().join(rest),
                None => link,
            };
            if !places::is_system(&link) && !places.in_workspace(&link) && places.refusal(&link).is_none() {
                self.links.entry(link).or_insert_with(|| why.to_owned());
            }
        }
    }

    fn insert(&mut self, path: PathBuf, places: &Places, why: &str) {
        if !places::is_system(&path) && !places.in_workspace(&path) {
            self.trees.entry(path).or_insert_with(|| why.to_owned());
        }
    }

    pub(crate) fn leave(&mut self, path: &Path, because: &str) {
        let left = LeftOut { what: path.display().to_string(), because: because.to_owned() };
        if !self.left_out.contains(&left) {
            self.left_out.push(left);
        }
    }

    /// Decides: a link is shown only if what it leads to is, for a link to more would show more.
    pub(crate) fn settle(mut self, places: &Places) -> (Vec<Shown>, Vec<LeftOut>) {
        let trees: Vec<PathBuf> = self.trees.keys().cloned().collect();
        for (link, why) in std::mem::take(&mut self.links) {
            let Some(real) = places.real(&link) else { continue };
            if places::is_system(&real) || trees.iter().any(|tree| real.starts_with(tree)) {
                self.trees.entry(link).or_insert(why);
            }
        }
        let all: Vec<PathBuf> = self.trees.keys().cloned().collect();
        let within = |path: &Path| {
            path.ancestors().skip(1).any(|above| all.iter().any(|one| one == above && !one.is_symlink()))
        };
        let shown =
            self.trees.into_iter().filter(|(path, _)| !within(path)).map(|(path, why)| Shown { path, why });
        (shown.collect(), self.left_out)
    }
}

/// The smallest tree that surely holds what a program needs, or why nothing of it may be shown. `program` has no links in it.
pub(crate) fn root_of(program: &Path, places: &Places) -> Result<PathBuf, &'static str> {
    if let Some(because) = places.refusal(program) {
        return Err(because);
    }
    let candidates = candidates(program, places);
    let fitting = candidates.into_iter().find(|root| root != program && places.refusal(root).is_none());
    Ok(fitting.unwrap_or_else(|| program.to_owned()))
}

/// Possible roots, the wider ones first.
fn candidates(program: &Path, places: &Places) -> Vec<PathBuf> {
    let mut roots = Vec::new();
    let parts: Vec<Component<'_>> = program.components().collect();
    let up_to = |count: usize| parts.iter().take(count).collect::<PathBuf>();
    let named = |name: &str| parts.iter().position(|part| part.as_os_str() == name);
    // Packages beneath one `node_modules` call each other.
    roots.extend(named(".pnpm").into_iter().chain(named("node_modules").map(|at| at + 1)).min().map(up_to));
    // Stores whose entries link to each other.
    roots.extend((program.starts_with("/nix/store") || program.starts_with("/gnu/store")).then(|| up_to(3)));
    roots.extend(named("Cellar").or_else(|| named("Caskroom")).map(up_to));
    roots.extend(program.starts_with("/snap").then(|| up_to(2)));
    roots.extend(program.starts_with("/opt").then(|| up_to(3)));
    roots.extend(shelved(program, places));
    roots.extend(
        parts
            .iter()
            .rposition(|part| is_programs_folder(part.as_os_str()))
            .map(up_to)
            .filter(|root| SIGNS.iter().skip(1).any(|sign| root.join(sign).exists()) && !is_project(root)),
    );
    roots
}

/// Somebody's work rather than something installed. Tools that install themselves by cloning hide behind a dot.
fn is_project(root: &Path) -> bool {
    root.join(".env").exists() || (root.join(".git").exists() && !is_hidden(root))
}

fn is_programs_folder(name: &std::ffi::OsStr) -> bool {
    ["bin", "sbin", "libexec", "shims"].iter().any(|one| name == *one)
}

/// The installation on one of the person's shelves; a shelf may hold things that are secret beside it, so also what
/// lies one deeper.
fn shelved(program: &Path, places: &Places) -> Vec<PathBuf> {
    let Some(rest) = places.beneath_home(program) else { return Vec::new() };
    let Some(shelf) = SHELVES.iter().find(|shelf| rest.starts_with(shelf)) else { return Vec::new() };
    let depth = Path::new(shelf).components().count();
    [depth + 1, depth + 2]
        .iter()
        .map(|count| places.home().join(rest.components().take(*count).collect::<PathBuf>()))
        .collect()
}

fn looks_installed(root: &Path) -> bool {
    SIGNS.iter().any(|sign| root.join(sign).exists())
}

/// A folder of nothing but installations.
fn holds_installations(folder: &Path) -> bool {
    let Ok(listing) = fs::read_dir(folder) else { return false };
    let mut folders = listing
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir() && !is_hidden(path))
        .peekable();
    folders.peek().is_some() && folders.all(|path| path.join("bin").is_dir())
}

/// A folder of nothing but packages, as the variables of Python's installers name one.
fn holds_packages(folder: &Path) -> bool {
    let Ok(listing) = fs::read_dir(folder) else { return false };
    let mut files = listing.flatten().map(|entry| entry.path()).filter(|path| !is_hidden(path)).peekable();
    let is_package = |path: PathBuf| {
        path.extension().is_some_and(|end| end == "whl") || path.to_string_lossy().ends_with(".tar.gz")
    };
    files.peek().is_some() && files.all(is_package)
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"."))
}

/// The interpreter that a program's first line names, if it is a script. `env` finds its own on PATH.
fn interpreter(program: &Path) -> Option<PathBuf> {
    let mut head = [0; 512];
    let count = fs::File::open(program).ok()?.read(&mut head).ok()?;
    let line = head.get(..count)?.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let word = line.split(|byte| byte.is_ascii_whitespace()).find(|word| !word.is_empty())?;
    let path = PathBuf::from(std::ffi::OsStr::from_bytes(word));
    (places::is_plain(&path) && !path.ends_with("bin/env")).then_some(path)
}
