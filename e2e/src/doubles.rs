//! Doubles of what lies outside Provost.

pub mod model;
