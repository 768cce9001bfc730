//! Heads and the store's replay log: all kept heads readable, the newest above all.
//!
//! Owns the choice of the head that is checked. A newest head that cannot be read is a fault by itself; the check then goes on
//! with the newest that can be, so that it is known what a fallback to it would give.

use crate::error::{Error, ErrorKind, Result};
use crate::format::layout::{head_key, log_key};
use crate::format::{Head, LogBatch, ObjectKind};
use crate::store::GetRange;
use crate::volume::claim::read_head;

use super::listing::Listing;
use super::report::{Fault, HeadSummary, REPAIR, RESTORE, Severity};
use super::{Check, is_damage};

impl Check<'_> {
    /// Reads all kept heads and returns the newest that can be read.
    ///
    /// # Errors
    /// The store's; damage is reported.
    pub(super) async fn heads(&mut self, listing: &mut Listing) -> Result<Option<Head>> {
        self.probe_forward(listing).await?;
        let newest = listing.heads.last().copied();
        let mut found: Vec<Head> = Vec::new();
        for seq in listing.heads.clone() {
            match read_head(&self.storage, seq).await {
                Ok(head) if Some(head.volume.to_string()) != self.report.uuid => {
                    self.bad_head(seq, newest, &format!("it belongs to volume {}", head.volume));
                }
                Ok(head) => found.push(head),
                // A mounted volume deletes old heads.
                Err(error) if error.kind() == ErrorKind::NotFound && Some(seq) != newest => {}
                Err(error) if is_damage(error.kind()) => self.bad_head(seq, newest, &error.to_string()),
                Err(error) => return Err(error),
            }
        }
        self.report.counts.heads = found.len() as u64;
        let Some(head) = found.pop() else {
            self.push(Fault::new(
                Severity::Error,
                "no head can be read: it is not known where the metadata is",
                RESTORE,
            ));
            return Ok(None);
        };
        for old in &found {
            self.check_fallback(old, listing).await?;
        }
        self.note_head(&head, newest);
        Ok(Some(head))
    }

    /// Listings may lag: the next numbers are asked for by name.
    async fn probe_forward(&mut self, listing: &mut Listing) -> Result<()> {
        let mut next = listing.heads.last().map_or(1, |seq| seq + 1);
        loop {
            match self.storage.store.len(&head_key(next)).await {
                Ok(_) => listing.heads.push(next),
                Err(e) if e.kind == crate::store::StoreErrorKind::NotFound => return Ok(()),
                Err(e) => return Err(crate::volume::storage::store_error("look for", &head_key(next), e)),
            }
            next += 1;
        }
    }

    fn bad_head(&mut self, seq: u64, newest: Option<u64>, why: &str) {
        let key = head_key(seq);
        let fault = if Some(seq) == newest {
            let what = format!("the newest head cannot be used: {why}; the volume does not mount");
            let advice = format!(
                "{RESTORE}, or go back to the newest head that can be read with fsck --fall-back: what was changed after it is lost"
            );
            Fault::new(Severity::Error, what, &advice)
        } else {
            let what =
                format!("an older head cannot be used: {why}; there is one fallback less until newer heads replace it");
            Fault::new(Severity::Warning, what, super::report::HARMLESS)
        };
        self.push(fault.object(&key));
    }

    fn note_head(&mut self, head: &Head, newest: Option<u64>) {
        self.report.head = Some(summary(head));
        if !head.flags.clean && newest == Some(head.seq) {
            self.report.unreplayed = true;
            let what = format!(
                "the volume is open, or was not closed in order: what {:?} changed after head {} may still be in its replay log and was not looked at",
                head.owner, head.seq
            );
            self.push(Fault::note(what));
        }
    }

    /// Whether what an older head names first is there.
    async fn check_fallback(&mut self, old: &Head, listing: &mut Listing) -> Result<()> {
        for addr in [old.root, old.object_table, old.overlay].into_iter().flatten() {
            let len = listing.find(&self.storage, ObjectKind::Meta, addr.object).await?;
            if len.is_none_or(|len| len < u64::from(addr.offset) + u64::from(addr.len)) {
                let key = self.storage.layout.meta_key(addr.object);
                let what = format!(
                    "head {} names this object, which is missing or too short: no fallback to that head",
                    old.seq
                );
                self.push(Fault::new(Severity::Warning, what, super::report::HARMLESS).object(&key));
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads the log batches that `head` does not cover.
    ///
    /// # Errors
    /// The store's; damage is reported.
    pub(super) async fn logs(&mut self, head: &Head, listing: &Listing) -> Result<()> {
        for start in &head.logs {
            let wanted = listing.logs.iter().filter(|(e, n)| *e == start.epoch && *n >= start.first_batch);
            for &(epoch, number) in wanted {
                let key = log_key(epoch, number);
                let read = match self.storage.get(&key, GetRange::Full).await {
                    Ok(bytes) => LogBatch::decode_object(&bytes).map_err(Error::from),
                    Err(error) => Err(error),
                };
                match read {
                    Ok(_) => self.report.counts.log_batches += 1,
                    // A checkpoint of a mounted volume has covered it meanwhile.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) if is_damage(error.kind()) => {
                        let what =
                            format!("a batch of the replay log is unreadable: {error}; changes from it on are lost");
                        self.push(Fault::new(Severity::Error, what, RESTORE).object(&key));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        if head.logs.iter().any(|s| s.epoch < head.epoch) && self.report.counts.log_batches > 0 {
            self.report.unreplayed = true;
        }
        Ok(())
    }

    /// Objects that are newer than a clean head: it cannot be the newest.
    pub(super) fn check_nothing_newer(&mut self, head: &Head, listing: &Listing) {
        if !head.flags.clean {
            return;
        }
        let newer = |id: &crate::types::ObjectId| {
            id.epoch > head.epoch || (id.epoch == head.epoch && id.nonce >= head.nonce_floor)
        };
        let Some(((kind, id), _)) = listing.objects.iter().find(|((_, id), _)| newer(id)) else { return };
        let key = self.storage.layout.object_key(*kind, *id);
        let what = format!(
            "this object is newer than head {}, which says that the volume was closed: newer heads are missing",
            head.seq
        );
        self.push(
            Fault::new(Severity::Error, what, &format!("{RESTORE}; {REPAIR} only if newer changes may be lost"))
                .object(&key),
        );
    }
}

/// What a report says of a head.
pub(super) fn summary(head: &Head) -> HeadSummary {
    HeadSummary {
        seq: head.seq,
        epoch: head.epoch.0,
        lsn: head.lsn.0,
        clean: head.flags.clean,
        owner: head.owner.clone(),
        written_secs: head.written_secs,
    }
}
