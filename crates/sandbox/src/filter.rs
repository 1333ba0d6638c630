//! The system-call filter of a run, as data: what is notified, refused or fatal, each with its why.
//!
//! Owns: the table and its compilation to classic BPF. Does not own: installing it (`sys/notify.rs`), answering what
//! it notifies (`supervisor.rs`), or any decision about a path or a command. What no line speaks of is allowed, up to
//! the newest call that was looked at.

use ledger::Evidence;
use libc::sock_filter;

/// What the filter does with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Hold the call and ask the supervisor.
    Notify,
    /// Fail with this errno.
    Refuse(i32),
}

/// A condition on the low 32 bits of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// It has one of these bits.
    Bits(u8, u32),
    /// It is this value.
    Equal(u8, u32),
    /// It is none of these values.
    NoneOf(u8, &'static [u32]),
    /// It has none of these bits.
    NoBits(u8, u32),
    /// Of these bits of it, the value is none of these.
    MaskedNoneOf(u8, u32, &'static [u32]),
}

/// A call by name and number.
type Call = (&'static str, i64);

/// One line of the filter: these calls, under all of these conditions, get this answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    calls: &'static [Call],
    when: &'static [When],
    answer: Answer,
    why: &'static str,
}

/// What a filter is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Duty {
    /// How much is seen.
    pub(crate) evidence: Evidence,
    /// The policy lets the agent make namespaces of its own.
    pub(crate) nested: bool,
    /// No namespace is around the run.
    pub(crate) bare: bool,
}

use Answer::{Notify, Refuse};
use When::{Bits, Equal, MaskedNoneOf, NoBits, NoneOf};

macro_rules! calls {
    ($($name:ident)*) => { &[$((stringify!($name), libc::$name)),*] };
}

mod bare;

const fn line(calls: &'static [Call], answer: Answer, why: &'static str) -> Line {
    Line { calls, when: &[], answer, why }
}

const fn line_if(calls: &'static [Call], when: &'static [When], answer: Answer, why: &'static str) -> Line {
    Line { calls, when, answer, why }
}

const CLOSED: Answer = Refuse(libc::EPERM);
/// For calls that libraries know how to do without.
const UNKNOWN: Answer = Refuse(libc::ENOSYS);

/// Seen at every depth.
const SEEN: &[Line] = &[
    line(calls![SYS_execve SYS_execveat], Notify, "every exec is seen, on the words the kernel takes"),
    line(calls![SYS_connect], Notify, "every attempt to reach out is seen"),
    line(
        calls![SYS_exit_group],
        Notify,
        "every process that ends itself is seen, with its status and its time",
    ),
];

const OPENS: &[Line] =
    &[line(calls![SYS_open SYS_openat SYS_openat2 SYS_creat], Notify, "every open is seen")];

/// Flags by which an open may change something; `O_TMPFILE` is told by the bit that it shares with nothing.
const CHANGES: u32 = (libc::O_WRONLY
    | libc::O_RDWR
    | libc::O_CREAT
    | libc::O_TRUNC
    | libc::O_APPEND
    | (libc::O_TMPFILE & !libc::O_DIRECTORY)) as u32;

/// Where what is only read is not seen.
const WRITES: &[Line] = &[
    line_if(calls![SYS_open], &[Bits(1, CHANGES)], Notify, "every open that may change something is seen"),
    line_if(calls![SYS_openat], &[Bits(2, CHANGES)], Notify, "every open that may change something is seen"),
    line(calls![SYS_creat], Notify, "every open that may change something is seen"),
    line(calls![SYS_openat2], Notify, "its flags lie behind a pointer"),
];

/// Where writes are seen.
const NAMES: &[Line] = &[
    line(
        calls![SYS_rename SYS_renameat SYS_renameat2 SYS_link SYS_linkat],
        Notify,
        "every other name for a file is seen; where opens are judged, a denied file must not get one",
    ),
    line(
        calls![SYS_unlink SYS_unlinkat SYS_rmdir SYS_truncate],
        Notify,
        "whatever is emptied or removed by its name is seen; where opens are judged, it must be one that may be written",
    ),
    line(
        calls![SYS_mkdir SYS_mkdirat SYS_symlink SYS_symlinkat SYS_mknod SYS_mknodat],
        Notify,
        "whatever comes to be as a folder or a link is seen; where opens are judged, its name must be one that may be written",
    ),
];

const NEW_NAMESPACE: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32;
/// Known to unshare alone: its bit means something else to clone.
const NEW_TIME: u32 = 0x80;

/// Closed unless the policy says `nested = true`.
const NAMESPACES: &[Line] = &[
    line_if(
        calls![SYS_unshare],
        &[Bits(0, NEW_NAMESPACE | NEW_TIME)],
        CLOSED,
        "new namespaces would bring capabilities back",
    ),
    line_if(
        calls![SYS_clone],
        &[Bits(0, NEW_NAMESPACE)],
        CLOSED,
        "new namespaces would bring capabilities back",
    ),
    line(calls![SYS_clone3], UNKNOWN, "its flags lie behind a pointer; libraries fall back to clone"),
    line(calls![SYS_setns], CLOSED, "joining a namespace leaves the confinement"),
    line(
        calls![SYS_mount SYS_umount2 SYS_pivot_root SYS_chroot SYS_move_mount SYS_open_tree SYS_fsopen
            SYS_fsconfig SYS_fsmount SYS_fspick SYS_mount_setattr],
        CLOSED,
        "the view is fixed",
    ),
];

