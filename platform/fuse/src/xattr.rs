//! Extended attributes as macOS wants them, on a volume that keeps them as Linux does. Pure functions only.
//!
//! Linux knows namespaces, of which programs have `user.`; macOS has one flat set of names. So a name N of a Mac is stored as
//! `user.N`, and an attribute `user.N` made elsewhere is shown as N. Attributes of other namespaces (ACLs, security labels) are
//! neither shown nor reached on a Mac.
//!
//! Two attributes have rules of their own there:
//!
//! - `com.apple.FinderInfo` is 32 bytes long. All zero means the same as none, so it is then not kept.
//! - `com.apple.ResourceFork`, the second stream of old files, may be written in part, from a position. What lies beyond stays, and a
//!   gap is filled with zeros, as on HFS+. It is as long as any attribute may be, 64 KiB.

use std::borrow::Cow;

use proxyfs_core::fs::XATTR_VALUE_BYTES_MAX;
use proxyfs_core::{Error, ErrorKind, Result};

use crate::system::System;

/// Attribute with type, creator and flags of a file.
pub(crate) const FINDER_INFO: &[u8] = b"com.apple.FinderInfo";
/// Attribute that is the resource fork.
const RESOURCE_FORK: &[u8] = b"com.apple.ResourceFork";
/// Linux's namespace for what programs set.
const USER: &[u8] = b"user.";
/// Length of [`FINDER_INFO`].
pub(crate) const FINDER_INFO_BYTES: usize = 32;
/// The byte of a folder's [`FINDER_INFO`] with the flag "has an icon of its own" (the high byte of the Finder flags), and the flag.
const CUSTOM_ICON: (usize, u8) = (8, 0x04);

/// The name that an attribute is stored under.
pub(crate) fn stored(system: System, name: &[u8]) -> Cow<'_, [u8]> {
    match system {
        System::Linux => Cow::Borrowed(name),
        System::MacOs => Cow::Owned([USER, name].concat()),
    }
}

/// The name that a stored attribute is shown under, if it is.
pub(crate) fn shown(system: System, stored: &[u8]) -> Option<&[u8]> {
    match system {
        System::Linux => Some(stored),
        System::MacOs => stored.strip_prefix(USER).filter(|name| !name.is_empty()),
    }
}

/// What setting an attribute comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    /// The value is the whole attribute.
    Whole,
    /// The value goes into the attribute at its position, see [`spliced`].
    Part,
    /// There is to be no such attribute.
    Nothing,
}

/// What setting `name` to `value` at `position` comes to.
///
/// # Errors
/// `InvalidArgument` for a position in anything but a resource fork, `BufferTooSmall` (which is what HFS+ says) for a
/// [`FINDER_INFO`] of the wrong length.
pub(crate) fn setting(system: System, name: &[u8], value: &[u8], position: u32) -> Result<Setting> {
    if system == System::MacOs && name == RESOURCE_FORK {
        return Ok(Setting::Part);
    }
    if position != 0 {
        return Err(Error::new(ErrorKind::InvalidArgument, "only a resource fork has positions"));
    }
    if system == System::Linux || name != FINDER_INFO {
        return Ok(Setting::Whole);
    }
    if value.len() != FINDER_INFO_BYTES {
        let length = value.len();
        return Err(Error::new(ErrorKind::BufferTooSmall, format!("finder info of {length} bytes instead of 32")));
    }
    Ok(if value.iter().all(|byte| *byte == 0) { Setting::Nothing } else { Setting::Whole })
}

/// Whether a value of `len` bytes at `position` is within what an attribute may hold. Else the answer is E2BIG.
pub(crate) fn fits(len: usize, position: u32) -> bool {
    usize::try_from(position).is_ok_and(|start| start.saturating_add(len) <= XATTR_VALUE_BYTES_MAX)
}

/// The attribute `old` after writing `value` into it at `position`.
///
/// # Errors
/// `NameTooLong` if it does not fit ([`fits`]).
pub(crate) fn spliced(old: &[u8], value: &[u8], position: u32) -> Result<Vec<u8>> {
    if !fits(value.len(), position) {
        let text = format!("{} bytes at {position} are past the end of any resource fork", value.len());
        return Err(Error::new(ErrorKind::NameTooLong, text));
    }
    let start = position as usize;
    let end = start + value.len();
    let mut new = old.to_vec();
    new.resize(old.len().max(end), 0);
    new[start..end].copy_from_slice(value);
    Ok(new)
}

