//! Named streams, each in an extended attribute: small, and read and written as a whole.

use bytes::Bytes;
use proxyfs_core::fs::{FileKind, FileSystem, SetAttr, SetTime};
use proxyfs_core::types::Ino;

use super::{Answer, Drive, Open, Place};
use crate::meta as kept;
use crate::name;
use crate::path::Path;
use crate::status::Status;

/// A stream as Windows lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    /// Its name; empty for the file itself.
    pub name: Vec<u16>,
    /// Length in bytes.
    pub len: u64,
}

impl<F: FileSystem> Drive<F> {
    /// The streams of an open file, its own content first (a directory has none).
    pub async fn streams(&self, open: &Open) -> Answer<Vec<StreamInfo>> {
        let target = open.target();
        let mut found = Vec::new();
        if target.kind == FileKind::File {
            found.push(StreamInfo { name: Vec::new(), len: self.fs.getattr(target.ino).await?.size });
        }
        for attribute in self.fs.listxattr(target.ino).await? {
            if let Some(stream) = kept::stream_of(&attribute)
                && let Some(len) = self.stream_len(target.ino, &attribute).await?
            {
                found.push(StreamInfo { name: name::to_windows(stream), len });
            }
        }
        Ok(found)
    }

    /// Whether the stream of a path is there, on the file that was found by it.
    pub async fn has_stream(&self, place: &Place, path: &Path) -> Answer<bool> {
        match &path.stream {
            Some(stream) => Ok(self.find_stream(place.entry.attr.ino, stream).await?.is_some()),
            None => Ok(true),
        }
    }

    /// The attribute that keeps a stream, whose name is found in any case.
    pub(super) async fn find_stream(&self, ino: Ino, stream: &[u8]) -> Answer<Option<Vec<u8>>> {
        let wanted = String::from_utf8_lossy(stream).to_lowercase();
        let same = |attribute: &Bytes| {
            kept::stream_of(attribute).is_some_and(|name| String::from_utf8_lossy(name).to_lowercase() == wanted)
        };
        Ok(self.fs.listxattr(ino).await?.into_iter().find(same).map(|a| a.to_vec()))
    }

    /// Makes an empty stream.
    pub(super) async fn add_stream(&self, ino: Ino, stream: &[u8]) -> Answer<Vec<u8>> {
        let _one = self.stream_changes.lock().await;
        if self.find_stream(ino, stream).await?.is_some() {
            return Err(Status::OBJECT_NAME_COLLISION);
        }
        let attribute = kept::stream_attribute(stream);
        self.put_stream(ino, &attribute, Vec::new()).await?;
        Ok(attribute)
    }

    pub(super) async fn stream_len(&self, ino: Ino, attribute: &[u8]) -> Answer<Option<u64>> {
        Ok(self.kept_value(ino, attribute).await?.map(|value| value.len().saturating_sub(1) as u64))
    }

    async fn content(&self, ino: Ino, attribute: &[u8]) -> Answer<Vec<u8>> {
        let mut value = self.kept_value(ino, attribute).await?.ok_or(Status::FILE_DELETED)?;
        // The NUL at its end is no content.
        value.pop();
        Ok(value)
    }

    async fn put_stream(&self, ino: Ino, attribute: &[u8], mut content: Vec<u8>) -> Answer<()> {
        if content.len() > kept::STREAM_BYTES_MAX {
            return Err(Status::FILE_TOO_LARGE);
        }
        content.push(0);
        self.keep(ino, attribute, &content).await
    }

    pub(super) async fn read_stream(&self, ino: Ino, attribute: &[u8], offset: u64, len: u32) -> Answer<Bytes> {
        let content = Bytes::from(self.content(ino, attribute).await?);
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
        let to = from.saturating_add(len as usize).min(content.len());
        Ok(content.slice(from..to))
    }

    pub(super) async fn write_stream(&self, ino: Ino, attribute: &[u8], offset: u64, data: &[u8]) -> Answer<()> {
        let _one = self.stream_changes.lock().await;
        let mut content = self.content(ino, attribute).await?;
        let from = usize::try_from(offset).map_err(|_| Status::FILE_TOO_LARGE)?;
        let to =
            from.checked_add(data.len()).filter(|to| *to <= kept::STREAM_BYTES_MAX).ok_or(Status::FILE_TOO_LARGE)?;
        if content.len() < to {
            content.resize(to, 0);
        }
        content[from..to].copy_from_slice(data);
        self.put_stream(ino, attribute, content).await?;
        self.note_change(ino).await
    }

    pub(super) async fn resize_stream(&self, ino: Ino, attribute: &[u8], len: u64) -> Answer<()> {
        let _one = self.stream_changes.lock().await;
        let mut content = self.content(ino, attribute).await?;
        let len =
            usize::try_from(len).ok().filter(|len| *len <= kept::STREAM_BYTES_MAX).ok_or(Status::FILE_TOO_LARGE)?;
        content.resize(len, 0);
        self.put_stream(ino, attribute, content).await?;
        self.note_change(ino).await
    }

    /// A change of a stream is one of the file.
    async fn note_change(&self, ino: Ino) -> Answer<()> {
        let set = SetAttr { mtime: Some(SetTime::Now), ..SetAttr::default() };
        self.fs.setattr(self.caller(), ino, set).await?;
        Ok(())
    }
}
