//! Closed calls: what leads out of a confinement fails, tried from a program inside.

use super::runner::Case;
use super::scene::Scene;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

pub(crate) const CASES: &[Case] = &[
    ("calls_that_lead_out_are_closed", calls_that_lead_out_are_closed),
    ("calls_that_builds_need_are_open", calls_that_builds_need_are_open),
    ("calls_of_another_architecture_end_the_process", calls_of_another_architecture_end_the_process),
    ("pid_one_cannot_be_reached", pid_one_cannot_be_reached),
    ("nested_opens_namespaces_when_the_policy_says_so", nested_opens_namespaces),
];

/// A call by name and number, its arguments as Perl has them, and the errno it must end in (0 for none).
type Probe = (&'static str, i64, &'static str, i32);

macro_rules! probe {
    ($name:ident($args:expr) => $errno:ident) => {
        (stringify!($name), libc::$name, $args, libc::$errno)
    };
    ($name:ident($args:expr)) => {
        (stringify!($name), libc::$name, $args, 0)
    };
}

fn expect(root: &Path, probes: &[Probe]) {
    let mut script = String::from(
        "$| = 1; my $b = \"\\0\" x 256; my $r;\nsub call { my ($n, @words) = @_; syscall($n, @words) }\n",
    );
    let mut expected = String::new();
    for (name, number, args, errno) in probes {
        writeln!(
            script,
            "$! = 0; $r = call({number}, {args}); print q({name} {number} ), $r == -1 ? $!+0 : 0, qq(\\n);"
        )
        .unwrap();
        writeln!(expected, "{name} {number} {errno}").unwrap();
    }
    let ran = Scene::new(root).run(&["/usr/bin/perl", "-e", &script]);
    assert_eq!(ran.fine(), expected);
}

fn calls_that_lead_out_are_closed(root: &Path) {
    const PROBES: &[Probe] = &[
        probe!(SYS_unshare("0x10000000") => EPERM),
        probe!(SYS_unshare("0x20000") => EPERM),
        probe!(SYS_unshare("0x40000000") => EPERM),
        probe!(SYS_unshare("0x80") => EPERM),
        probe!(SYS_clone("0x10000011, 0, 0, 0, 0") => EPERM),
        probe!(SYS_clone("0x20011, 0, 0, 0, 0") => EPERM),
        probe!(SYS_clone3("$b, 88") => ENOSYS),
        probe!(SYS_setns("0, 0") => EPERM),
        probe!(SYS_mount("'none', '/tmp', 'tmpfs', 0, 0") => EPERM),
        probe!(SYS_umount2("'/tmp', 2") => EPERM),
        probe!(SYS_pivot_root("'.', '.'") => EPERM),
        probe!(SYS_chroot("'/tmp'") => EPERM),
        probe!(SYS_move_mount("-100, '/tmp', -100, '/run', 0") => EPERM),
        probe!(SYS_open_tree("-100, '/', 1") => EPERM),
        probe!(SYS_fsopen("'tmpfs', 0") => EPERM),
        probe!(SYS_fsmount("0, 0, 0") => EPERM),
        probe!(SYS_mount_setattr("-100, '/', 0, $b, 32") => EPERM),
        ("open_tree_attr", 467, "-100, '/', 1, 0, 0", libc::ENOSYS),
        ("newer", 500, "0", libc::ENOSYS),
        probe!(SYS_io_uring_setup("8, $b") => ENOSYS),
        probe!(SYS_io_uring_enter("0, 1, 0, 0, 0, 0") => ENOSYS),
        probe!(SYS_io_uring_register("0, 0, 0, 0") => ENOSYS),
        probe!(SYS_bpf("0, $b, 128") => EPERM),
        probe!(SYS_perf_event_open("$b, 0, -1, -1, 0") => EPERM),
        probe!(SYS_userfaultfd("1") => EPERM),
        probe!(SYS_keyctl("0, -3, 0") => EPERM),
        probe!(SYS_add_key("'user', 'a', 'b', 1, -3") => EPERM),
        probe!(SYS_request_key("'user', 'a', 0, -3") => EPERM),
        probe!(SYS_open_by_handle_at("0, $b, 0") => EPERM),
        probe!(SYS_name_to_handle_at("-100, '/', $b, $b, 0") => EOPNOTSUPP),
        probe!(SYS_kexec_load("0, 0, 0, 0") => EPERM),
        probe!(SYS_init_module("$b, 1, ''") => EPERM),
        probe!(SYS_finit_module("0, '', 0") => EPERM),
        probe!(SYS_delete_module("'x', 0") => EPERM),
        probe!(SYS_swapon("'/tmp', 0") => EPERM),
        probe!(SYS_acct("0") => EPERM),
        probe!(SYS_settimeofday("0, 0") => EPERM),
        probe!(SYS_clock_settime("0, $b") => EPERM),
        probe!(SYS_syslog("10, 0, 0") => EPERM),
        probe!(SYS_iopl("3") => EPERM),
        probe!(SYS_ioperm("0, 1, 1") => EPERM),
        probe!(SYS_vhangup("0") => EPERM),
        probe!(SYS_fanotify_init("0, 0") => EPERM),
        probe!(SYS_personality("0x400000") => EPERM),
        probe!(SYS_personality("0x200000") => EPERM),
        probe!(SYS_socket("40, 1, 0") => EAFNOSUPPORT),
        probe!(SYS_socket("17, 3, 0") => EAFNOSUPPORT),
        probe!(SYS_socket("38, 5, 0") => EAFNOSUPPORT),
        probe!(SYS_socket("16, 3, 16") => EPROTONOSUPPORT),
        probe!(SYS_socket("16, 3, 4") => EPROTONOSUPPORT),
        probe!(SYS_socket("2, 3, 1") => EPERM),
        // MPTCP, SCTP, SMC, DCCP and bare IP.
        probe!(SYS_socket("2, 1, 262") => EPROTONOSUPPORT),
        probe!(SYS_socket("10, 1, 262") => EPROTONOSUPPORT),
        probe!(SYS_socket("2, 5, 132") => EPROTONOSUPPORT),
        probe!(SYS_socket("10, 1, 256") => EPROTONOSUPPORT),
        probe!(SYS_socket("2, 6, 33") => EPROTONOSUPPORT),
        probe!(SYS_socket("2, 3, 255") => EPROTONOSUPPORT),
        probe!(SYS_sendto("0, 'x', 1, 0x20000000, $b, 16") => EOPNOTSUPP),
        probe!(SYS_sendmsg("0, $b, 0x20000000") => EOPNOTSUPP),
        probe!(SYS_sendmmsg("0, $b, 1, 0x20000040") => EOPNOTSUPP),
        probe!(SYS_ioctl("0, 0x5412, $b") => EPERM),
        probe!(SYS_ioctl("0, 0x541c, $b") => EPERM),
        probe!(SYS_ioctl("0, 0x5423, $b") => EPERM),
        probe!(SYS_mknod("'/tmp/disk', 060600, 0x801") => EPERM),
    ];
    expect(root, PROBES);
}

