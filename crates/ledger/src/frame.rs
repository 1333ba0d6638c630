//! Frames: how leaves and notes lie in a segment file.
//!
//! Owns the bytes: a segment is a header and frames; a frame is length, kind, checksum, payload, all little-endian. The
//! checksum tells an accident from what was written; it says nothing against someone who can compute one, which is what
//! the tree and the notes are for. Does not own files.

use crate::event::LEAF_LIMIT;

/// Bytes of a segment's header.
pub(crate) const HEADER: usize = 20;
/// Bytes of a frame before its payload.
pub(crate) const FRAME: usize = 9;
const MAGIC: &[u8; 8] = b"PLEDGER1";

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A leaf of the tree.
    Leaf = 1,
    /// A checkpoint over the leaves before it.
    Checkpoint = 2,
    /// The host's word for the key of the checkpoints after it.
    Certificate = 3,
}

/// What is wrong with the bytes at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The file ends within a record.
    #[error("the record is cut off")]
    Short,
    /// A record of a length or kind that is never written.
    #[error("no record begins here")]
    Shape,
    /// The bytes are not those that were written.
    #[error("the record's checksum is false")]
    Checksum,
    /// The file does not begin as a segment of this ledger does at this place.
    #[error("the segment's header is false")]
    Header,
}

/// The header of the segment whose first leaf is `first`.
pub(crate) fn header(first: u64) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(MAGIC);
    header[8..16].copy_from_slice(&first.to_le_bytes());
    let sum = crc32c::crc32c(&header[..16]);
    header[16..].copy_from_slice(&sum.to_le_bytes());
    header
}

/// Whether these bytes are a segment's header, wherever in a ledger.
pub(crate) fn is_header(bytes: &[u8]) -> bool {
    let first = bytes.get(8..16).and_then(|first| first.try_into().ok()).map(u64::from_le_bytes);
    first.is_some_and(|first| header(first) == bytes)
}

/// Appends a frame to `out`. The payload is never empty nor over the limit.
pub(crate) fn put(out: &mut Vec<u8>, kind: Kind, payload: &[u8]) {
    debug_assert!((1..=LEAF_LIMIT).contains(&payload.len()), "a payload of {} bytes", payload.len());
    let length = (payload.len() as u32).to_le_bytes();
    out.extend(length);
    out.push(kind as u8);
    out.extend(checksum(length, kind as u8, payload).to_le_bytes());
    out.extend(payload);
}

/// The frame at the beginning of `bytes`, and how many bytes it takes.
pub(crate) fn take(bytes: &[u8]) -> Result<(Kind, &[u8], usize), Fault> {
    let (head, rest) = bytes.split_at_checked(FRAME).ok_or(Fault::Short)?;
    let length = [head[0], head[1], head[2], head[3]];
    let kind = match head[4] {
        1 => Kind::Leaf,
        2 => Kind::Checkpoint,
        3 => Kind::Certificate,
        _ => return Err(Fault::Shape),
    };
    let size = u32::from_le_bytes(length) as usize;
    if size == 0 || size > LEAF_LIMIT {
        return Err(Fault::Shape);
    }
    let payload = rest.get(..size).ok_or(Fault::Short)?;
    let sum = u32::from_le_bytes([head[5], head[6], head[7], head[8]]);
    if checksum(length, head[4], payload) != sum {
        return Err(Fault::Checksum);
    }
    Ok((kind, payload, FRAME + size))
}

fn checksum(length: [u8; 4], kind: u8, payload: &[u8]) -> u32 {
    let head = crc32c::crc32c(&[length[0], length[1], length[2], length[3], kind]);
    crc32c::crc32c_append(head, payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_back_and_no_bit_of_it_can_change() {
        let mut bytes = Vec::new();
        put(&mut bytes, Kind::Checkpoint, b"payload");
        assert_eq!(take(&bytes), Ok((Kind::Checkpoint, &b"payload"[..], bytes.len())));
        for at in 0..bytes.len() * 8 {
            bytes[at / 8] ^= 1 << (at % 8);
            assert!(take(&bytes).is_err(), "bit {at}");
            bytes[at / 8] ^= 1 << (at % 8);
        }
        for end in 0..bytes.len() {
            assert_eq!(take(&bytes[..end]), Err(Fault::Short));
        }
    }

    #[test]
    fn zeros_are_no_frame() {
        assert_eq!(take(&[0; 64]), Err(Fault::Shape));
    }
}
