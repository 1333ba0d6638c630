//! The line's promises, as tests; each file is named for one.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "these are tests, helpers too")]

mod addresses;
mod asks;
mod common;
mod floods;
mod grants;
mod no_event_no_permit;
mod order;
mod outcomes;
