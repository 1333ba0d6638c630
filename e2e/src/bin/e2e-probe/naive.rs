//! A supervisor as one would first write it: it judges what it reads, and lets the call go. `naive WORDS` runs this
//! program again beneath it; what wins there shows that an attempt is one. `least PROGRAM WORDS` runs a program beneath one that
//! lets go whatever a run at full depth sees, and looks at nothing: so much the holding alone costs.

use super::Attempt;
use super::calls::call;
use super::races::MARK;
use std::io;
use std::path::{Path, PathBuf};

const RECEIVE: u64 = 0xc050_2100;
const SEND: u64 = 0xc018_2101;
const SET_FLAGS: u64 = 0x4008_2104;
const SYNC_WAKE_UP: u64 = 1;
const NEW_LISTENER: i64 = 1 << 3;
const CONTINUE: u32 = 1;

pub(crate) fn attempt(name: &str, words: &[&str]) -> Option<Attempt> {
    match name {
        "naive" => Some(supervise(words, &JUDGED, Some(is_fine))),
        "least" => Some(supervise(words, &SEEN, None)),
        _ => None,
    }
}

/// Every exec and every open by name.
const JUDGED: [i64; 4] = [libc::SYS_execve, libc::SYS_execveat, libc::SYS_open, libc::SYS_openat];

/// What a run at full depth sees.
const SEEN: [i64; 23] = [
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_connect,
    libc::SYS_exit_group,
    libc::SYS_open,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_creat,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_link,
    libc::SYS_linkat,
    libc::SYS_unlink,
    libc::SYS_unlinkat,
    libc::SYS_rmdir,
    libc::SYS_truncate,
    libc::SYS_mkdir,
    libc::SYS_mkdirat,
    libc::SYS_symlink,
    libc::SYS_symlinkat,
    libc::SYS_mknod,
    libc::SYS_mknodat,
];

type Judge = fn(i32, i64, &[u64; 6]) -> io::Result<bool>;

fn supervise(words: &[&str], held: &[i64], judge: Option<Judge>) -> Attempt {
    let mut pipe = [0_i32; 2];
    // SAFETY: the kernel writes two numbers.
    unsafe { libc::pipe2(pipe.as_mut_ptr(), 0) };
    // SAFETY: this program has one thread here.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let number = install(held).unwrap_or(-1) as i32;
        let bytes = number.to_ne_bytes();
        // SAFETY: writes four bytes of our own, and the next read waits until somebody listens.
        unsafe {
            libc::write(pipe[1], bytes.as_ptr().cast(), 4);
            libc::raise(libc::SIGSTOP);
        }
        if judge.is_some() {
            drop(super::run(words));
        } else {
            // SAFETY: closes a descriptor of our own, which would keep the listener alive.
            unsafe { libc::close(number) };
            start(words);
        }
        // SAFETY: ends the child.
        unsafe { libc::_exit(0) };
    }
    let mut bytes = [0_u8; 4];
    let mut status = 0;
    // SAFETY: reads four bytes into our own memory; then the child stops.
    unsafe {
        libc::read(pipe[0], bytes.as_mut_ptr().cast(), 4);
        libc::waitpid(child, &raw mut status, libc::WUNTRACED);
    }
    let process = call(libc::SYS_pidfd_open, &[i64::from(child), 0])?;
    let listener = call(libc::SYS_pidfd_getfd, &[process, i64::from(i32::from_ne_bytes(bytes)), 0])?;
    // SAFETY: the child is ours.
    unsafe { libc::kill(child, libc::SIGCONT) };
    if judge.is_none() {
        // SAFETY: the flags are passed by value; a refusal costs only time.
        unsafe { libc::ioctl(listener as i32, SET_FLAGS, SYNC_WAKE_UP) };
    }
    while answer(listener as i32, judge) {}
    // SAFETY: the child is ours.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    Ok(0)
}

/// Becomes another program.
fn start(words: &[&str]) {
    use std::os::unix::process::CommandExt as _;
    if let Some((program, words)) = words.split_first() {
        drop(std::process::Command::new(program).args(words).exec());
    }
}

