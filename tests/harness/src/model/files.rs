//! What is read and written: open files, symlink targets, directory streams.

use bytes::Bytes;
use proxyfs_core::fs::{
    Attr, Caller, DirEntry, FILE_BYTES_MAX, FallocateMode, FileKind, Handle, NamedEntry, OpenFlags, SeekWhence,
    WriteFlags,
};
use proxyfs_core::types::{Ino, Timestamp};
use proxyfs_core::{ErrorKind, Result};

use super::directory::{COOKIE_DOT, COOKIE_DOT_DOT};
use super::namespace::NewInode;
use super::state::{Body, State};

/// Entries in one `readdir` reply.
const READDIR_ENTRIES: usize = 64;

impl State {
    pub(super) fn create(
        &mut self,
        now: Timestamp,
        caller: Caller,
        (parent, name): (Ino, &[u8]),
        (perm, umask): (u16, u16),
        flags: OpenFlags,
    ) -> Result<(Attr, Handle)> {
        let ino = match self.lookup(parent, name) {
            Ok(_) if flags.exclusive => return Err(ErrorKind::AlreadyExists.into()),
            Ok(attr) => {
                let handle = self.open(now, attr.ino, flags)?;
                return Ok((self.attr(attr.ino)?, handle));
            }
            Err(_) => {
                self.check_free(parent, name)?;
                self.make(now, caller, parent, name, NewInode::file(perm, umask))?
            }
        };
        Ok((self.attr(ino)?, self.add_handle(ino, Some(flags))))
    }

    /// With `exclusive` the file can never get a name.
    pub(super) fn tmpfile(
        &mut self,
        now: Timestamp,
        caller: Caller,
        parent: Ino,
        (perm, umask): (u16, u16),
        flags: OpenFlags,
    ) -> Result<(Attr, Handle)> {
        self.dir(parent)?;
        self.check_live_dir(parent)?;
        let ino = self.make_unnamed(now, caller, parent, NewInode::file(perm, umask))?;
        let inode = self.inode_mut(ino)?;
        inode.nlink = 0;
        inode.nameable = !flags.exclusive;
        Ok((self.attr(ino)?, self.add_handle(ino, Some(flags))))
    }

    pub(super) fn readlink(&mut self, now: Timestamp, ino: Ino) -> Result<Bytes> {
        let inode = self.inode_mut(ino)?;
        let Body::Symlink(target) = &inode.body else {
            return Err(ErrorKind::InvalidArgument.into());
        };
        let target = Bytes::copy_from_slice(target);
        inode.touch_access(now);
        Ok(target)
    }

    pub(super) fn open(&mut self, now: Timestamp, ino: Ino, flags: OpenFlags) -> Result<Handle> {
        let inode = self.inode_mut(ino)?;
        inode.content()?;
        if flags.truncate {
            inode.content_mut()?.set_len(0);
            inode.file_modified(now);
            if flags.kill_suid_sgid {
                inode.kill_suid_sgid();
            }
        }
        Ok(self.add_handle(ino, Some(flags)))
    }

    pub(super) fn read(&mut self, now: Timestamp, handle: Handle, offset: u64, len: u32) -> Result<Vec<Bytes>> {
        let inode = self.inode_mut(self.readable(handle)?)?;
        let bytes = inode.content()?.read(offset, u64::from(len));
        if len > 0 {
            inode.touch_access(now);
        }
        Ok(if bytes.is_empty() { Vec::new() } else { vec![bytes.into()] })
    }

    /// Writing nothing changes nothing.
    pub(super) fn write(
        &mut self,
        now: Timestamp,
        handle: Handle,
        offset: u64,
        data: &[u8],
        flags: WriteFlags,
    ) -> Result<()> {
        let (ino, open) = self.writable(handle)?;
        let inode = self.inode_mut(ino)?;
        let offset = if open.append { inode.content()?.len() } else { offset };
        if data.is_empty() {
            return Ok(());
        }
        check_end(offset, data.len() as u64)?;
        inode.content_mut()?.write(offset, data);
        inode.file_modified(now);
        if flags.kill_suid_sgid {
            inode.kill_suid_sgid();
        }
        Ok(())
    }

    pub(super) fn release(&mut self, handle: Handle) -> Result<()> {
        let (ino, _) = self.file_handle(handle)?;
        self.handles.remove(&handle);
        self.reap(ino);
        Ok(())
    }

    pub(super) fn fallocate(
        &mut self,
        now: Timestamp,
        handle: Handle,
        (offset, len): (u64, u64),
        mode: FallocateMode,
    ) -> Result<()> {
        if len == 0 {
            return Err(ErrorKind::InvalidArgument.into());
        }
        let (ino, _) = self.writable(handle)?;
        let end = check_end(offset, len)?;
        let inode = self.inode_mut(ino)?;
        let content = inode.content_mut()?;
        match mode {
            FallocateMode::Allocate => content.grow(end),
            FallocateMode::KeepSize => {}
            FallocateMode::PunchHole | FallocateMode::ZeroRangeKeepSize => content.punch(offset..end),
            FallocateMode::ZeroRange => {
                content.punch(offset..end);
                content.grow(end);
            }
        }
        inode.file_modified(now);
        Ok(())
    }

