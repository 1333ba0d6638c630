//! What may happen: actions, layers, decisions. Pure: no IO, clock, environment or async.
#![forbid(unsafe_code)]
