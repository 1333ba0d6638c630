//! What doctor says of machines that hold everything, something, or nothing.

use std::fs;
use std::path::Path;

use policy::Enforcement;

use super::facts::{Container, Facts};
use super::measure::{Measured, Refused};
use super::{Layer, State, can_run, examine};

/// A machine made of files.
struct Made(tempfile::TempDir);

impl Made {
    /// As a recent distribution is, with what its os-release says.
    fn of(release: &str) -> Made {
        let made = Made(tempfile::tempdir().unwrap());
        made.set("etc/os-release", release)
            .set("proc/sys/kernel/osrelease", "6.8.0-31-generic\n")
            .set("proc/self/status", "Name:\tx\nUid:\t1000\t1000\t1000\t1000\nSeccomp:\t0\n")
            .set("proc/sys/user/max_user_namespaces", "31000\n")
            .set("proc/sys/kernel/seccomp/actions_avail", "kill_process errno user_notif allow\n")
            .set("proc/filesystems", "nodev\ttmpfs\nnodev\toverlay\n\text4\n")
            .set("sys/kernel/security/lsm", "capability,landlock,yama,apparmor")
    }

    fn set(self, path: &str, text: &str) -> Made {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn facts(&self) -> Facts {
        Facts::read(self.0.path())
    }

    fn layers(&self, measured: &Measured) -> Vec<Layer> {
        examine(&self.facts(), measured, Path::new("/opt/my tools/provost"))
    }
}

const UBUNTU: &str =
    "NAME=\"Ubuntu\"\nID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"24.04\"\nPRETTY_NAME=\"Ubuntu 24.04 LTS\"\n";
const DEBIAN: &str = "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";
const FEDORA: &str = "ID=fedora\nVERSION_ID=41\n";

fn whole() -> Measured {
    let enforcement = Enforcement {
        user_namespace: true,
        mount_namespace: true,
        pid_namespace: true,
        network_namespace: true,
        ipc_namespace: true,
        uts_namespace: true,
        no_new_privs: true,
        no_capabilities: true,
        landlock_abi: 4,
        seccomp: true,
        supervisor: true,
        ..Enforcement::default()
    };
    Measured {
        enforcement: Some(enforcement),
        overlay: true,
        terminal: true,
        landlock_abi: 4,
        refused: Vec::new(),
    }
}

fn refused(step: Option<&str>, errno: Option<i32>) -> Measured {
    let refused = Refused { step: step.map(str::to_owned), because: "Operation not permitted".into(), errno };
    Measured { refused: vec![refused], landlock_abi: 4, ..Measured::default() }
}

fn one<'a>(layers: &'a [Layer], name: &str) -> &'a Layer {
    layers.iter().find(|layer| layer.layer == name).unwrap()
}

fn lines(layer: &Layer) -> Vec<&str> {
    layer.fixes.iter().flat_map(|fix| fix.lines.iter().map(String::as_str)).collect()
}

#[test]
fn a_machine_with_everything_can_run() {
    let layers = Made::of(DEBIAN).layers(&whole());
    assert!(
        can_run(&layers) && layers.iter().all(|layer| layer.state == State::Given && layer.fixes.is_empty()),
        "{layers:?}"
    );
    let found = one(&layers, "Landlock").found.as_deref().unwrap();
    assert!(found.starts_with("ABI 4") && found.contains("not commands to devices (5)"), "{found}");
}

