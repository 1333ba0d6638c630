//! The system-call filter of a run, as data: what is notified, refused or fatal, each with its why.
//!
//! Owns: the tables and their compilation to classic BPF. Does not own: installing it (`sys/notify.rs`), answering
//! what it notifies (`supervisor.rs`), or any decision about a path or a command.

use libc::sock_filter;

/// What the filter does with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Hold the call and ask the supervisor.
    Notify,
    /// Fail with this errno.
    Refuse(i32),
}

/// A condition on one argument of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Always.
    Any,
    /// The low 32 bits of this argument have one of these bits.
    Bits { arg: u8, mask: u32 },
    /// The low 32 bits of this argument equal this value.
    Equal { arg: u8, value: u32 },
    /// The low 32 bits of this argument are none of these values.
    NoneOf { arg: u8, values: &'static [u32] },
}

/// One line of the filter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) name: &'static str,
    number: i64,
    pub(crate) when: When,
    pub(crate) answer: Answer,
    pub(crate) why: &'static str,
}

/// What a filter is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Duty {
    /// Some rule can only be held by judging opens, so renames and links are judged too.
    pub(crate) judged_opens: bool,
    /// The policy lets the agent make namespaces of its own.
    pub(crate) nested: bool,
}

use Answer::{Notify, Refuse};
use When::{Any, Bits, Equal, NoneOf};

const fn line(name: &'static str, number: i64, when: When, answer: Answer, why: &'static str) -> Line {
    Line { name, number, when, answer, why }
}

const SEEN: &[Line] = &[
    line("execve", libc::SYS_execve, Any, Notify, "exec is judged on the words the kernel takes"),
    line("execveat", libc::SYS_execveat, Any, Notify, "exec by descriptor is exec"),
    line("open", libc::SYS_open, Any, Notify, "every open is seen"),
    line("openat", libc::SYS_openat, Any, Notify, "every open is seen"),
    line("openat2", libc::SYS_openat2, Any, Notify, "every open is seen; its flags lie behind a pointer"),
    line("creat", libc::SYS_creat, Any, Notify, "an open that creates"),
    line("connect", libc::SYS_connect, Any, Notify, "every attempt to reach out is seen"),
];

const NAMES: &[Line] = &[
    line("rename", libc::SYS_rename, Any, Notify, "a denied file must not get another name"),
    line("renameat", libc::SYS_renameat, Any, Notify, "a denied file must not get another name"),
    line("renameat2", libc::SYS_renameat2, Any, Notify, "a denied file must not get another name"),
    line("link", libc::SYS_link, Any, Notify, "a denied file must not get a second name"),
    line("linkat", libc::SYS_linkat, Any, Notify, "a denied file must not get a second name"),
];

/// Closed unless the policy says `nested = true`.
const NAMESPACES: &[Line] = &[
    line(
        "unshare",
        libc::SYS_unshare,
        Any,
        Refuse(libc::EPERM),
        "new namespaces would bring capabilities back",
    ),
    line("setns", libc::SYS_setns, Any, Refuse(libc::EPERM), "joining a namespace leaves the confinement"),
    line("mount", libc::SYS_mount, Any, Refuse(libc::EPERM), "the view is fixed"),
    line("umount2", libc::SYS_umount2, Any, Refuse(libc::EPERM), "the view is fixed"),
    line("pivot_root", libc::SYS_pivot_root, Any, Refuse(libc::EPERM), "the view is fixed"),
    line("chroot", libc::SYS_chroot, Any, Refuse(libc::EPERM), "the view is fixed"),
    line("move_mount", libc::SYS_move_mount, Any, Refuse(libc::EPERM), "the view is fixed"),
    line("open_tree", libc::SYS_open_tree, Any, Refuse(libc::EPERM), "the view is fixed"),
    line("fsopen", libc::SYS_fsopen, Any, Refuse(libc::EPERM), "the view is fixed"),
    line("fsconfig", libc::SYS_fsconfig, Any, Refuse(libc::EPERM), "the view is fixed"),
    line("fsmount", libc::SYS_fsmount, Any, Refuse(libc::EPERM), "the view is fixed"),
    line("fspick", libc::SYS_fspick, Any, Refuse(libc::EPERM), "the view is fixed"),
    line("mount_setattr", libc::SYS_mount_setattr, Any, Refuse(libc::EPERM), "the view is fixed"),
    line(
        "clone",
        libc::SYS_clone,
        Bits { arg: 0, mask: NEW_NAMESPACE },
        Refuse(libc::EPERM),
        "new namespaces would bring capabilities back",
    ),
    line(
        "clone3",
        libc::SYS_clone3,
        Any,
        Refuse(libc::ENOSYS),
        "its flags lie behind a pointer; libraries fall back to clone",
    ),
];

