//! An HTTP body over chunks that lie apart in memory: sent one after the other, never joined.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::key;

/// The chunks still to be sent; their total length is known.
#[derive(Clone, Debug)]
pub(crate) struct ChunkBody {
    chunks: VecDeque<Bytes>,
    left: u64,
}

impl ChunkBody {
    pub(crate) fn new(chunks: &[Bytes]) -> Self {
        Self { left: key::body_len(chunks), chunks: chunks.iter().filter(|c| !c.is_empty()).cloned().collect() }
    }
}

impl Body for ChunkBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.chunks.pop_front();
        if let Some(chunk) = &next {
            self.left -= chunk.len() as u64;
        }
        Poll::Ready(next.map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.chunks.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn chunks_are_sent_in_order_with_a_known_length() {
        let body = ChunkBody::new(&[Bytes::from_static(b"ab"), Bytes::new(), Bytes::from_static(b"c")]);
        assert_eq!(body.size_hint().exact(), Some(3));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abc");
        assert!(ChunkBody::new(&[]).is_end_stream());
    }
}
