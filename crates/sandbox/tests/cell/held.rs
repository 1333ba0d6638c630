//! t
pub(crate) const CASES: &[super::runner::Case] = &[];
