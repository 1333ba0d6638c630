//! The filter as data, run as the kernel would run it.

use super::*;

/// Runs a program as the kernel would, on (number, architecture, arguments).
fn run(program: &[sock_filter], number: u32, arch: u32, args: [u64; 6]) -> u32 {
    let word = |offset: u32| match offset {
        NUMBER_OFFSET => number,
        ARCH_OFFSET => arch,
        other => args[((other - 16) / 8) as usize] as u32,
    };
    let (mut at, mut accumulator) = (0_usize, 0_u32);
    loop {
        let step = program[at];
        at += 1;
        let taken = match u32::from(step.code) & 0xf7 {
            code if code == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS => {
                accumulator = word(step.k);
                continue;
            }
            code if code == libc::BPF_ALU | libc::BPF_AND => {
                accumulator &= step.k;
                continue;
            }
            code if code == libc::BPF_RET => return step.k,
            code if code == libc::BPF_JMP | libc::BPF_JEQ => accumulator == step.k,
            code if code == libc::BPF_JMP | libc::BPF_JGE => accumulator >= step.k,
            code if code == libc::BPF_JMP | libc::BPF_JSET => accumulator & step.k != 0,
            code => panic!("unknown instruction {code:#x}"),
        };
        at += usize::from(if taken { step.jt } else { step.jf });
    }
}

fn answer(duty: Duty, number: i64, args: [u64; 6]) -> u32 {
    run(&compile(&lines(duty)), number as u32, AUDIT_ARCH, args)
}

const PLAIN: Duty = Duty { evidence: Evidence::Full, nested: false, bare: false };
const ALONE: Duty = Duty { evidence: Evidence::Full, nested: false, bare: true };

#[test]
fn every_line_does_what_it_says_and_its_neighbours_stay_allowed() {
    for evidence in [Evidence::Full, Evidence::Writes, Evidence::Exec] {
        for (nested, bare) in [(false, false), (true, false), (false, true)] {
            let duty = Duty { evidence, nested, bare };
            for line in lines(duty) {
                let mut args = [0_u64; 6];
                for when in line.when {
                    match *when {
                        Bits(arg, value) | Equal(arg, value) => args[arg as usize] = u64::from(value),
                        NoneOf(arg, _) | MaskedNoneOf(arg, ..) => args[arg as usize] = 0x4028,
                        NoBits(arg, _) => args[arg as usize] = 0,
                    }
                }
                for (name, number) in line.calls {
                    let expected = super::answer(line.answer).k;
                    assert_eq!(answer(duty, *number, args), expected, "{name}");
                }
            }
            for allowed in [libc::SYS_read, libc::SYS_mmap, libc::SYS_ptrace, libc::SYS_memfd_create, 462] {
                assert_eq!(answer(duty, allowed, [0; 6]), libc::SECCOMP_RET_ALLOW);
            }
            assert_eq!(answer(duty, 463, [0; 6]), super::answer(UNKNOWN).k);
        }
    }
}

