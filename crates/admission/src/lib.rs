//! The line: decide, ask, record, permit.
#![forbid(unsafe_code)]
