//! What to do about what is missing: the exact lines for this distribution.
//!
//! Owns those lines. Pure: facts in, lines out. Does not own whether something is missing (`doctor`).

use std::path::Path;

use serde::Serialize;

use super::facts::{Container, Facts};
use super::measure::Refused;

/// One way to mend it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fix {
    /// What stands in the way, and what the lines do.
    pub why: String,
    /// Lines for a shell, unless `why` says where else they go.
    pub lines: Vec<String>,
}

impl Fix {
    fn new(why: impl Into<String>, lines: impl IntoIterator<Item = impl Into<String>>) -> Fix {
        Fix { why: why.into(), lines: lines.into_iter().map(Into::into).collect() }
    }
}

/// Where settings of the kernel are kept over a restart.
const SETTINGS: &str = "/etc/sysctl.d/90-provost.conf";
/// Above what any machine counts.
const ENOUGH: &str = "15000";
/// `ENOSPC`: the user has as many namespaces as they may.
const FULL: i32 = 28;

/// New namespaces were refused.
pub fn namespaces(facts: &Facts, refused: &Refused, program: &Path) -> Vec<Fix> {
    let mut fixes = Vec::new();
    let settings = closed_settings(facts);
    if !settings.is_empty() {
        fixes.push(set(facts, &settings));
    }
    if facts.apparmor_restrict_unprivileged_userns == Some(1) && !facts.root {
        fixes.push(apparmor(facts, program));
    }
    if fixes.is_empty() && refused.errno == Some(FULL) {
        fixes.push(set(facts, &[("user.max_user_namespaces".to_owned(), ENOUGH)]));
    }
    if fixes.is_empty() || facts.filtered {
        fixes.extend(facts.container.map(unlock));
    }
    if fixes.is_empty() && facts.kernel.ends_with("Microsoft") {
        fixes.push(Fix::new(
            "this is the first Windows Subsystem for Linux, which has no such kernel. In a Windows shell, with the name that `wsl -l` prints:",
            ["wsl --set-version NAME 2"],
        ));
    }
    if fixes.is_empty() {
        fixes.push(Fix::new(
            "no setting that is known explains it: a filter over this process, a security module or a chroot refuses it. These say more:",
            ["grep -E 'Seccomp|NoNewPrivs' /proc/self/status", "cat /proc/self/attr/current", "sudo dmesg | tail"],
        ));
    }
    fixes
}

/// Settings of the kernel that close namespaces, with the values that open them.
fn closed_settings(facts: &Facts) -> Vec<(String, &'static str)> {
    let mut settings = Vec::new();
    if facts.unprivileged_userns_clone == Some(0) && !facts.root {
        settings.push(("kernel.unprivileged_userns_clone".to_owned(), "1"));
    }
    for (kind, most) in &facts.max_namespaces {
        if *most == 0 {
            settings.push((format!("user.max_{kind}_namespaces"), ENOUGH));
        }
    }
    settings
}

/// Sets them now and for every start.
fn set(facts: &Facts, settings: &[(String, &str)]) -> Fix {
    let names: Vec<&str> = settings.iter().map(|(name, _)| name.as_str()).collect();
    let whose = if facts.container.is_some() { "on the machine that this container runs on, " } else { "" };
    if facts.is("nixos") {
        let lines = settings.iter().map(|(name, value)| format!("boot.kernel.sysctl.\"{name}\" = {value};"));
        let lines = lines.chain([as_root(facts, "nixos-rebuild switch")]);
        return Fix::new(
            format!("{whose}{} closes them. In configuration.nix, and then:", names.join(", ")),
            lines,
        );
    }
    let values: Vec<String> = settings.iter().map(|(name, value)| format!("'{name} = {value}'")).collect();
    let write =
        format!("printf '%s\\n' {} | {}", values.join(" "), as_root(facts, &format!("tee {SETTINGS}")));
    let load = as_root(facts, &format!("sysctl -p {SETTINGS}"));
    Fix::new(format!("{whose}{} closes them:", names.join(", ")), [write, load])
}

