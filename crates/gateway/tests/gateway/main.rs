//! What the gateway promises, seen from both of its sides: programs inside, servers outside, and the ledger between them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests, helpers too")]

mod addresses;
mod asked;
mod caps;
mod carried;
mod common;
mod conditions;
mod credentials;
mod denied;
mod ending;
mod frames;
mod logins;
mod looked_into;
mod models;
mod no_proxy;
mod one_reading;
mod opened;
mod origin;
mod outside;
mod recorded;
mod socks;
mod traps;
mod two;
mod via;
