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
mod tests;
