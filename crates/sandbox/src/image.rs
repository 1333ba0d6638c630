//! What the kernel makes of an exec: the program that really runs, and the words it is really given.
//!
//! Owns: reading `#!` lines as the kernel does, and comparing the outcome with a new image. Does not own: stopping
//! it (`tracer.rs`), what starts with what (`supervisor/guise.rs`), or judging what was asked (`policy`).

use crate::programs::{Kind, Programs};
use policy::action::is_steering;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use std::io;
use std::sync::Arc;

/// How much of a file the kernel looks at for a `#!` line.
pub(crate) const LINE_MAX: usize = 256;
/// How many interpreters of interpreters the kernel follows.
pub(crate) const CHAIN_MAX: usize = 5;

/// A variable of an environment.
pub(crate) type Variable = (Vec<u8>, Vec<u8>);

/// What a new image must be.
#[derive(Debug)]
pub(crate) struct Image {
    /// The program that runs, after every `#!` line.
    pub(crate) program: OwnedFd,
    /// The words that the kernel makes for it.
    pub(crate) words: Vec<Vec<u8>>,
    pub(crate) steering: Vec<Variable>,
    pub(crate) content: Content,
}

/// What a program's content was when it was judged.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) programs: Arc<Programs>,
    pub(crate) kind: Kind,
}

impl Image {
    /// Whether a process that stands before its first instruction is what was judged.
    pub(crate) fn is(&self, pid: i32) -> io::Result<bool> {
        let runs =
            rustix::fs::open(format!("/proc/{pid}/exe"), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let words = std::fs::read(format!("/proc/{pid}/cmdline"))?;
        let variables = std::fs::read(format!("/proc/{pid}/environ"))?;
        Ok(same_file(&runs, &self.program)?
            && words == joined(&self.words)
            && steering(&variables) == self.steering
            && self.content.programs.is_still(&self.program, &self.content.kind)?)
    }
}

/// The interpreter that a `#!` line names, and its one argument; `None` where there is no such line.
pub(crate) fn interpreter(start: &[u8]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let line = start.strip_prefix(b"#!")?;
    let line = line.split(|byte| *byte == b'\n').next()?;
    let line = trimmed(line.split(|byte| *byte == 0).next()?);
    let end = line.iter().position(is_blank).unwrap_or(line.len());
    let (name, argument) = line.split_at_checked(end)?;
    let argument = trimmed(argument);
    (!name.is_empty()).then(|| (name.to_vec(), (!argument.is_empty()).then(|| argument.to_vec())))
}

/// The kernel's blanks; a carriage return is part of a name.
fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn trimmed(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_blank(first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && is_blank(last)
    {
        text = rest;
    }
    text
}

/// Words as /proc/PID/cmdline has them. The kernel gives a program without any word one that is empty.
fn joined(words: &[Vec<u8>]) -> Vec<u8> {
    if words.is_empty() {
        return vec![0];
    }
    words.iter().flat_map(|word| word.iter().copied().chain([0])).collect()
}

/// The steering variables in /proc/PID/environ, sorted as a command has them.
fn steering(environ: &[u8]) -> Vec<Variable> {
    let mut found: Vec<Variable> = environ
        .split(|byte| *byte == 0)
        .filter_map(split_variable)
        .filter(|(name, _)| is_steering(name))
        .collect();
    found.sort();
    found
}

/// `NAME=value`, taken apart.
pub(crate) fn split_variable(entry: &[u8]) -> Option<Variable> {
    let at = entry.iter().position(|byte| *byte == b'=')?;
    let (name, value) = entry.split_at_checked(at)?;
    Some((name.to_vec(), value.get(1..)?.to_vec()))
}

pub(crate) fn same_file(one: impl AsFd, other: impl AsFd) -> io::Result<bool> {
    let id = |fd: rustix::fd::BorrowedFd<'_>| rustix::fs::fstat(fd).map(|found| (found.st_dev, found.st_ino));
    Ok(id(one.as_fd())? == id(other.as_fd())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreter_lines_are_read_as_the_kernel_reads_them() {
        let read = |line: &str| {
            interpreter(line.as_bytes()).map(|(name, argument)| {
                (String::from_utf8(name).unwrap(), argument.map(|text| String::from_utf8(text).unwrap()))
            })
        };
        let named = |name: &str, argument: Option<&str>| Some((name.to_owned(), argument.map(str::to_owned)));
        assert_eq!(read("#!/bin/sh\necho"), named("/bin/sh", None));
        assert_eq!(read("#! /bin/sh -e -u \n"), named("/bin/sh", Some("-e -u")));
        assert_eq!(read("#!/usr/bin/env\t-S a b"), named("/usr/bin/env", Some("-S a b")));
        assert_eq!(read("#!/bin/sh\r\n"), named("/bin/sh\r", None));
        assert_eq!(read("#!\n/bin/sh"), None);
        assert_eq!(read("\x7fELF"), None);
    }

    #[test]
    fn steering_variables_are_taken_out_sorted() {
        let found = steering(b"PATH=/bin\0LD_PRELOAD=x\0GIT_DIR=y\0odd\0");
        assert_eq!(found, [(b"GIT_DIR".to_vec(), b"y".to_vec()), (b"LD_PRELOAD".to_vec(), b"x".to_vec())]);
    }
}
