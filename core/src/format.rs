//! The stored structures of docs/FORMAT.md: one structure a file, encode and decode side by side in the same order.
//!
//! Owns the bytes that ProxyFS keeps in an object store and in its state directory. Everything here is synchronous and free
//! of I/O. Decoders take bytes that nobody vouches for: they return [`FormatError`], never panic, and never allocate more than
//! the bytes before them justify. B+Tree pages are written by `tree`; [`page`] only reads them, for dumps.

pub mod addr;
pub mod dirent;
pub mod error;
pub mod extent;
pub mod extras;
pub mod frame;
pub mod head;
pub mod inode;
pub mod intent;
pub mod keys;
pub mod kind;
pub mod layout;
pub mod log_batch;
pub mod log_file;
pub mod object_kind;
pub mod object_table;
pub mod orphan;
pub mod overlay;
pub mod pack;
pub mod page;
pub mod pending;
pub mod record;
pub mod segment;
pub mod uuid;
pub mod value;
pub mod varint;
pub mod volume;
pub mod xattr;

pub use dirent::Dirent;
pub use error::{FormatError, FormatResult};
pub use extent::Extent;
pub use extras::Extras;
pub use frame::{Codec, FRAME_HEADER_LEN, FrameHeader, FrameKind};
pub use head::{Head, HeadFlags, LogStart};
pub use inode::InodeRecord;
pub use keys::Key;
pub use layout::Layout;
pub use log_batch::LogBatch;
pub use log_file::LogFileHeader;
pub use object_kind::ObjectKind;
pub use object_table::{ObjectEntry, ObjectTable};
pub use overlay::Overlay;
pub use pack::{PackBuilder, PackEntry, PackIndex, PackTrailer};
pub use pending::PendingDelete;
pub use record::{DataRef, KeyWrite, LogEnd, Record, RecordBody};
pub use segment::{FrameLoc, SegmentLocation, SegmentUsage, SlotFrame, SlotRun};
pub use uuid::{ClaimId, VolumeUuid};
pub use volume::{CaseRule, CompressChoice, Tier, VolumeMeta};