/// Address families a program may open: the rest (vsock, packet, alg, bluetooth, ...) leave the network namespace or
/// reach kernel code that no build needs.
const FAMILIES: &[u32] =
    &[libc::AF_UNIX as u32, libc::AF_INET as u32, libc::AF_INET6 as u32, libc::AF_NETLINK as u32];
/// What travels over the internet families: nothing, TCP, UDP and the echo of both. MPTCP, SCTP, SMC and their like bring in
/// kernel code that no build needs, and connect by ways of their own; who asks for them falls back to TCP.
const PROTOCOLS: &[u32] = &[
    libc::IPPROTO_IP as u32,
    libc::IPPROTO_TCP as u32,
    libc::IPPROTO_UDP as u32,
    libc::IPPROTO_ICMP as u32,
    libc::IPPROTO_ICMPV6 as u32,
];
/// Line disciplines bring drivers into the kernel.
const TIOCSETD: u32 = 0x5423;
const TIOCLINUX: u32 = 0x541c;
/// What builds and debuggers ask for (none, 32-bit words, addresses that are not randomised), and the mere question.
const PERSONALITIES: &[u32] = &[0, 0x8, 0x2_0000, 0x2_0008, 0x4_0000, 0xffff_ffff];

const ALWAYS: &[Line] = &[
    line(
        calls![SYS_io_uring_setup SYS_io_uring_enter SYS_io_uring_register],
        UNKNOWN,
        "a ring opens and connects without being seen",
    ),
    line(calls![SYS_bpf], CLOSED, "kernel programs are not for agents"),
    line(calls![SYS_perf_event_open], CLOSED, "watches other processes and the kernel"),
    line(calls![SYS_userfaultfd], CLOSED, "stops the kernel in the middle of a copy: the tool of races"),
    line(
        calls![SYS_keyctl SYS_add_key SYS_request_key],
        CLOSED,
        "kernel keyrings are shared by everything the user runs",
    ),
    line(calls![SYS_open_by_handle_at], CLOSED, "opens by inode, around every path"),
    line(calls![SYS_name_to_handle_at], Refuse(libc::EOPNOTSUPP), "a handle is only good for that"),
    line(calls![SYS_kexec_load SYS_kexec_file_load SYS_reboot], CLOSED, "replaces or ends the kernel"),
    line(calls![SYS_init_module SYS_finit_module SYS_delete_module], CLOSED, "changes kernel code"),
    line(
        calls![SYS_swapon SYS_swapoff SYS_acct SYS_quotactl SYS_settimeofday SYS_clock_settime],
        CLOSED,
        "reconfigures the machine",
    ),
    line(calls![SYS_syslog SYS_lookup_dcookie], CLOSED, "reads what the kernel says of itself"),
    line(calls![SYS_iopl SYS_ioperm], CLOSED, "raw ports"),
    line(calls![SYS_vhangup], CLOSED, "takes the terminal away"),
    line(calls![SYS_fanotify_init], CLOSED, "watches whole file systems"),
    line_if(
        calls![SYS_personality],
        &[NoneOf(0, PERSONALITIES)],
        CLOSED,
        "old ways of running switch defences off",
    ),
    line_if(
        calls![SYS_socket],
        &[NoneOf(0, FAMILIES)],
        Refuse(libc::EAFNOSUPPORT),
        "families that leave the network namespace",
    ),
    line_if(
        calls![SYS_socket],
        &[Equal(0, libc::AF_NETLINK as u32), NoneOf(2, &[libc::NETLINK_ROUTE as u32])],
        Refuse(libc::EPROTONOSUPPORT),
        "of netlink, only what lists addresses",
    ),
    line_if(
        calls![SYS_socket],
        &[Equal(0, libc::AF_INET as u32), NoneOf(2, PROTOCOLS)],
        Refuse(libc::EPROTONOSUPPORT),
        "of the internet, TCP and UDP",
    ),
    line_if(
        calls![SYS_socket],
        &[Equal(0, libc::AF_INET6 as u32), NoneOf(2, PROTOCOLS)],
        Refuse(libc::EPROTONOSUPPORT),
        "of the internet, TCP and UDP",
    ),
    line_if(
        calls![SYS_sendto SYS_sendmmsg],
        &[Bits(3, libc::MSG_FASTOPEN as u32)],
        Refuse(libc::EOPNOTSUPP),
        "connects without being seen; programs fall back to connect",
    ),
    line_if(
        calls![SYS_sendmsg],
        &[Bits(2, libc::MSG_FASTOPEN as u32)],
        Refuse(libc::EOPNOTSUPP),
        "connects without being seen; programs fall back to connect",
    ),
    line_if(calls![SYS_ioctl], &[Equal(1, libc::TIOCSTI as u32)], CLOSED, "types into a terminal"),
    line_if(calls![SYS_ioctl], &[Equal(1, TIOCLINUX)], CLOSED, "pastes into a console"),
    line_if(calls![SYS_ioctl], &[Equal(1, TIOCSETD)], CLOSED, "line disciplines bring drivers in"),
];

