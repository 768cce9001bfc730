//! Operations on open files.

use bytes::Bytes;
use proxyfs_core::fs::{FileLock, FileSystem, Handle, LockKind, OpenFlags, SeekWhence, WriteFlags};
use proxyfs_core::{ErrorKind, Result};

use super::super::outcome::Reply;
use super::super::slots::OpenFile;
use super::super::{Op, Span};
use super::name_ops::open_flags;
use super::{Run, caller};

/// How far what `lseek` found is checked by reading.
const SEEK_CHECK_BYTES: u64 = 1 << 20;

impl<F: FileSystem> Run<'_, F> {
    pub(super) async fn file_op(&mut self, op: &Op) -> Result<Reply> {
        match op {
            Op::Tmpfile { .. } | Op::Open { .. } => self.open_op(op).await,
            Op::Close { slot } => self.close(*slot).await,
            Op::Copy { .. } => self.copy(op).await,
            Op::Read { slot, .. }
            | Op::Write { slot, .. }
            | Op::Fallocate { slot, .. }
            | Op::Seek { slot, .. }
            | Op::Fsync { slot, .. }
            | Op::Flush { slot, .. }
            | Op::Lock { slot, .. }
            | Op::Getlock { slot, .. } => match self.open_file(*slot) {
                Some(open) => self.handle_op(open, op).await,
                None => Ok(Reply::Skipped),
            },
            _ => Ok(Reply::Skipped),
        }
    }

    async fn open_op(&mut self, op: &Op) -> Result<Reply> {
        match op {
            Op::Tmpfile { who, dir, perm, exclusive, slot } => {
                let Some(dir) = self.find(dir).await? else { return Ok(Reply::Skipped) };
                let flags = OpenFlags { read: true, write: true, exclusive: *exclusive, ..OpenFlags::default() };
                let (attr, handle) = self.fs.tmpfile(caller(*who), dir, *perm, 0o022, flags).await?;
                self.close(*slot).await?;
                self.keep(*slot, OpenFile { handle, ino: attr.ino });
                Ok(Reply::Attr(self.slots.view(&attr)))
            }
            Op::Open { target, access, slot } => {
                let Some(ino) = self.find(target).await? else { return Ok(Reply::Skipped) };
                let handle = self.fs.open(caller(0), ino, open_flags(*access)).await?;
                self.close(*slot).await?;
                self.keep(*slot, OpenFile { handle, ino });
                Ok(Reply::Done)
            }
            _ => Ok(Reply::Skipped),
        }
    }

    async fn handle_op(&mut self, open: OpenFile, op: &Op) -> Result<Reply> {
        let OpenFile { handle, .. } = open;
        match op {
            Op::Read { span, .. } => {
                let chunks = self.fs.read(handle, span.offset, span.len).await?;
                Ok(Reply::data(chunks.iter().map(Bytes::as_ref)))
            }
            Op::Write { span, seed, kill, sync, .. } => {
                let flags = WriteFlags { kill_suid_sgid: *kill, sync: *sync };
                self.fs.write(handle, span.offset, made_up_bytes(*span, *seed), flags).await?;
                Ok(Reply::Done)
            }
            Op::Fallocate { span, mode, .. } => {
                self.fs.fallocate(handle, span.offset, u64::from(span.len), *mode).await?;
                Ok(Reply::Done)
            }
            Op::Seek { offset, whence, .. } => self.seek(handle, *offset, *whence).await,
            Op::Fsync { data_only, .. } => self.fs.fsync(handle, *data_only).await.map(|()| Reply::Done),
            Op::Flush { owner, .. } => self.fs.flush(handle, u64::from(*owner)).await.map(|()| Reply::Done),
            Op::Lock { family, owner, start, len, kind, .. } => {
                let lock = file_lock(*start, *len, *kind, *owner);
                self.fs.setlk(handle, *family, u64::from(*owner), lock, false).await?;
                Ok(Reply::Done)
            }
            Op::Getlock { owner, start, len, write, .. } => {
                let kind = if *write { LockKind::Write } else { LockKind::Read };
                let found = self.fs.getlk(handle, u64::from(*owner), file_lock(*start, *len, kind, *owner)).await?;
                Ok(Reply::Blocker(found.map(|lock| (lock.start, lock.end, lock.kind))))
            }
            _ => Ok(Reply::Skipped),
        }
    }

    async fn copy(&mut self, op: &Op) -> Result<Reply> {
        let Op::Copy { from, from_offset, to, to_offset, len } = op else { return Ok(Reply::Skipped) };
        let (Some(from), Some(to)) = (self.open_file(*from), self.open_file(*to)) else {
            return Ok(Reply::Skipped);
        };
        self.fs.copy_file_range(from.handle, *from_offset, to.handle, *to_offset, *len).await.map(Reply::Copied)
    }

    /// Where exactly holes are is each implementation's own affair; that what is called a hole holds only zeros is not.
    async fn seek(&self, handle: Handle, offset: u64, whence: SeekWhence) -> Result<Reply> {
        let found = self.fs.lseek(handle, offset, whence).await;
        let end = self.fs.lseek(handle, offset, SeekWhence::Hole).await;
        let mut wrong = Vec::new();
        match (whence, found) {
            (SeekWhence::Hole, found) => return found.map(|at| Reply::Checked(hole_before(offset, at))),
            (SeekWhence::Data, Ok(at)) if at < offset => wrong.push(format!("data at {at} before {offset}")),
            (SeekWhence::Data, Ok(at)) => wrong.extend(self.not_zeros(handle, offset, at).await),
            // The offset lies past the end: even the last hole is before it.
            (SeekWhence::Data, Err(error)) if end.is_err() => return Err(error),
            (SeekWhence::Data, Err(error)) if error.kind() == ErrorKind::NoSuchOffset => {
                wrong.extend(self.not_zeros(handle, offset, u64::MAX).await);
            }
            (SeekWhence::Data, Err(error)) => return Err(error),
        }
        Ok(Reply::Checked(wrong))
    }

    /// A complaint if a range (or its first part, if long) holds anything but zeros. At least a byte is read in any case, so that
    /// the access time does not depend on where an implementation has its holes.
    async fn not_zeros(&self, handle: Handle, from: u64, to: u64) -> Option<String> {
        let len = (to - from).min(SEEK_CHECK_BYTES);
        match self.fs.read(handle, from, len.max(1) as u32).await {
            Ok(chunks) => {
                let nonzero = chunks.iter().flatten().take(len as usize).any(|byte| *byte != 0);
                nonzero.then(|| format!("data inside the hole at {from}..{to}"))
            }
            Err(error) if error.kind() == ErrorKind::BadHandle => None,
            Err(error) => Some(format!("reading the hole at {from}: {error}")),
        }
    }
}

fn hole_before(offset: u64, at: u64) -> Vec<String> {
    if at < offset { vec![format!("hole at {at} before {offset}")] } else { Vec::new() }
}

/// Bytes that differ by seed and place, without zeros.
fn made_up_bytes(span: Span, seed: u8) -> Bytes {
    let step = u64::from(seed) * 2 + 1;
    (0..u64::from(span.len)).map(|i| ((span.offset + i).wrapping_mul(step) >> 3) as u8 | 1).collect()
}

/// A range of ten-byte units; length 0 means to the end for ever.
fn file_lock(start: u8, len: u8, kind: LockKind, owner: u8) -> FileLock {
    let start = u64::from(start) * 10;
    let end = if len == 0 { u64::MAX } else { start + u64::from(len) * 10 - 1 };
    FileLock { start, end, kind, pid: u32::from(owner) }
}
