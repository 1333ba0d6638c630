//! The kernel: calls that bring power back, watch others, or act unseen; other architectures.
//!
//! Every attempt here is one that does no harm where it succeeds: a defence that is missing must not cost the machine.

use super::everybody;
use e2e::ran::wait_until;
use e2e::stage::Stage;
use std::time::Duration;

/// An attempt, how it is refused, and whether a person can make it outside at all.
struct Held {
    attempt: &'static str,
    with: &'static str,
    outside: Outside,
}

/// Who can make an attempt outside, on every machine that these tests are run on.
#[derive(PartialEq)]
enum Outside {
    Everybody,
    Root,
    /// It depends on the machine, or must not be tried.
    Unsure,
}

const fn held(attempt: &'static str, with: &'static str, outside: Outside) -> Held {
    Held { attempt, with, outside }
}

const HELD: &[Held] = &[
    held("unshare-user", "EPERM", Outside::Unsure),
    held("unshare-net", "EPERM", Outside::Root),
    held("unshare-mount", "EPERM", Outside::Root),
    held("clone-user", "EPERM", Outside::Unsure),
    held("clone3", "ENOSYS", Outside::Unsure),
    held("setns /proc/self/ns/net", "EPERM", Outside::Root),
    held("mount src", "EPERM", Outside::Unsure),
    held("umount src", "EPERM", Outside::Unsure),
    held("chroot /", "EPERM", Outside::Root),
    held("pivot-root /", "EPERM", Outside::Unsure),
    held("fsopen", "EPERM", Outside::Root),
    held("open-tree /", "EPERM", Outside::Root),
    held("io-uring", "ENOSYS", Outside::Unsure),
    held("userfaultfd", "EPERM", Outside::Unsure),
    held("bpf", "EPERM", Outside::Root),
    held("perf", "EPERM", Outside::Unsure),
    held("keyctl", "EPERM", Outside::Everybody),
    held("add-key", "EPERM", Outside::Everybody),
    held("fanotify", "EPERM", Outside::Root),
    held("kernel-log", "EPERM", Outside::Root),
    held("set-clock", "EPERM", Outside::Unsure),
    held("raw-ports", "EPERM", Outside::Unsure),
    held("load-module", "EPERM", Outside::Unsure),
    held("by-handle /etc/hostname", "EPERM", Outside::Root),
    held("device device", "EPERM", Outside::Unsure),
    held("vsock", "EAFNOSUPPORT", Outside::Unsure),
    held("packet", "EAFNOSUPPORT", Outside::Root),
    held("kernel-crypto", "EAFNOSUPPORT", Outside::Unsure),
    held("raw", "EPERM", Outside::Root),
    held("raw6", "EPERM", Outside::Root),
    held("type-into-terminal", "EPERM", Outside::Unsure),
];

#[test]
fn what_brings_power_back_or_acts_unseen_is_closed() {
    everybody(|stage| {
        let attempts: String = HELD.iter().map(|one| format!("./probe {}\n", one.attempt)).collect();
        let inside = stage.inside(&(attempts + "true")).ended(0);
        for one in HELD {
            let name = one.attempt.split(' ').next().unwrap();
            let line = inside.stdout.lines().find(|line| line.starts_with(&format!("{name}:")));
            assert_eq!(line, Some(format!("{name}: {}", one.with).as_str()), "{inside}");
            let able =
                one.outside == Outside::Everybody || (one.outside == Outside::Root && stage.person.uid == 0);
            if able {
                stage.outside(&format!("./probe {}", one.attempt)).ended(0);
            }
        }
    });
}

#[test]
fn a_call_of_another_architecture_ends_the_process() {
    everybody(|stage| {
        // 31 is SIGSYS: the kernel ended it.
        for attempt in ["i386", "x32"] {
            stage.inside(&format!("./probe {attempt}")).ended(128 + 31);
        }
    });
}

#[test]
fn processes_outside_are_out_of_reach() {
    everybody(|stage| {
        let mut sleeper = e2e::ran::Running::start(stage.command("/bin/sleep").arg("600"));
        let pid = sleeper.pid();
        let line = format!(
            "for pid in {pid} 1; do ./probe ptrace $pid; ./probe read-memory $pid; ./probe steal-descriptor $pid
             ./probe compare $pid; ./probe advise $pid; done
             ./probe kill {pid}; true"
        );
        let ran = stage.inside(&line);
        assert!(!ran.stdout.contains("done"), "{ran}");
        assert!(sleeper.runs(), "a process outside was killed from inside");
        stage.outside(&format!("./probe steal-descriptor {pid}")).ended(0);
        stage.outside(&format!("./probe ptrace {pid}")).ended(0);
    });
}

