//! What a machine says about itself, read beneath a root: `/`, or what a test made.
//!
//! Owns where each fact stands. Does not own what follows from it (`remedy`), or what the kernel really gives (`measure`).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Serialize;

/// How many namespaces of a kind a user may have; zero closes them.
const LIMITS: [&str; 6] = ["user", "mnt", "pid", "net", "ipc", "uts"];

/// What a machine says about itself. What it does not say is left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Facts {
    /// The kernel's release, e.g. `6.1.0-18-amd64`.
    pub kernel: String,
    /// The distribution.
    pub system: System,
    /// Debian's switch for user namespaces.
    pub unprivileged_userns_clone: Option<u64>,
    /// Ubuntu's: 1 closes user namespaces to programs without a profile of their own.
    pub apparmor_restrict_unprivileged_userns: Option<u64>,
    /// `user.max_KIND_namespaces`, by kind.
    pub max_namespaces: BTreeMap<&'static str, u64>,
    /// The kernel's security modules, where it tells.
    pub security_modules: Option<Vec<String>>,
    /// What a system-call filter can do here.
    pub seccomp_actions: Vec<String>,
    /// The kernel has overlay file systems at hand.
    pub overlay: bool,
    /// A filter of somebody else's already stands over this process.
    pub filtered: bool,
    /// The container that this seems to be.
    pub container: Option<Container>,
    /// Yama's word on tracing: 3 forbids it to all.
    pub ptrace_scope: Option<u64>,
    /// The effective user of this process is root.
    pub root: bool,
}

/// A distribution, as os-release(5) tells.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct System {
    /// `debian`, `ubuntu`, `fedora`, ..
    pub id: String,
    /// What it is made from.
    pub like: Vec<String>,
    /// `12`, `24.04`, ..
    pub version: String,
    /// As people say it.
    pub name: String,
}

/// What kind of container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Container {
    /// Docker's.
    Docker,
    /// Podman's.
    Podman,
    /// A pod's.
    Kubernetes,
    /// Another.
    Other,
}

impl Facts {
    /// Reads them. What cannot be read is not known.
    pub fn read(root: &Path) -> Facts {
        let text = |path: &str| fs::read_to_string(root.join(path)).ok();
        let number = |path: &str| text(path)?.trim().parse().ok();
        let words = |path: &str, at: char| text(path).map(|text| split(&text, at));
        let status = text("proc/self/status").unwrap_or_default();
        let limit =
            |kind: &'static str| Some((kind, number(&format!("proc/sys/user/max_{kind}_namespaces"))?));
        Facts {
            kernel: text("proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            system: system(
                &text("etc/os-release").or_else(|| text("usr/lib/os-release")).unwrap_or_default(),
            ),
            unprivileged_userns_clone: number("proc/sys/kernel/unprivileged_userns_clone"),
            apparmor_restrict_unprivileged_userns: number(
                "proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            ),
            max_namespaces: LIMITS.into_iter().filter_map(limit).collect(),
            security_modules: words("sys/kernel/security/lsm", ','),
            seccomp_actions: words("proc/sys/kernel/seccomp/actions_avail", ' ').unwrap_or_default(),
            overlay: text("proc/filesystems")
                .is_some_and(|text| text.split_whitespace().any(|word| word == "overlay")),
            filtered: field(&status, "Seccomp") == Some("2"),
            container: container(root),
            ptrace_scope: number("proc/sys/kernel/yama/ptrace_scope"),
            root: field(&status, "Uid").and_then(|ids| ids.split_whitespace().nth(1)) == Some("0"),
        }
    }

    /// The kernel's version, major and minor.
    pub fn version(&self) -> Option<(u32, u32)> {
        let mut numbers = self.kernel.split(|one: char| !one.is_ascii_digit());
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }

    /// Whether the distribution is this one, or made from it.
    pub fn is(&self, id: &str) -> bool {
        self.system.id == id || self.system.like.iter().any(|like| like == id)
    }
}

fn split(text: &str, at: char) -> Vec<String> {
    text.trim().split(at).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The value of `name: value` in proc(5)'s status.
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn system(text: &str) -> System {
    let value = |name: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_default().trim().trim_matches(['"', '\'']).to_owned()
    };
    let (name, id) = (value("PRETTY_NAME"), value("ID"));
    let name = if name.is_empty() { id.clone() } else { name };
    System { id, like: split(&value("ID_LIKE"), ' '), version: value("VERSION_ID"), name }
}

fn container(root: &Path) -> Option<Container> {
    let there = |path: &str| root.join(path).exists();
    if there("var/run/secrets/kubernetes.io") || there("run/secrets/kubernetes.io") {
        return Some(Container::Kubernetes);
    }
    if there("run/.containerenv") {
        return Some(Container::Podman);
    }
    if there(".dockerenv") {
        return Some(Container::Docker);
    }
    there("run/systemd/container").then_some(Container::Other)
}
