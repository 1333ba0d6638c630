//! Promises as tests: the real binary on the real kernel with real agents, and the doubles they need.
#![forbid(unsafe_code)]