#[test]
fn nobody_inside_has_the_power_of_root() {
    everybody(|stage| {
        let ran = stage.inside("cat /proc/self/status").ended(0);
        let line = |name: &str| {
            ran.stdout.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim()
        };
        assert_eq!(line("NoNewPrivs:"), "1", "{ran}");
        assert_eq!(line("Seccomp:"), "2", "{ran}");
        for set in ["CapEff:", "CapPrm:", "CapInh:", "CapAmb:", "CapBnd:"] {
            assert_eq!(line(set).trim_start_matches('0'), "", "{set} {ran}");
        }
        // The host's root owns these, and they do not move, whoever started the run.
        let moved = stage.inside(
            "for knob in /proc/sys/kernel/core_pattern /proc/sys/kernel/hostname /proc/sys/vm/swappiness; do
             now=$(cat $knob) && printf %s \"$now\" > $knob && echo moved $knob; done
             for knob in /proc/sysrq-trigger /sys/power/state; do test -w $knob && echo moved $knob; done
             cat /dev/mem /dev/kmsg /proc/kcore /proc/kmsg 2>/dev/null | head -c 1 | wc -c",
        );
        assert!(!moved.stdout.contains("moved") && moved.stdout.trim() == "0", "{moved}");
    });
}

/// A word for a process that no other test uses.
fn marker(stage: &Stage) -> String {
    let name = stage.home.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    let digits: u64 = name.bytes().fold(7, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    format!("90.{}", digits % 1_000_000_007)
}

#[test]
fn what_leaves_its_session_ends_with_the_run() {
    everybody(|stage| {
        let word = marker(stage);
        stage.inside(&format!("setsid sh -c 'trap \"\" HUP TERM INT; (sleep {word} &) ; sleep {word}' >/dev/null 2>&1 & sleep 0.2")).ended(0);
        assert!(
            wait_until(Duration::from_secs(5), || !super::is_running(&word)),
            "a process outlives its run"
        );
    });
}

#[test]
fn time_that_is_up_ends_everything() {
    everybody(|stage| {
        let word = marker(stage);
        let line = format!("setsid sleep {word} & trap '' TERM INT HUP; sleep {word}");
        stage.inside_with(&["--timeout", "1s"], &line).ended(124);
        assert!(
            wait_until(Duration::from_secs(5), || !super::is_running(&word)),
            "a process outlives its run"
        );
    });
}

const NO_MARK: &str = r#"version = 1

[[rule]]
id = "no-mark"
exec = ["echo WON **"]
need = "never"
"#;

#[test]
fn nothing_that_a_program_does_to_itself_hides_what_it_starts() {
    everybody(|stage| {
        let policy = stage.policy(NO_MARK);
        // A filter of its own can only take away; two listeners cannot be; who keeps its memory to itself is read all the same.
        for how in ["under-filter allow", "under-filter log", "under-filter trace", "undumpable"] {
            let line = format!("./probe {how} /usr/bin/echo WON; ./probe {how} /usr/bin/echo fine; true");
            let ran = stage.inside_with(&["--policy", &policy], &line).ended(0);
            assert!(!ran.stdout.contains("WON"), "{how}: {ran}");
            assert!(ran.stdout.contains("EACCES"), "{how}: {ran}");
            // Where a filter of its own wants a tracer that is not there, our answer comes first.
            assert!(ran.stdout.contains("fine"), "{how}: {ran}");
        }
        let line = "./probe under-filter listener /usr/bin/echo fine; ./probe other-program /usr/bin/true; ./probe newer-calls; true";
        let ran = stage.inside_with(&["--policy", &policy], line).ended(0);
        let said: Vec<&str> = ran.stdout.lines().collect();
        assert_eq!(said, ["under-filter: EBUSY", "other-program: EPERM", "newer-calls: ENOSYS"], "{ran}");
    });
}

#[test]
fn a_program_that_nobody_may_read_or_that_would_gain_rights_is_held_as_any_other() {
    everybody(|stage| {
        let policy = stage.policy(NO_MARK);
        let line = "cp /usr/bin/echo closed; chmod 0111 closed; ./closed WON; cp /usr/bin/echo raised; chmod 6755 raised; ./raised WON
                    ./raised fine; id -u; su -c id </dev/null >/dev/null 2>&1 && echo raised; true";
        let ran = stage.inside_with(&["--policy", &policy], line).ended(0);
        assert!(!ran.stdout.contains("WON") && !ran.stdout.contains("raised"), "{ran}");
        assert!(ran.stdout.contains("fine"), "{ran}");
    });
}
