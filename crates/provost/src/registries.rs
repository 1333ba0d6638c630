//! The package registries that the tools on this machine are set to use, for the profile that lets dependencies in.
//!
//! What counts is the person's and the system's own configuration, and what a tool itself says when it is asked outside of
//! the workspace: a repository cannot name a registry for itself. This program knows no registry by name.
//!
//! * `ask`: asking a tool; `files`: its configuration
//!
//! Owns which places are registries. Does not own whether a run may reach them: they become rules of a layer, beside every
//! other rule.

mod ask;
mod files;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use policy::{Endpoint, Kind, Need, RuleSpec};

use crate::toolchains::Environment;
use crate::toolchains::places::Places;
use files::{ini, toml_file};

/// The profile that lets them in.
pub const PROFILE: &str = "deps";

/// The name of their layer.
pub const LAYER: &str = "registries";

/// A rule for each tool that is set to use any. Asks tools that the person installed; changes nothing.
#[must_use]
pub fn find(environment: &Environment) -> Vec<RuleSpec> {
    let tools = ask::Tools::of(environment);
    of(&Host { environment, root: Path::new("/"), ask: &|tool, words| tools.ask(tool, words) })
}

/// What a tool says to these words.
type Ask<'a> = &'a dyn Fn(&str, &[&str]) -> Option<String>;

/// What is looked at.
struct Host<'a> {
    environment: &'a Environment,
    /// `/`, or what a test made in its stead.
    root: &'a Path,
    ask: Ask<'a>,
}

fn of(host: &Host<'_>) -> Vec<RuleSpec> {
    let found = [("npm", npm(host)), ("pip", python(host)), ("cargo", cargo(host)), ("go", go(host))];
    found.into_iter().filter_map(|(tool, addresses)| rule(tool, &addresses)).collect()
}

/// None, if nothing was found.
fn rule(tool: &str, addresses: &[String]) -> Option<RuleSpec> {
    let places: BTreeSet<String> = addresses.iter().filter_map(|address| place(address)).collect();
    let blank = RuleSpec::new(tool, Need::None).why(format!("Where {tool} is set to get packages from."));
    let rule = places.iter().fold(blank, |rule, place| rule.pattern(Kind::Connect, place.as_str()));
    (!places.is_empty()).then_some(rule)
}

/// `host:port` of an address; whoever signs in there is left out.
fn place(address: &str) -> Option<String> {
    let address = address.trim().trim_matches(['"', '\'']);
    let address =
        ["sparse+", "registry+"].iter().find_map(|kind| address.strip_prefix(kind)).unwrap_or(address);
    let (rest, port) = match (address.strip_prefix("https://"), address.strip_prefix("http://")) {
        (Some(rest), _) => (rest, 443),
        (_, Some(rest)) => (rest, 80),
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    let text = if has_port { host.to_owned() } else { format!("{host}:{port}") };
    Endpoint::parse(&text).ok().map(|place| place.to_string())
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

fn cargo(host: &Host<'_>) -> Vec<String> {
    let file = |name: &str| host.own("CARGO_HOME", ".cargo", name);
    let text = host.read(&file("config.toml")).or_else(|| host.read(&file("config")));
    let table = text.as_deref().and_then(toml_file).unwrap_or_default();
    let (mut all, instead) = files::cargo(&table);
    let named = host
        .environment
        .variables
        .iter()
        .filter(|(name, _)| name.starts_with("CARGO_REGISTRIES_") && name.ends_with("_INDEX"));
    all.extend(named.map(|(_, index)| index.clone()));
    if !instead {
        all.extend(indexes(host, &file("registry/index")));
    }
    all
}

/// Where cargo itself fetched from: each index that it keeps is named for its host, and says where the packages are.
/// Those kept as git repositories lie with hosts that hold everything else as well, and are left out.
fn indexes(host: &Host<'_>, folder: &Path) -> Vec<String> {
    let Ok(listing) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut all = Vec::new();
    for entry in listing.flatten() {
        let Some(says) = host.read(&entry.path().join("config.json")) else { continue };
        let says: serde_json::Value = serde_json::from_str(&says).unwrap_or_default();
        let name = entry.file_name().to_string_lossy().into_owned();
        if let (Some(dl), Some((name, _))) =
            (says.get("dl").and_then(|dl| dl.as_str()), name.rsplit_once('-'))
        {
            all.extend([format!("https://{name}"), dl.to_owned()]);
        }
    }
    all
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
