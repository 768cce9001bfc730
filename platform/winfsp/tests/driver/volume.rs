//! The volume: its label, size, parameters.

use proxyfs_winfsp::Status;

use crate::cases::cases;
use crate::world::status;

cases! {
    the_label_is_the_volumes_name_until_one_is_set(w) {
        assert_eq!(w.device.volume().unwrap().2, "test");
        assert_eq!(w.device.set_label("Photos \u{e9}").unwrap().2, "Photos \u{e9}");
        assert_eq!(w.device.volume().unwrap().2, "Photos \u{e9}");
    }

    the_label_is_kept_on_the_volume(w) {
        w.device.set_label("Photos").unwrap();
        assert_eq!(w.xattr("", "trusted.win.label").as_deref(), Some(&b"Photos"[..]));
    }

    a_label_that_is_too_long_is_refused(w) {
        w.device.set_label(&"l".repeat(32)).unwrap();
        assert_eq!(status(w.device.set_label(&"l".repeat(33))), Status::INVALID_PARAMETER);
        assert_eq!(w.device.volume().unwrap().2, "l".repeat(32));
    }

    there_is_room_and_it_is_not_more_than_there_is(w) {
        let (total, free, _) = w.device.volume().unwrap();
        assert!(free > 0 && free <= total, "{free} of {total}");
    }

    the_driver_is_told_what_the_volume_can_do(w) {
        let params = w.device.params();
        assert_eq!(u64::from(params.SectorSize) * u64::from(params.SectorsPerAllocationUnit), 4096);
        assert_eq!(params.MaxComponentLength, 255);
        assert_eq!(params.CaseSensitiveSearch() == 0, w.case_insensitive);
        for (what, flag) in [
            ("case is kept", params.CasePreservedNames()),
            ("access is checked", params.PersistentAcls()),
            ("reparse points", params.ReparsePoints()),
            ("streams", params.NamedStreams()),
            ("extended attributes", params.ExtendedAttributes()),
            ("POSIX deletion", params.SupportsPosixUnlinkRename()),
            ("flush at cleanup", params.FlushAndPurgeOnCleanup()),
            ("entries by name", params.PassQueryDirectoryFileName()),
        ] {
            assert_eq!(flag, 1, "{what}");
        }
        assert_eq!(params.ReadOnlyVolume(), 0);
        let name = String::from_utf16_lossy(&params.FileSystemName);
        assert_eq!(name.trim_end_matches('\0'), "NTFS");
        // With this value Windows' cache would acknowledge writes before the volume has them.
        assert_ne!(params.FileInfoTimeout, u32::MAX);
    }
}
