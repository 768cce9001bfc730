//! Usage records against the extents that name the segments.

use std::collections::BTreeMap;

use crate::format::{Extent, Key, SegmentUsage, keys};
use crate::kv::{KvRead, Miss};
use crate::types::SegmentId;

use super::{Faults, Subject, each};

pub(super) fn check(kv: &dyn KvRead, faults: &mut Faults) -> Result<(), Miss> {
    let mut named: BTreeMap<SegmentId, u64> = BTreeMap::new();
    each(kv, keys::all_inodes_range(), |key, value| {
        if let (Ok(Key::Extent { .. }), Ok(extent)) = (Key::decode(key), Extent::decode(value)) {
            let sum = named.entry(extent.segment).or_default();
            *sum = sum.saturating_add(extent.len);
        }
    })?;
    each(kv, keys::all_segments_range(), |key, value| {
        let segment = match Key::decode(key) {
            Ok(Key::SegmentUsage(segment)) => segment,
            Ok(_) => return,
            Err(error) => return faults.push(Subject::Key(key.to_vec()), error.to_string()),
        };
        let sum = named.remove(&segment).unwrap_or(0);
        match SegmentUsage::decode(value) {
            Ok(usage) if usage.live_bytes == sum => {}
            Ok(usage) => {
                let what = format!("extents of {sum} bytes, usage {}", usage.live_bytes);
                faults.push(Subject::Segment(segment), what);
            }
            Err(error) => faults.push(Subject::Segment(segment), format!("its usage does not decode: {error}")),
        }
    })?;
    for (segment, sum) in named {
        faults.push(Subject::Segment(segment), format!("extents of {sum} bytes and no usage record"));
    }
    Ok(())
}
