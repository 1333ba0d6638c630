//! The text of a control sequence, taken apart; or the word that it is none.

/// The text of a control sequence, taken apart: a private marker, numbers, bytes between.
pub(super) struct Sequence<'a> {
    pub(super) marker: Option<u8>,
    numbers: &'a [u8],
    pub(super) between: &'a [u8],
}

impl<'a> Sequence<'a> {
    /// `None` if it is no sequence: a marker in the middle, a number after the bytes between, a number past 16 bits.
    pub(super) fn read(text: &'a [u8]) -> Option<Self> {
        let (marker, rest) = match text.split_first() {
            Some((&first @ b'<'..=b'?', rest)) => (Some(first), rest),
            _ => (None, text),
        };
        let digits = rest.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b':' | b';')).count();
        let (numbers, between) = rest.split_at_checked(digits)?;
        let sequence = Self { marker, numbers, between };
        let plain = between.iter().all(|byte| matches!(byte, 0x20..=0x2f)) && between.len() <= 2;
        (plain && sequence.fields().all(|field| field.is_some())).then_some(sequence)
    }

    /// Every number and sub-number; an empty one is 0.
    fn fields(&self) -> impl Iterator<Item = Option<u16>> + 'a {
        self.numbers.split(|byte| matches!(byte, b':' | b';')).map(|field| {
            if field.is_empty() {
                return Some(0);
            }
            std::str::from_utf8(field).ok()?.parse().ok()
        })
    }

    pub(super) fn numbers(&self) -> impl Iterator<Item = u16> + 'a {
        self.fields().flatten()
    }

    pub(super) fn first(&self) -> u16 {
        self.numbers().next().unwrap_or(0)
    }

    /// How many numbers were written.
    pub(super) fn count(&self) -> usize {
        if self.numbers.is_empty() { 0 } else { self.numbers().count() }
    }

    pub(super) fn only(&self, wanted: &[u16]) -> bool {
        self.numbers().eq(wanted.iter().copied())
    }
}
