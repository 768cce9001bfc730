//! Reading, writing, sizes, flushing.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use proxyfs_core::fs::{FileKind, FileSystem, SetAttr, SetTime, WriteFlags};

use super::{Answer, Drive, Info, Open, Target};
use crate::status::Status;

/// Where a write goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteAt {
    /// To this byte.
    Offset(u64),
    /// To the end.
    End,
}

impl<F: FileSystem> Drive<F> {
    /// Reads up to `len` bytes at `offset`, fewer only at the end. The pieces are in order.
    ///
    /// # Errors
    /// `END_OF_FILE` when there is nothing at or after `offset`.
    pub async fn read(&self, open: &Open, offset: u64, len: u32) -> Answer<Vec<Bytes>> {
        let pieces = match &open.stream {
            Some(attribute) => vec![self.read_stream(open.target().ino, attribute, offset, len).await?],
            None => self.fs.read(open.handle()?, offset, len).await?,
        };
        if len > 0 && pieces.iter().all(Bytes::is_empty) {
            return Err(Status::END_OF_FILE);
        }
        Ok(pieces)
    }

    /// Writes, and gives the bytes written. `constrained`: the file is not to become longer, so that what lies behind its end is
    /// left out (the cache manager's write-back).
    pub async fn write(&self, open: &Open, at: WriteAt, constrained: bool, data: Bytes) -> Answer<(u32, Info)> {
        let target = open.target();
        let size = match (&open.stream, at, constrained) {
            (Some(attribute), ..) => self.stream_len(target.ino, attribute).await?.unwrap_or(0),
            (None, WriteAt::Offset(_), false) => 0,
            (None, ..) => self.fs.getattr(target.ino).await?.size,
        };
        let offset = match at {
            WriteAt::Offset(offset) => offset,
            WriteAt::End => size,
        };
        let mut data = data;
        if constrained {
            let room = usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX);
            data.truncate(room);
        }
        let written = u32::try_from(data.len()).map_err(|_| Status::INVALID_PARAMETER)?;
        if written > 0 {
            let sync = open.write_through.load(Ordering::Relaxed);
            match &open.stream {
                Some(attribute) => {
                    self.write_stream(target.ino, attribute, offset, &data).await?;
                    if sync {
                        self.sync(target).await?;
                    }
                }
                None => {
                    let flags = WriteFlags { sync, ..WriteFlags::default() };
                    self.fs.write(open.handle()?, offset, data, flags).await?;
                }
            }
            self.restore_pinned(open).await?;
        }
        Ok((written, self.info(open).await?))
    }

    /// Sets the length, or what is allocated: that cuts a longer file, and reserves nothing.
    pub async fn set_size(&self, open: &Open, size: u64, allocation: bool) -> Answer<Info> {
        let target = open.target();
        match &open.stream {
            Some(attribute) => {
                let len = self.stream_len(target.ino, attribute).await?.unwrap_or(0);
                if !allocation || size < len {
                    self.resize_stream(target.ino, attribute, size).await?;
                }
            }
            None if target.kind != FileKind::File => return Err(Status::INVALID_PARAMETER),
            None => {
                if !allocation || size < self.fs.getattr(target.ino).await?.size {
                    let set = SetAttr { size: Some(size), ..SetAttr::default() };
                    self.fs.setattr(self.caller(), target.ino, set).await?;
                }
            }
        }
        self.restore_pinned(open).await?;
        self.info(open).await
    }

    /// Sets the time of the last change back to what was set through this open file, as NTFS keeps it.
    async fn restore_pinned(&self, open: &Open) -> Answer<()> {
        let pinned = *open.pinned_mtime.lock();
        if let Some(time) = pinned {
            let set = SetAttr { mtime: Some(SetTime::At(time)), ..SetAttr::default() };
            self.fs.setattr(self.caller(), open.target().ino, set).await?;
        }
        Ok(())
    }

    /// Makes a file durable; without one the whole volume.
    pub async fn flush(&self, open: Option<&Open>) -> Answer<Option<Info>> {
        let Some(open) = open else {
            self.fs.syncfs().await?;
            return Ok(None);
        };
        self.sync(open.target()).await?;
        Ok(Some(self.info(open).await?))
    }

    async fn sync(&self, target: Target) -> Answer<()> {
        match (target.handle, target.kind) {
            (Some(handle), FileKind::Dir) => self.fs.fsyncdir(handle).await?,
            (Some(handle), _) => self.fs.fsync(handle, false).await?,
            (None, _) => self.fs.syncfs().await?,
        }
        Ok(())
    }
}
