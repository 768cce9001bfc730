//! Whole small files in the root directory, for tests that need no more.

use bytes::Bytes;
use proxyfs_core::fs::{Caller, FileSystem, OpenFlags, WriteFlags};
use proxyfs_core::types::Ino;
use proxyfs_core::volume::Volume;
use proxyfs_core::{ErrorKind, Result};

/// Writes a file, making it if need be, from its start; what was longer stays.
///
/// # Errors
/// The engine's.
pub async fn put(volume: &Volume, name: &str, content: &[u8]) -> Result<()> {
    let flags = OpenFlags { read: true, write: true, ..OpenFlags::default() };
    let (_, handle) = volume.create(Caller::default(), Ino::ROOT, name.as_bytes(), 0o644, 0, flags).await?;
    let written = volume.write(handle, 0, Bytes::copy_from_slice(content), WriteFlags::default()).await;
    volume.release(handle, None).await?;
    written
}

/// The content of a file; `None` if there is no such name.
///
/// # Errors
/// The engine's.
pub async fn get(volume: &Volume, name: &str) -> Result<Option<Vec<u8>>> {
    let attr = match volume.lookup(Ino::ROOT, name.as_bytes()).await {
        Ok(attr) => attr,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let flags = OpenFlags { read: true, ..OpenFlags::default() };
    let handle = volume.open(Caller::default(), attr.ino, flags).await?;
    let read = volume.read(handle, 0, attr.size as u32).await;
    volume.release(handle, None).await?;
    Ok(Some(read?.concat()))
}

/// Removes a file.
///
/// # Errors
/// The engine's.
pub async fn remove(volume: &Volume, name: &str) -> Result<()> {
    volume.unlink(Caller::default(), Ino::ROOT, name.as_bytes()).await
}

/// `len` bytes that differ by seed and do not compress to nothing.
#[must_use]
pub fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}
