//! The engine's vocabulary of small values: ids, sizes, positions and times.
//!
//! Owns the newtypes that keep two integers of different meaning from being swapped. Does not own their stored
//! encodings (see `format`) nor the types of the file-system interface (see `fs`).

use std::fmt;

/// Declares an ordered `u64` newtype.
macro_rules! id_u64 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl $name {
            /// The value that follows this one.
            ///
            /// # Panics
            /// At `u64::MAX`, which no volume can reach.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.checked_add(1).expect("64-bit counter exhausted"))
            }
        }
    };
}

id_u64! {
    /// An inode number. 1 is the root directory; numbers are never used again inside a volume.
    Ino
}
id_u64! {
    /// Log sequence number: the place of a transaction in the volume's one history. Dense, starts at 1; 0 means "none".
    Lsn
}
id_u64! {
    /// A writer's term. Claimed with a conditional write; starts at 1; 0 means "none".
    Epoch
}
id_u64! {
    /// A number that is never used again inside an epoch; names objects and segments.
    Nonce
}

impl Ino {
    /// The root directory of every volume.
    pub const ROOT: Self = Self(1);
}

/// Names one log segment for ever: the epoch that opened it and a nonce inside that epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId {
    /// Epoch of the writer that opened the segment.
    pub epoch: Epoch,
    /// Never-reused number inside the epoch.
    pub nonce: Nonce,
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:016x}", self.epoch.0, self.nonce.0)
    }
}

/// Names one stored object (a data or a meta object) for ever. Written as `<epoch>-<nonce>` in fixed-width hex.
///
/// A segment gets an object id only when it is uploaded, so that a second attempt after a restart has a new name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    /// Epoch of the writer that created the object.
    pub epoch: Epoch,
    /// Never-reused number inside the epoch.
    pub nonce: Nonce,
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:016x}", self.epoch.0, self.nonce.0)
    }
}

/// A moment in time: nanoseconds since 1970-01-01 00:00 UTC, possibly before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Whole seconds since the epoch, rounded towards minus infinity.
    pub secs: i64,
    /// Nanoseconds after `secs`, 0..1_000_000_000.
    pub nanos: u32,
}

impl Timestamp {
    /// A time from seconds and nanoseconds.
    ///
    /// # Panics
    /// When `nanos` is a second or more.
    #[must_use]
    pub fn new(secs: i64, nanos: u32) -> Self {
        assert!(nanos < 1_000_000_000, "nanoseconds out of range: {nanos}");
        Self { secs, nanos }
    }
}