const NEW_NAMESPACE: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32;

/// Address families a program may open: the rest (vsock, packet, alg, bluetooth, ...) leave the network namespace or
/// reach kernel code that no build needs.
const FAMILIES: &[u32] =
    &[libc::AF_UNIX as u32, libc::AF_INET as u32, libc::AF_INET6 as u32, libc::AF_NETLINK as u32];

const CLOSED: &[Line] = &[
    line(
        "io_uring_setup",
        libc::SYS_io_uring_setup,
        Any,
        Refuse(libc::ENOSYS),
        "a ring opens and connects without being seen",
    ),
    line(
        "io_uring_enter",
        libc::SYS_io_uring_enter,
        Any,
        Refuse(libc::ENOSYS),
        "a ring opens and connects without being seen",
    ),
    line(
        "io_uring_register",
        libc::SYS_io_uring_register,
        Any,
        Refuse(libc::ENOSYS),
        "a ring opens and connects without being seen",
    ),
    line("bpf", libc::SYS_bpf, Any, Refuse(libc::EPERM), "kernel programs are not for agents"),
    line(
        "perf_event_open",
        libc::SYS_perf_event_open,
        Any,
        Refuse(libc::EPERM),
        "watches other processes and the kernel",
    ),
    line(
        "userfaultfd",
        libc::SYS_userfaultfd,
        Any,
        Refuse(libc::EPERM),
        "stops the kernel in the middle of a copy: the tool of races",
    ),
    line(
        "keyctl",
        libc::SYS_keyctl,
        Any,
        Refuse(libc::EPERM),
        "kernel keyrings are shared by everything the user runs",
    ),
    line(
        "add_key",
        libc::SYS_add_key,
        Any,
        Refuse(libc::EPERM),
        "kernel keyrings are shared by everything the user runs",
    ),
    line(
        "request_key",
        libc::SYS_request_key,
        Any,
        Refuse(libc::EPERM),
        "kernel keyrings are shared by everything the user runs",
    ),
    line(
        "open_by_handle_at",
        libc::SYS_open_by_handle_at,
        Any,
        Refuse(libc::EPERM),
        "opens by inode, around every path",
    ),
    line("kexec_load", libc::SYS_kexec_load, Any, Refuse(libc::EPERM), "replaces the kernel"),
    line("kexec_file_load", libc::SYS_kexec_file_load, Any, Refuse(libc::EPERM), "replaces the kernel"),
    line("init_module", libc::SYS_init_module, Any, Refuse(libc::EPERM), "loads kernel code"),
    line("finit_module", libc::SYS_finit_module, Any, Refuse(libc::EPERM), "loads kernel code"),
    line("delete_module", libc::SYS_delete_module, Any, Refuse(libc::EPERM), "unloads kernel code"),
    line("reboot", libc::SYS_reboot, Any, Refuse(libc::EPERM), "ends the machine"),
    line("swapon", libc::SYS_swapon, Any, Refuse(libc::EPERM), "reconfigures the machine"),
    line("swapoff", libc::SYS_swapoff, Any, Refuse(libc::EPERM), "reconfigures the machine"),
    line("acct", libc::SYS_acct, Any, Refuse(libc::EPERM), "reconfigures the machine"),
    line("quotactl", libc::SYS_quotactl, Any, Refuse(libc::EPERM), "reconfigures the machine"),
    line("settimeofday", libc::SYS_settimeofday, Any, Refuse(libc::EPERM), "reconfigures the machine"),
    line("clock_settime", libc::SYS_clock_settime, Any, Refuse(libc::EPERM), "reconfigures the machine"),
    line("syslog", libc::SYS_syslog, Any, Refuse(libc::EPERM), "reads the kernel log"),
    line("iopl", libc::SYS_iopl, Any, Refuse(libc::EPERM), "raw ports"),
    line("ioperm", libc::SYS_ioperm, Any, Refuse(libc::EPERM), "raw ports"),
    line("lookup_dcookie", libc::SYS_lookup_dcookie, Any, Refuse(libc::EPERM), "kernel profiling"),
    line("vhangup", libc::SYS_vhangup, Any, Refuse(libc::EPERM), "takes the terminal away"),
    line("fanotify_init", libc::SYS_fanotify_init, Any, Refuse(libc::EPERM), "watches the whole file system"),
    line(
        "socket",
        libc::SYS_socket,
        NoneOf { arg: 0, values: FAMILIES },
        Refuse(libc::EAFNOSUPPORT),
        "families that leave the network namespace",
    ),
    line(
        "ioctl",
        libc::SYS_ioctl,
        Equal { arg: 1, value: libc::TIOCSTI as u32 },
        Refuse(libc::EPERM),
        "types into a terminal",
    ),
    line(
        "ioctl",
        libc::SYS_ioctl,
        Equal { arg: 1, value: 0x541c },
        Refuse(libc::EPERM),
        "TIOCLINUX pastes into a console",
    ),
];