#[test]
fn the_filter_in_words() {
    insta::assert_snapshot!(describe(Evidence::Full, false, false).join("\n"), @r"
    seen    execve, execveat: every exec is seen, on the words the kernel takes
    seen    connect: every attempt to reach out is seen
    seen    exit_group: every process that ends itself is seen, with its status and its time
    seen    open, openat, openat2, creat: every open is seen
    seen    rename, renameat, renameat2, link, linkat: every other name for a file is seen; where opens are judged, a denied file must not get one
    seen    unlink, unlinkat, rmdir, truncate: whatever is emptied or removed by its name is seen; where opens are judged, it must be one that may be written
    seen    mkdir, mkdirat, symlink, symlinkat, mknod, mknodat: whatever comes to be as a folder or a link is seen; where opens are judged, its name must be one that may be written
    closed  unshare: new namespaces would bring capabilities back
    closed  clone: new namespaces would bring capabilities back
    unknown clone3: its flags lie behind a pointer; libraries fall back to clone
    closed  setns: joining a namespace leaves the confinement
    closed  mount, umount2, pivot_root, chroot, move_mount, open_tree, fsopen, fsconfig, fsmount, fspick, mount_setattr: the view is fixed
    unknown io_uring_setup, io_uring_enter, io_uring_register: a ring opens and connects without being seen
    closed  bpf: kernel programs are not for agents
    closed  perf_event_open: watches other processes and the kernel
    closed  userfaultfd: stops the kernel in the middle of a copy: the tool of races
    closed  keyctl, add_key, request_key: kernel keyrings are shared by everything the user runs
    closed  open_by_handle_at: opens by inode, around every path
    closed  name_to_handle_at: a handle is only good for that
    closed  kexec_load, kexec_file_load, reboot: replaces or ends the kernel
    closed  init_module, finit_module, delete_module: changes kernel code
    closed  swapon, swapoff, acct, quotactl, settimeofday, clock_settime: reconfigures the machine
    closed  syslog, lookup_dcookie: reads what the kernel says of itself
    closed  iopl, ioperm: raw ports
    closed  vhangup: takes the terminal away
    closed  fanotify_init: watches whole file systems
    closed  personality: old ways of running switch defences off
    closed  socket: families that leave the network namespace
    closed  socket: of netlink, only what lists addresses
    closed  socket: of the internet, TCP and UDP
    closed  socket: of the internet, TCP and UDP
    closed  sendto, sendmmsg: connects without being seen; programs fall back to connect
    closed  sendmsg: connects without being seen; programs fall back to connect
    closed  ioctl: types into a terminal
    closed  ioctl: pastes into a console
    closed  ioctl: line disciplines bring drivers in
    ");
}

#[test]
fn conditions_let_the_ordinary_case_through() {
    assert_eq!(
        answer(PLAIN, libc::SYS_clone, [libc::SIGCHLD as u64, 0, 0, 0, 0, 0]),
        libc::SECCOMP_RET_ALLOW
    );
    assert_eq!(
        answer(PLAIN, libc::SYS_socket, [libc::AF_INET as u64, 1, 0, 0, 0, 0]),
        libc::SECCOMP_RET_ALLOW
    );
    assert_eq!(
        answer(PLAIN, libc::SYS_socket, [libc::AF_NETLINK as u64, 3, 0, 0, 0, 0]),
        libc::SECCOMP_RET_ALLOW
    );
    let files = libc::CLONE_FILES as u64;
    assert_eq!(answer(PLAIN, libc::SYS_unshare, [files, 0, 0, 0, 0, 0]), libc::SECCOMP_RET_ALLOW);
    for persona in PERSONALITIES {
        let args = [u64::from(*persona), 0, 0, 0, 0, 0];
        assert_eq!(answer(PLAIN, libc::SYS_personality, args), libc::SECCOMP_RET_ALLOW);
    }
    assert_eq!(answer(PLAIN, libc::SYS_ioctl, [0, libc::TCGETS, 0, 0, 0, 0]), libc::SECCOMP_RET_ALLOW);
    // The high half of an ioctl request is ignored by the kernel, so it must not hide TIOCSTI.
    let hidden = libc::TIOCSTI | 0xdead_0000_0000_0000;
    assert_eq!(
        answer(PLAIN, libc::SYS_ioctl, [0, hidden, 0, 0, 0, 0]),
        libc::SECCOMP_RET_ERRNO | libc::EPERM as u32
    );
}

#[test]
fn without_namespaces_what_leaves_the_run_is_closed_and_ordinary_work_is_not() {
    let of = |number: i64, args: &[u64]| {
        let mut all = [0; 6];
        all[..args.len()].copy_from_slice(args);
        answer(ALONE, number, all)
    };
    let (unix, inet, inet6) = (libc::AF_UNIX as u64, libc::AF_INET as u64, libc::AF_INET6 as u64);
    let (stream, datagram) = (libc::SOCK_STREAM as u64, libc::SOCK_DGRAM as u64);
    let flags = (libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) as u64;
    let open = [
        (libc::SYS_socket, vec![unix, stream | flags]),
        (libc::SYS_socket, vec![inet, stream | flags, 6]),
        (libc::SYS_socket, vec![inet6, stream]),
        (libc::SYS_socketpair, vec![unix, libc::SOCK_SEQPACKET as u64 | flags]),
        (libc::SYS_sendto, vec![3, 0, 0, libc::MSG_NOSIGNAL as u64]),
        (libc::SYS_clone, vec![(libc::CLONE_THREAD | libc::CLONE_VM) as u64]),
        (libc::SYS_prlimit64, vec![0]),
        (libc::SYS_ioctl, vec![0, libc::TCGETS]),
        (libc::SYS_ioctl, vec![0, libc::FIONBIO]),
        (libc::SYS_ioctl, vec![0, 0x4004_9409]),
    ];
    for (number, args) in open {
        assert_eq!(of(number, &args), libc::SECCOMP_RET_ALLOW, "{number} {args:x?}");
    }
    let closed = [
        (libc::SYS_socket, vec![unix, datagram | flags]),
        // The kernel takes this for the one before.
        (libc::SYS_socket, vec![unix, libc::SOCK_RAW as u64]),
        (libc::SYS_socketpair, vec![unix, datagram]),
        (libc::SYS_socket, vec![inet, datagram]),
        (libc::SYS_socket, vec![inet6, datagram | flags]),
        (libc::SYS_socket, vec![inet, stream, 262]),
        (libc::SYS_socket, vec![inet6, stream, 132]),
        (libc::SYS_sendto, vec![3, 0, 0, libc::MSG_FASTOPEN as u64]),
        (libc::SYS_sendmsg, vec![3, 0, libc::MSG_FASTOPEN as u64]),
        (libc::SYS_sendmmsg, vec![3, 0, 1, libc::MSG_FASTOPEN as u64]),
        (libc::SYS_shmget, vec![]),
        (libc::SYS_prlimit64, vec![7]),
        (libc::SYS_setpriority, vec![2, 0]),
        // Flags of a file, a subvolume in a folder, and a file that nobody changes any more.
        (libc::SYS_ioctl, vec![3, 0x4008_6602]),
        (libc::SYS_ioctl, vec![3, 0x5000_940e]),
        (libc::SYS_ioctl, vec![3, 0x4080_6685]),
    ];
    for (number, args) in closed {
        let answer = of(number, &args);
        assert_eq!(answer & !libc::SECCOMP_RET_DATA, libc::SECCOMP_RET_ERRNO, "{number} {args:x?}");
    }
    for number in [libc::SYS_fork, libc::SYS_bind, libc::SYS_listen, libc::SYS_fchmod, libc::SYS_utimensat] {
        assert_eq!(of(number, &[]), libc::SECCOMP_RET_USER_NOTIF, "{number}");
    }
    assert_eq!(of(libc::SYS_clone, &[libc::SIGCHLD as u64]), libc::SECCOMP_RET_USER_NOTIF);
}

#[test]
fn each_depth_sees_what_it_says() {
    let seen = |evidence, number, args: [u64; 6]| {
        answer(Duty { evidence, nested: false, bare: false }, number, args) == libc::SECCOMP_RET_USER_NOTIF
    };
    let flags = |flags: i32| [0, flags as u64, flags as u64, 0, 0, 0];
    let (read, change) = (
        [libc::O_RDONLY, libc::O_DIRECTORY | libc::O_CLOEXEC, libc::O_PATH],
        [
            libc::O_WRONLY,
            libc::O_RDWR,
            libc::O_CREAT,
            libc::O_TRUNC,
            libc::O_APPEND,
            libc::O_TMPFILE | libc::O_RDWR,
        ],
    );
    use Evidence::{Exec, Full, Writes};
    for number in [libc::SYS_open, libc::SYS_openat] {
        for flag in read {
            assert!(seen(Full, number, flags(flag)) && !seen(Writes, number, flags(flag)), "{flag:#o}");
        }
        for flag in change {
            assert!(seen(Full, number, flags(flag)) && seen(Writes, number, flags(flag)), "{flag:#o}");
            assert!(!seen(Exec, number, flags(flag)));
        }
    }
    for number in
        [libc::SYS_openat2, libc::SYS_creat, libc::SYS_renameat2, libc::SYS_mkdir, libc::SYS_unlinkat]
    {
        assert!(seen(Full, number, [0; 6]) && seen(Writes, number, [0; 6]) && !seen(Exec, number, [0; 6]));
    }
    for number in [libc::SYS_execve, libc::SYS_execveat, libc::SYS_connect, libc::SYS_exit_group] {
        assert!([Full, Writes, Exec].iter().all(|depth| seen(*depth, number, [0; 6])));
    }
}

#[test]
fn another_architecture_is_fatal() {
    let program = compile(&lines(PLAIN));
    assert_eq!(run(&program, 0, 0x4000_0003, [0; 6]), libc::SECCOMP_RET_KILL_PROCESS);
    assert_eq!(run(&program, 0x4000_0000, AUDIT_ARCH, [0; 6]), libc::SECCOMP_RET_KILL_PROCESS);
}

#[test]
fn nested_opens_namespaces_and_nothing_else() {
    let nested = Duty { evidence: Evidence::Full, nested: true, bare: false };
    let user = libc::CLONE_NEWUSER as u64;
    assert_eq!(answer(nested, libc::SYS_unshare, [user, 0, 0, 0, 0, 0]), libc::SECCOMP_RET_ALLOW);
    assert_eq!(answer(nested, libc::SYS_bpf, [0; 6]), libc::SECCOMP_RET_ERRNO | libc::EPERM as u32);
}
