//! A link of limited rate between the server and its clients, so that a benchmark can ask how well a network is used.
//!
//! Owns the pace of each direction: all connections together move at most so many bytes a second. Has no latency of its own.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes that a connection moves before the others get a turn.
const TURN_BYTES: usize = 64 << 10;
/// How far ahead of its pace a direction may be: timers are this coarse.
const BURST: Duration = Duration::from_millis(2);

/// The rate of both directions; 0 is no limit.
#[derive(Debug, Default)]
pub(super) struct Link {
    bytes_per_second: AtomicU64,
    inbound: Pace,
    outbound: Pace,
}

/// When a direction has moved what it was given so far.
#[derive(Debug, Default)]
struct Pace {
    busy_until: Mutex<Option<Instant>>,
}

impl Link {
    /// Sets the rate of each direction in bytes a second; 0 is no limit.
    pub(super) fn set_rate(&self, bytes_per_second: u64) {
        self.bytes_per_second.store(bytes_per_second, Ordering::Relaxed);
    }

    fn rate(&self) -> Option<u64> {
        Some(self.bytes_per_second.load(Ordering::Relaxed)).filter(|rate| *rate > 0)
    }

    /// Notes that bytes were moved; until when their direction is busy with them, if that is worth waiting for.
    fn moved(&self, pace: &Pace, bytes: usize) -> Option<Instant> {
        let rate = self.rate()?;
        let now = Instant::now();
        let mut busy_until = pace.busy_until.lock();
        let from = busy_until.map_or(now, |until| until.max(now));
        let until = from + Duration::from_secs_f64(bytes as f64 / rate as f64);
        *busy_until = Some(until);
        (until > now + BURST).then_some(until)
    }
}

/// A connection over the link.
#[derive(Debug)]
pub(super) struct Paced<S> {
    socket: S,
    link: Arc<Link>,
    read_wait: Option<Pin<Box<Sleep>>>,
    write_wait: Option<Pin<Box<Sleep>>>,
}

impl<S> Paced<S> {
    pub(super) fn new(socket: S, link: Arc<Link>) -> Self {
        Self { socket, link, read_wait: None, write_wait: None }
    }
}

fn wait(sleep: &mut Option<Pin<Box<Sleep>>>, cx: &mut Context<'_>) -> Poll<()> {
    if let Some(timer) = sleep {
        ready!(timer.as_mut().poll(cx));
        *sleep = None;
    }
    Poll::Ready(())
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(wait(&mut this.read_wait, cx));
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.socket).poll_read(cx, buf))?;
        let until = this.link.moved(&this.link.inbound, buf.filled().len() - before);
        this.read_wait = until.map(|until| Box::pin(sleep_until(until)));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(wait(&mut this.write_wait, cx));
        let turn = if this.link.rate().is_some() { buf.len().min(TURN_BYTES) } else { buf.len() };
        let written = ready!(Pin::new(&mut this.socket).poll_write(cx, &buf[..turn]))?;
        let until = this.link.moved(&this.link.outbound, written);
        this.write_wait = until.map(|until| Box::pin(sleep_until(until)));
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.link.rate().is_some() || self.write_wait.is_some() {
            let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| buf);
            return self.poll_write(cx, first);
        }
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test(start_paused = true)]
    async fn connections_share_the_rate() {
        let link = Arc::new(Link::default());
        link.set_rate(1 << 20);
        let begun = Instant::now();
        let mut tasks = Vec::new();
        for _ in 0..4 {
            let (ours, mut theirs) = tokio::io::duplex(1 << 20);
            let mut ours = Paced::new(ours, Arc::clone(&link));
            tasks.push(tokio::spawn(async move {
                ours.write_all(&vec![7; 512 << 10]).await.expect("write");
                drop(ours);
                let mut all = Vec::new();
                theirs.read_to_end(&mut all).await.expect("read");
                all.len()
            }));
        }
        for task in tasks {
            assert_eq!(task.await.expect("join"), 512 << 10);
        }
        let seconds = begun.elapsed().as_secs_f64();
        assert!((1.9..2.1).contains(&seconds), "2 MiB at 1 MiB/s took {seconds} s");
    }
}
