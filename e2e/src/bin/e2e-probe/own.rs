//! What a program does to itself, so that it or what it starts is not seen; and looks at others by newer calls.

use super::Attempt;
use super::calls::{call, number, with_file};
use std::io;

pub(crate) fn attempt(name: &str, words: &[&str]) -> Option<Attempt> {
    Some(match (name, words) {
        ("under-filter", [answer, program, words @ ..]) => under_filter(answer, program, words),
        ("undumpable", [program, words @ ..]) => {
            let closed = call(libc::SYS_prctl, &[i64::from(libc::PR_SET_DUMPABLE), 0, 0, 0, 0]);
            closed.and_then(|_| run(program, words))
        }
        ("other-program", [program]) => with_file(program, |file| {
            let (option, exe) = (i64::from(libc::PR_SET_MM), i64::from(libc::PR_SET_MM_EXE_FILE));
            call(libc::SYS_prctl, &[option, exe, file, 0, 0])
        }),
        ("newer-calls", []) => {
            (463..600).map(|number| call(number, &[])).find(Result::is_ok).unwrap_or_else(|| call(463, &[]))
        }
        ("compare", [pid]) => call(libc::SYS_kcmp, &[number(pid)?, i64::from(std::process::id()), 0, 0, 0]),
        ("advise", [pid]) => {
            let process = call(libc::SYS_pidfd_open, &[number(pid)?, 0]).ok()?;
            let page = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 4096 };
            call(
                libc::SYS_process_madvise,
                &[process, &raw const page as i64, 1, i64::from(libc::MADV_COLD), 0],
            )
        }
        _ => return None,
    })
}

/// Runs a program beneath a filter of its own, that answers every exec with this.
fn under_filter(answer: &str, program: &str, words: &[&str]) -> Attempt {
    let (answer, flags) = match answer {
        "allow" => (libc::SECCOMP_RET_ALLOW, 0),
        "log" => (libc::SECCOMP_RET_LOG, 0),
        "trace" => (libc::SECCOMP_RET_TRACE, 0),
        "listener" => (libc::SECCOMP_RET_USER_NOTIF, 1 << 3),
        _ => return Err(io::Error::from_raw_os_error(libc::EINVAL)),
    };
    let step = |code: u32, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf, k };
    let program_of = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, libc::SYS_execve as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, answer),
        step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let whole = libc::sock_fprog { len: 4, filter: program_of.as_ptr().cast_mut() };
    call(libc::SYS_prctl, &[i64::from(libc::PR_SET_NO_NEW_PRIVS), 1, 0, 0, 0])?;
    call(libc::SYS_seccomp, &[i64::from(libc::SECCOMP_SET_MODE_FILTER), flags, &raw const whole as i64])?;
    run(program, words)
}

/// Becomes another program.
fn run(program: &str, words: &[&str]) -> Attempt {
    use std::os::unix::process::CommandExt as _;
    Err(std::process::Command::new(program).args(words).exec())
}
