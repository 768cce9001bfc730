//! Going back to an older head when the newest cannot be read.
//!
//! Never done by itself: what was changed between the two heads is lost, as far as no replay log holds it. The older head is
//! published again under the next number, so that no object is overwritten and every owner finds it.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, ErrorKind, Result};
use crate::format::layout::head_key;
use crate::format::{Head, HeadFlags};
use crate::store::{ObjectStore, PutMode};
use crate::types::Nonce;
use crate::volume::claim::read_head;
use crate::volume::read_volume_meta;
use crate::volume::storage::Storage;

use super::listing::Listing;
use super::report::HeadSummary;
use super::{FsckOptions, is_damage};

/// Publishes the newest readable head again, after a newest one that is damaged. Returns the head gone back to. The volume must not be
/// open anywhere. Check the volume first: the report says whether that head is sound.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] when the newest head can be read, [`ErrorKind::Corrupt`] when none can, the store's errors.
pub async fn fall_back(store: &Arc<dyn ObjectStore>, options: &FsckOptions) -> Result<HeadSummary> {
    let meta = read_volume_meta(store, options.timeout).await?;
    let storage = Storage::new(Arc::clone(store), meta.layout, options.timeout);
    let listing = Listing::load(&storage).await?;
    let newest = listing.heads.last().copied().unwrap_or(0);
    let mut readable = None;
    for &seq in listing.heads.iter().rev() {
        match read_head(&storage, seq).await {
            Ok(head) if head.volume == meta.uuid => {
                readable = Some(head);
                break;
            }
            Ok(_) => {}
            Err(error) if is_damage(error.kind()) => {}
            Err(error) => return Err(error),
        }
    }
    let Some(old) = readable else {
        return Err(Error::new(ErrorKind::Corrupt, format!("no head at {} can be read", store.describe())));
    };
    if old.seq == newest {
        let why = format!("the newest head, {newest}, can be read: there is nothing to go back from");
        return Err(Error::new(ErrorKind::InvalidArgument, why));
    }
    let again = again(&old, newest + 1, &listing);
    let bytes = Bytes::from(again.encode_object());
    storage.put(&head_key(again.seq), vec![bytes], PutMode::CreateNew).await?;
    Ok(super::heads::summary(&old))
}

/// The same state under another number. Names that the lost heads' writers may have given are not given again.
fn again(old: &Head, seq: u64, listing: &Listing) -> Head {
    let nonces = listing.objects.keys().filter(|(_, id)| id.epoch >= old.epoch).map(|(_, id)| id.nonce.0 + 1);
    Head {
        seq,
        flags: HeadFlags { clean: true, claim: false, released: false },
        nonce_floor: Nonce(nonces.fold(old.nonce_floor.0, u64::max)),
        ..old.clone()
    }
}
