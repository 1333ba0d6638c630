//! Attempts by system call: namespaces, mounts, other processes, kernel facilities, other architectures, races.

use super::Attempt;
use std::ffi::CString;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long a race goes on at most.
const LONGEST: Duration = Duration::from_secs(20);

pub(crate) fn attempt(name: &str, words: &[&str]) -> Option<Attempt> {
    Some(match (name, words) {
        ("unshare-user", []) => call(libc::SYS_unshare, &[libc::CLONE_NEWUSER as i64]),
        ("unshare-net", []) => call(libc::SYS_unshare, &[libc::CLONE_NEWNET as i64]),
        ("unshare-mount", []) => call(libc::SYS_unshare, &[libc::CLONE_NEWNS as i64]),
        ("clone-user", []) => clone_user(),
        ("clone3", []) => clone3_user(),
        ("setns", [path]) => with_file(path, |file| call(libc::SYS_setns, &[file, 0])),
        ("mount", [at]) => mount(at),
        ("umount", [at]) => with_text(at, |at| call(libc::SYS_umount2, &[at, 0])),
        ("chroot", [to]) => with_text(to, |to| call(libc::SYS_chroot, &[to])),
        ("pivot-root", [to]) => with_text(to, |to| call(libc::SYS_pivot_root, &[to, to])),
        ("fsopen", []) => with_text("tmpfs", |kind| call(libc::SYS_fsopen, &[kind, 0])),
        ("open-tree", [path]) => {
            with_text(path, |path| call(libc::SYS_open_tree, &[libc::AT_FDCWD as i64, path, 1]))
        }
        ("ptrace", [pid]) => call(libc::SYS_ptrace, &[libc::PTRACE_ATTACH as i64, number(pid)?, 0, 0]),
        ("read-memory", [pid]) => read_memory(number(pid)?),
        ("steal-descriptor", [pid]) => steal_descriptor(number(pid)?),
        ("kill", [pid]) => call(libc::SYS_kill, &[number(pid)?, libc::SIGKILL as i64]),
        ("io-uring", []) => io_uring(),
        ("userfaultfd", []) => call(libc::SYS_userfaultfd, &[0]),
        ("bpf", []) => bpf(),
        ("perf", []) => perf(),
        ("keyctl", []) => call(libc::SYS_keyctl, &[0, -3, 1]),
        ("add-key", []) => add_key(),
        ("fanotify", []) => call(libc::SYS_fanotify_init, &[0, 0]),
        ("kernel-log", []) => call(libc::SYS_syslog, &[10]),
        ("set-clock", []) => call(libc::SYS_clock_settime, &[0, 0]),
        ("raw-ports", []) => call(libc::SYS_iopl, &[3]),
        ("load-module", []) => with_file("/dev/null", |file| call(libc::SYS_finit_module, &[file, 0, 0])),
        ("by-handle", [path]) => by_handle(path),
        ("device", [path]) => {
            // The first disk: 8, 0.
            with_text(path, |path| call(libc::SYS_mknod, &[path, i64::from(libc::S_IFBLK | 0o600), 8 << 8]))
        }
        ("whiteout", [path]) => {
            with_text(path, |path| call(libc::SYS_mknod, &[path, i64::from(libc::S_IFCHR), 0]))
        }
        ("attribute", [path, name, value]) => with_text(path, |path| {
            with_text(name, |name| {
                let length = value.len() as i64;
                with_text(value, |value| call(libc::SYS_setxattr, &[path, name, value, length, 0]))
            })
        }),
        ("type-into-terminal", []) => {
            let byte = b'x';
            call(libc::SYS_ioctl, &[0, libc::TIOCSTI as i64, &raw const byte as i64])
        }
        ("i386", []) => i386(),
        ("x32", []) => call(libc::SYS_getpid | 0x4000_0000, &[]),
        ("memfd-exec", [program, words @ ..]) => memfd_exec(program, words),
        ("swap-read", [inside, outside]) => swap(Path::new(inside), Path::new(outside), |link| {
            let mut all = String::new();
            std::fs::File::open(link)?.read_to_string(&mut all).map(|_| all)
        }),
        ("swap-folder", [inside, outside, name]) => {
            swap(Path::new(inside), Path::new(outside), |link| std::fs::read_to_string(link.join(name)))
        }
        ("swap-write", [inside, outside]) => swap(Path::new(inside), Path::new(outside), |link| {
            std::fs::write(link, "overwritten").map(|()| String::new())
        }),
        _ => return None,
    })
}