/// The finder info of the volume's root with the mark "has an icon of its own".
pub(crate) fn with_icon(info: Option<&[u8]>) -> Vec<u8> {
    let mut info = info.map_or_else(|| vec![0; FINDER_INFO_BYTES], <[u8]>::to_vec);
    let (at, flag) = CUSTOM_ICON;
    if let Some(byte) = info.get_mut(at) {
        *byte |= flag;
    }
    info
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_mac_lie_in_the_user_namespace() {
        assert_eq!(stored(System::MacOs, FINDER_INFO).as_ref(), b"user.com.apple.FinderInfo");
        assert_eq!(stored(System::Linux, b"user.x").as_ref(), b"user.x");
        // Stored, shown on a Mac.
        for (name, expected) in [
            (&b"user.com.apple.FinderInfo"[..], Some(FINDER_INFO)),
            (b"user.mime_type", Some(b"mime_type")),
            (b"user.", None),
            (b"system.posix_acl_access", None),
            (b"security.selinux", None),
            (b"trusted.x", None),
        ] {
            assert_eq!(shown(System::MacOs, name), expected);
            assert_eq!(shown(System::Linux, name), Some(name));
        }
    }

    #[test]
    fn only_resource_forks_have_positions_and_only_on_a_mac() {
        let kind = |system, name: &[u8], position| setting(system, name, b"x", position).map_err(|e| e.kind());
        for (system, name, position, expected) in [
            (System::MacOs, RESOURCE_FORK, 0, Ok(Setting::Part)),
            (System::MacOs, RESOURCE_FORK, 7, Ok(Setting::Part)),
            (System::MacOs, b"x", 0, Ok(Setting::Whole)),
            (System::MacOs, b"x", 7, Err(ErrorKind::InvalidArgument)),
            (System::Linux, RESOURCE_FORK, 0, Ok(Setting::Whole)),
            (System::Linux, b"x", 7, Err(ErrorKind::InvalidArgument)),
        ] {
            assert_eq!(kind(system, name, position), expected, "{system:?} {name:?} {position}");
        }
    }

    #[test]
    fn finder_info_is_32_bytes_and_none_when_all_are_zero() {
        let kind = |system, value: &[u8]| setting(system, FINDER_INFO, value, 0).map_err(|e| e.kind());
        let mut info = [0; 32];
        assert_eq!(kind(System::MacOs, &info), Ok(Setting::Nothing));
        info[31] = 1;
        assert_eq!(kind(System::MacOs, &info), Ok(Setting::Whole));
        assert_eq!(kind(System::MacOs, &info[..31]), Err(ErrorKind::BufferTooSmall));
        assert_eq!(kind(System::Linux, &info[..31]), Ok(Setting::Whole));
    }

    #[test]
    fn a_part_of_a_fork_leaves_the_rest_and_fills_gaps() {
        for (old, value, position, new) in [
            (&b""[..], &b"abc"[..], 0, &b"abc"[..]),
            (b"abcdef", b"XY", 2, b"abXYef"),
            (b"abcdef", b"XY", 5, b"abcdeXY"),
            (b"ab", b"X", 4, b"ab\0\0X"),
            (b"abc", b"", 0, b"abc"),
            (b"abc", b"", 5, b"abc\0\0"),
        ] {
            assert_eq!(spliced(old, value, position).unwrap(), new);
        }
    }

    #[test]
    fn a_fork_may_be_as_long_as_an_attribute_and_no_longer() {
        let full = vec![7; XATTR_VALUE_BYTES_MAX];
        assert_eq!(spliced(b"", &full, 0).unwrap().len(), XATTR_VALUE_BYTES_MAX);
        assert_eq!(spliced(&full, b"x", 65_535).unwrap().last(), Some(&b'x'));
        for position in [65_536, u32::MAX] {
            assert!(!fits(1, position));
            assert_eq!(spliced(&full, b"x", position).map_err(|e| e.kind()), Err(ErrorKind::NameTooLong));
        }
        assert!(fits(0, 65_536) && fits(65_536, 0) && !fits(65_537, 0));
    }

    #[test]
    fn an_icon_is_marked_in_what_the_root_has_or_in_a_blank() {
        let blank = with_icon(None);
        assert_eq!((blank.len(), blank[8], blank.iter().filter(|b| **b != 0).count()), (32, 4, 1));
        let mut info = [0_u8; 32];
        (info[8], info[0]) = (0x40, 9);
        let marked = with_icon(Some(&info));
        assert_eq!((marked[8], marked[0]), (0x44, 9));
    }
}
