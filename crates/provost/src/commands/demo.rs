//! `provost demo`: two minutes of what Provost does, on this very machine.

use crate::cli::Demo;
use crate::demo;
use crate::failure::Failure;
use crate::render::Out;

pub(super) fn demo(order: &Demo, out: Out) -> Result<u8, Failure> {
    match &order.call {
        Some(endpoint) => demo::call(endpoint, out),
        None => demo::demo(order.unattended, out),
    }
}
