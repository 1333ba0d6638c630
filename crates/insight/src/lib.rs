//! Events in, story out. Pure.
#![forbid(unsafe_code)]
