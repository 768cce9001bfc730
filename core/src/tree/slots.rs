//! Sorted entries of one page in one block of memory.
//!
//! Entries (key and value) lie anywhere in an arena; a vector of places gives their order. Inserting moves places only,
//! cloning is two copies of memory. Removed bytes stay behind as garbage until they outweigh the rest.
//!
//! A place repeats eight bytes of its key, so that a search seldom leaves the vector: those that follow the prefix that all
//! keys of the page share, padded with zeros. They order keys as the keys themselves do, or not at all.
//!
//! Invariants: every key but the empty one (a branch's first) begins with the same `skip` bytes. `packed_keys` and
//! `packed_values` are exactly the bytes that keys and values take in the encoded page (FORMAT section 4), so that a page
//! knows its stored size without being encoded.
//!
//! Entry in the arena: key length `u16` LE, value length `u32` LE, key, value.

use std::cmp::Ordering;

use super::page::varint_len;

/// Bytes before the key of an entry.
const HEADER: usize = 6;

/// Arenas below this size are not worth compacting.
const COMPACT_MIN: usize = 512;

/// Key-value pairs in ascending order of key, each key once.
#[derive(Debug, Default)]
pub(super) struct Slots {
    arena: Vec<u8>,
    places: Vec<Place>,
    skip: usize,
    live: usize,
    packed_keys: usize,
    packed_values: usize,
}

/// Eight bytes of a key as two big-endian numbers, so that a place takes 12 bytes and not 16.
type Head = [u32; 2];

/// One entry: where it lies in the arena, and the bytes of its key after the first `skip`.
#[derive(Clone, Copy, Debug)]
struct Place {
    head: Head,
    offset: u32,
}

impl Clone for Slots {
    /// Copies with some room to grow: a copy is made to be changed.
    fn clone(&self) -> Self {
        let mut arena = Vec::with_capacity(self.arena.len() + self.arena.len() / 8 + 64);
        arena.extend_from_slice(&self.arena);
        let mut places = Vec::with_capacity(self.places.len() + self.places.len() / 8 + 4);
        places.extend_from_slice(&self.places);
        Self { arena, places, ..*self }
    }
}

impl Slots {
    pub(super) fn with_capacity(entries: usize, bytes: usize) -> Self {
        Self {
            arena: Vec::with_capacity(bytes + entries * HEADER),
            places: Vec::with_capacity(entries),
            ..Self::default()
        }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Bytes allocated outside of `self`.
    pub(super) fn heap_bytes(&self) -> usize {
        self.arena.capacity() + self.places.capacity() * size_of::<Place>()
    }

    /// Bytes that all keys take in the encoded page.
    pub(super) fn packed_keys(&self) -> usize {
        self.packed_keys
    }

    /// Bytes that all values take in the encoded page.
    pub(super) fn packed_values(&self) -> usize {
        self.packed_values
    }

    pub(super) fn key(&self, at: usize) -> &[u8] {
        let (start, key_len, _) = self.entry(at);
        &self.arena[start..start + key_len]
    }

    pub(super) fn value(&self, at: usize) -> &[u8] {
        let (start, key_len, value_len) = self.entry(at);
        &self.arena[start + key_len..start + key_len + value_len]
    }

    /// Where `key` is, or where it would have to be inserted.
    pub(super) fn search(&self, key: &[u8]) -> Result<usize, usize> {
        let base = self.full_from();
        if key.is_empty() || base == self.len() {
            return if base > 0 && key.is_empty() { Ok(0) } else { Err(base) };
        }
        let prefix = &self.key(base)[..self.skip];
        match key[..key.len().min(self.skip)].cmp(prefix) {
            Ordering::Less => return Err(base),
            Ordering::Greater => return Err(self.len()),
            Ordering::Equal => {}
        }
        let head = head(key, self.skip);
        let order = |place: &Place| place.head.cmp(&head).then_with(|| self.key_at(place.offset).cmp(key));
        self.places[base..].binary_search_by(order).map(|at| at + base).map_err(|at| at + base)
    }

    /// Bytes that the key at `at` takes in the encoded page.
    pub(super) fn key_cost(&self, at: usize) -> usize {
        match at.checked_sub(1) {
            Some(prev) => key_cost(self.key(prev), self.key(at)),
            None => key_cost(&[], self.key(at)),
        }
    }

    /// Inserts a pair in front of entry `at`; the caller has searched.
    pub(super) fn insert(&mut self, at: usize, key: &[u8], value: &[u8]) {
        self.packed_keys += key_cost(self.before(at), key);
        if at < self.len() {
            let (prev, next) = (self.before(at), self.key(at));
            self.packed_keys = self.packed_keys + key_cost(key, next) - key_cost(prev, next);
        }
        self.packed_values += value_cost(value.len());
        self.share_prefix(key);
        let place = Place { head: head(key, self.skip), offset: self.store(key, value) };
        if self.places.len() == self.places.capacity() {
            self.places.reserve_exact(self.places.len() / 4 + 8);
        }
        self.places.insert(at, place);
    }

    /// Appends a pair; its key is above all others.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) {
        self.insert(self.len(), key, value);
    }

