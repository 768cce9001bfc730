//! What a shutdown would lose of what a volume's tier promises to keep. Who holds a shutdown up for it is up to each system's own module.

use proxyfs_core::volume::VolumeStatus;

use crate::serve::host::Host;

/// Why a shutdown would lose what its volume's tier promises to keep, if it would.
pub(crate) fn at_risk(host: &Host) -> Option<String> {
    let all: Vec<String> =
        host.all().iter().filter_map(|h| h.status().filter(is_at_risk).map(|_| h.name.clone())).collect();
    (!all.is_empty()).then(|| format!("changes are not safe yet: {}", all.join(", ")))
}

/// Whether a volume has changes that are not where its tier keeps them. One that lost its epoch has nothing that waiting would help.
fn is_at_risk(status: &VolumeStatus) -> bool {
    if status.halted.is_some() {
        return false;
    }
    match status.tier.as_str() {
        "store" => status.waiting_bytes > 0 || status.dirty,
        _ => status.durable_lsn < status.lsn,
    }
}
