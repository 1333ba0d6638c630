//! What the promises are tested with: doubles of what lies outside, and a stage on which the real binary runs.
//!
//! * [`mod@bench`]: commands raced against each other.
//! * [`person`]: on whose behalf: root and an ordinary user where the tests run as root.
//! * [`stage`]: a person's home, a repository in it, and the built `provost` as that person runs it.
//! * [`network`]: a network of the test's own around a command, with servers that are really outside.
//! * [`ran`]: a command that ended: its status and what it printed.
//! * [`strace`]: another observer of a command, to compare with.
//! * [`tree`]: a folder byte for byte, to show that it is untouched.
//! * [`built`]: what the build made and what `install-agents` installed, where a person can reach it.
//! * [`mutation`]: a defence taken away, to show that its test notices.
//! * [`doubles`] speak as the real ones do: a model server that follows a script.
//!
//! Owns no promise: those are in `tests/e2e`, one file each. Nothing depends on this crate.
#![forbid(unsafe_code)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "this is the tests' own library: what fails in it is a failed test, and says where"
)]

pub mod bench;
pub mod built;
pub mod doubles;
pub mod mutation;
pub mod network;
pub mod person;
pub mod ran;
pub mod stage;
pub mod strace;
pub mod tree;