fn calls_that_builds_need_are_open(root: &Path) {
    const PROBES: &[Probe] = &[
        probe!(SYS_unshare("0x400")),
        probe!(SYS_personality("0xffffffff")),
        probe!(SYS_personality("0x40000")),
        probe!(SYS_prctl("1, 0, 0, 0, 0")),
        probe!(SYS_mknod("'/tmp/fifo', 010600, 0")),
        probe!(SYS_statx("-100, '/', 0, 0xfff, $b")),
        probe!(SYS_ptrace("0, 0, 0, 0")),
    ];
    expect(root, PROBES);
}

/// A program for i386 that exits with 42, by its own architecture's way into the kernel.
fn i386_program() -> Vec<u8> {
    const CODE: &[u8] = &[0xb8, 1, 0, 0, 0, 0xbb, 42, 0, 0, 0, 0xcd, 0x80];
    const BASE: u32 = 0x0804_8000;
    let half = |value: u16| value.to_le_bytes().to_vec();
    let word = |value: u32| value.to_le_bytes().to_vec();
    let length = 84 + CODE.len() as u32;
    let start = [b"\x7fELF\x01\x01\x01".to_vec(), vec![0; 9], half(2), half(3), word(1)];
    let header = [word(BASE + 84), word(52), word(0), word(0), half(52), half(32), half(1)];
    let sections = [half(0), half(0), half(0)];
    let segment =
        [word(1), word(0), word(BASE), word(BASE), word(length), word(length), word(5), word(0x1000)];
    [start.concat(), header.concat(), sections.concat(), segment.concat(), CODE.to_vec()].concat()
}

fn calls_of_another_architecture_end_the_process(root: &Path) {
    let scene = Scene::new(root);
    let program = scene.work().join("i386");
    fs::write(&program, i386_program()).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let ran = scene.bash(
        "exec 2>/dev/null; perl -e 'syscall(0x40000000 + 39); print qq(x32\\n)'; echo $?; ./i386; echo $?; exit 0",
    );
    // 159 is 128 and SIGSYS; 126 where the kernel has no such programs at all.
    assert!(["159\n159\n", "159\n126\n"].contains(&ran.fine()), "{}", ran.out);
}

fn pid_one_cannot_be_reached(root: &Path) {
    const PROBES: &[Probe] = &[
        probe!(SYS_ptrace("0x4206, 1, 0, 0") => EPERM),
        probe!(SYS_ptrace("16, 1, 0, 0") => EPERM),
        probe!(SYS_process_vm_readv("1, pack(q(PQ), $b, 8), 1, pack(q(QQ), 4096, 8), 1, 0") => EPERM),
        probe!(SYS_kill("1, 9") => EPERM),
        probe!(SYS_kcmp("$$, 1, 0, 0, 0") => EPERM),
        // Descriptor 0 of PID 1, by a descriptor of PID 1.
        probe!(SYS_pidfd_getfd("syscall(434, 1, 0), 0, 0") => EPERM),
    ];
    expect(root, PROBES);
}

fn nested_opens_namespaces(root: &Path) {
    let mut scene = Scene::new(root);
    scene.head = "nested = true\n".to_owned();
    // The kernel lets nobody without a capability map the host's root again: as root a namespace has no rights inside.
    let inside = if rustix::process::geteuid().is_root() {
        "unshare -U --mount --pid --fork echo new"
    } else {
        "unshare -Ur --mount --pid --fork bash -c 'mount -t tmpfs none /tmp && cat /etc/hostname >/tmp/x && echo new'"
    };
    let bpf = format!("my $b = qq(\\0) x 128; syscall({}, 0, $b, 128); print $!+0", libc::SYS_bpf);
    let script = format!("{inside}; perl -e '{bpf}'");
    let set = scene.set(&["/bin/bash", "-c", &script]);
    assert!(set.asked.nested);
    assert_eq!(set.jail.enforcement().landlock_abi, 0, "the enforcement says what was given up");
    let ran = set.go().unwrap().end();
    assert_eq!(ran.fine(), format!("new\n{}", libc::EPERM));
}
