//! The package registries that the tools on this machine are set to use, for the profile that lets dependencies in.
//!
//! What counts is the person's and the system's own configuration, and what a tool itself says when it is asked outside of
//! the workspace: a repository cannot name a registry for itself. This program knows no registry by name.
//!
//! * `ask`: asking a tool; `files`: its configuration; `cargo`: where cargo goes; `place`: addresses, and the rules on them
//!
//! Owns which places are registries. Does not own whether a run may reach them: they become rules of a layer, beside every
//! other rule.

mod ask;
mod cargo;
mod files;
mod place;

use std::path::{Path, PathBuf};
use std::thread;

use crate::toolchains::Environment;
use crate::toolchains::places::Places;
use files::{ini, toml_file};

/// The profile that lets them in.
pub const PROFILE: &str = "deps";

/// The name of their layer.
pub const LAYER: &str = "registries";

/// The text of a layer with rules for each tool that is set to use any; nothing if none is. Asks tools that the person installed;
/// changes nothing of theirs.
#[must_use]
pub fn find(environment: &Environment) -> String {
    let tools = ask::Tools::of(environment);
    let host = Host {
        environment,
        root: Path::new("/"),
        ask: &|tool, words| tools.ask(tool, words),
        cargo: &|settings| cargo::ask(&tools, settings),
    };
    of(&host)
}

/// What a tool says to these words.
type Ask<'a> = &'a (dyn Fn(&str, &[&str]) -> Option<String> + Sync);
/// Where cargo goes with these settings.
type AskCargo<'a> = &'a (dyn Fn(Option<&Path>) -> cargo::Goes + Sync);

/// What is looked at.
struct Host<'a> {
    environment: &'a Environment,
    /// `/`, or what a test made in its stead.
    root: &'a Path,
    ask: Ask<'a>,
    cargo: AskCargo<'a>,
}

/// A tool, and where it gets packages from.
type Tool = (&'static str, fn(&Host<'_>) -> Vec<String>);

fn of(host: &Host<'_>) -> String {
    const TOOLS: [Tool; 4] = [("npm", npm), ("pip", python), ("cargo", cargo::registries), ("go", go)];
    let (found, git) = thread::scope(|scope| {
        let asked = TOOLS.map(|(tool, find)| (tool, scope.spawn(move || find(host))));
        let git = git(host);
        // One that went wrong is not heard.
        (asked.map(|(tool, asked)| (tool, asked.join().unwrap_or_default())), git)
    });
    let rules = found.iter().flat_map(|(tool, addresses)| place::rules(tool, addresses));
    let rules: String = rules.chain(place::rules_of_git(&git)).collect();
    if rules.is_empty() { rules } else { format!("version = 1\n{rules}") }
}

impl Host<'_> {
    /// A variable of the person's, if it is set.
    fn variable(&self, name: &str) -> Option<String> {
        self.environment.get(name).map(str::to_owned)
    }

    /// A file of the person's, by the folder that a variable names or usually is.
    fn own(&self, variable: &str, usual: &str, file: &str) -> PathBuf {
        let named = self.environment.get(variable).map(PathBuf::from).filter(|path| path.is_absolute());
        named.unwrap_or_else(|| self.environment.home.join(usual)).join(file)
    }

    fn config(&self, file: &str) -> PathBuf {
        self.own("XDG_CONFIG_HOME", ".config", file)
    }

    fn system(&self, file: &str) -> PathBuf {
        self.root.join(file)
    }

    /// The text of a file that is not the workspace's.
    fn read(&self, path: &Path) -> Option<String> {
        let places = Places::of(self.environment);
        let real = places.real(path).filter(|real| !places.in_workspace(real) && real.is_file())?;
        std::fs::read_to_string(real).ok()
    }
}

// === the tools ===

