//! The house holds itself to its own rules: who leans on whom, where unsafe code lives, what the standing pages promise.
//!
//! Owns the checks of the repository as git knows it, and of what its pages show. Does not own what Provost does: that is
//! tested beside the code and in the other tests of this crate.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "these are tests: what fails in them says where"
)]

mod crates;
mod files;
mod mutations;
mod pages;
mod repository;
mod tour;