/// A profile that lets this one program make user namespaces.
fn apparmor(facts: &Facts, program: &Path) -> Fix {
    let lines = [
        as_root(facts, "tee /etc/apparmor.d/provost >/dev/null <<'END'"),
        "abi <abi/4.0>,".to_owned(),
        "include <tunables/global>".to_owned(),
        format!("profile provost {} flags=(unconfined) {{", pattern(program)),
        "  userns,".to_owned(),
        "}".to_owned(),
        "END".to_owned(),
        as_root(facts, "apparmor_parser -r /etc/apparmor.d/provost"),
    ];
    Fix::new(
        "kernel.apparmor_restrict_unprivileged_userns keeps them for programs with a profile. This gives one to this program alone:",
        lines,
    )
}

/// A path as AppArmor takes it: quoted, its own signs escaped.
fn pattern(program: &Path) -> String {
    let mut text = String::from("\"");
    for one in program.to_string_lossy().chars() {
        if r#"\"*?[]{}^"#.contains(one) {
            text.push('\\');
        }
        text.push(one);
    }
    text.push('"');
    text
}

/// What a container must be started with.
fn unlock(container: Container) -> Fix {
    match container {
        Container::Docker => Fix::new(
            "this is a container, and its own filter closes them. Start it with:",
            [
                "docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined IMAGE",
            ],
        ),
        Container::Podman => Fix::new(
            "this is a container, and its own filter closes them. Start it with:",
            [
                "podman run --security-opt seccomp=unconfined --security-opt label=disable --security-opt unmask=ALL IMAGE",
            ],
        ),
        Container::Kubernetes => Fix::new(
            "this is a pod, and its own filter closes them. In its specification (or run Provost on a machine of its own):",
            [
                "hostUsers: false",
                "containers[].securityContext.procMount: Unmasked",
                "containers[].securityContext.seccompProfile.type: Unconfined",
                "containers[].securityContext.appArmorProfile.type: Unconfined",
            ],
        ),
        Container::Other => Fix::new(
            "this is a container, and its own filter closes them. With LXC or Incus, on the machine that it runs on:",
            ["incus config set NAME security.nesting=true"],
        ),
    }
}

/// A step inside the cell was refused.
pub fn step(facts: &Facts, refused: &Refused, program: &Path) -> Vec<Fix> {
    if facts.apparmor_restrict_unprivileged_userns == Some(1) && !facts.root {
        return vec![apparmor(facts, program)];
    }
    if let Some(container) = facts.container {
        return vec![unlock(container)];
    }
    let step = refused.step.as_deref().unwrap_or_default();
    vec![Fix::new(
        format!("the kernel let a cell be made, and then refused to {step}. This says more:"),
        [as_root(facts, "dmesg | tail")],
    )]
}

/// The kernel is too old.
pub fn kernel(facts: &Facts) -> Vec<Fix> {
    let restart = as_root(facts, "reboot");
    let (id, version) = (facts.system.id.as_str(), facts.system.version.as_str());
    let install = match (id, version) {
        ("ubuntu", "20.04") => as_root(facts, "do-release-upgrade"),
        ("ubuntu", _) => as_root(facts, &format!("apt install linux-generic-hwe-{version}")),
        ("debian", "11") => as_root(facts, "apt install -t bullseye-backports linux-image-amd64"),
        ("arch", _) => as_root(facts, "pacman -Syu"),
        ("fedora", _) => as_root(facts, "dnf upgrade --refresh kernel"),
        _ if facts.kernel.contains("microsoft") => "wsl --update".to_owned(),
        _ => {
            return vec![Fix::new(
                "a newer kernel must come from your distribution: one that ships Linux 6.1 or later",
                NONE,
            )];
        }
    };
    let lines = if install.starts_with("wsl") {
        vec![install, "wsl --shutdown".to_owned()]
    } else {
        vec![install, restart]
    };
    let place = if facts.kernel.contains("microsoft") { " In a Windows shell:" } else { "" };
    vec![Fix::new(format!("a newer kernel.{place}"), lines)]
}

