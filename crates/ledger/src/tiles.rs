//! A log as files that other programs read: hash tiles and entry bundles, as C2SP's tlog-tiles has them.
//!
//! Pure. Owns their names and their bytes. Does not own where they are written, or the checkpoint beside them.

use crate::tree::{Hash, leaf_hash, root};

/// Hashes of a full tile, entries of a full bundle.
const WIDTH: usize = 256;
/// Bytes of the largest bundle.
pub(crate) const BUNDLE_LIMIT: usize = WIDTH * (2 + crate::event::LEAF_LIMIT);

/// One file of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tile {
    /// Its path beneath the log.
    pub(crate) path: String,
    pub(crate) bytes: Vec<u8>,
}

/// Makes the files of a log out of its leaves, in order: each as soon as it is full, the rest at the end.
#[derive(Debug, Default)]
pub(crate) struct Tiler {
    bundle: Vec<u8>,
    /// The last tile of every level, and how many full ones there were before it.
    levels: Vec<(Vec<Hash>, u64)>,
}

impl Tiler {
    /// Takes a leaf of at most [`crate::LEAF_LIMIT`] bytes; gives the files that are full with it.
    pub(crate) fn push(&mut self, leaf: &[u8]) -> Vec<Tile> {
        self.bundle.extend((leaf.len() as u16).to_be_bytes());
        self.bundle.extend(leaf);
        let (mut full, mut hash) = (Vec::new(), leaf_hash(leaf));
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push((Vec::with_capacity(WIDTH), 0));
            }
            let (hashes, number) = &mut self.levels[level];
            hashes.push(hash);
            if hashes.len() < WIDTH {
                break;
            }
            if level == 0 {
                full.push(Tile {
                    path: path("entries", *number, WIDTH),
                    bytes: std::mem::take(&mut self.bundle),
                });
            }
            full.push(Tile { path: path(&level.to_string(), *number, WIDTH), bytes: hashes.concat() });
            hash = root(hashes);
            hashes.clear();
            *number += 1;
        }
        full
    }

    /// The files that are not full.
    pub(crate) fn finish(self) -> Vec<Tile> {
        let mut rest = Vec::new();
        for (level, (hashes, number)) in self.levels.iter().enumerate() {
            if hashes.is_empty() {
                continue;
            }
            if level == 0 {
                rest.push(Tile { path: path("entries", *number, hashes.len()), bytes: self.bundle.clone() });
            }
            rest.push(Tile { path: path(&level.to_string(), *number, hashes.len()), bytes: hashes.concat() });
        }
        rest
    }
}

/// `tile/LEVEL/NUMBER`, the number in groups of three digits, and `.p/WIDTH` where it is not full.
fn path(level: &str, number: u64, width: usize) -> String {
    let mut digits = format!("{:03}", number % 1000);
    let mut rest = number / 1000;
    while rest > 0 {
        digits = format!("x{:03}/{digits}", rest % 1000);
        rest /= 1000;
    }
    match width {
        WIDTH => format!("tile/{level}/{digits}"),
        _ => format!("tile/{level}/{digits}.p/{width}"),
    }
}

/// The entries of a bundle; `None` if it is none.
pub(crate) fn entries(mut bundle: &[u8]) -> Option<Vec<&[u8]>> {
    let mut entries = Vec::new();
    while let Some((length, rest)) = bundle.split_first_chunk::<2>() {
        let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        entries.push(entry);
        bundle = rest;
    }
    (bundle.is_empty() && (1..=WIDTH).contains(&entries.len())).then_some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiled(size: u64) -> Vec<Tile> {
        let mut tiler = Tiler::default();
        let mut tiles: Vec<Tile> = (0..size).flat_map(|leaf| tiler.push(&leaf.to_be_bytes())).collect();
        tiles.extend(tiler.finish());
        tiles
    }

    #[test]
    fn names_are_those_of_the_specification() {
        assert_eq!(path("0", 1_234_067, 256), "tile/0/x001/x234/067");
        assert_eq!(path("entries", 5, 112), "tile/entries/005.p/112");
        assert_eq!(path("2", 1000, 1), "tile/2/x001/000.p/1");
    }

    #[test]
    fn a_tree_of_seventy_thousand_has_the_tiles_of_the_specification() {
        let tiles = tiled(70_000);
        let count = |start: &str| tiles.iter().filter(|tile| tile.path.starts_with(start)).count();
        assert_eq!((count("tile/0/"), count("tile/1/"), count("tile/2/")), (274, 2, 1));
        assert_eq!(count("tile/entries/"), 274);
        for (path, width) in [("tile/0/273.p/112", 112), ("tile/1/001.p/17", 17), ("tile/2/000.p/1", 1)] {
            let found = tiles.iter().find(|tile| tile.path == path).unwrap();
            assert_eq!(found.bytes.len(), width * 32);
        }
    }

    #[test]
    fn a_full_tile_begins_the_next_level() {
        let paths: Vec<String> = tiled(256).into_iter().map(|tile| tile.path).collect();
        assert_eq!(paths, ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]);
        assert!(tiled(0).is_empty());
    }

    #[test]
    fn a_bundle_gives_its_entries_back() {
        let tiles = tiled(3);
        assert_eq!(entries(&tiles[0].bytes).unwrap()[2], 2_u64.to_be_bytes());
        assert!(entries(&tiles[0].bytes[..29]).is_none());
        assert!(entries(b"").is_none());
    }
}