#[test]
fn what_a_cell_does_not_have_is_missing_whatever_the_machine_says() {
    type Take = fn(&mut Enforcement);
    let taken: [(&str, Take); 11] = [
        ("user namespace", |given| given.user_namespace = false),
        ("mount namespace", |given| given.mount_namespace = false),
        ("pid namespace", |given| given.pid_namespace = false),
        ("network namespace", |given| given.network_namespace = false),
        ("ipc namespace", |given| given.ipc_namespace = false),
        ("uts namespace", |given| given.uts_namespace = false),
        ("no_new_privs", |given| given.no_new_privs = false),
        ("capabilities", |given| given.no_capabilities = false),
        ("seccomp", |given| given.seccomp = false),
        ("seccomp notification", |given| given.supervisor = false),
        ("Landlock", |given| given.landlock_abi = 1),
    ];
    for (name, take) in taken {
        let mut measured = whole();
        take(measured.enforcement.as_mut().unwrap());
        let layers = Made::of(DEBIAN).layers(&measured);
        assert_eq!(one(&layers, name).state, State::Missing, "{name}");
        assert!(!can_run(&layers), "{name}");
    }
}

#[test]
fn ubuntu_keeps_namespaces_for_programs_with_a_profile() {
    let made = Made::of(UBUNTU).set("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n");
    let layers = made.layers(&refused(None, Some(13)));
    assert!(!can_run(&layers));
    let layer = one(&layers, "user namespace");
    assert_eq!(layer.state, State::Missing);
    assert_eq!(
        lines(layer),
        [
            "sudo tee /etc/apparmor.d/provost >/dev/null <<'END'",
            "abi <abi/4.0>,",
            "include <tunables/global>",
            "profile provost \"/opt/my tools/provost\" flags=(unconfined) {",
            "  userns,",
            "}",
            "END",
            "sudo apparmor_parser -r /etc/apparmor.d/provost",
        ]
    );
    assert_eq!(one(&layers, "mount namespace").state, State::Untried, "nothing is guessed");
}

#[test]
fn debian_has_a_switch() {
    let made = Made::of(DEBIAN).set("proc/sys/kernel/unprivileged_userns_clone", "0\n");
    let layers = made.layers(&refused(None, Some(1)));
    assert_eq!(
        lines(one(&layers, "user namespace")),
        [
            "printf '%s\\n' 'kernel.unprivileged_userns_clone = 1' | sudo tee /etc/sysctl.d/90-provost.conf",
            "sudo sysctl -p /etc/sysctl.d/90-provost.conf",
        ]
    );
}

#[test]
fn a_limit_of_none_is_lifted_whatever_kind_it_is_of() {
    let made = Made::of(FEDORA)
        .set("proc/sys/user/max_user_namespaces", "0\n")
        .set("proc/sys/user/max_net_namespaces", "0\n")
        .set("proc/self/status", "Uid:\t0\t0\t0\t0\n");
    let layers = made.layers(&refused(None, Some(28)));
    let lines = lines(one(&layers, "user namespace"));
    assert!(
        lines[0].contains("'user.max_net_namespaces = 15000' 'user.max_user_namespaces = 15000' | tee"),
        "{lines:?}"
    );
    assert!(!lines.concat().contains("sudo"), "root needs none");
}

#[test]
fn a_container_must_be_started_otherwise() {
    for (mark, container, word) in [
        (".dockerenv", Container::Docker, "docker run --security-opt seccomp=unconfined"),
        ("run/.containerenv", Container::Podman, "podman run"),
        ("run/secrets/kubernetes.io/token", Container::Kubernetes, "hostUsers: false"),
        ("run/systemd/container", Container::Other, "security.nesting"),
    ] {
        let made = Made::of(DEBIAN).set(mark, "").set("proc/self/status", "Uid:\t0\t0\t0\t0\nSeccomp:\t2\n");
        assert_eq!(made.facts().container, Some(container));
        let layers = made.layers(&refused(None, Some(1)));
        assert!(lines(one(&layers, "user namespace")).concat().contains(word), "{word}");
        let layers = made.layers(&refused(Some("mount /proc"), None));
        let layer = one(&layers, "mount namespace");
        assert!(
            layer.because.as_deref().is_some_and(|text| text.contains("mount /proc")) && !can_run(&layers)
        );
        assert!(lines(layer).concat().contains(word), "{word}");
    }
}