/// The newest call that was looked at (mseal); whatever came later does not exist inside.
const NEWEST: u32 = 462;

/// What a run's filter sees and refuses, a line for each of its reasons: for people who ask.
#[must_use]
pub fn describe(evidence: Evidence, nested: bool, bare: bool) -> Vec<String> {
    lines(Duty { evidence, nested, bare }).iter().map(ToString::to_string).collect()
}

impl std::fmt::Display for Line {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.answer {
            Notify => to.write_str("seen    ")?,
            Refuse(libc::ENOSYS) => to.write_str("unknown ")?,
            Refuse(_) => to.write_str("closed  ")?,
        }
        for (index, (name, _)) in self.calls.iter().enumerate() {
            write!(to, "{}{}", if index == 0 { "" } else { ", " }, name.trim_start_matches("SYS_"))?;
        }
        write!(to, ": {}", self.why)
    }
}

/// The lines of a filter, in the order in which they are tried.
pub(crate) fn lines(duty: Duty) -> Vec<Line> {
    let (opens, names) = match duty.evidence {
        Evidence::Full => (OPENS, NAMES),
        Evidence::Writes => (WRITES, NAMES),
        Evidence::Exec => (&[][..], &[][..]),
    };
    let namespaces = if duty.nested { &[] } else { NAMESPACES };
    let bare = if duty.bare { bare::BARE } else { &[] };
    [SEEN, opens, names, namespaces, bare, ALWAYS].concat()
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
        jump_at_least(NEWEST + 1, 0, 1),
        answer(UNKNOWN),
    ];
    for line in lines {
        let body = body(line);
        for (_, number) in line.calls {
            program.push(jump_equal(u32::try_from(*number).unwrap_or(u32::MAX), 0, body.len() as u8));
            program.extend(&body);
        }
    }
    program.push(ret(libc::SECCOMP_RET_ALLOW));
    program
}

/// What follows once the number matches. A condition that does not hold reloads the number and falls through, so
/// that several lines may speak of one call.
fn body(line: &Line) -> Vec<sock_filter> {
    let mut body = vec![answer(line.answer)];
    if line.when.is_empty() {
        return body;
    }
    body.push(load(NUMBER_OFFSET));
    for when in line.when.iter().rev() {
        // From behind the last step that is put before it, to the reload.
        let failed = body.len() as u8 - 1;
        let test = match *when {
            Bits(arg, mask) => vec![load(argument(arg)), jump_bits(mask, 0, failed)],
            Equal(arg, value) => vec![load(argument(arg)), jump_equal(value, 0, failed)],
            NoneOf(arg, values) => {
                let left = (0..values.len() as u8).rev();
                let tests = values.iter().zip(left).map(|(value, left)| jump_equal(*value, failed + left, 0));
                [load(argument(arg))].into_iter().chain(tests).collect()
            }
            NoBits(arg, mask) => vec![load(argument(arg)), jump_bits(mask, failed, 0)],
            MaskedNoneOf(arg, mask, values) => {
                let left = (0..values.len() as u8).rev();
                let tests = values.iter().zip(left).map(|(value, left)| jump_equal(*value, failed + left, 0));
                [load(argument(arg)), keep_bits(mask)].into_iter().chain(tests).collect()
            }
        };
        body.splice(0..0, test);
    }
    body
}

const fn answer(answer: Answer) -> sock_filter {
    ret(match answer {
        Notify => libc::SECCOMP_RET_USER_NOTIF,
        Refuse(errno) => libc::SECCOMP_RET_ERRNO | (errno as u32 & libc::SECCOMP_RET_DATA),
    })
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

const fn keep_bits(mask: u32) -> sock_filter {
    sock_filter { code: (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16, jt: 0, jf: 0, k: mask }
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
                for allowed in [libc::SYS_read, libc::SYS_mmap, libc::SYS_ptrace, libc::SYS_memfd_create, 462]
                {
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
        for number in
            [libc::SYS_fork, libc::SYS_bind, libc::SYS_listen, libc::SYS_fchmod, libc::SYS_utimensat]
        {
            assert_eq!(of(number, &[]), libc::SECCOMP_RET_USER_NOTIF, "{number}");
        }
        assert_eq!(of(libc::SYS_clone, &[libc::SIGCHLD as u64]), libc::SECCOMP_RET_USER_NOTIF);
    }

    #[test]
    fn each_depth_sees_what_it_says() {
        let seen = |evidence, number, args: [u64; 6]| {
            answer(Duty { evidence, nested: false, bare: false }, number, args)
                == libc::SECCOMP_RET_USER_NOTIF
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
            assert!(
                seen(Full, number, [0; 6]) && seen(Writes, number, [0; 6]) && !seen(Exec, number, [0; 6])
            );
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
}