pub(crate) fn number(word: &str) -> Option<i64> {
    word.parse().ok()
}

/// One system call.
pub(crate) fn call(number: libc::c_long, words: &[i64]) -> Attempt {
    let word = |at: usize| words.get(at).copied().unwrap_or_default();
    // SAFETY: every caller passes numbers, or addresses of values that live until the call returns; what the kernel
    // writes goes into memory of the size it is told.
    let given = unsafe { libc::syscall(number, word(0), word(1), word(2), word(3), word(4), word(5)) };
    if given < 0 { Err(io::Error::last_os_error()) } else { Ok(given) }
}

fn with_text(text: &str, then: impl FnOnce(i64) -> Attempt) -> Attempt {
    let text = CString::new(text)?;
    then(text.as_ptr() as i64)
}

pub(crate) fn with_file(path: &str, then: impl FnOnce(i64) -> Attempt) -> Attempt {
    let file = std::fs::File::open(path)?;
    then(i64::from(file.as_raw_fd()))
}

/// A child that is to end at once, if the call makes one.
fn ends_at_once(made: Attempt) -> Attempt {
    if let Ok(0) = made {
        // SAFETY: ends this process, which has nothing to tidy.
        unsafe { libc::_exit(0) }
    }
    made
}

fn clone_user() -> Attempt {
    ends_at_once(call(libc::SYS_clone, &[i64::from(libc::CLONE_NEWUSER | libc::SIGCHLD)]))
}

fn clone3_user() -> Attempt {
    let mut words = [0_u64; 11];
    words[0] = libc::CLONE_NEWUSER as u64;
    words[4] = libc::SIGCHLD as u64;
    ends_at_once(call(libc::SYS_clone3, &[words.as_ptr() as i64, size_of_val(&words) as i64]))
}

fn mount(at: &str) -> Attempt {
    with_text("tmpfs", |kind| with_text(at, |at| call(libc::SYS_mount, &[kind, at, kind, 0, 0])))
}

fn read_memory(pid: i64) -> Attempt {
    let mut byte = 0_u8;
    let here = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    // Where this program's own constants lie; another process has something there or not, but is asked.
    let there = libc::iovec { iov_base: super::main as *const () as *mut libc::c_void, iov_len: 1 };
    call(libc::SYS_process_vm_readv, &[pid, &raw const here as i64, 1, &raw const there as i64, 1, 0])
}

fn steal_descriptor(pid: i64) -> Attempt {
    let process = call(libc::SYS_pidfd_open, &[pid, 0])?;
    call(libc::SYS_pidfd_getfd, &[process, 0, 0])
}

fn io_uring() -> Attempt {
    let parameters = [0_u32; 30];
    call(libc::SYS_io_uring_setup, &[1, parameters.as_ptr() as i64])
}

