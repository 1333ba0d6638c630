//! The kernel: confine, watch, and let go.