    /// Removes the pair at `at` and returns its value.
    pub(super) fn remove(&mut self, at: usize) -> Vec<u8> {
        let value = self.value(at).to_vec();
        self.packed_keys -= self.key_cost(at);
        if at + 1 < self.len() {
            let (prev, key, next) = (self.before(at), self.key(at), self.key(at + 1));
            self.packed_keys = self.packed_keys + key_cost(prev, next) - key_cost(key, next);
        }
        self.packed_values -= value_cost(value.len());
        self.live -= HEADER + self.key(at).len() + value.len();
        self.places.remove(at);
        self.compact_if_wasteful();
        value
    }

    /// Replaces the value at `at` and returns the old one.
    pub(super) fn set_value(&mut self, at: usize, value: &[u8]) -> Vec<u8> {
        let (start, key_len, old_len) = self.entry(at);
        let value_at = start + key_len;
        let old = self.arena[value_at..value_at + old_len].to_vec();
        self.packed_values = self.packed_values + value_cost(value.len()) - value_cost(old_len);
        if value.len() <= old_len {
            self.arena[value_at..value_at + value.len()].copy_from_slice(value);
            self.arena[start - 4..start].copy_from_slice(&len_u32(value.len()).to_le_bytes());
            self.live -= old_len - value.len();
        } else {
            let key = self.key(at).to_vec();
            self.live -= HEADER + key_len + old_len;
            // The old bytes must be dead before `store` may compact.
            let Place { head, .. } = self.places.remove(at);
            let offset = self.store(&key, value);
            self.places.insert(at, Place { head, offset });
        }
        self.compact_if_wasteful();
        old
    }

    /// Replaces the key at `at` by one of the same order among its neighbours.
    pub(super) fn set_key(&mut self, at: usize, key: &[u8]) {
        if self.key(at) != key {
            let value = self.remove(at);
            self.insert(at, key, &value);
        }
    }

    /// Moves the entries from `at` on into new slots.
    pub(super) fn split_off(&mut self, at: usize) -> Self {
        let right = self.copy_range(at, self.len());
        *self = self.copy_range(0, at);
        right
    }

    /// Gives memory back that entries do not use.
    pub(super) fn shrink(&mut self) {
        if self.arena.len() > self.live {
            *self = self.copy_range(0, self.len());
        }
        self.arena.shrink_to_fit();
        self.places.shrink_to_fit();
    }

    fn copy_range(&self, from: usize, to: usize) -> Self {
        let bytes: usize = (from..to).map(|at| self.key(at).len() + self.value(at).len()).sum();
        let mut out = Self::with_capacity(to - from, bytes);
        for at in from..to {
            out.push(self.key(at), self.value(at));
        }
        out
    }

    /// The key in front of `at`, empty for the first.
    fn before(&self, at: usize) -> &[u8] {
        at.checked_sub(1).map_or(&[], |prev| self.key(prev))
    }

    /// Index of the first key that is not empty.
    fn full_from(&self) -> usize {
        usize::from(self.len() > 0 && self.key(0).is_empty())
    }

    /// Shortens the common prefix to what `key`, which is about to be inserted, shares too.
    fn share_prefix(&mut self, key: &[u8]) {
        if key.is_empty() {
            return;
        }
        let base = self.full_from();
        if base == self.len() {
            self.skip = key.len();
            return;
        }
        let shared = common_prefix(&self.key(base)[..self.skip], key);
        if shared < self.skip {
            self.skip = shared;
            for at in base..self.len() {
                self.places[at].head = head(self.key(at), shared);
            }
        }
    }

    /// Start of the key, length of the key, length of the value.
    fn entry(&self, at: usize) -> (usize, usize, usize) {
        let offset = self.places[at].offset as usize;
        let head = &self.arena[offset..offset + HEADER];
        let key_len = u16::from_le_bytes([head[0], head[1]]);
        let value_len = u32::from_le_bytes([head[2], head[3], head[4], head[5]]);
        (offset + HEADER, usize::from(key_len), value_len as usize)
    }

    fn key_at(&self, offset: u32) -> &[u8] {
        let offset = offset as usize;
        let key_len = u16::from_le_bytes([self.arena[offset], self.arena[offset + 1]]);
        &self.arena[offset + HEADER..offset + HEADER + usize::from(key_len)]
    }

    /// Appends an entry to the arena and returns its offset.
    fn store(&mut self, key: &[u8], value: &[u8]) -> u32 {
        let size = HEADER + key.len() + value.len();
        if self.arena.capacity() - self.arena.len() < size {
            self.compact_if(self.arena.len() / 4);
            self.arena.reserve_exact(size.max(self.arena.len() / 4).max(64));
        }
        let offset = len_u32(self.arena.len());
        let key_len = u16::try_from(key.len()).expect("key length was checked at the tree's door");
        self.arena.extend_from_slice(&key_len.to_le_bytes());
        self.arena.extend_from_slice(&len_u32(value.len()).to_le_bytes());
        self.arena.extend_from_slice(key);
        self.arena.extend_from_slice(value);
        self.live += size;
        offset
    }

