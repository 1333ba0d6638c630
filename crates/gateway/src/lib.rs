//! The one way out: ingress, judge, dial, carry.
#![forbid(unsafe_code)]
