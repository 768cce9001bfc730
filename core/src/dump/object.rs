//! Frames, packs, heads and logs as JSON.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{text, tree};
use crate::format::frame::{decode_first_frame, decode_frame};
use crate::format::{
    DataRef, FormatResult, FrameHeader, FrameKind, Head, LogBatch, LogEnd, LogFileHeader, ObjectTable, Overlay,
    PackEntry, PackIndex, RecordBody,
};
use crate::types::Lsn;

/// A pack, frame by frame.
pub(super) fn pack(object: &Bytes, index: &PackIndex) -> Value {
    let frames: Vec<Value> = index.entries.iter().map(|entry| pack_frame(object, entry)).collect();
    json!({ "kind": index.kind.folder(), "segment": index.segment.to_string(), "frames": frames })
}

fn pack_frame(object: &Bytes, entry: &PackEntry) -> Value {
    // The index's running sum ends inside the object.
    let start = entry.offset as usize;
    let bytes = object.slice(start..start + entry.total_len as usize);
    let content = frame(&bytes).unwrap_or_else(|error| json!({ "error": error.to_string() }));
    json!({ "number": entry.number, "offset": entry.offset, "total_len": entry.total_len, "frame": content })
}

/// One frame and what it holds.
pub(super) fn frame(bytes: &Bytes) -> FormatResult<Value> {
    let (header, payload) = decode_frame(bytes)?;
    let content = payload_content(&header, &payload)?;
    Ok(json!({
        "kind": format!("{:?}", header.kind), "codec": format!("{:?}", header.codec),
        "stored_len": header.stored_len, "logical_len": header.logical_len,
        "owner": owner(&header), "content": content,
    }))
}

fn owner(header: &FrameHeader) -> Value {
    let (a, b) = header.owner;
    match header.kind {
        FrameKind::Data => json!({ "ino": a, "file_offset": b }),
        FrameKind::Page => json!({ "level": a }),
        _ => Value::Null,
    }
}

fn payload_content(header: &FrameHeader, payload: &[u8]) -> FormatResult<Value> {
    Ok(match header.kind {
        FrameKind::Data => Value::Null,
        FrameKind::Page => tree::page(payload)?,
        FrameKind::Index => json!({ "frames": PackIndex::decode(payload)?.entries.len() }),
        FrameKind::Head => head(&Head::decode(payload)?),
        FrameKind::LogBatch => log_batch(&LogBatch::decode(payload)?),
        FrameKind::LogFile => log_header(&LogFileHeader::decode(payload)?),
        FrameKind::ObjectTable => object_table(&ObjectTable::decode(payload)?),
        FrameKind::Overlay => Overlay::decode(payload)?.records.iter().map(body).collect(),
    })
}

fn head(head: &Head) -> Value {
    let logs: Vec<Value> =
        head.logs.iter().map(|log| json!({ "epoch": log.epoch.0, "first_batch": log.first_batch })).collect();
    json!({
        "volume": head.volume.to_string(), "seq": head.seq, "epoch": head.epoch.0, "claim_id": head.claim.to_string(),
        "clean": head.flags.clean, "claim": head.flags.claim, "released": head.flags.released,
        "lsn": head.lsn.0, "next_ino": head.next_ino.0, "nonce_floor": head.nonce_floor.0,
        "inode_count": head.inode_count, "data_bytes": head.data_bytes, "written_secs": head.written_secs,
        "owner": head.owner, "root": head.root.as_ref().map(text::addr),
        "object_table": head.object_table.as_ref().map(text::addr), "overlay": head.overlay.as_ref().map(text::addr),
        "logs": logs,
    })
}

fn object_table(table: &ObjectTable) -> Value {
    let entry = |entry: &crate::format::ObjectEntry| {
        json!({
            "object": entry.object.to_string(), "live_bytes": entry.live_bytes, "stored_len": entry.stored_len,
            "dead_seq": entry.dead_seq, "dead_secs": entry.dead_secs,
        })
    };
    table.entries.iter().map(entry).collect()
}

fn body(record: &RecordBody) -> Value {
    let writes: Vec<Value> = record.writes.iter().map(tree::write).collect();
    let data: Vec<Value> = record.data.iter().map(data_ref).collect();
    json!({ "writes": writes, "data": data })
}

fn data_ref(part: &DataRef) -> Value {
    json!({
        "segment": part.segment.to_string(), "position": part.position, "place": part.place, "len": part.len,
        "ino": part.ino.0, "file_offset": part.file_offset, "crc": format!("{:08x}", part.crc),
    })
}

fn record(lsn: Lsn, record: &RecordBody) -> Value {
    let mut out = body(record);
    out["lsn"] = json!(lsn.0);
    out
}

fn log_batch(batch: &LogBatch) -> Value {
    let records: Vec<Value> =
        (batch.first_lsn.0..).zip(&batch.records).map(|(lsn, body)| record(Lsn(lsn), body)).collect();
    json!({
        "seal": batch.seal, "release_end": batch.release_end, "claim_id": batch.claim.to_string(),
        "first_lsn": batch.first_lsn.0, "records": records,
    })
}

fn log_header(header: &LogFileHeader) -> Value {
    json!({
        "volume": header.volume.to_string(), "epoch": header.epoch.0, "claim_id": header.claim.to_string(),
        "first_lsn": header.first_lsn.0,
    })
}

/// A local log file: its header, its records, and why the scan stopped where.
pub(super) fn log_file(file: &Bytes) -> FormatResult<Value> {
    let (_, _, records) = decode_first_frame(file)?;
    let (header, _) = LogFileHeader::decode_file(file)?;
    let mut scan = header.scan(&records);
    let shown: Vec<Value> =
        scan.by_ref().map(|r| record(r.lsn, &RecordBody { writes: r.writes, data: r.data })).collect();
    let end = file.len() - records.len() + scan.offset();
    let why = scan.end().map_or("", log_end);
    let mut out = json!({ "header": log_header(&header), "records": shown, "end": end, "end_because": why });
    if let Some(LogEnd::Malformed(error)) = scan.end() {
        out["error"] = json!(error.to_string());
    }
    Ok(out)
}

fn log_end(end: &LogEnd) -> &'static str {
    match end {
        LogEnd::Complete => "the file ends with its last record",
        LogEnd::Zeros => "only room set aside follows",
        LogEnd::Short => "a record is longer than the file: torn",
        LogEnd::Checksum => "a record's checksum does not hold: torn",
        LogEnd::Sequence { .. } => "a record is not the next one",
        LogEnd::Malformed(_) => "a sound record makes no sense",
    }
}
