//! Answers to requests that only macFUSE makes. That for exchangedata(2) is not among them: it is not asked for when a mount begins,
//! and no system since macOS 11 sends it.

use std::time::UNIX_EPOCH;

use fuser::{Errno, ReplyEmpty, ReplyXTimes};
use proxyfs_core::fs::Attr;

use crate::convert;

/// A volume's name belongs to the computer that mounts it, which names it when it does; the Finder is told that it cannot be changed.
pub(super) fn refuse_volume_name(reply: ReplyEmpty) {
    reply.error(Errno::ENOTSUP);
}

/// Backup and creation time. No backup time is kept, and the epoch means "never" to those who ask.
pub(super) fn reply_times(reply: ReplyXTimes, attr: &Attr) {
    reply.xtimes(UNIX_EPOCH, convert::system_time(attr.btime));
}
