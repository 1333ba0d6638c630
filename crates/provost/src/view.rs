//! What the inside looks like, from what was found on the host: places, variables, caches, ports.
//!
//! Owns putting a `sandbox::plan::Order` together. Does not own the toolchains, what an agent needs, or the policy that
//! says which of it may be seen.

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use ledger::RunId;
use policy::Policy;
use sandbox::plan::{Cache, Order};

use crate::agents::Outfit;
use crate::failure::Failure;
use crate::inside;
use crate::run::terminals;
use crate::task::Task;
use crate::toolchains::{Shown, Toolchains, git};
use crate::workspace::{GitFolder, Workspace, git_folder};

/// The port of the gateway inside; another where a rule needs this one.
const PROXY_PORT: u16 = 9317;
/// The variable that tells `provost request` that it is inside.
pub const RUN_VARIABLE: &str = "PROVOST_RUN";

/// Shows this very program inside, so that `provost request` can be called there.
pub fn show_ourselves(tools: &mut Toolchains) {
    let Some(program) = ourselves() else { return };
    let seen = tools.shown.iter().any(|shown| program.starts_with(&shown.path));
    if !seen && !program.starts_with("/usr") {
        tools.shown.push(Shown { path: program, why: "provost".to_owned() });
    }
}

/// Shows git's own folder, read-only, where it lies outside the workspace. Says what a person should know of it.
pub fn show_git(tools: &mut Toolchains, workspace: &Path) -> Option<String> {
    match git_folder(workspace)? {
        GitFolder::Outside(path) => {
            let what = format!("git's folder `{}` lies outside and is read-only inside", path.display());
            if !tools.shown.iter().any(|shown| path.starts_with(&shown.path)) {
                tools.shown.push(Shown { path, why: "git".to_owned() });
            }
            Some(format!("{what}: status, diff and log work, commits do not"))
        }
        GitFolder::Refused(path, because) => Some(format!(
            "git finds no repository inside: `.git` leads to `{}`, and {because}",
            path.display()
        )),
    }
}

fn ourselves() -> Option<PathBuf> {
    std::env::current_exe().and_then(std::fs::canonicalize).ok()
}

/// The order, but for the environment. `kept` is what belongs to the workspace across runs.
pub fn order(
    task: &Task,
    tools: &Toolchains,
    outfit: &Outfit,
    (workspace, kept): (&Workspace, &Path),
    (policy, person): (&Policy, git::Asked),
) -> Order {
    let home = task.environment.home.clone();
    // Where no layer can lie over the person's cache, the workspace's own starts empty.
    let layered = workspace.carries_layers();
    let cache = |cache: &crate::toolchains::Cache| {
        let place = kept.join("caches").join(place_name(&cache.path));
        Cache {
            at: cache.path.clone(),
            lower: cache.lower.clone().filter(|_| layered),
            upper: place.join("upper"),
            work: place.join("work"),
        }
    };
    let mut files: Vec<(PathBuf, Vec<u8>)> =
        outfit.files.iter().map(|(path, content)| (home.join(path), content.clone())).collect();
    let own = home.join(".gitconfig");
    if !files.iter().any(|(path, _)| *path == own) {
        files.extend(person.identity().map(|content| (own, content)));
    }
    let ports = ports(&policy.loopback_ports());
    Order {
        workspace: task.workspace.clone(),
        stage: workspace.inside(),
        home,
        caches: tools.caches.iter().map(cache).collect(),
        files,
        over: Vec::new(),
        carrier: Some(carrier(&ports)),
        ports,
        program: outfit.program.clone(),
        argv: outfit.argv.clone(),
        env: Vec::new(),
        folder: task.folder.clone(),
        terminal: terminals(),
        evidence: task.evidence,
    }
}

/// A cache's place by what it is for: the same from run to run.
fn place_name(path: &Path) -> String {
    use sha2::{Digest as _, Sha256};
    use std::os::unix::ffi::OsStrExt as _;
    crate::layers::hex(&Sha256::digest(path.as_os_str().as_bytes())).chars().take(16).collect()
}

/// The gateway's port first, then the host's that rules name.
fn ports(named: &[u16]) -> Vec<u16> {
    let proxy = (PROXY_PORT..).find(|port| !named.contains(port)).unwrap_or(PROXY_PORT);
    std::iter::once(proxy).chain(named.iter().copied()).collect()
}

/// Where carried connections are taken: beside the gateway's port.
fn carrier(ports: &[u16]) -> u16 {
    (PROXY_PORT..).find(|port| !ports.contains(port)).unwrap_or(PROXY_PORT)
}

/// Makes the places where caches keep what runs add.
///
/// # Errors
/// The disk refused.
pub fn make_caches(order: &Order) -> Result<(), Failure> {
    // The kernel works beside what is layered; what starts empty is shown as it is.
    let places = |cache: &'_ Cache| {
        let work = cache.lower.is_some().then(|| cache.work.clone());
        [cache.upper.clone()].into_iter().chain(work)
    };
    for place in order.caches.iter().flat_map(places) {
        DirBuilder::new().recursive(true).mode(0o700).create(&place).map_err(|error| {
            Failure::of(&error).during(format!("could not make the cache `{}`", place.display()))
        })?;
    }
    Ok(())
}

/// The variables of the inside: the tools', the agent's over them, and ours over all.
pub fn add_environment(order: &mut Order, tools: &Toolchains, outfit: &Outfit, run: &RunId) {
    let proxy = format!("http://127.0.0.1:{}", order.ports.first().copied().unwrap_or(PROXY_PORT));
    let ours = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut all: std::collections::BTreeMap<String, String> = tools.environment.iter().cloned().collect();
    all.extend(outfit.environment.iter().cloned());
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        all.extend([ours(name, &proxy)]);
    }
    // The inside's own loopback is reached directly: tests start servers there.
    all.extend([ours("NO_PROXY", LOOPBACK), ours("no_proxy", LOOPBACK)]);
    all.extend([ours(RUN_VARIABLE, run.as_str()), ours(inside::DOOR_VARIABLE, &proxy)]);
    if let Some(folder) = ourselves().as_deref().and_then(Path::parent).and_then(Path::to_str) {
        let path = all.entry("PATH".to_owned()).or_default();
        if !path.split(':').any(|entry| entry == folder) {
            path.push(':');
            path.push_str(folder);
        }
    }
    order.env = all.into_iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
}

const LOOPBACK: &str = "localhost,127.0.0.1,::1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_gives_way_to_a_named_port() {
        assert_eq!(ports(&[8099]), [PROXY_PORT, 8099]);
        assert_eq!(ports(&[PROXY_PORT]), [PROXY_PORT + 1, PROXY_PORT]);
        assert_eq!(carrier(&ports(&[])), PROXY_PORT + 1);
        assert_eq!(carrier(&ports(&[PROXY_PORT + 1])), PROXY_PORT + 2);
    }
}
