//! Bytes that do not compress, made once and stamped anew for each use, so that making them costs next to nothing.

/// Bytes of a block, the unit of large writes.
pub(crate) const BLOCK_BYTES: usize = 1 << 20;

/// A stamp stands at the begin of each such piece of a block.
pub(crate) const PIECE_BYTES: usize = 4096;

/// A generator of numbers that look random (xorshift64*, Vigna 2016).
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    /// The generator of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// `len` random bytes, the same for the same seed.
pub(crate) fn random_bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend_from_slice(&rng.next().to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Marks every piece of `block` as belonging to block `number`.
pub(crate) fn stamp(block: &mut [u8], number: u64) {
    for (piece, at) in block.chunks_mut(PIECE_BYTES).zip(0u64..) {
        if let Some(head) = piece.first_chunk_mut::<8>() {
            *head = piece_stamp(number, at).to_le_bytes();
        }
    }
}

/// Whether piece `at` of block `number` begins with its stamp.
pub(crate) fn is_stamped(piece: &[u8], number: u64, at: u64) -> bool {
    piece.first_chunk::<8>() == Some(&piece_stamp(number, at).to_le_bytes())
}

fn piece_stamp(number: u64, at: u64) -> u64 {
    (number << 16 | at).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_of_a_block_has_a_stamp_of_its_own() {
        let mut block = random_bytes(4 * PIECE_BYTES, 1);
        stamp(&mut block, 7);
        let mut pieces = block.chunks(PIECE_BYTES).zip(0u64..);
        assert!(pieces.all(|(piece, at)| is_stamped(piece, 7, at)));
        assert!(!is_stamped(&block, 7, 1));
        assert!(!is_stamped(&block, 8, 0));
    }

    #[test]
    fn random_bytes_are_as_many_as_asked_for_and_repeat_with_the_seed() {
        assert_eq!(random_bytes(13, 5).len(), 13);
        assert_eq!(random_bytes(64, 5), random_bytes(64, 5));
        assert_ne!(random_bytes(64, 5), random_bytes(64, 6));
    }
}