/// Holds these calls.
fn install(held: &[i64]) -> Attempt {
    let step = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut program = vec![step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0)];
    for (index, number) in held.iter().enumerate() {
        let left = (held.len() - index) as u8;
        program.push(step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, left, 0, *number as u32));
    }
    program.push(step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW));
    program.push(step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_USER_NOTIF));
    let whole = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    call(libc::SYS_prctl, &[i64::from(libc::PR_SET_NO_NEW_PRIVS), 1, 0, 0, 0])?;
    call(
        libc::SYS_seccomp,
        &[i64::from(libc::SECCOMP_SET_MODE_FILTER), NEW_LISTENER, &raw const whole as i64],
    )
}

/// Answers one call; `false` once nobody is left to make one.
fn answer(listener: i32, judge: Option<Judge>) -> bool {
    let mut ready = libc::pollfd { fd: listener, events: libc::POLLIN, revents: 0 };
    // SAFETY: polls one descriptor.
    unsafe { libc::poll(&raw mut ready, 1, -1) };
    if ready.revents & libc::POLLIN == 0 {
        return false;
    }
    // SAFETY: zeroes are what the kernel wants to find.
    let mut held: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel fills one such structure.
    if unsafe { libc::ioctl(listener, RECEIVE, &raw mut held) } < 0 {
        return true;
    }
    let looks = |judge: Judge| judge(held.pid as i32, i64::from(held.data.nr), &held.data.args);
    let fine = judge.is_none_or(|judge| looks(judge).unwrap_or(true));
    let (error, flags) = if fine { (0, CONTINUE) } else { (-libc::EACCES, 0) };
    let mut told = libc::seccomp_notif_resp { id: held.id, val: 0, error, flags };
    // SAFETY: the kernel reads one such structure.
    unsafe { libc::ioctl(listener, SEND, &raw mut told) };
    true
}

fn is_fine(pid: i32, number: i64, args: &[u64; 6]) -> io::Result<bool> {
    let here = std::fs::read_link(format!("/proc/{pid}/cwd"))?;
    let real = |path: &str| std::fs::canonicalize(here.join(path));
    match number {
        libc::SYS_open => Ok(may_read(&real(&text(pid, args[0])?)?)),
        libc::SYS_openat => Ok(may_read(&real(&text(pid, args[1])?)?)),
        libc::SYS_execveat => may_start(&std::fs::read_link(format!("/proc/{pid}/fd/{}", args[0]))?, ""),
        _ => {
            let mut second = [0_u8; 8];
            read(pid, args[1] + 8, &mut second)?;
            let word = text(pid, u64::from_ne_bytes(second)).unwrap_or_default();
            may_start(&real(&text(pid, args[0])?)?, &word)
        }
    }
}

fn may_read(path: &Path) -> bool {
    !(path.ends_with(".env") || path.ends_with("b/file"))
}

fn may_start(program: &Path, word: &str) -> io::Result<bool> {
    let start = std::fs::read(program)?;
    if let Some(line) = start.strip_prefix(b"#!") {
        let line = String::from_utf8_lossy(line.split(|byte| *byte == b'\n').next().unwrap_or_default())
            .into_owned();
        let interpreter = PathBuf::from(line.split(' ').next().unwrap_or_default());
        return may_start(&std::fs::canonicalize(interpreter)?, word);
    }
    Ok(!(program.ends_with("printf") || program.ends_with("echo") && word == MARK))
}

fn text(pid: i32, at: u64) -> io::Result<String> {
    let mut bytes = [0_u8; 256];
    let read = read(pid, at, &mut bytes)?;
    let text = bytes.get(..read).unwrap_or_default().split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(text).into_owned())
}

fn read(pid: i32, at: u64, into: &mut [u8]) -> io::Result<usize> {
    let here = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    // Two pieces, so that the end of a page does no harm.
    let first = (4096 - (at & 4095)).min(into.len() as u64) as usize;
    let piece = |from: u64, length: usize| libc::iovec { iov_base: from as *mut _, iov_len: length };
    let there = [piece(at, first), piece(at + first as u64, into.len() - first)];
    // SAFETY: writes into our own memory of the size it is told.
    let got = unsafe { libc::process_vm_readv(pid, &raw const here, 1, there.as_ptr(), 2, 0) };
    usize::try_from(got).map_err(|_| io::Error::last_os_error())
}
