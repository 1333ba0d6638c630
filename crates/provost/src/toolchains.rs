//! Which of the host's toolchains the inside sees, and how: so that an ordinary build passes without configuration and
//! without showing what is nobody's business.
//!
//! What PATH and the tools' own variables name is shown read-only at its own path, with the installation it belongs to
//! and whatever its links and first lines lead to. What tools keep between builds is a private layer over the host's.
//! Of the person's configuration only files are shown that carry no secret; of their environment only what is known to
//! be harmless.
//!
//! * `places`: what is never shown; `installation`: from a program to what it needs
//! * `ways`: where paths lead
//! * `table`: what each tool calls its places; `search`: PATH, entry by entry
//! * [`variables`]: which variables go inside; [`git`]: who signs commits
//!
//! Does not own: mounting any of it (sandbox), or the rule that allows it (policy: [`Toolchains::shown`] becomes a
//! layer). Nothing here writes.

pub mod git;
pub(crate) mod installation;
pub(crate) mod places;
pub(crate) mod search;
mod table;
pub mod variables;
mod ways;

use installation::Gathered;
use places::Places;
use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
pub(crate) use variables::CERTIFICATES;
pub use variables::Withheld;

/// The part of the host that decides what its toolchains are.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// PATH, as the person has it.
    pub path: OsString,
    /// The other variables. Those that are no text are in `not_text`.
    pub variables: BTreeMap<String, String>,
    /// Names of variables whose value is no UTF-8.
    pub not_text: Vec<String>,
    /// The person's home.
    pub home: PathBuf,
    /// The folder the agent works on.
    pub workspace: PathBuf,
}

impl Environment {
    /// From the variables of a process.
    pub fn new(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        home: &Path,
        workspace: &Path,
    ) -> Self {
        let mut environment =
            Self { home: home.to_owned(), workspace: workspace.to_owned(), ..Self::default() };
        for (name, value) in variables {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => {
                    if name == "PATH" {
                        environment.path = OsString::from(&value);
                    }
                    environment.variables.insert(name, value);
                }
                Err(value) if name == "PATH" => environment.path = value,
                Err(_) => environment.not_text.push(name),
            }
        }
        environment
    }

    /// The value of a variable, if it is set to anything.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// A tree, a file or a link of the host that the inside sees at its own path, read-only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Where it is, outside and inside.
    pub path: PathBuf,
    /// For the person, e.g. `pyenv`, `on PATH`.
    pub why: String,
}

/// A place that tools fill between builds: writable inside, private to the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// Where the tool looks for it.
    pub path: PathBuf,
    /// The host's own, to be shown beneath; `None` if there is none yet.
    pub lower: Option<PathBuf>,
    /// For the person, e.g. `rust`.
    pub why: String,
}

/// Something that the host names and the inside does not get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// As the host names it.
    pub what: String,
    /// For the person.
    pub because: String,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Toolchains {
    /// Sorted by path; none lies within another.
    pub shown: Vec<Shown>,
    /// Sorted by path; a cache may lie within something shown.
    pub caches: Vec<Cache>,
    /// The variables that go inside, PATH and HOME among them, sorted by name.
    pub environment: Vec<(String, String)>,
    /// The variables that do not, sorted by name.
    pub withheld: Vec<Withheld>,
    /// What was named but is not shown, with reasons.
    pub left_out: Vec<LeftOut>,
}

/// Finds the host's toolchains. Reads the file system, changes nothing.
#[must_use]
pub fn discover(environment: &Environment) -> Toolchains {
    let places = Places::of(environment);
    let mut gathered = Gathered::default();
    let path = search::walk(environment, &places, &mut gathered);
    let caches = table::gather(environment, &places, &path.programs, &mut gathered);
    for variable in variables::CERTIFICATES {
        show_certificates(environment, variable, &places, &mut gathered);
    }
    let (shown, mut left_out) = gathered.settle(&places);
    let caches = mountable(caches, &shown);
    left_out.extend(path.left_out);
    left_out.dedup();
    let inside = Inside { shown: &shown, caches: &caches, places: &places };
    let entry = |(written, real): &(PathBuf, PathBuf)| {
        let reached = [written, real].into_iter().find(|path| inside.shows(path))?;
        reached.to_str().map(str::to_owned)
    };
    let inside_path: Vec<String> = path.entries.iter().filter_map(entry).collect();
    let sorted = variables::sort(environment, &inside_path.join(":"), &inside);
    Toolchains { shown, caches, environment: sorted.inside, withheld: sorted.withheld, left_out }
}

/// Without the caches that are not there and could not be put there: what is shown read-only takes no new folder.
fn mountable(mut caches: Vec<Cache>, shown: &[Shown]) -> Vec<Cache> {
    let fixed =
        |path: &Path| places::is_system(path) || shown.iter().any(|shown| path.starts_with(&shown.path));
    caches.retain(|cache| cache.lower.is_some() || !fixed(&cache.path));
    caches
}

/// Roots that a company adds to what programs trust: needed for every download, and no secret.
fn show_certificates(environment: &Environment, variable: &str, places: &Places, gathered: &mut Gathered) {
    let Some(path) = environment.get(variable).map(Path::new) else { return };
    let Some(real) = places.real(path) else { return };
    if real.is_file() && std::fs::read_to_string(&real).is_ok_and(|text| !text.contains("PRIVATE KEY")) {
        gathered.file(path, places, variable);
    }
}

/// What exists inside, as far as a variable may name it.
pub(crate) struct Inside<'a> {
    shown: &'a [Shown],
    caches: &'a [Cache],
    places: &'a Places,
}

impl Inside<'_> {
    /// Whether a path leads to something of the host that is inside: shown, a cache, the system, the workspace.
    fn shows(&self, path: &Path) -> bool {
        places::is_plain(path)
            && (places::is_system(path)
                || self.places.in_workspace(path)
                || self.shown.iter().any(|shown| path.starts_with(&shown.path))
                || self.caches.iter().any(|cache| path.starts_with(&cache.path)))
    }

    /// Whether a variable may name the path: it is shown, or in the home, which is empty and writable inside.
    pub(crate) fn has(&self, path: &Path) -> bool {
        self.shows(path) || (places::is_plain(path) && path.starts_with(self.places.home()))
    }
}

/// Programs by the name they are called by.
pub(crate) type Names = HashSet<OsString>;

#[cfg(test)]
mod tests;
