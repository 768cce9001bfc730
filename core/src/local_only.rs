//! Files that stay on this computer: what systems litter shared drives with, kept beside a volume instead of in it.
//!
//! [`LocalOnly`] shows two file systems as one: the *volume*, and a *companion* of this computer's own. Files with the names of
//! [`is_local_only`] are made in the companion, everything else in the volume. Nothing else is decided here: attributes, streams,
//! locks, durability are those of whichever has the file.
//!
//! Invariants:
//!
//! - Inode numbers, handles and cookies of the companion are shown with [`LOCAL_BIT`], which the volume's never have.
//! - The root of the companion has a directory for each directory of the volume that has had such files, named by the inode number
//!   in hex. It counts only while both have the same creation time: a number that another owner of the volume has given
//!   out meanwhile is another directory's. These directories hold no directories.
//! - The volume's entry wins. A file of the companion is not there while the volume has its name.
//! - Directories are always the volume's.
//!
//! Nothing is moved or linked from one to the other ([`crate::ErrorKind::CrossDevice`]: programs copy), and the times of a volume's directory stay as
//! they are when a local-only file comes or goes: a change of them would have to be uploaded. Who opens and closes both is the program's business.

mod class;
mod companion;
mod files;
mod listing;
mod names;
mod rename;

use std::fmt;

use parking_lot::Mutex;

use crate::format::CaseRule;
use crate::fs::{Attr, FileSystem, Handle};
use crate::types::Ino;

pub use class::is_local_only;
use listing::Streams;

/// Marks what is the companion's. Numbers are given out one after the other, so at a million a second a volume would get here after
/// 142 years; and programs that keep numbers in floating point still tell all below twice this one apart.
pub const LOCAL_BIT: u64 = 1 << 52;

/// A volume with a companion for local-only files.
pub struct LocalOnly<F: FileSystem, L: FileSystem> {
    // First, so that it is let go of first: whoever waits for the volume's end finds the companion's, too.
    local: L,
    volume: F,
    case: CaseRule,
    /// Held while a local-only name is made, moved or removed, which takes several operations.
    naming: tokio::sync::Mutex<()>,
    streams: Mutex<Streams>,
}

impl<F: FileSystem, L: FileSystem> LocalOnly<F, L> {
    /// Shows `volume` with the files of `local`, which nobody else uses. Both compare names by `case`.
    #[must_use]
    pub fn new(volume: F, local: L, case: CaseRule) -> Self {
        Self { local, volume, case, naming: tokio::sync::Mutex::default(), streams: Mutex::default() }
    }

    /// What is not local-only.
    pub fn volume(&self) -> &F {
        &self.volume
    }

    /// The companion.
    pub fn local(&self) -> &L {
        &self.local
    }
}

impl<F: FileSystem, L: FileSystem> fmt::Debug for LocalOnly<F, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalOnly").field("case", &self.case).finish_non_exhaustive()
    }
}

/// Whose something is, with its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side<T> {
    Volume(T),
    Local(T),
}

impl<T: Marked> Side<T> {
    /// By the number that is shown.
    fn of(shown: T) -> Self {
        match shown.number() {
            n if n & LOCAL_BIT == 0 => Self::Volume(shown),
            n => Self::Local(T::from_number(n & !LOCAL_BIT)),
        }
    }
}

/// A number that says whose it is.
trait Marked: Copy {
    fn number(self) -> u64;
    fn from_number(number: u64) -> Self;

    /// The companion's, as it is shown.
    fn shown(self) -> Self {
        Self::from_number(self.number() | LOCAL_BIT)
    }
}

impl Marked for Ino {
    fn number(self) -> u64 {
        self.0
    }

    fn from_number(number: u64) -> Self {
        Self(number)
    }
}

impl Marked for Handle {
    fn number(self) -> u64 {
        self.0
    }

    fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// Attributes of the companion's, as they are shown.
fn shown(attr: Attr) -> Attr {
    Attr { ino: attr.ino.shown(), ..attr }
}

/// Something to name in tests.
#[cfg(test)]
fn example(ino: u64, kind: crate::fs::FileKind) -> Attr {
    let time = crate::types::Timestamp::default();
    Attr {
        ino: Ino(ino),
        kind,
        perm: 0o755,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        size: 0,
        allocated_bytes: 0,
        atime: time,
        mtime: time,
        ctime: time,
        btime: time,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_says_whose_it_is() {
        assert_eq!(Side::of(Ino(7)), Side::Volume(Ino(7)));
        assert_eq!(Side::of(Ino(7).shown()), Side::Local(Ino(7)));
        assert_eq!(Side::of(Handle(3).shown()), Side::Local(Handle(3)));
        // Exact as a floating-point number.
        assert_eq!(Ino(7).shown().0 as f64 as u64, Ino(7).shown().0);
    }
}
