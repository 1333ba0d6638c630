//! What a policy promises, from outside the crate.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests, helpers too")]

mod common;
mod conditions;
mod confinement;
mod decide;
mod documentation;
mod explain;
mod hostile;
mod hosts;
mod laws;
mod layers;
mod limits;
mod offer;
mod profiles;
mod terms;
mod traps;
mod words;
