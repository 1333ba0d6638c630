//! The evidence: what happened, in an order nobody can quietly change.
#![forbid(unsafe_code)]
