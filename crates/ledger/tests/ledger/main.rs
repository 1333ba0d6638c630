//! The ledger's promises, as tests; each file is named for one. Some start this binary again as a child to kill or starve.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "these are tests, helpers too")]

mod bundle;
mod common;
mod events_doc;
mod forged;
mod full_disk;
mod killed;
mod others;
mod register;
mod small_disk;
mod whole_or_broken;
