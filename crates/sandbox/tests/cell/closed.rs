//! .
use super::runner::Case;
pub(crate) const CASES: &[Case] = &[];