/// The lines of a filter, in the order in which they are tried.
pub(crate) fn lines(duty: Duty) -> Vec<Line> {
    let names = if duty.judged_opens { NAMES } else { &[] };
    let namespaces = if duty.nested { &[] } else { NAMESPACES };
    [SEEN, names, namespaces, CLOSED].concat()
}

/// Compiles the lines to the program that the kernel runs on every call.
///
/// Calls of another architecture (i386, x32) end the process: their numbers mean other calls.
pub(crate) fn compile(lines: &[Line]) -> Vec<sock_filter> {
    let mut program = vec![
        load(ARCH_OFFSET),
        jump_equal(AUDIT_ARCH, 1, 0),
        ret(libc::SECCOMP_RET_KILL_PROCESS),
        load(NUMBER_OFFSET),
        jump_at_least(X32_BIT, 0, 1),
        ret(libc::SECCOMP_RET_KILL_PROCESS),
    ];
    for line in lines {
        let body = body(line);
        let number = u32::try_from(line.number).unwrap_or(u32::MAX);
        program.push(jump_equal(number, 0, body.len() as u8));
        program.extend(body);
    }
    program.push(ret(libc::SECCOMP_RET_ALLOW));
    program
}

/// What follows once the number matches. A condition that does not hold reloads the number and falls through, so
/// that several lines may speak of one call.
fn body(line: &Line) -> Vec<sock_filter> {
    let answer = ret(match line.answer {
        Notify => libc::SECCOMP_RET_USER_NOTIF,
        Refuse(errno) => libc::SECCOMP_RET_ERRNO | (errno as u32 & libc::SECCOMP_RET_DATA),
    });
    match line.when {
        Any => vec![answer],
        Bits { arg, mask } => vec![load(argument(arg)), jump_bits(mask, 0, 1), answer, load(NUMBER_OFFSET)],
        Equal { arg, value } => {
            vec![load(argument(arg)), jump_equal(value, 0, 1), answer, load(NUMBER_OFFSET)]
        }
        NoneOf { arg, values } => {
            let mut body = vec![load(argument(arg))];
            for (index, value) in values.iter().enumerate() {
                body.push(jump_equal(*value, (values.len() - index) as u8, 0));
            }
            body.extend([answer, load(NUMBER_OFFSET)]);
            body
        }
    }
}

