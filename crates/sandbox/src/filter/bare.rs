//! What the filter holds beside, where no namespace keeps the machine out of sight.
//!
//! Owns: these lines. Does not own: what is done about the calls that are held (`supervisor/bare.rs`).

use super::Answer::{Notify, Refuse};
use super::When::{Equal, MaskedNoneOf, NoBits, NoneOf};
use super::{CLOSED, Line, UNKNOWN, line, line_if};

/// The part of a socket's type that is no flag.
const TYPE: u32 = 0xf;
/// Kinds of Unix sockets that can name nobody but whom they were connected to.
const CONNECTED: &[u32] = &[libc::SOCK_STREAM as u32, libc::SOCK_SEQPACKET as u32];
const STREAM: &[u32] = &[libc::SOCK_STREAM as u32];

/// The part of a command to a file that says for whom it is.
const WHOM: u32 = 0xff00;
/// Terminals and every file, sockets, event queues, random numbers, processes: what is asked of them changes no file.
const FOR_THESE: &[u32] = &[0x5400, 0x8900, 0x0000, 0x8a00, 0x5200, 0xff00];
/// Questions about a file, and copies between files that were opened for it.
const QUESTIONS: &[u32] = &[
    0x4004_9409, // FICLONE
    0x4020_940d, // FICLONERANGE
    0x8008_6601, // FS_IOC_GETFLAGS
    0xc020_660b, // FS_IOC_FIEMAP
    0x801c_581f, // FS_IOC_FSGETXATTR
];

const NO_TTY: super::Answer = Refuse(libc::ENOTTY);
const NO_PROTOCOL: super::Answer = Refuse(libc::EPROTONOSUPPORT);

pub(super) const BARE: &[Line] = &[
    line_if(
        calls![SYS_clone],
        &[NoBits(0, libc::CLONE_THREAD as u32)],
        Notify,
        "a run that is over, or that nobody watches, makes no more processes",
    ),
    line(calls![SYS_fork SYS_vfork], Notify, "the same"),
    line(calls![SYS_bind SYS_listen], Notify, "a name in the machine's network, or one of its sockets"),
    line(
        calls![SYS_chmod SYS_fchmod SYS_fchmodat SYS_fchmodat2 SYS_chown SYS_fchown SYS_lchown SYS_fchownat],
        Notify,
        "Landlock does not hold who may do what with a file",
    ),
    line(calls![SYS_utime SYS_utimes SYS_futimesat SYS_utimensat], Notify, "nor its times"),
    line(
        calls![SYS_setxattr SYS_lsetxattr SYS_fsetxattr SYS_removexattr SYS_lremovexattr SYS_fremovexattr],
        Notify,
        "nor its attributes",
    ),
    line_if(
        calls![SYS_socket],
        &[Equal(0, libc::AF_UNIX as u32), MaskedNoneOf(1, TYPE, CONNECTED)],
        NO_PROTOCOL,
        "a datagram can be sent to any socket of the machine, without connecting",
    ),
    line_if(calls![SYS_socketpair], &[MaskedNoneOf(1, TYPE, CONNECTED)], NO_PROTOCOL, "the same"),
    line_if(
        calls![SYS_socket],
        &[Equal(0, libc::AF_INET as u32), MaskedNoneOf(1, TYPE, STREAM)],
        NO_PROTOCOL,
        "of the machine's network, only TCP, which is connected by the supervisor",
    ),
    line_if(
        calls![SYS_socket],
        &[Equal(0, libc::AF_INET6 as u32), MaskedNoneOf(1, TYPE, STREAM)],
        NO_PROTOCOL,
        "the same",
    ),
    line(
        calls![SYS_shmget SYS_shmat SYS_shmctl SYS_semget SYS_semop SYS_semtimedop SYS_semctl SYS_msgget
            SYS_msgsnd SYS_msgrcv SYS_msgctl SYS_mq_open SYS_mq_unlink],
        UNKNOWN,
        "memory and queues that all of the user's programs share",
    ),
    line_if(
        calls![SYS_fcntl],
        &[Equal(1, libc::F_SETLEASE as u32)],
        CLOSED,
        "holds up whoever else opens a file of the machine",
    ),
    line_if(calls![SYS_prlimit64], &[NoneOf(0, &[0])], CLOSED, "limits of other processes of the user"),
    line_if(
        calls![SYS_sched_setscheduler SYS_sched_setparam SYS_sched_setattr SYS_sched_setaffinity],
        &[NoneOf(0, &[0])],
        CLOSED,
        "their place on the processors",
    ),
    line_if(calls![SYS_setpriority], &[NoneOf(0, &[0])], CLOSED, "and their priority"),
    line_if(calls![SYS_setpriority], &[NoneOf(1, &[0])], CLOSED, "the same"),
    line_if(calls![SYS_ioprio_set], &[NoneOf(0, &[1])], CLOSED, "the same"),
    line_if(calls![SYS_ioprio_set], &[NoneOf(1, &[0])], CLOSED, "the same"),
    line_if(
        calls![SYS_ioctl],
        &[MaskedNoneOf(1, WHOM, FOR_THESE), NoneOf(1, QUESTIONS)],
        NO_TTY,
        "commands to a file that is open for reading can change it, or what lies in it",
    ),
];