    fn compact_if_wasteful(&mut self) {
        if self.arena.len() >= COMPACT_MIN {
            self.compact_if(self.arena.len() / 2);
        }
    }

    /// Rewrites the arena if more than `allowed` of its bytes are garbage.
    fn compact_if(&mut self, allowed: usize) {
        if self.arena.len() - self.live <= allowed {
            return;
        }
        let mut arena = Vec::with_capacity(self.live + self.live / 8 + 64);
        for place in &mut self.places {
            let start = place.offset as usize;
            let key_len = u16::from_le_bytes([self.arena[start], self.arena[start + 1]]);
            let value_len: [u8; 4] = self.arena[start + 2..start + HEADER].try_into().expect("four bytes");
            let size = HEADER + usize::from(key_len) + u32::from_le_bytes(value_len) as usize;
            place.offset = len_u32(arena.len());
            arena.extend_from_slice(&self.arena[start..start + size]);
        }
        self.arena = arena;
    }
}

/// Bytes of the longest common prefix.
pub(super) fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

/// Eight bytes of `key` after the first `skip`, padded with zeros.
fn head(key: &[u8], skip: usize) -> Head {
    let rest = key.get(skip..).unwrap_or(&[]);
    let bytes = rest.first_chunk().copied().unwrap_or_else(|| {
        let mut padded = [0; 8];
        padded[..rest.len()].copy_from_slice(rest);
        padded
    });
    let number = u64::from_be_bytes(bytes);
    [(number >> 32) as u32, number as u32]
}

fn key_cost(prev: &[u8], key: &[u8]) -> usize {
    let shared = common_prefix(prev, key);
    let rest = key.len() - shared;
    varint_len(shared as u64) + varint_len(rest as u64) + rest
}

fn value_cost(len: usize) -> usize {
    varint_len(len as u64) + len
}

fn len_u32(len: usize) -> u32 {
    u32::try_from(len).expect("a page is far below 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed_afresh(slots: &Slots) -> (usize, usize) {
        let copy = slots.copy_range(0, slots.len());
        (copy.packed_keys, copy.packed_values)
    }

    #[test]
    fn packed_sizes_stay_exact_through_changes() {
        let mut slots = Slots::default();
        for n in 0..400_u32 {
            let key = format!("prefix/{:03}", n * 7 % 101);
            match slots.search(key.as_bytes()) {
                Ok(at) if n % 3 == 0 => drop(slots.remove(at)),
                Ok(at) => drop(slots.set_value(at, &vec![1; (n % 50) as usize])),
                Err(at) => slots.insert(at, key.as_bytes(), &vec![2; (n % 40) as usize]),
            }
            assert_eq!((slots.packed_keys, slots.packed_values), packed_afresh(&slots), "step {n}");
        }
        assert!(slots.len() > 20);
    }

    #[test]
    fn search_finds_keys_of_any_shape_among_any_others() {
        let keys: [&[u8]; 16] = [
            b"",
            b"\0",
            b"\0\0",
            b"a",
            b"a\0",
            b"a\0\0\0\0",
            b"ab",
            b"abcd",
            b"abcdefghi",
            b"abcdefghij",
            b"abcdefghik",
            b"abd",
            b"b",
            b"ba",
            b"\xff",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ];
        for pick in 0..1_u32 << keys.len() {
            let chosen: Vec<&[u8]> = (0..keys.len()).filter(|at| pick >> at & 1 == 1).map(|at| keys[at]).collect();
            let mut slots = Slots::default();
            // Inserting from the middle outwards shortens the common prefix in both directions.
            for turn in 0..chosen.len() {
                let key = chosen[(turn * 7 + chosen.len() / 2) % chosen.len()];
                if let Err(at) = slots.search(key) {
                    slots.insert(at, key, &[]);
                }
            }
            let present: Vec<&[u8]> = (0..slots.len()).map(|at| slots.key(at)).collect();
            assert!(present.is_sorted());
            for key in keys {
                assert_eq!(slots.search(key), present.binary_search(&key), "{key:x?} in {present:x?}");
            }
        }
    }

    #[test]
    fn garbage_never_outweighs_the_entries_for_long() {
        let mut slots = Slots::default();
        slots.push(b"k", b"");
        for n in 0..10_000_usize {
            slots.set_value(0, &vec![7; n % 300]);
        }
        assert!(slots.heap_bytes() < 2_000, "{}", slots.heap_bytes());
        assert_eq!(slots.value(0), vec![7; 9_999 % 300]);
    }

    #[test]
    fn split_keeps_order_and_content() {
        let mut slots = Slots::default();
        for n in 0..10_u8 {
            slots.push(&[b'a', n], &[n]);
        }
        let right = slots.split_off(4);
        assert_eq!((slots.len(), right.len()), (4, 6));
        assert_eq!((slots.key(3), right.key(0)), (&[b'a', 3][..], &[b'a', 4][..]));
        assert_eq!(right.value(5), &[9]);
    }
}
