//! Keys and values of the B+Tree, and pages, as JSON.

use serde_json::{Value, json};

use super::text;
use crate::format::page::{PageEntries, PageSlot};
use crate::format::{
    Dirent, Extent, Extras, FormatResult, InodeRecord, Key, KeyWrite, PendingDelete, SegmentLocation, SegmentUsage,
    intent, orphan, xattr,
};
use crate::fs::FileKind;

/// Most entries of a page that are shown: more than a page of usual size can hold.
const PAGE_ENTRIES_MAX: usize = 16_384;

/// A key as one line, such as `inode 5 extent 4096`, or its bytes when it is not known.
#[must_use]
pub fn dump_key(key: &[u8]) -> Value {
    match Key::decode(key) {
        Ok(key) => typed_key(&key),
        Err(error) => json!({ "key": text::bytes(key), "error": error.to_string() }),
    }
}

fn typed_key(key: &Key) -> Value {
    match key {
        Key::Inode(ino) => json!(format!("inode {ino}")),
        Key::Xattr { ino, name } => named(&format!("inode {ino} xattr"), name),
        Key::Dirent { ino, name } => named(&format!("inode {ino} dirent"), name),
        Key::Extent { ino, offset } => json!(format!("inode {ino} extent {offset}")),
        Key::SegmentUsage(segment) => json!(format!("segment {segment} usage")),
        Key::SegmentLocation { segment, slot } => json!(format!("segment {segment} location from slot {slot}")),
        Key::Orphan(ino) => json!(format!("orphan {ino}")),
        Key::PendingDelete { kind, object } => json!(format!("pending delete {}/{object}", kind.folder())),
        Key::Intent { kind, object } => json!(format!("upload intent {}/{object}", kind.folder())),
    }
}

/// `"prefix name"` if the name is readable, else the two apart.
fn named(prefix: &str, name: &[u8]) -> Value {
    match text::bytes(name) {
        Value::String(name) => json!(format!("{prefix} {name}")),
        other => json!({ "key": prefix, "name": other }),
    }
}

/// The value of a key, decoded as the key demands.
#[must_use]
pub fn dump_value(key: &[u8], value: &[u8]) -> Value {
    match Key::decode(key).and_then(|key| typed_value(&key, value)) {
        Ok(json) => json,
        Err(error) => json!({ "value": text::bytes(value), "error": error.to_string() }),
    }
}

fn typed_value(key: &Key, value: &[u8]) -> FormatResult<Value> {
    Ok(match key {
        Key::Inode(_) => inode(&InodeRecord::decode(value)?),
        Key::Xattr { .. } => text::bytes(xattr::decode(value)?),
        Key::Dirent { .. } => dirent(&Dirent::decode(value)?),
        Key::Extent { .. } => {
            let extent = Extent::decode(value)?;
            json!({ "len": extent.len, "segment": extent.segment.to_string(), "position": extent.position })
        }
        Key::SegmentUsage(_) => json!({ "live_bytes": SegmentUsage::decode(value)?.live_bytes }),
        Key::SegmentLocation { .. } => location(&SegmentLocation::decode(value)?),
        Key::Orphan(_) => {
            orphan::decode(value)?;
            Value::Null
        }
        Key::PendingDelete { .. } => {
            let PendingDelete { died_lsn, died_secs, stored_len } = PendingDelete::decode(value)?;
            json!({ "died_lsn": died_lsn.0, "died_secs": died_secs, "stored_len": stored_len })
        }
        Key::Intent { .. } => {
            intent::decode(value)?;
            Value::Null
        }
    })
}

fn kind_name(kind: FileKind) -> &'static str {
    match kind {
        FileKind::File => "file",
        FileKind::Dir => "dir",
        FileKind::Symlink => "symlink",
        FileKind::Fifo => "fifo",
        FileKind::Socket => "socket",
        FileKind::CharDevice => "char device",
        FileKind::BlockDevice => "block device",
    }
}

fn inode(record: &InodeRecord) -> Value {
    let mut out = json!({
        "kind": kind_name(record.kind), "perm": format!("{:04o}", record.perm), "nlink": record.nlink,
        "uid": record.uid, "gid": record.gid, "rdev": record.rdev,
        "size": record.size, "allocated_bytes": record.allocated_bytes,
        "atime": text::time(record.atime), "mtime": text::time(record.mtime),
        "ctime": text::time(record.ctime), "btime": text::time(record.btime), "parent": record.parent.0,
    });
    if record.kind == FileKind::Dir {
        out["entry_count"] = json!(record.entry_count);
        out["subtree_bytes"] = json!(record.subtree_bytes);
        out["subtree_inodes"] = json!(record.subtree_inodes);
    }
    if record.kind == FileKind::Symlink {
        out["target"] = text::bytes(&record.target);
    }
    add_extras(&mut out, &record.extras);
    out
}

fn dirent(dirent: &Dirent) -> Value {
    let mut out = json!({ "kind": kind_name(dirent.kind), "ino": dirent.ino.0 });
    if !dirent.display_name.is_empty() {
        out["display_name"] = text::bytes(&dirent.display_name);
    }
    add_extras(&mut out, &dirent.extras);
    out
}

fn add_extras(out: &mut Value, extras: &Extras) {
    if !extras.is_empty() {
        out["extras"] = extras.iter().map(|(tag, value)| json!({ "tag": tag, "value": text::bytes(value) })).collect();
    }
}

fn location(location: &SegmentLocation) -> Value {
    let run = |run: &crate::format::SlotRun| match run.frame {
        None => json!(format!("{} dropped", run.slots)),
        Some(f) => json!(format!("{} of {} bytes, {} plain", run.slots, f.total_len, f.logical_len)),
    };
    let runs: Vec<Value> = location.runs.iter().map(run).collect();
    json!({ "object": location.object.to_string(), "offset": location.offset, "runs": runs })
}

/// A change of the tree.
pub(super) fn write(write: &KeyWrite) -> Value {
    match &write.value {
        None => json!({ "remove": dump_key(&write.key) }),
        Some(value) => json!({ "put": dump_key(&write.key), "value": dump_value(&write.key, value) }),
    }
}

/// A page's payload.
pub(super) fn page(payload: &[u8]) -> FormatResult<Value> {
    let mut page = PageEntries::open(payload)?;
    let (level, count) = (page.level(), page.count());
    let mut entries = Vec::new();
    while let Some((key, slot)) = page.next_entry()? {
        if entries.len() < PAGE_ENTRIES_MAX {
            entries.push(match slot {
                PageSlot::Value(value) => json!({ "key": dump_key(key), "value": dump_value(key, value) }),
                PageSlot::Child(child) => json!({ "from": bound(key), "child": text::addr(&child) }),
            });
        }
    }
    Ok(json!({ "level": level, "entries": count, "shown": entries }))
}

/// A branch's key need not be a whole key.
fn bound(key: &[u8]) -> Value {
    match Key::decode(key) {
        Ok(key) => typed_key(&key),
        Err(_) => text::bytes(key),
    }
}