/// npm, pnpm and Yarn.
fn npm(host: &Host<'_>) -> Vec<String> {
    let named = |key: &str| key == "registry" || key.ends_with(":registry") || key == "npmRegistryServer";
    let mut all: Vec<String> = Vec::new();
    if let Some(told) = (host.ask)("npm", &["config", "list", "--json"]) {
        let told: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&told).unwrap_or_default();
        let named = told.iter().filter(|(key, _)| named(key));
        all.extend(named.filter_map(|(_, value)| value.as_str().map(str::to_owned)));
    }
    all.extend((host.ask)("yarn", &["config", "get", "registry"]));
    let user = host.variable("NPM_CONFIG_USERCONFIG").map(PathBuf::from);
    let user = user.unwrap_or_else(|| host.environment.home.join(".npmrc"));
    for path in
        [host.system("etc/npmrc"), user, host.config("pnpm/rc"), host.environment.home.join(".yarnrc.yml")]
    {
        let text = host.read(&path).unwrap_or_default();
        all.extend(ini(&text).filter(|(key, _)| named(key)).map(|(_, value)| value.to_owned()));
    }
    for name in ["NPM_CONFIG_REGISTRY", "npm_config_registry", "YARN_NPM_REGISTRY_SERVER"] {
        all.extend(host.variable(name));
    }
    all
}

/// Says where pip goes if nobody tells it otherwise: the index, and where that keeps files.
const PIP_SAYS: &str = "from pip._internal.models.index import PyPI; print(PyPI.simple_url); print('https://' + PyPI.file_storage_domain)";

/// pip, uv and Poetry.
fn python(host: &Host<'_>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    // One that takes the place of the usual index.
    let mut instead = false;
    for (name, replaces) in [
        ("PIP_INDEX_URL", true),
        ("UV_DEFAULT_INDEX", true),
        ("UV_INDEX_URL", true),
        ("PIP_EXTRA_INDEX_URL", false),
        ("UV_EXTRA_INDEX_URL", false),
        ("PIP_FIND_LINKS", false),
        ("UV_FIND_LINKS", false),
        ("UV_INDEX", false),
    ] {
        if let Some(value) = host.variable(name) {
            instead |= replaces;
            // `name=address` is how uv names one.
            all.extend(value.split_whitespace().map(|one| named_address(one).to_owned()));
        }
    }
    let pip = host.variable("PIP_CONFIG_FILE").map(PathBuf::from);
    let pip = pip.into_iter().chain([
        host.system("etc/pip.conf"),
        host.system("etc/xdg/pip/pip.conf"),
        host.config("pip/pip.conf"),
        host.environment.home.join(".pip/pip.conf"),
    ]);
    for path in pip {
        let text = host.read(&path).unwrap_or_default();
        for (key, value) in ini(&text) {
            instead |= key == "index-url";
            if ["index-url", "extra-index-url", "find-links"].contains(&key) {
                all.extend(value.split_whitespace().map(str::to_owned));
            }
        }
    }
    for path in [host.system("etc/uv/uv.toml"), host.config("uv/uv.toml")] {
        let Some(table) = host.read(&path).as_deref().and_then(toml_file) else { continue };
        let (found, replaces) = files::uv(&table);
        instead |= replaces;
        all.extend(found);
    }
    if !instead {
        let told = ["python3", "python"].iter().find_map(|python| (host.ask)(python, &["-c", PIP_SAYS]));
        all.extend(told.iter().flat_map(|told| told.lines()).map(str::to_owned));
    }
    all
}

fn named_address(text: &str) -> &str {
    match text.split_once('=') {
        Some((name, address)) if !name.contains(['/', ':']) => address,
        _ => text,
    }
}

/// Where git goes instead of where it is told: the addresses that stand for others.
fn git(host: &Host<'_>) -> Vec<String> {
    let told = (host.ask)("git", &["config", "--get-regexp", r"^url\..*\.insteadof$"]).unwrap_or_default();
    let base = |line: &str| {
        let key = line.split_once(' ')?.0.strip_prefix("url.")?;
        Some(key.strip_suffix(".insteadof")?.to_owned())
    };
    told.lines().filter_map(base).collect()
}

fn go(host: &Host<'_>) -> Vec<String> {
    let Some(told) = (host.ask)("go", &["env", "GOPROXY", "GOSUMDB"]) else { return Vec::new() };
    let mut lines = told.lines();
    let proxies = lines.next().unwrap_or_default().split([',', '|']).map(str::to_owned);
    // `name`, `name+key`, or either with an address behind it.
    let sums = lines.next().unwrap_or_default();
    let sums = match sums.split_once(' ') {
        Some((_, address)) => address.to_owned(),
        None => format!("https://{}", sums.split('+').next().unwrap_or_default()),
    };
    proxies.chain([sums].into_iter().filter(|sums| sums.contains('.'))).collect()
}

#[cfg(test)]
mod tests;