    pub(super) fn lseek(&self, handle: Handle, offset: u64, whence: SeekWhence) -> Result<u64> {
        let (ino, _) = self.file_handle(handle)?;
        let content = self.inode(ino)?.content()?;
        if offset >= content.len() {
            return Err(ErrorKind::NoSuchOffset.into());
        }
        match whence {
            SeekWhence::Data => content.next_data(offset).ok_or_else(|| ErrorKind::NoSuchOffset.into()),
            SeekWhence::Hole => Ok(content.next_hole(offset)),
        }
    }

    /// Overlap inside one file is refused after the length has been cut at the source's end, as the kernel does.
    pub(super) fn copy_file_range(
        &mut self,
        now: Timestamp,
        (from, from_offset): (Handle, u64),
        (to, to_offset): (Handle, u64),
        len: u64,
    ) -> Result<u64> {
        let source = self.readable(from)?;
        let (target, open) = self.writable(to)?;
        if open.append {
            return Err(ErrorKind::BadHandle.into());
        }
        let content = self.inode(source)?.content()?;
        let len = len.min(content.len().saturating_sub(from_offset));
        let end = check_end(to_offset, len)?;
        if source == target && to_offset < from_offset + len && from_offset < end {
            return Err(ErrorKind::InvalidArgument.into());
        }
        if len == 0 {
            return Ok(0);
        }
        let pieces = data_pieces(content, from_offset, len);
        let inode = self.inode_mut(target)?;
        let content = inode.content_mut()?;
        content.punch(to_offset..end);
        for (at, bytes) in pieces {
            content.write(to_offset + (at - from_offset), &bytes);
        }
        content.grow(end);
        inode.file_modified(now);
        Ok(len)
    }

    pub(super) fn opendir(&mut self, ino: Ino) -> Result<Handle> {
        self.dir(ino)?;
        Ok(self.add_handle(ino, None))
    }

    /// A removed directory lists nothing at all.
    pub(super) fn readdir(
        &mut self,
        now: Timestamp,
        handle: Handle,
        cookie: u64,
        with_attrs: bool,
    ) -> Result<Vec<DirEntry>> {
        let ino = self.dir_handle(handle)?;
        if self.inode(ino)?.nlink == 0 {
            return Ok(Vec::new());
        }
        let dir = self.dir(ino)?;
        let dots: [(u64, &[u8], Ino); 2] = [(COOKIE_DOT, b".", ino), (COOKIE_DOT_DOT, b"..", dir.parent)];
        let entries = dots
            .into_iter()
            .filter(|(dot, _, _)| *dot > cookie)
            .chain(dir.after(cookie))
            .take(READDIR_ENTRIES)
            .map(|(cookie, name, ino)| self.dir_entry(cookie, name, ino, with_attrs))
            .collect::<Result<_>>()?;
        self.inode_mut(ino)?.touch_access(now);
        Ok(entries)
    }

    /// A removed directory has no entries.
    pub(super) fn entries_after(&self, ino: Ino, after: Option<&[u8]>) -> Result<Vec<NamedEntry>> {
        let dir = self.dir(ino)?;
        if self.inode(ino)?.nlink == 0 {
            return Ok(Vec::new());
        }
        let named =
            |(name, ino): (&[u8], Ino)| Ok(NamedEntry { name: Bytes::copy_from_slice(name), attr: self.attr(ino)? });
        dir.named_after(after).take(READDIR_ENTRIES).map(named).collect()
    }

    pub(super) fn releasedir(&mut self, handle: Handle) -> Result<()> {
        let ino = self.dir_handle(handle)?;
        self.handles.remove(&handle);
        self.reap(ino);
        Ok(())
    }

    fn dir_entry(&self, cookie: u64, name: &[u8], ino: Ino, with_attrs: bool) -> Result<DirEntry> {
        let attr = (with_attrs && cookie > COOKIE_DOT_DOT).then(|| self.attr(ino)).transpose()?;
        let kind = attr.map_or(self.inodes.get(&ino).map_or(FileKind::Dir, |i| i.kind), |a| a.kind);
        Ok(DirEntry { name: Bytes::copy_from_slice(name), ino, kind, cookie, attr })
    }

    /// The inode of a handle that was opened for reading.
    fn readable(&self, handle: Handle) -> Result<Ino> {
        match self.file_handle(handle)? {
            (ino, flags) if flags.read => Ok(ino),
            _ => Err(ErrorKind::BadHandle.into()),
        }
    }

    /// The inode and flags of a handle that was opened for writing.
    fn writable(&self, handle: Handle) -> Result<(Ino, OpenFlags)> {
        match self.file_handle(handle)? {
            (ino, flags) if flags.write => Ok((ino, flags)),
            _ => Err(ErrorKind::BadHandle.into()),
        }
    }
}

/// The end of a range that must fit into the largest file.
fn check_end(offset: u64, len: u64) -> Result<u64> {
    match offset.checked_add(len) {
        Some(end) if end <= FILE_BYTES_MAX => Ok(end),
        _ => Err(ErrorKind::FileTooLarge.into()),
    }
}

/// The parts of a range that are not holes, with their offsets: a copy of a sparse range stays sparse.
fn data_pieces(content: &super::content::Content, offset: u64, len: u64) -> Vec<(u64, Vec<u8>)> {
    let end = offset + len;
    let mut pieces = Vec::new();
    let mut at = offset;
    while let Some(data) = content.next_data(at).filter(|data| *data < end) {
        let hole = content.next_hole(data).min(end);
        pieces.push((data, content.read(data, hole - data)));
        at = hole;
    }
    pieces
}