/// An array map of one element: the least that bpf makes.
fn bpf() -> Attempt {
    let map = [2_u32, 4, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    call(libc::SYS_bpf, &[0, map.as_ptr() as i64, size_of_val(&map) as i64])
}

/// Counts its own page faults.
fn perf() -> Attempt {
    let mut wanted = [0_u64; 16];
    wanted[0] = 1 | (size_of_val(&wanted) as u64) << 32;
    wanted[1] = 2;
    call(libc::SYS_perf_event_open, &[wanted.as_ptr() as i64, 0, -1, -1, 0])
}

fn add_key() -> Attempt {
    with_text("user", |kind| {
        with_text("provost-e2e", |name| {
            let content = b"x";
            call(libc::SYS_add_key, &[kind, name, content.as_ptr() as i64, 1, -2])
        })
    })
}

/// Opens a file by its inode, around its path.
fn by_handle(path: &str) -> Attempt {
    let mut handle = [0_u32; 34];
    handle[0] = 128;
    let mut mount = 0_i32;
    let here = i64::from(libc::AT_FDCWD);
    // Where the file system names no handle, a made-up one is as good: it is the opening that must be refused.
    drop(with_text(path, |path| {
        let words = [here, path, handle.as_mut_ptr() as i64, &raw mut mount as i64, 0];
        call(libc::SYS_name_to_handle_at, &words)
    }));
    call(libc::SYS_open_by_handle_at, &[here, handle.as_ptr() as i64, 0])
}

/// `getpid` as a program for i386 calls it.
#[cfg(target_arch = "x86_64")]
fn i386() -> Attempt {
    let mut number = 20_i64;
    // SAFETY: getpid touches no memory; the registers that the gate may change are given up.
    unsafe {
        std::arch::asm!("int 0x80", inout("rax") number, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
    }
    if number > 0 { Ok(number) } else { Err(io::Error::from_raw_os_error(libc::ENOSYS)) }
}

#[cfg(not(target_arch = "x86_64"))]
fn i386() -> Attempt {
    Err(io::Error::from_raw_os_error(libc::ENOSYS))
}

/// Runs a program that has no path any more.
fn memfd_exec(program: &str, words: &[&str]) -> Attempt {
    let file = with_text("x", |name| call(libc::SYS_memfd_create, &[name, 0]))?;
    // SAFETY: the descriptor is new and nobody else's.
    let mut file = unsafe { std::fs::File::from_raw_fd(file as i32) };
    io::copy(&mut std::fs::File::open(program)?, &mut file)?;
    let words: Vec<CString> =
        [program].iter().chain(words).map(|word| CString::new(*word)).collect::<Result<_, _>>()?;
    let mut argv: Vec<*const libc::c_char> = words.iter().map(|word| word.as_ptr()).collect();
    argv.push(std::ptr::null());
    let none = [std::ptr::null::<libc::c_char>()];
    with_text("", |empty| {
        let descriptor = i64::from(file.as_raw_fd());
        let words =
            [descriptor, empty, argv.as_ptr() as i64, none.as_ptr() as i64, i64::from(libc::AT_EMPTY_PATH)];
        call(libc::SYS_execveat, &words)
    })
}

/// One thread points a link now inside, now outside; the other goes through it. Succeeds if it ever got what does not
/// lie inside; what it wrote is for others to look at.
fn swap(inside: &Path, outside: &Path, go: impl Fn(&Path) -> io::Result<String>) -> Attempt {
    let honest = go(inside)?;
    let (link, next) = (inside.with_extension("link"), inside.with_extension("next"));
    let (over, swaps) = (AtomicBool::new(false), AtomicUsize::new(0));
    let point = |to: &Path| {
        drop(std::fs::remove_file(&next));
        std::os::unix::fs::symlink(to, &next).and_then(|()| std::fs::rename(&next, &link))
    };
    point(inside)?;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                drop(point(outside));
                // The other thread gets its chance at either, however few processors there are.
                std::thread::yield_now();
                drop(point(inside));
                std::thread::yield_now();
                swaps.fetch_add(1, Ordering::Relaxed);
            }
        });
        let (began, mut tries) = (Instant::now(), 0);
        let enough = |tries| tries >= 1000 && swaps.load(Ordering::Relaxed) >= 400;
        let came_out = loop {
            tries += 1;
            if go(&link).is_ok_and(|got| got != honest) {
                break true;
            }
            if enough(tries) || began.elapsed() > LONGEST {
                break false;
            }
        };
        over.store(true, Ordering::Relaxed);
        if came_out { Ok(0) } else { Err(io::Error::from_raw_os_error(libc::EACCES)) }
    })
}
