//! Live bytes per segment, kept exact in the same transaction as the extents that they sum up.
//!
//! A segment whose bytes have all died keeps its record with 0; what to do with the segment is the engine's decision.

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind};
use crate::format::{SegmentUsage, keys};
use crate::kv::{KvRead, OpResult, Txn};
use crate::types::SegmentId;

/// Changes of live bytes that one operation collects before it writes each record once.
#[derive(Debug, Default)]
pub(crate) struct UsageChange(BTreeMap<SegmentId, i128>);

impl UsageChange {
    /// `bytes` more of `segment` are named by an extent.
    pub(crate) fn add(&mut self, segment: SegmentId, bytes: u64) {
        *self.0.entry(segment).or_default() += i128::from(bytes);
    }

    /// `bytes` fewer of `segment` are named by an extent.
    pub(crate) fn sub(&mut self, segment: SegmentId, bytes: u64) {
        *self.0.entry(segment).or_default() -= i128::from(bytes);
    }

    /// Writes the records that change.
    ///
    /// # Errors
    /// `Corrupt` if a segment would have fewer than no live bytes, which means that its record was wrong before.
    pub(crate) fn apply(self, tx: &mut Txn<'_>) -> OpResult<()> {
        for (segment, change) in self.0.into_iter().filter(|(_, change)| *change != 0) {
            let before = load(tx, segment)?;
            let after = u64::try_from(i128::from(before) + change).map_err(|_| {
                Error::new(ErrorKind::Corrupt, format!("segment {segment}: usage {before} would change by {change}"))
            })?;
            tx.put(keys::segment_usage_key(segment), SegmentUsage { live_bytes: after }.encode());
        }
        Ok(())
    }
}

/// Live bytes of a segment; 0 if it has no record yet.
///
/// # Errors
/// `Corrupt` if the record does not decode.
pub fn load(kv: &dyn KvRead, segment: SegmentId) -> OpResult<u64> {
    match kv.get(&keys::segment_usage_key(segment))? {
        Some(value) => Ok(SegmentUsage::decode(&value)?.live_bytes),
        None => Ok(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::OpError;
    use crate::ops::testkit::{MapKv, segment};

    #[test]
    fn usage_never_goes_below_zero() {
        let kv = MapKv::default();
        let mut tx = Txn::new(&kv);
        let mut change = UsageChange::default();
        change.add(segment(1), 10);
        change.sub(segment(1), 4);
        change.add(segment(2), 5);
        change.sub(segment(2), 5);
        change.apply(&mut tx).expect("positive");
        assert_eq!((load(&tx, segment(1)).expect("6"), load(&tx, segment(2)).expect("0")), (6, 0));
        assert!(tx.get(&keys::segment_usage_key(segment(2))).expect("resident").is_none(), "no change, no write");
        let mut change = UsageChange::default();
        change.sub(segment(1), 7);
        match change.apply(&mut tx) {
            Err(OpError::Fs(error)) => assert_eq!(error.kind(), ErrorKind::Corrupt),
            answer => panic!("{answer:?}"),
        }
    }
}
