//! Processes and namespaces: clone, fork, exec, mount attributes, the loopback link.
//!
//! Owns: the raw calls. Does not own: their order, which is `jail.rs`.

use super::checked;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ffi::{CStr, CString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Which side of a clone this is.
#[derive(Debug)]
pub(crate) enum Side {
    /// The caller; the new process is PID 1 of the new namespaces.
    Parent { pid: i32, pidfd: OwnedFd },
    /// PID 1 of the new namespaces.
    Child,
}

/// Clones this process into new user, mount, pid, network, ipc and uts namespaces.
///
/// The caller must be single-threaded: the child goes on in Rust with the parent's heap, and a lock that another
/// thread held would stay held for ever. This is checked, not assumed.
pub(crate) fn clone_cell() -> io::Result<Side> {
    clone_with(
        libc::CLONE_NEWUSER
            | libc::CLONE_NEWNS
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNET
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUTS,
    )
}

/// Clones this process, in the same namespaces. The caller must be single-threaded here too.
pub(crate) fn clone_keeper() -> io::Result<Side> {
    clone_with(0)
}

fn clone_with(namespaces: libc::c_int) -> io::Result<Side> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("the cell must be made before any thread starts"));
    }
    let flags = namespaces | libc::CLONE_PIDFD;
    let mut pidfd: libc::c_int = -1;
    let mut args = CloneArgs {
        flags: flags as u64,
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArgs::default()
    };
    // SAFETY: `args` is a valid clone_args of the stated size; no stack is given, so this behaves as fork, and the
    // process has one thread (checked above), so the child's copy of the heap is consistent.
    let pid =
        checked(unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, std::mem::size_of::<CloneArgs>()) })?;
    if pid == 0 {
        return Ok(Side::Child);
    }
    // SAFETY: the kernel stored a new descriptor, owned by nobody else, in `pidfd`.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Side::Parent { pid: pid as i32, pidfd })
}

/// `struct clone_args` of clone3(2), first version with all fields up to `set_tid_size`.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
}

/// Forks the (single-threaded) PID 1 of a cell. `None` in the child.
pub(crate) fn fork() -> io::Result<Option<i32>> {
    // SAFETY: only PID 1 of a cell calls this; it has exactly one thread, so the child may use the heap.
    let pid = checked(unsafe { libc::c_long::from(libc::fork()) })?;
    Ok((pid != 0).then_some(pid as i32))
}

/// Replaces this process. Returns only if that failed.
pub(crate) fn execve(program: &CStr, argv: &[CString], env: &[CString]) -> io::Error {
    let argv = null_terminated(argv);
    let env = null_terminated(env);
    // SAFETY: both arrays end in a null pointer and point to strings that outlive the call.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

fn null_terminated(words: &[CString]) -> Vec<*const libc::c_char> {
    words.iter().map(|word| word.as_ptr()).chain([std::ptr::null()]).collect()
}

/// Adds attributes (`MOUNT_ATTR_*`) to a mount that is not attached yet, and to all mounts beneath it.
pub(crate) fn restrict_mount(tree: BorrowedFd<'_>, attributes: u64) -> io::Result<()> {
    set_mount_attributes(tree.as_raw_fd(), c"", libc::AT_EMPTY_PATH | libc::AT_RECURSIVE, attributes)
}

/// Adds attributes to the mount at `path`, and to those beneath it if `recursive`.
pub(crate) fn restrict_mount_at(path: &Path, attributes: u64, recursive: bool) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)?;
    let flags = if recursive { libc::AT_RECURSIVE } else { 0 };
    set_mount_attributes(libc::AT_FDCWD, &path, flags | libc::AT_SYMLINK_NOFOLLOW, attributes)
}

fn set_mount_attributes(at: i32, path: &CStr, flags: i32, attributes: u64) -> io::Result<()> {
    #[repr(C)]
    struct MountAttr {
        set: u64,
        clear: u64,
        propagation: u64,
        userns_fd: u64,
    }
    let attr = MountAttr { set: attributes, clear: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: `path` is a C string and `attr` a mount_attr of the stated size; both outlive the call.
    checked(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            at,
            path.as_ptr(),
            flags,
            &raw const attr,
            std::mem::size_of::<MountAttr>(),
        )
    })?;
    Ok(())
}

/// Mount attributes as mount_setattr(2) numbers them.
pub(crate) const MOUNT_ATTR_RDONLY: u64 = 1;
pub(crate) const MOUNT_ATTR_NOSUID: u64 = 2;
pub(crate) const MOUNT_ATTR_NODEV: u64 = 4;
pub(crate) const MOUNT_ATTR_NOEXEC: u64 = 8;

