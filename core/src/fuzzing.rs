//! Entry points for fuzzers: each takes any bytes, decodes them as one kind of stored structure, and panics if a property breaks.
//!
//! The same functions run under `core/fuzz` and, on mutated fixtures, in a plain test. Properties: no decoder panics, and what a
//! canonical decoder accepts encodes to the same bytes. Checksums are also repaired before decoding, as mutations hardly ever
//! get past them.

use bytes::Bytes;

use crate::disk_cache;
use crate::dump;
use crate::format::frame::{
    FRAME_HEADER_LEN, FrameHeader, FrameKind, LOGICAL_BYTES_MAX, decode_first_frame, decode_frame,
};
use crate::format::keys::Key;
use crate::format::layout::{head_key, log_key, parse_head_path, parse_log_path};
use crate::format::pack::{PACK_TRAILER_LEN, PackIndex, PackTrailer};
use crate::format::page::PageEntries;
use crate::format::record::{LogScan, RECORD_HEADER_LEN, append_record_of_body};
use crate::format::volume::VolumeMeta;
use crate::format::{
    Dirent, Extent, Head, InodeRecord, Layout, LogBatch, LogFileHeader, ObjectKind, ObjectTable, Overlay,
    PendingDelete, RecordBody, SegmentLocation, SegmentUsage, xattr,
};
use crate::store::ObjectKey;
use crate::types::Lsn;
use crate::volume::{claim::OwnerFile, open, recover, staging};

