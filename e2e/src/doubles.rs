//! Doubles of what lies outside Provost.

pub mod front;
pub mod model;
pub mod tokens;
