//! Inode record: the value of `01 ino 00`.
//!
//! Layout: version 1; `u8` kind; varints perm, nlink, uid, gid, rdev, size, allocated bytes; atime, mtime, ctime, btime each zigzag
//! seconds and varint nanoseconds; varint parent; for a directory varints entry count, subtree bytes, subtree inodes; for a symlink
//! `bytes` target; extras. FORMAT, section 5.

use super::error::FormatResult;
use super::extras::Extras;
use super::kind::{kind_from_byte, kind_to_byte};
use super::value;
use super::varint::{Reader, Writer};
use crate::fs::FileKind;
use crate::types::{Ino, Timestamp};

const WHAT: &str = "inode record";
/// All permission bits with suid, sgid and sticky.
const PERM_MAX: u64 = 0o7777;
const NANOS_PER_SEC: u64 = 1_000_000_000;

/// Everything the volume keeps of an inode but its names, xattrs and extents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InodeRecord {
    /// Type.
    pub kind: FileKind,
    /// Permission bits with suid, sgid and sticky, 0..=0o7777.
    pub perm: u16,
    /// Hard links; for a directory 2 + subdirectories.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number for devices; else 0.
    pub rdev: u32,
    /// Length in bytes.
    pub size: u64,
    /// Bytes that hold data: the sum of the lengths of its extents.
    pub allocated_bytes: u64,
    /// Last access.
    pub atime: Timestamp,
    /// Last change of content.
    pub mtime: Timestamp,
    /// Last change of attributes.
    pub ctime: Timestamp,
    /// Creation.
    pub btime: Timestamp,
    /// A directory's parent (the root's is itself); else the directory that named it last, 0 for none.
    pub parent: Ino,
    /// Directories: entries without `.` and `..`. Else 0 and not stored.
    pub entry_count: u64,
    /// Directories: allocated bytes below it as of the last fold, itself left out. Else 0 and not stored.
    pub subtree_bytes: u64,
    /// Directories: inodes below it as of the last fold, itself left out. Else 0 and not stored.
    pub subtree_inodes: u64,
    /// Symlinks: the target. Else empty and not stored.
    pub target: Vec<u8>,
    /// Fields that this program does not know.
    pub extras: Extras,
}

impl InodeRecord {
    /// A record of `kind` with `nlink` 1 (a directory: 2), all times `now`, and everything else zero.
    #[must_use]
    pub fn new(kind: FileKind, perm: u16, now: Timestamp) -> Self {
        Self {
            kind,
            perm,
            nlink: if kind == FileKind::Dir { 2 } else { 1 },
            uid: 0,
            gid: 0,
            rdev: 0,
            size: 0,
            allocated_bytes: 0,
            atime: now,
            mtime: now,
            ctime: now,
            btime: now,
            parent: Ino(0),
            entry_count: 0,
            subtree_bytes: 0,
            subtree_inodes: 0,
            target: Vec::new(),
            extras: Extras::default(),
        }
    }

    /// The value.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = value::begin(80 + self.target.len());
        out.put_u8(kind_to_byte(self.kind));
        out.put_varint(self.perm.into());
        for field in [self.nlink, self.uid, self.gid, self.rdev] {
            out.put_varint(field.into());
        }
        out.put_varint(self.size);
        out.put_varint(self.allocated_bytes);
        for time in [self.atime, self.mtime, self.ctime, self.btime] {
            out.put_zigzag(time.secs);
            out.put_varint(time.nanos.into());
        }
        out.put_varint(self.parent.0);
        match self.kind {
            FileKind::Dir => {
                out.put_varint(self.entry_count);
                out.put_varint(self.subtree_bytes);
                out.put_varint(self.subtree_inodes);
            }
            FileKind::Symlink => out.put_bytes(&self.target),
            FileKind::File | FileKind::Fifo | FileKind::Socket | FileKind::CharDevice | FileKind::BlockDevice => {}
        }
        self.extras.encode_into(&mut out);
        out
    }

    /// From the value.
    ///
    /// # Errors
    /// The bytes are damaged or newer than this program.
    pub fn decode(value: &[u8]) -> FormatResult<Self> {
        let mut r = value::open(WHAT, value)?;
        let kind = kind_from_byte(WHAT, r.u8()?)?;
        let perm = decode_perm(&mut r)?;
        let mut record = Self {
            nlink: r.varint_u32("nlink")?,
            uid: r.varint_u32("uid")?,
            gid: r.varint_u32("gid")?,
            rdev: r.varint_u32("rdev")?,
            size: r.varint()?,
            allocated_bytes: r.varint()?,
            atime: decode_time(&mut r)?,
            mtime: decode_time(&mut r)?,
            ctime: decode_time(&mut r)?,
            btime: decode_time(&mut r)?,
            parent: Ino(r.varint()?),
            ..Self::new(kind, perm, Timestamp::default())
        };
        match kind {
            FileKind::Dir => {
                record.entry_count = r.varint()?;
                record.subtree_bytes = r.varint()?;
                record.subtree_inodes = r.varint()?;
            }
            FileKind::Symlink => record.target = r.bytes()?.to_vec(),
            FileKind::File | FileKind::Fifo | FileKind::Socket | FileKind::CharDevice | FileKind::BlockDevice => {}
        }
        record.extras = Extras::decode(&mut r)?;
        Ok(record)
    }
}

fn decode_perm(r: &mut Reader<'_>) -> FormatResult<u16> {
    let perm = r.varint()?;
    u16::try_from(perm).ok().filter(|_| perm <= PERM_MAX).ok_or_else(|| r.invalid(format!("perm is {perm:o}")))
}

fn decode_time(r: &mut Reader<'_>) -> FormatResult<Timestamp> {
    let secs = r.zigzag()?;
    let nanos = r.varint()?;
    match u32::try_from(nanos) {
        Ok(nanos) if u64::from(nanos) < NANOS_PER_SEC => Ok(Timestamp::new(secs, nanos)),
        _ => Err(r.invalid(format!("{nanos} nanoseconds are a second or more"))),
    }
}
