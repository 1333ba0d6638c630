//! The Merkle tree of RFC 6962: hashes, roots, proofs that a leaf is in a tree and that a tree grew out of another.
//!
//! Pure. Does not own what a leaf holds, where leaves are kept, or who signs a root.

use sha2::{Digest, Sha256};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// The hash of a leaf: `SHA-256(0x00 ‖ data)`.
pub fn leaf_hash(data: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(data).finalize().into()
}

/// The hash of an inner node: `SHA-256(0x01 ‖ left ‖ right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// A tree that only grows, kept as the roots of its complete subtrees, largest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    peaks: Vec<Hash>,
}

impl Tree {
    /// How many leaves it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of its complete subtrees, largest first.
    pub(crate) fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// The tree of `size` leaves with these subtrees; `None` if there cannot be one.
    pub(crate) fn of_peaks(size: u64, peaks: Vec<Hash>) -> Option<Tree> {
        (peaks.len() == size.count_ones() as usize).then_some(Tree { size, peaks })
    }

    /// Adds a leaf by its hash.
    pub fn push(&mut self, leaf: Hash) {
        // One subtree of 2^k leaves for every bit set in `size`; a new leaf carries over them like a one added to a binary
        // number.
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The root: of no leaves, the hash of nothing.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return Sha256::digest([]).into() };
        peaks.fold(*last, |right, left| node_hash(left, &right))
    }
}

/// The root over leaf hashes.
pub fn root(leaves: &[Hash]) -> Hash {
    let mut tree = Tree::default();
    leaves.iter().for_each(|leaf| tree.push(*leaf));
    tree.root()
}

/// The largest power of two smaller than `n`, for `n` > 1.
fn split(n: u64) -> u64 {
    1 << (63 - (n - 1).leading_zeros())
}

/// The path that proves leaf `index` to be in the tree over `leaves`; `None` if it is not.
pub fn inclusion_proof(leaves: &[Hash], index: u64) -> Option<Vec<Hash>> {
    let (mut leaves, mut index) = (leaves, usize::try_from(index).ok()?);
    if index >= leaves.len() {
        return None;
    }
    let mut proof = Vec::new();
    while leaves.len() > 1 {
        let (left, right) = leaves.split_at(split(leaves.len() as u64) as usize);
        if index < left.len() {
            proof.push(root(right));
            leaves = left;
        } else {
            proof.push(root(left));
            index -= left.len();
            leaves = right;
        }
    }
    proof.reverse();
    Some(proof)
}

