//! The Merkle tree over the audit's entries, as RFC 6962 has it, without its leaves.
//!
//! What is kept is the frontier: the roots of the full subtrees, largest first, one for each bit of
//! the size. Appending costs one hash on average, and the root of everything that was ever written
//! needs nothing but the frontier, so that old files of the audit can go when their time has come.

use sha2::{Digest, Sha256};

/// A SHA-256 hash.
pub(super) type Hash = [u8; 32];

/// A hash as the audit's lines write it.
pub(super) fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hash of an entry's bytes; the prefix keeps leaves and nodes apart.
pub(super) fn leaf(bytes: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(bytes).finalize().into()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The frontier of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// A frontier that was written down; `None` where the peaks are not those of that size.
    pub(super) fn of(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        (peaks.len() == size.count_ones() as usize).then_some(Self { size, peaks })
    }

    /// Entries in the tree.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Roots of the full subtrees, largest first.
    pub(super) fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// Adds an entry's hash.
    pub(super) fn append(&mut self, leaf: Hash) {
        let mut right = leaf;
        for _ in 0..self.size.trailing_ones() {
            let left = self.peaks.pop().expect("a subtree for each bit of the size");
            right = node(&left, &right);
        }
        self.peaks.push(right);
        self.size += 1;
    }

    /// The root of the tree.
    pub(super) fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(&smallest) = peaks.next() else { return Sha256::digest([]).into() };
        peaks.fold(smallest, |right, left| node(left, &right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree by its definition: split at the largest power of two below the size.
    fn defined(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [only] => *only,
            several => {
                let half = several.len().next_power_of_two() / 2;
                node(&defined(&several[..half]), &defined(&several[half..]))
            }
        }
    }

    #[test]
    fn the_frontier_has_the_root_of_the_definition() {
        let (mut frontier, mut leaves) = (Frontier::default(), Vec::new());
        for at in 0..200_u8 {
            assert_eq!(frontier.root(), defined(&leaves), "{at}");
            let written = Frontier::of(frontier.size(), frontier.peaks().to_vec());
            assert_eq!(written.as_ref(), Some(&frontier));
            leaves.push(leaf(&[at]));
            frontier.append(leaf(&[at]));
        }
        assert_eq!(Frontier::of(3, vec![[0; 32]]), None);
    }

    /// The reference vectors of Certificate Transparency's own implementations.
    #[test]
    fn known_roots() {
        let mut frontier = Frontier::default();
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hex(&frontier.root()), empty);
        frontier.append(leaf(b""));
        let one = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
        assert_eq!(hex(&frontier.root()), one);
        frontier.append(leaf(&[0]));
        let two = "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125";
        assert_eq!(hex(&frontier.root()), two);
    }
}