const NONE: [String; 0] = [];

/// There is no Landlock, or too old a one.
pub fn landlock(facts: &Facts, abi: u32) -> Vec<Fix> {
    if abi > 0 {
        return kernel(facts);
    }
    let Some(now) = &facts.security_modules else {
        let mut fixes: Vec<Fix> = facts.container.map(unlock).into_iter().collect();
        fixes.push(Fix::new(
            "the kernel does not tell which security modules are on. This does; `landlock` must be among them:",
            [as_root(facts, "mount -t securityfs securityfs /sys/kernel/security"), "cat /sys/kernel/security/lsm".to_owned()],
        ));
        return fixes;
    };
    if now.iter().any(|module| module == "landlock") {
        return facts.container.map(unlock).into_iter().collect();
    }
    // The kernel puts `capability` first by itself.
    let others = now.iter().filter(|module| *module != "capability").map(String::as_str);
    let list: Vec<&str> = std::iter::once("landlock").chain(others).collect();
    vec![boot(facts, &format!("lsm={}", list.join(",")))]
}

/// A word on the kernel's command line.
fn boot(facts: &Facts, word: &str) -> Fix {
    const WHY: &str = "the kernel starts without Landlock. This puts it on its command line:";
    let restart = as_root(facts, "reboot");
    if facts.is("debian") || facts.is("ubuntu") {
        let file = as_root(facts, "tee /etc/default/grub.d/provost.cfg");
        let write = format!("echo 'GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX {word}\"' | {file}");
        return Fix::new(WHY, [write, as_root(facts, "update-grub"), restart]);
    }
    if facts.is("fedora") || facts.is("rhel") {
        return Fix::new(
            WHY,
            [as_root(facts, &format!("grubby --update-kernel=ALL --args={word}")), restart],
        );
    }
    if facts.is("nixos") {
        return Fix::new(
            "the kernel starts without Landlock. In configuration.nix, and then:",
            [format!("boot.kernelParams = [ \"{word}\" ];"), as_root(facts, "nixos-rebuild boot"), restart],
        );
    }
    Fix::new(
        "the kernel starts without Landlock. Add this to its command line in your boot loader, then restart:",
        [word],
    )
}

/// There is no overlay on the file system of the state folder.
pub fn overlay(facts: &Facts) -> Vec<Fix> {
    if facts.overlay {
        return vec![Fix::new(
            "the file system that holds the state folder cannot carry one. One that can is ext4, xfs, btrfs or tmpfs:",
            ["export XDG_STATE_HOME=/a/folder/on/such/a/disk"],
        )];
    }
    let load = as_root(facts, "modprobe overlay");
    let keep = format!("echo overlay | {}", as_root(facts, "tee /etc/modules-load.d/provost.conf"));
    vec![Fix::new("the kernel has not loaded it:", [load, keep])]
}

/// Tracing is closed.
pub fn tracing(facts: &Facts) -> Vec<Fix> {
    let setting = [("kernel.yama.ptrace_scope".to_owned(), "1")];
    let mut fix = set(facts, &setting);
    fix.lines.push(as_root(facts, "reboot"));
    fix.why = "kernel.yama.ptrace_scope = 3 forbids it, and is only lifted by a restart. Look for the file in /etc/sysctl.d that sets it, and:".to_owned();
    vec![fix]
}

/// No filter of system calls that can ask.
pub fn filter(facts: &Facts) -> Vec<Fix> {
    let mut fixes: Vec<Fix> = facts.container.filter(|_| facts.filtered).map(unlock).into_iter().collect();
    if fixes.is_empty() {
        fixes.push(Fix::new(
            "the kernel was built without CONFIG_SECCOMP_FILTER: take your distribution's own kernel",
            NONE,
        ));
    }
    fixes
}

fn as_root(facts: &Facts, line: &str) -> String {
    if facts.root { line.to_owned() } else { format!("sudo {line}") }
}
