//! One attempt to do what a confined program must not: `e2e-probe NAME [WORDS]`.
//!
//! Ends with 0 and `done` if the attempt succeeded, with 1 and the name of the error if it was refused, with 2 if it
//! could not be made at all. So that a refusal shows something, the tests make the same attempt outside.
#![allow(clippy::print_stdout, reason = "its answer is what it prints")]
#![allow(unsafe_code, reason = "calls the kernel as hostile programs do, around every library")]

mod calls;
mod naive;
mod own;
mod races;
mod sockets;

use std::io;
use std::process::ExitCode;

/// What came of an attempt; the number is whatever the kernel gave.
pub(crate) type Attempt = io::Result<i64>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Some(name) = words.first() else {
        println!("usage: e2e-probe NAME [WORDS]");
        return ExitCode::from(2);
    };
    match run(&words) {
        Some(Ok(_)) => {
            println!("{name}: done");
            ExitCode::SUCCESS
        }
        Some(Err(error)) => {
            println!("{name}: {}", spelled(&error));
            ExitCode::FAILURE
        }
        None => {
            println!("{name}: no such attempt with these words");
            ExitCode::from(2)
        }
    }
}

/// Makes an attempt; `None` if there is none of that name.
pub(crate) fn run(words: &[&str]) -> Option<Attempt> {
    let (name, rest) = words.split_first()?;
    calls::attempt(name, rest)
        .or_else(|| sockets::attempt(name, rest))
        .or_else(|| own::attempt(name, rest))
        .or_else(|| races::attempt(name, rest))
        .or_else(|| naive::attempt(name, rest))
}

/// The name of an error, where a test names it.
fn spelled(error: &io::Error) -> String {
    let name = match error.raw_os_error() {
        Some(libc::EPERM) => "EPERM",
        Some(libc::ENOENT) => "ENOENT",
        Some(libc::EACCES) => "EACCES",
        Some(libc::EINVAL) => "EINVAL",
        Some(libc::ESRCH) => "ESRCH",
        Some(libc::ENOSYS) => "ENOSYS",
        Some(libc::EAFNOSUPPORT) => "EAFNOSUPPORT",
        Some(libc::ENETUNREACH) => "ENETUNREACH",
        Some(libc::ECONNREFUSED) => "ECONNREFUSED",
        Some(libc::EXDEV) => "EXDEV",
        Some(libc::EROFS) => "EROFS",
        Some(libc::EBUSY) => "EBUSY",
        Some(libc::EBADF) => "EBADF",
        _ => return error.to_string(),
    };
    name.to_owned()
}