/// Whether `proof` proves `leaf` to be at `index` in the tree of `size` leaves with this `root`.
pub fn included(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for step in proof {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(step, &hash);
            // A right edge without a sibling moves up until it has one.
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, step);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// The path that proves the tree over `leaves` to have grown out of its first `old` leaves; `None` if `old` is 0 or more
/// than there are.
pub fn consistency_proof(leaves: &[Hash], old: u64) -> Option<Vec<Hash>> {
    let (mut leaves, mut old) = (leaves, usize::try_from(old).ok()?);
    if old == 0 || old > leaves.len() {
        return None;
    }
    let mut proof = Vec::new();
    let mut whole = true;
    while old < leaves.len() {
        let (left, right) = leaves.split_at(split(leaves.len() as u64) as usize);
        if old <= left.len() {
            proof.push(root(right));
            leaves = left;
        } else {
            proof.push(root(left));
            old -= left.len();
            leaves = right;
            whole = false;
        }
    }
    if !whole {
        proof.push(root(leaves));
    }
    proof.reverse();
    Some(proof)
}

/// Whether `proof` proves the tree of `new_size` leaves to have grown out of the tree of `old_size` leaves.
pub fn consistent(old_size: u64, old_root: &Hash, new_size: u64, new_root: &Hash, proof: &[Hash]) -> bool {
    if old_size == 0 || old_size > new_size {
        return false;
    }
    if old_size == new_size {
        return proof.is_empty() && old_root == new_root;
    }
    let (mut node, mut last) = (old_size - 1, new_size - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    // A complete old tree is its own first node.
    let (first, rest) = match proof.split_first() {
        _ if old_size.is_power_of_two() => (old_root, proof),
        Some((first, rest)) => (first, rest),
        None => return false,
    };
    let (mut old, mut new) = (*first, *first);
    for step in rest {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            old = node_hash(step, &old);
            new = node_hash(step, &new);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new = node_hash(&new, step);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && old == *old_root && new == *new_root
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hex;

    /// The inputs and roots that RFC 6962 implementations are tested with since the first of them.
    const INPUTS: [&str; 8] =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    fn vectors() -> Vec<Hash> {
        INPUTS.iter().map(|input| leaf_hash(&hex::decode(input).unwrap())).collect()
    }

    fn hashes(hexes: &[&str]) -> Vec<Hash> {
        hexes.iter().map(|text| hex::decode(text).unwrap().try_into().unwrap()).collect()
    }

    /// MTH, PATH and SUBPROOF word for word as section 2.1 of the RFC defines them.
    mod naive {
        use super::super::{Hash, node_hash};
        use sha2::{Digest, Sha256};

        fn k(n: usize) -> usize {
            let mut k = 1;
            while k * 2 < n {
                k *= 2;
            }
            k
        }

        pub(super) fn mth(d: &[Hash]) -> Hash {
            match d {
                [] => Sha256::digest([]).into(),
                [one] => *one,
                _ => node_hash(&mth(&d[..k(d.len())]), &mth(&d[k(d.len())..])),
            }
        }

        pub(super) fn path(m: usize, d: &[Hash]) -> Vec<Hash> {
            if d.len() == 1 {
                return Vec::new();
            }
            let k = k(d.len());
            let (mut path, last) = match m < k {
                true => (path(m, &d[..k]), mth(&d[k..])),
                false => (path(m - k, &d[k..]), mth(&d[..k])),
            };
            path.push(last);
            path
        }

        pub(super) fn subproof(m: usize, d: &[Hash], b: bool) -> Vec<Hash> {
            if m == d.len() {
                return if b { Vec::new() } else { vec![mth(d)] };
            }
            let k = k(d.len());
            let (mut proof, last) = match m <= k {
                true => (subproof(m, &d[..k], b), mth(&d[k..])),
                false => (subproof(m - k, &d[k..], false), mth(&d[..k])),
            };
            proof.push(last);
            proof
        }
    }

    #[test]
    fn roots_are_those_of_the_vectors() {
        let mut tree = Tree::default();
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hex::encode(&tree.root()), empty);
        for (leaf, expected) in vectors().into_iter().zip(ROOTS) {
            tree.push(leaf);
            assert_eq!(hex::encode(&tree.root()), expected, "size {}", tree.size());
        }
    }

    #[test]
    fn inclusion_proofs_are_those_of_the_vectors() {
        let leaves = vectors();
        let path = hashes(&[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ]);
        assert_eq!(inclusion_proof(&leaves, 0).unwrap(), path);
        assert!(included(&leaves[0], 0, 8, &path, &root(&leaves)));
        let path = hashes(&[
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ]);
        assert_eq!(inclusion_proof(&leaves, 5).unwrap(), path);
    }

    #[test]
    fn consistency_proofs_are_those_of_the_vectors() {
        let leaves = vectors();
        let path = hashes(&[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ]);
        assert_eq!(consistency_proof(&leaves, 6).unwrap(), path);
        assert!(consistent(6, &root(&leaves[..6]), 8, &root(&leaves), &path));
    }

    fn numbered(count: u64) -> Vec<Hash> {
        (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
    }

    #[test]
    fn every_proof_of_every_small_tree_is_the_definition_and_holds() {
        for size in 1..=65_usize {
            let leaves = numbered(size as u64);
            let top = root(&leaves);
            assert_eq!(top, naive::mth(&leaves));
            for at in 0..size {
                let proof = inclusion_proof(&leaves, at as u64).unwrap();
                assert_eq!(proof, naive::path(at, &leaves));
                assert!(included(&leaves[at], at as u64, size as u64, &proof, &top));
                assert!(
                    !included(&leaves[at], (at as u64 + 1) % size as u64, size as u64, &proof, &top)
                        || size == 1
                );
            }
            for old in 1..=size {
                let proof = consistency_proof(&leaves, old as u64).unwrap();
                assert_eq!(proof, naive::subproof(old, &leaves, true));
                assert!(consistent(old as u64, &root(&leaves[..old]), size as u64, &top, &proof));
            }
        }
    }

    proptest! {
        #[test]
        fn a_proof_with_one_bit_changed_proves_nothing(
            size in 2_u64..200, at: prop::sample::Index, step: prop::sample::Index, bit in 0_usize..256
        ) {
            let leaves = numbered(size);
            let top = root(&leaves);
            let at = at.index(size as usize);
            let flip = |proof: &mut Vec<Hash>| {
                let step = step.index(proof.len());
                proof[step][bit / 8] ^= 1 << (bit % 8);
            };
            let mut proof = inclusion_proof(&leaves, at as u64).unwrap();
            flip(&mut proof);
            prop_assert!(!included(&leaves[at], at as u64, size, &proof, &top));
            if at > 0 {
                let mut proof = consistency_proof(&leaves, at as u64).unwrap();
                flip(&mut proof);
                prop_assert!(!consistent(at as u64, &root(&leaves[..at]), size, &top, &proof));
            }
        }

        #[test]
        fn a_proof_cut_or_grown_proves_nothing(size in 2_u64..200, at: prop::sample::Index) {
            let leaves = numbered(size);
            let top = root(&leaves);
            let at = at.index(size as usize) as u64;
            let mut proof = inclusion_proof(&leaves, at).unwrap();
            proof.push(top);
            prop_assert!(!included(&leaves[at as usize], at, size, &proof, &top));
            proof.truncate(proof.len() - 2);
            prop_assert!(!included(&leaves[at as usize], at, size, &proof, &top));
        }
    }
}
