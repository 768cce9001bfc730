//! Parameters of a volume, as the driver takes them.

use std::time::Duration;

use proxyfs_core::types::Timestamp;
use winfsp_sys as sys;

use crate::drive::ALLOCATION_UNIT;
use crate::options::{MountOptions, MountPoint};
use crate::time;

/// Bytes of a sector, as most disks have it; programs that bypass the cache align to it.
const SECTOR_BYTES: u16 = 512;
/// Longest name in UTF-16 units: 255 bytes never take more.
const NAME_UNITS_MAX: u16 = 255;
/// How long the driver lets a request wait. The engine gives up on the store earlier, and says why.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);
/// How many requests the driver lets wait.
const REQUESTS_MAX: u32 = 1000;

/// The parameters for `options` at `point`, of a volume whose root was made at `created`.
pub(crate) fn of(options: &MountOptions, point: &MountPoint, created: Timestamp) -> sys::FSP_FSCTL_VOLUME_PARAMS {
    let mut params = sys::FSP_FSCTL_VOLUME_PARAMS {
        Version: u16::try_from(size_of::<sys::FSP_FSCTL_VOLUME_PARAMS>()).unwrap_or_default(),
        SectorSize: SECTOR_BYTES,
        SectorsPerAllocationUnit: u16::try_from(ALLOCATION_UNIT / u64::from(SECTOR_BYTES)).unwrap_or(1),
        MaxComponentLength: NAME_UNITS_MAX,
        VolumeCreationTime: time::to_windows(options.created.unwrap_or(created)),
        VolumeSerialNumber: options.shown_serial_number(),
        IrpTimeout: millis(REQUEST_TIMEOUT),
        IrpCapacity: REQUESTS_MAX,
        FileInfoTimeout: millis(options.cache.ttl()),
        VolumeInfoTimeout: millis(options.cache.volume_ttl()),
        ..Default::default()
    };
    params.set_VolumeInfoTimeoutValid(1);
    params.set_CaseSensitiveSearch(u32::from(!options.case_insensitive));
    params.set_CasePreservedNames(1);
    params.set_UnicodeOnDisk(1);
    params.set_PersistentAcls(1);
    params.set_ReparsePoints(1);
    params.set_NamedStreams(1);
    params.set_ExtendedAttributes(1);
    params.set_CasePreservedExtendedAttributes(1);
    params.set_ReadOnlyVolume(u32::from(options.read_only));
    params.set_PostCleanupWhenModifiedOnly(1);
    params.set_PostDispositionWhenNecessaryOnly(1);
    params.set_PassQueryDirectoryFileName(1);
    params.set_FlushAndPurgeOnCleanup(1);
    params.set_SupportsPosixUnlinkRename(1);
    params.set_UmFileContextIsUserContext2(1);
    put(&mut params.FileSystemName, &options.file_system_name);
    put(&mut params.Prefix, &options.prefix_at(point).unwrap_or_default());
    params
}

/// Milliseconds; never the value that stands for "for ever", with which the driver would let Windows' cache acknowledge writes.
fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX).min(u32::MAX - 1)
}

/// Puts text into a field of zeros, whose last stays. What does not fit is left out; [`MountOptions::validate`] refuses it before.
fn put(field: &mut [u16], text: &str) {
    let room = field.len() - 1;
    field.iter_mut().take(room).zip(text.encode_utf16()).for_each(|(to, unit)| *to = unit);
}
