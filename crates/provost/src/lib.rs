//! The binary: it launches and speaks.
#![forbid(unsafe_code)]