/// Brings the loopback link of this network namespace up.
pub(crate) fn raise_loopback() -> io::Result<()> {
    let socket = rustix::net::socket_with(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: all-zero bytes are a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo\0") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one ifreq, which outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    checked(libc::c_long::from(result))?;
    Ok(())
}

/// Overwrites the strings of this process's environment, as the kernel shows them in /proc/PID/environ and as they
/// lie on its stack. The process must not read its environment afterwards.
pub(crate) fn wipe_environment() {
    unsafe extern "C" {
        static mut environ: *mut *mut libc::c_char;
    }
    // SAFETY: PID 1 of a cell is single-threaded; `environ` is a null-terminated array of C strings that this
    // process may write. Each string is overwritten within its own length, and the array is then emptied.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            let length = libc::strlen(*entry);
            std::ptr::write_bytes(*entry, 0, length);
            entry = entry.add(1);
        }
        environ = std::ptr::null_mut();
    }
}

/// Makes every descriptor from `first` on close at the next exec.
pub(crate) fn close_on_exec_from(first: u32) -> io::Result<()> {
    /// `CLOSE_RANGE_CLOEXEC` of close_range(2).
    const CLOEXEC: u32 = 4;
    // SAFETY: no descriptor is closed now; only a flag changes.
    checked(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOEXEC) })?;
    Ok(())
}

/// Closes every descriptor but the standard streams and `kept`.
///
/// Only for a process that owns none of them as values it will drop: PID 1 of a cell, right after the clone.
pub(crate) fn close_all_but(kept: [BorrowedFd<'_>; 2]) -> io::Result<()> {
    let mut kept = kept.map(|fd| fd.as_raw_fd());
    kept.sort_unstable();
    let [low, high] = kept;
    for (from, to) in [(3, low - 1), (low + 1, high - 1), (high + 1, i32::MAX)] {
        if from <= to {
            // SAFETY: the process never drops an owner of what is closed (see above).
            checked(unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) })?;
        }
    }
    Ok(())
}

/// Gives this thread a umask of its own, which masks nothing.
pub(crate) fn leave_umask_to_callers() -> io::Result<()> {
    // SAFETY: only this thread's root, working folder and umask stop being shared with the others.
    checked(unsafe { libc::c_long::from(libc::unshare(libc::CLONE_FS)) })?;
    // SAFETY: umask cannot fail.
    unsafe { libc::umask(0) };
    Ok(())
}

/// Ends this process at once: no destructors, no flushing of what the parent's copy would flush again.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: _exit does not return and touches nothing of ours.
    unsafe { libc::_exit(status) }
}

/// The kernel's Landlock version; 0 where there is none.
pub(crate) fn landlock_version() -> u32 {
    /// `LANDLOCK_CREATE_RULESET_VERSION` of landlock_create_ruleset(2).
    const VERSION: u32 = 1;
    // SAFETY: with this flag the call takes no attributes and only returns a number.
    let found =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, VERSION) };
    u32::try_from(found).unwrap_or(0)
}

/// Sets this namespace's host name.
pub(crate) fn set_host_name(name: &str) -> io::Result<()> {
    // SAFETY: the pointer and length describe `name`.
    checked(unsafe { libc::c_long::from(libc::sethostname(name.as_ptr().cast(), name.len())) })?;
    Ok(())
}

/// Drops every supplementary group. Fails where the user namespace does not allow setgroups, which is fine there:
/// the groups then are not mapped.
pub(crate) fn drop_groups() -> io::Result<()> {
    // SAFETY: an empty list needs no pointer.
    checked(unsafe { libc::c_long::from(libc::setgroups(0, std::ptr::null())) })?;
    Ok(())
}

/// Makes `fd` the descriptor `number` (0, 1 or 2), inheritable.
pub(crate) fn place(fd: impl AsFd, number: i32) -> io::Result<()> {
    // SAFETY: dup2 onto a standard descriptor replaces it; nothing in this process owns 0, 1 and 2 as values.
    checked(unsafe { libc::c_long::from(libc::dup2(fd.as_fd().as_raw_fd(), number)) })?;
    Ok(())
}

/// Resets every signal to its default action and unblocks all: what a program expects to start with.
pub(crate) fn reset_signals() {
    /// `struct sigaction` as the kernel has it; all zero is the default action.
    static DEFAULT: [u64; 4] = [0; 4];
    for signal in 1..=64 {
        // SAFETY: the call reads one kernel sigaction. The C library would refuse the two it keeps for itself, which
        // may well have come to us ignored. Refusals (KILL, STOP) change nothing.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, &raw const DEFAULT, std::ptr::null::<u8>(), 8)
        };
    }
    // SAFETY: an all-zero set is the empty signal set.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Blocks SIGCHLD and returns a descriptor that becomes readable when a child changes; ignores SIGPIPE, SIGINT,
/// SIGTERM and SIGHUP, so that PID 1 ends only when its supervisor or its agent does.
pub(crate) fn child_signal() -> io::Result<OwnedFd> {
    // SAFETY: the set is initialised by sigemptyset before use; signalfd returns a new descriptor owned here.
    unsafe {
        for signal in [libc::SIGPIPE, libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGTSTP]
        {
            libc::signal(signal, libc::SIG_IGN);
        }
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        checked(libc::c_long::from(libc::sigprocmask(
            libc::SIG_BLOCK,
            &raw const set,
            std::ptr::null_mut(),
        )))?;
        let fd = checked(libc::c_long::from(libc::signalfd(
            -1,
            &raw const set,
            libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
        )))?;
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}
