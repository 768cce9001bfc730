//! What was changed on this computer and is in no checkpoint, in words.
//!
//! The engine counts it in a volume's state directory; this says where it is and what brings it into the volume.

use std::path::Path;

use proxyfs_control::types::volume::HeldData;

use crate::units::about_size;

/// What a volume's state directory holds back, if anything. `open`: whether somebody has it open, and then whether its term is lost.
pub(crate) fn held(name: &str, state_dir: &Path, open: Option<Fenced>) -> Option<HeldData> {
    if !state_dir.exists() {
        return None;
    }
    let with_own = open.is_none_or(|fenced| fenced.0);
    let held = match proxyfs_core::volume::held(state_dir, with_own) {
        Ok(held) => held,
        Err(e) => {
            tracing::warn!("cannot tell what {} holds: {e}", state_dir.display());
            return None;
        }
    };
    if held.is_empty() {
        return None;
    }
    let to_do = match open {
        Some(Fenced(false)) => {
            "it is being brought into a folder of the volume; if this stays, look at the log".to_owned()
        }
        Some(Fenced(true)) => format!(
            "have it released where it is used now (proxyfs volume release {name}), then unmount it here and mount it again; or take it \
             back: proxyfs volume take-over {name}. The changes then come back as a folder \"Recovered from ...\" in the volume"
        ),
        None => format!(
            "mount it: proxyfs mount {name} DIR; if another computer uses it, have it released there first, or take it back: proxyfs \
             volume take-over {name}. If another computer has had it since, the changes come as a folder \"Recovered from ...\""
        ),
    };
    let proxyfs_core::volume::Held { files, bytes, lost_terms, lost_since } = held;
    Some(HeldData { files, bytes, lost_terms, lost_since, place: state_dir.display().to_string(), to_do })
}

/// Whether an open volume's term is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fenced(pub(crate) bool);

/// `up to 3 files, 12 KiB, changed on this computer are not published`.
pub(crate) fn sentence(held: &HeldData) -> String {
    let files = if held.files == 1 { "1 file".to_owned() } else { format!("{} files", held.files) };
    format!("up to {files}, {}, changed on this computer are not published", about_size(held.bytes))
}
