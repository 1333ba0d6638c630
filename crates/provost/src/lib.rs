//! The binary: it launches and speaks.
#![forbid(unsafe_code)]

pub mod agents;
pub mod secrets;
pub mod toolchains;
pub mod workspace;