/// Offsets into `struct seccomp_data`.
const NUMBER_OFFSET: u32 = 0;
const ARCH_OFFSET: u32 = 4;
const X32_BIT: u32 = 0x4000_0000;
/// `AUDIT_ARCH_X86_64`, the one architecture this version confines.
const AUDIT_ARCH: u32 = 0xc000_003e;

/// Offset of the low half of an argument (little endian).
const fn argument(index: u8) -> u32 {
    16 + 8 * index as u32
}

const fn load(offset: u32) -> sock_filter {
    sock_filter { code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, jt: 0, jf: 0, k: offset }
}

const fn ret(value: u32) -> sock_filter {
    sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: value }
}

const fn jump_equal(value: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, jt, jf, k: value }
}

const fn jump_at_least(value: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16, jt, jf, k: value }
}

const fn jump_bits(mask: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16, jt, jf, k: mask }
}

#[cfg(test)]
mod tests {
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

    const PLAIN: Duty = Duty { judged_opens: false, nested: false };

    #[test]
    fn every_line_does_what_it_says_and_its_neighbours_stay_allowed() {
        for duty in
            [PLAIN, Duty { judged_opens: true, nested: false }, Duty { judged_opens: true, nested: true }]
        {
            for line in lines(duty) {
                let mut args = [0_u64; 6];
                match line.when {
                    Any => {}
                    Bits { arg, mask } => args[arg as usize] = u64::from(mask),
                    Equal { arg, value } => args[arg as usize] = u64::from(value),
                    NoneOf { arg, .. } => args[arg as usize] = 40,
                }
                let expected = match line.answer {
                    Notify => libc::SECCOMP_RET_USER_NOTIF,
                    Refuse(errno) => libc::SECCOMP_RET_ERRNO | errno as u32,
                };
                assert_eq!(answer(duty, line.number, args), expected, "{}", line.name);
            }
            for allowed in
                [libc::SYS_read, libc::SYS_write, libc::SYS_mmap, libc::SYS_ptrace, libc::SYS_memfd_create]
            {
                assert_eq!(answer(duty, allowed, [0; 6]), libc::SECCOMP_RET_ALLOW);
            }
        }
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
        assert_eq!(answer(PLAIN, libc::SYS_ioctl, [0, libc::TCGETS, 0, 0, 0, 0]), libc::SECCOMP_RET_ALLOW);
        // The high half of an ioctl request is ignored by the kernel, so it must not hide TIOCSTI.
        let hidden = libc::TIOCSTI | 0xdead_0000_0000_0000;
        assert_eq!(
            answer(PLAIN, libc::SYS_ioctl, [0, hidden, 0, 0, 0, 0]),
            libc::SECCOMP_RET_ERRNO | libc::EPERM as u32
        );
    }

    #[test]
    fn another_architecture_is_fatal() {
        let program = compile(&lines(PLAIN));
        assert_eq!(run(&program, 0, 0x4000_0003, [0; 6]), libc::SECCOMP_RET_KILL_PROCESS);
        assert_eq!(run(&program, 0x4000_0000, AUDIT_ARCH, [0; 6]), libc::SECCOMP_RET_KILL_PROCESS);
    }

    #[test]
    fn nested_opens_namespaces_and_nothing_else() {
        let nested = Duty { judged_opens: false, nested: true };
        assert_eq!(answer(nested, libc::SYS_unshare, [0; 6]), libc::SECCOMP_RET_ALLOW);
        assert_eq!(answer(nested, libc::SYS_bpf, [0; 6]), libc::SECCOMP_RET_ERRNO | libc::EPERM as u32);
    }
}
