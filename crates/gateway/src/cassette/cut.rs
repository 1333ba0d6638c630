//! Where the body of a request is cut: at places that its content chooses, so that what is sent again is the same pieces again.
//!
//! Owns the cutting alone. A conversation with a model sends all of itself with each turn, and often something that changes before
//! what does not; pieces that begin and end by what stands there are found again wherever they move to.

use bytes::{Bytes, BytesMut};

/// Bytes of the shortest piece, but for a last one.
const LEAST: usize = 2 * 1024;
/// A cut is made where so many bits are nothing: every 8 KiB beyond the shortest piece.
const MASK: u64 = ((1 << 13) - 1) << 40;
/// Bytes of the longest piece.
const MOST: usize = 64 * 1024;

/// Cuts one body.
#[derive(Debug, Default)]
pub(crate) struct Cut {
    /// The piece so far.
    piece: BytesMut,
    /// What the last 64 bytes come to.
    rolled: u64,
}

impl Cut {
    /// The next bytes of it; gives the pieces that are whole now.
    pub(crate) fn more(&mut self, bytes: &[u8]) -> Vec<Bytes> {
        let mut whole = Vec::new();
        let mut rest = bytes;
        while let Some(at) = self.end_in(rest) {
            let (now, after) = rest.split_at(at);
            self.piece.extend_from_slice(now);
            whole.push(self.rest());
            rest = after;
        }
        self.piece.extend_from_slice(rest);
        whole
    }

    /// What is left, once nothing more comes.
    pub(crate) fn rest(&mut self) -> Bytes {
        self.rolled = 0;
        self.piece.split().freeze()
    }

    /// Where the piece under way ends in these bytes.
    fn end_in(&mut self, bytes: &[u8]) -> Option<usize> {
        let before = self.piece.len();
        for (at, byte) in bytes.iter().enumerate() {
            self.rolled = (self.rolled << 1).wrapping_add(spread(*byte));
            let length = before + at + 1;
            if length >= MOST || (length >= LEAST && self.rolled & MASK == 0) {
                return Some(at + 1);
            }
        }
        None
    }
}

/// A byte as a number whose bits have nothing to do with it (splitmix64).
const fn spread(byte: u8) -> u64 {
    SPREAD[byte as usize]
}

const SPREAD: [u64; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut number = (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        table[at] = number ^ (number >> 31);
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn text(lines: std::ops::Range<u32>) -> Vec<u8> {
        lines
            .map(|line| format!("line {line} says {}\n", line.wrapping_mul(2_654_435_761)))
            .collect::<String>()
            .into()
    }

    fn pieces(body: &[u8], at_once: usize) -> Vec<Bytes> {
        let mut cut = Cut::default();
        let mut pieces: Vec<Bytes> = body.chunks(at_once).flat_map(|bytes| cut.more(bytes)).collect();
        pieces.push(cut.rest());
        pieces
    }

    #[test]
    fn pieces_are_the_body_however_it_comes() {
        let body = text(0..20_000);
        let cut = pieces(&body, 1_000);
        assert_eq!(cut.concat(), body);
        assert_eq!(pieces(&body, 7), cut);
        assert_eq!(pieces(&body, body.len()), cut);
        assert!(cut.iter().all(|piece| piece.len() <= MOST) && cut.len() > body.len() / MOST);
    }

    #[test]
    fn what_is_sent_again_is_the_same_pieces_wherever_it_stands() {
        let old: HashSet<Bytes> = pieces(&text(0..20_000), 999).into_iter().collect();
        let moved = [b"{\"something\": \"new at the front\"}".to_vec(), text(0..20_100)].concat();
        let fresh: usize =
            pieces(&moved, 500).iter().filter(|piece| !old.contains(*piece)).map(Bytes::len).sum();
        assert!(fresh < moved.len() / 5, "{fresh} of {}", moved.len());
    }
}