#[test]
fn a_mark_of_a_container_alone_is_no_fault() {
    assert!(can_run(&Made::of(DEBIAN).set(".dockerenv", "").layers(&whole())));
}

#[test]
fn what_nothing_explains_is_said_to_be_so() {
    let layers = Made::of(FEDORA).layers(&refused(None, Some(1)));
    assert!(one(&layers, "user namespace").fixes[0].why.contains("no setting that is known explains it"));
}

#[test]
fn landlock_is_put_on_the_command_line_of_the_kernel() {
    let mut measured = refused(Some("ask Landlock for files"), None);
    measured.landlock_abi = 0;
    let debian = Made::of(UBUNTU).set("sys/kernel/security/lsm", "capability,yama,apparmor");
    let layers = debian.layers(&measured);
    assert_eq!(
        lines(one(&layers, "Landlock")),
        [
            "echo 'GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX lsm=landlock,yama,apparmor\"' | sudo tee /etc/default/grub.d/provost.cfg",
            "sudo update-grub",
            "sudo reboot",
        ]
    );
    assert!(!can_run(&layers));
    let fedora = Made::of(FEDORA).set("sys/kernel/security/lsm", "capability,selinux");
    assert!(
        lines(one(&fedora.layers(&measured), "Landlock"))[0]
            .ends_with("grubby --update-kernel=ALL --args=lsm=landlock,selinux")
    );
}

#[test]
fn an_old_kernel_is_named_with_the_least_that_is_needed() {
    let made =
        Made::of(&UBUNTU.replace("24.04", "22.04")).set("proc/sys/kernel/osrelease", "5.15.0-25-generic\n");
    let layers = made.layers(&whole());
    let layer = one(&layers, "kernel");
    assert!(!can_run(&layers) && layer.because.as_deref() == Some("at least 6.1 is needed"));
    assert_eq!(lines(layer), ["sudo apt install linux-generic-hwe-22.04", "sudo reboot"]);
    for (kernel, enough) in [
        ("6.0.19", false),
        ("6.1.0-18-amd64", true),
        ("6.10", true),
        ("10.0", true),
        ("", false),
        ("six", false),
    ] {
        let layers = Made::of(DEBIAN).set("proc/sys/kernel/osrelease", kernel).layers(&whole());
        assert_eq!(can_run(&layers), enough, "{kernel}");
    }
}

#[test]
fn without_an_overlay_the_workspace_is_copied() {
    let mut measured = Measured { overlay: false, ..whole() };
    measured.refused = refused(Some("lay an overlay over `/x`"), None).refused;
    let layers = Made::of(DEBIAN).set("proc/filesystems", "nodev\ttmpfs\n\text4\n").layers(&measured);
    let layer = one(&layers, "overlay");
    assert_eq!((layer.state, can_run(&layers)), (State::Missing, true));
    assert_eq!(layer.because.as_deref(), Some("Operation not permitted"));
    assert_eq!(lines(layer)[0], "sudo modprobe overlay");
    let layers = Made::of(DEBIAN).layers(&measured);
    assert!(
        lines(one(&layers, "overlay"))[0].starts_with("export XDG_STATE_HOME="),
        "the kernel has it: the disk has not"
    );
}

#[test]
fn tracing_that_is_closed_for_good_stops_runs() {
    for (scope, open) in [("1\n", true), ("2\n", true), ("3\n", false)] {
        let layers = Made::of(DEBIAN).set("proc/sys/kernel/yama/ptrace_scope", scope).layers(&whole());
        assert_eq!(can_run(&layers), open);
    }
}

#[test]
fn a_machine_that_says_nothing_is_read_without_a_guess() {
    let empty = Made(tempfile::tempdir().unwrap());
    let facts = empty.facts();
    assert_eq!(facts, Facts::default());
    let layers = empty.layers(&Measured::default());
    assert!(!can_run(&layers));
}
