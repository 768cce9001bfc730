//! Bodies of answers: read from a file in large pieces, and counted as they are sent.

use std::fs::File;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream;
use hyper::body::{Body, Frame, SizeHint};
use s3s::dto::StreamingBlob;

use super::Counters;

/// Bytes read from disk at once.
const PIECE_BYTES: u64 = 256 << 10;

/// `len` bytes of a file from `first` on, which it must have.
///
/// # Errors
/// When the file cannot be opened.
pub(super) fn of_file(path: &Path, first: u64, len: u64) -> io::Result<StreamingBlob> {
    let file = Arc::new(File::open(path)?);
    let pieces = stream::try_unfold((first, first + len), move |(at, end)| {
        let file = Arc::clone(&file);
        async move {
            if at == end {
                return Ok::<_, io::Error>(None);
            }
            let piece = PIECE_BYTES.min(end - at);
            let bytes = tokio::task::spawn_blocking(move || read_piece(&file, at, piece)).await??;
            Ok(Some((bytes, (at + piece, end))))
        }
    });
    Ok(StreamingBlob::wrap(pieces))
}

fn read_piece(file: &File, at: u64, len: u64) -> io::Result<Bytes> {
    // Fits: bounded by a constant.
    let mut piece = vec![0; len as usize];
    read_exact_at(file, &mut piece, at)?;
    Ok(piece.into())
}

#[cfg(unix)]
fn read_exact_at(file: &File, piece: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, piece, at)
}

/// Windows reads as much as it likes at once. The file's own position moves, which nobody uses.
#[cfg(windows)]
fn read_exact_at(file: &File, mut piece: &mut [u8], mut at: u64) -> io::Result<()> {
    while !piece.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, piece, at)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                piece = &mut piece[n..];
                at += n as u64;
            }
        }
    }
    Ok(())
}

/// A body whose bytes are counted as those of a get, if it is the answer to one.
pub(super) struct Counted {
    /// The body.
    pub(super) inner: s3s::Body,
    /// Where to count.
    pub(super) counters: Option<Arc<Counters>>,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = s3s::StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if let (Poll::Ready(Some(Ok(frame))), Some(counters)) = (&polled, &self.counters) {
            let len = frame.data_ref().map_or(0, Bytes::len);
            counters.get_bytes.fetch_add(len as u64, Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
