//! Telling Windows what changed without its doing: programs that watch a directory hear of it, and the driver forgets what it remembers.

use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use proxyfs_core::changes::ChangeFeed;
use proxyfs_core::fs::FileSystem;
use proxyfs_core::types::Ino;
use tokio::sync::watch;
use tracing::{debug, warn};

use super::callbacks::{Host, ntstatus};
use super::volume::Link;
use crate::drive::{Answer, Happened, Notice};
use crate::status::Status;

/// How long the driver may let a notification wait for a renaming to end, in milliseconds.
const BEGIN_TIMEOUT_MS: u32 = 10_000;
/// Bytes of one call.
const BATCH_BYTES_MAX: usize = 16 << 10;
const HEADER: usize = 12;
const ALIGNMENT: usize = 8;

/// FILE_NOTIFY_CHANGE flags.
mod filter {
    pub(super) const FILE_NAME: u32 = 0x1;
    pub(super) const DIR_NAME: u32 = 0x2;
    /// Attributes, size, last write, security.
    pub(super) const CONTENT: u32 = 0x4 | 0x8 | 0x10 | 0x100;
}

/// FILE_ACTION values.
mod action {
    pub(super) const ADDED: u32 = 1;
    pub(super) const REMOVED: u32 = 2;
    pub(super) const MODIFIED: u32 = 3;
}

/// Tells Windows of changes of one mount. Cheap to clone; after the mount's end it does nothing.
#[derive(Clone)]
pub struct Notifier {
    link: Arc<RwLock<Option<Link>>>,
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notifier")
    }
}

impl Notifier {
    pub(super) fn new(link: Arc<RwLock<Option<Link>>>) -> Self {
        Self { link }
    }

    /// Tells of changes. Blocks shortly while something is being renamed; must not be called within an operation of the
    /// file system.
    ///
    /// # Errors
    /// What the driver refuses; what it remembers there ages out.
    pub fn tell(&self, notices: &[Notice]) -> Answer<()> {
        let guard = self.link.read();
        let Some(link) = guard.as_ref() else { return Ok(()) };
        if notices.is_empty() {
            return Ok(());
        }
        let api = link.api();
        // SAFETY: the object is there for as long as the guard.
        let begun = unsafe { (api.notify_begin)(link.object(), BEGIN_TIMEOUT_MS) };
        check(begun)?;
        let mut outcome = Ok(());
        for mut batch in batches(notices) {
            let len = batch.len;
            // SAFETY: the batch is a list of so many bytes, aligned as its entries are.
            let told = unsafe { (api.notify)(link.object(), batch.buffer.as_mut_ptr().cast(), len as u64) };
            outcome = outcome.and(check(told));
        }
        // SAFETY: the object is there for as long as the guard, and a notification is under way.
        let ended = unsafe { (api.notify_end)(link.object()) };
        outcome.and(check(ended))
    }
}

fn check(status: i32) -> Answer<()> {
    let status = Status(status.cast_unsigned());
    if ntstatus(status) < 0 { Err(status) } else { Ok(()) }
}

/// A list of FSP_FSCTL_NOTIFY_INFO, aligned.
struct Batch {
    buffer: Vec<u64>,
    len: usize,
}

/// Lists of entries: `u16` size, padding, `u32` filter, `u32` action, the path; each at a multiple of 8.
fn batches(notices: &[Notice]) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut bytes: Vec<u8> = Vec::new();
    let mut flush = |bytes: &mut Vec<u8>| {
        if bytes.is_empty() {
            return;
        }
        let words = bytes.chunks(8).map(|chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_le_bytes(word)
        });
        batches.push(Batch { buffer: words.collect(), len: bytes.len() });
        bytes.clear();
    };
    for notice in notices {
        let size = HEADER + notice.path.len() * 2;
        let Ok(size_short) = u16::try_from(size) else { continue };
        if bytes.len() + size > BATCH_BYTES_MAX {
            flush(&mut bytes);
        }
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        let (filter, action) = match notice.happened {
            Happened::FileAdded => (filter::FILE_NAME, action::ADDED),
            Happened::DirAdded => (filter::DIR_NAME, action::ADDED),
            Happened::Removed => (filter::FILE_NAME | filter::DIR_NAME, action::REMOVED),
            Happened::Changed => (filter::CONTENT, action::MODIFIED),
        };
        bytes.extend_from_slice(&size_short.to_le_bytes());
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&filter.to_le_bytes());
        bytes.extend_from_slice(&action.to_le_bytes());
        bytes.extend(notice.path.iter().flat_map(|unit| unit.to_le_bytes()));
    }
    flush(&mut bytes);
    batches
}

/// Passes a file system's changes on to Windows until the mount or the file system ends.
pub(super) async fn pass_on<F: FileSystem>(
    mut feed: ChangeFeed,
    host: Arc<Host<F>>,
    notifier: Notifier,
    mut ended: watch::Receiver<bool>,
) {
    loop {
        let changes = tokio::select! {
            changes = feed.next() => changes,
            _ended = ended.wait_for(|ended| *ended) => None,
        };
        let Some(changes) = changes else { return };
        let files = Arc::clone(&host.files);
        let notices = host.drive.notices(&changes, &move |ino: Ino| files.paths_of(ino)).await;
        debug!(notices = notices.len(), "Windows is told of changes");
        let own = notifier.clone();
        match tokio::task::spawn_blocking(move || own.tell(&notices)).await {
            Ok(Ok(())) => {}
            Ok(Err(status)) => warn!("Windows remembers something that changed until it ages out: {status}"),
            Err(error) => warn!("a notification failed: {error}"),
        }
    }
}