/// Name and function of a target.
pub type Target = (&'static str, fn(&[u8]));

/// Targets that decode frames, which may decompress to [`LOGICAL_BYTES_MAX`].
const FRAMED: [&str; 4] = ["frame", "pack", "head", "log"];
/// What a target may allocate for each byte of input, where nothing is decompressed: typed forms and JSON are larger than bytes.
const ALLOCATED_PER_BYTE: usize = 256;
/// What a target may allocate in any case, such as messages.
const ALLOCATED_BASE: usize = 64 << 10;

/// All targets.
pub const TARGETS: [Target; 9] = [
    ("frame", frame),
    ("pack", pack),
    ("page", page),
    ("head", head),
    ("log", log),
    ("tables", tables),
    ("values", values),
    ("volume_json", volume_json),
    ("local", local),
];

/// What a target of [`TARGETS`] may have allocated at most at any moment, for an input of `len` bytes.
#[must_use]
pub fn allocation_max(target: &str, len: usize) -> usize {
    let decompressed = if FRAMED.contains(&target) { LOGICAL_BYTES_MAX } else { 0 };
    ALLOCATED_BASE + ALLOCATED_PER_BYTE * len + decompressed
}

/// Frames, as they are and with checksums repaired.
pub fn frame(input: &[u8]) {
    for bytes in [Bytes::copy_from_slice(input), repair_frame(input)] {
        if let Ok(header) = FrameHeader::decode(&bytes) {
            assert_eq!(header.encode(), bytes[..FRAME_HEADER_LEN]);
        }
        if let Ok((header, payload)) = decode_frame(&bytes) {
            assert_eq!(payload.len(), header.logical_len as usize);
        }
        let _ = decode_first_frame(&bytes);
    }
}

/// Packs: whole objects, and their trailer and index apart.
pub fn pack(input: &[u8]) {
    for object in [Bytes::copy_from_slice(input), repair_pack(input)] {
        if let Ok(index) = PackIndex::decode_object(&object) {
            assert!(index.frames_len() <= object.len() as u64);
            if index.kind == ObjectKind::Data {
                assert_eq!(index.slots().iter().flatten().count(), index.entries.len());
            }
            let _ = dump::dump_object("fuzz", &object);
        }
    }
    if let Ok(trailer) = PackTrailer::decode(input) {
        assert_eq!(trailer.encode(), input);
    }
    if let Ok(index) = PackIndex::decode(input) {
        assert_eq!(index.encode(), input);
    }
}

/// Page payloads.
pub fn page(input: &[u8]) {
    let Ok(mut page) = PageEntries::open(input) else { return };
    let mut last: Option<Vec<u8>> = None;
    while let Ok(Some((key, _))) = page.next_entry() {
        assert!(last.as_deref().is_none_or(|last| last < key), "keys of a page must ascend");
        last = Some(key.to_vec());
    }
}

/// Head payloads and objects.
pub fn head(input: &[u8]) {
    if let Ok(head) = Head::decode(input) {
        assert_eq!(head.encode(), input);
    }
    dump_if_head(&repair_frame(input));
}

fn dump_if_head(object: &Bytes) {
    if let Ok(head) = Head::decode_object(object) {
        let _ = dump::dump_object("fuzz", object);
        assert_eq!(Head::decode_object(&head.encode_object().into()), Ok(head));
    }
}

/// Log files, bare records, and batches.
pub fn log(input: &[u8]) {
    for file in [Bytes::copy_from_slice(input), repair_frame(input), repair_log_file(input)] {
        if let Ok((header, records)) = LogFileHeader::decode_file(&file) {
            scan(header.scan(&records), &records);
            let _ = dump::dump_object("fuzz", &file);
        }
    }
    scan(LogScan::new(input, Lsn(1)), input);
    let mut repaired = input.to_vec();
    repair_records(&mut repaired);
    scan(LogScan::new(&repaired, Lsn(1)), &repaired);
    if let Ok(batch) = LogBatch::decode(input) {
        assert_eq!(batch.encode(), input);
    }
    let _ = LogBatch::decode_object(&repair_frame(input));
}

/// Records that a scan yields encode to the bytes that it passed.
fn scan(mut scan: LogScan<'_>, bytes: &[u8]) {
    let mut out = Vec::new();
    for record in scan.by_ref() {
        let mut body = Vec::new();
        RecordBody { writes: record.writes, data: record.data }.encode_into(&mut body);
        append_record_of_body(record.lsn, &body, &mut out);
    }
    assert_eq!(out, bytes[..scan.offset()]);
    assert!(scan.end().is_some());
}

/// Overlays and object tables.
pub fn tables(input: &[u8]) {
    if let Ok(overlay) = Overlay::decode(input) {
        assert_eq!(overlay.encode(), input);
    }
    if let Ok(table) = ObjectTable::decode(input) {
        assert_eq!(table.encode(), input);
    }
}

/// A key and its value (the first byte is the key's length), and the value as every type.
pub fn values(input: &[u8]) {
    if let Some((&len, rest)) = input.split_first()
        && let Some((key, value)) = rest.split_at_checked(len.into())
    {
        if let Ok(typed) = Key::decode(key) {
            assert_eq!(typed.encode(), key);
        }
        let _ = dump::dump_value(key, value);
    }
    if let Ok(record) = InodeRecord::decode(input) {
        assert_eq!(record.encode(), input);
    }
    if let Ok(dirent) = Dirent::decode(input) {
        assert_eq!(dirent.encode(), input);
    }
    if let Ok(location) = SegmentLocation::decode(input) {
        assert!((0..1024).filter_map(|slot| location.find(slot)).all(|frame| frame.object == location.object));
        assert_eq!(SegmentLocation::decode(&location.encode()), Ok(location));
    }
    if let Ok(extent) = Extent::decode(input) {
        assert_eq!(Extent::decode(&extent.encode()), Ok(extent));
    }
    if let Ok(pending) = PendingDelete::decode(input) {
        assert_eq!(PendingDelete::decode(&pending.encode()), Ok(pending));
    }
    if let Ok(usage) = SegmentUsage::decode(input) {
        assert_eq!(SegmentUsage::decode(&usage.encode()), Ok(usage));
    }
    if let Ok(content) = xattr::decode(input) {
        assert_eq!(xattr::decode(&xattr::encode(content)), Ok(content));
    }
}

/// `volume.json`.
pub fn volume_json(input: &[u8]) {
    if let Ok(meta) = VolumeMeta::decode(input) {
        assert_eq!(VolumeMeta::decode(&meta.encode()).as_ref(), Ok(&meta));
        let _ = dump::dump_object("fuzz", input);
    }
}

/// What lies in a state directory beside frames and logs: `owner.json`, the copy of `volume.json`, and the names of files.
pub fn local(input: &[u8]) {
    if let Ok(owner) = serde_json::from_slice::<OwnerFile>(input) {
        let encoded = serde_json::to_vec(&owner).unwrap_or_default();
        assert_eq!(serde_json::from_slice::<OwnerFile>(&encoded).ok(), Some(owner));
    }
    if let Ok(meta) = open::without_checksum(&Bytes::copy_from_slice(input)) {
        volume_json(meta);
    }
    if let Ok(name) = std::str::from_utf8(input) {
        names(name);
    }
}

/// A name that is understood is the one name of what it names.
fn names(name: &str) {
    assert!(parse_head_path(name).is_none_or(|seq| head_key(seq).path == name));
    assert!(parse_log_path(name).is_none_or(|(epoch, number)| log_key(epoch, number).path == name));
    let layout = Layout::default();
    let key = ObjectKey::home(name);
    assert!(layout.parse_object(&key).is_none_or(|(kind, object)| layout.object_key(kind, object) == key));
    let in_folder = |path: String, folder: &str| path == format!("{folder}/{name}");
    assert!(
        disk_cache::parse(name).is_none_or(|(n, form)| in_folder(disk_cache::path_of(n, form), disk_cache::CACHE_DIR))
    );
    assert!(recover::parse_segment(name).is_none_or(|id| in_folder(staging::stage_path(id), staging::STAGE_DIR)));
}

/// The input with the checksums of whatever it begins with made to hold: of a frame and, behind a log file's header, of the
/// records; else of a pack's trailer and index.
#[must_use]
pub fn repaired(input: &[u8]) -> Bytes {
    let file = repair_log_file(input);
    let is_log = FrameHeader::decode(&file).is_ok_and(|header| header.kind == FrameKind::LogFile);
    if is_log { file } else { repair_pack(&repair_frame(input)) }
}

/// Puts the CRC-32C of `covered` at `at`.
fn put_crc(bytes: &mut [u8], at: usize, covered: std::ops::Range<usize>) {
    let crc = crc32c::crc32c(&bytes[covered]).to_le_bytes();
    bytes[at..at + 4].copy_from_slice(&crc);
}

/// The input with both checksums of the frame at its front made to hold.
fn repair_frame(input: &[u8]) -> Bytes {
    let mut bytes = input.to_vec();
    repair_frame_at(&mut bytes, 0, None);
    bytes.into()
}

/// Repairs the frame at `start` whose end is known, or follows from its header.
fn repair_frame_at(bytes: &mut [u8], start: usize, end: Option<usize>) {
    let Some(frame) = bytes.get_mut(start..) else { return };
    if frame.len() < FRAME_HEADER_LEN {
        return;
    }
    let stored = u32::from_le_bytes([frame[8], frame[9], frame[10], frame[11]]) as usize;
    let end = end.map_or(FRAME_HEADER_LEN + stored, |end| end - start);
    if end > frame.len() {
        return;
    }
    put_crc(frame, 40, FRAME_HEADER_LEN..end);
    put_crc(frame, 44, 0..44);
}

/// The input with the checksums of trailer and index made to hold.
fn repair_pack(input: &[u8]) -> Bytes {
    let mut bytes = input.to_vec();
    if let Some(start) = bytes.len().checked_sub(PACK_TRAILER_LEN) {
        put_crc(&mut bytes[start..], 36, 0..36);
        let offset = bytes[start + 8..].first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
        if let Ok(offset) = usize::try_from(offset)
            && offset.checked_add(FRAME_HEADER_LEN).is_some_and(|end| end <= start)
        {
            repair_frame_at(&mut bytes, offset, Some(start));
        }
    }
    bytes.into()
}

/// The input with the checksums of the frame at its front and of the records behind it made to hold.
fn repair_log_file(input: &[u8]) -> Bytes {
    let mut bytes = repair_frame(input).to_vec();
    let header = FrameHeader::decode(&bytes).ok();
    let end = header.and_then(|header| usize::try_from(header.total_len()).ok()).unwrap_or(usize::MAX);
    if let Some(records) = bytes.get_mut(end..) {
        repair_records(records);
    }
    bytes.into()
}

/// Makes the checksums of records back to back hold.
fn repair_records(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some(len) = bytes[at..].first_chunk().map(|b| u32::from_le_bytes(*b) as usize) {
        let end = at.saturating_add(RECORD_HEADER_LEN).saturating_add(len);
        if end > bytes.len() {
            break;
        }
        put_crc(&mut bytes[at..end], 4, 8..RECORD_HEADER_LEN + len);
        at = end;
    }
}
