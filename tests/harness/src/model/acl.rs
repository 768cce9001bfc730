//! POSIX access control lists: the kernel's xattr form, what makes one valid, and how one goes with a mode.
//!
//! The form (linux/posix_acl_xattr.h, version 2, little-endian): a u32 version, then entries of u16 tag, u16 permissions, u32 id.
//! The rules follow POSIX 1003.1e draft 17 as Linux reads it (fs/posix_acl.c).

use proxyfs_core::{ErrorKind, Result};

const VERSION: u32 = 2;
const HEADER_BYTES: usize = 4;
const ENTRY_BYTES: usize = 8;
/// The id that entries without one carry.
const ID_UNDEFINED: u32 = u32::MAX;

const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// One line of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    tag: u16,
    perm: u16,
    id: u32,
}

/// A list. Once checked: the owner, named users, the group, named groups, the mask where anything is named, others; in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Acl {
    entries: Vec<Entry>,
}

impl Acl {
    /// Reads the xattr form, which need not be valid yet. `None` for a list without entries, which means "remove".
    pub(super) fn decode(value: &[u8]) -> Result<Option<Self>> {
        if value.is_empty() {
            return Ok(None);
        }
        let Some((version, rest)) = value.split_first_chunk::<HEADER_BYTES>() else {
            return Err(ErrorKind::InvalidArgument.into());
        };
        if u32::from_le_bytes(*version) != VERSION {
            return Err(ErrorKind::NotSupported.into());
        }
        if !rest.len().is_multiple_of(ENTRY_BYTES) {
            return Err(ErrorKind::InvalidArgument.into());
        }
        let entries: Vec<Entry> = rest.chunks_exact(ENTRY_BYTES).map(decode_entry).collect();
        let known = [USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER];
        if !entries.iter().all(|e| known.contains(&e.tag)) {
            return Err(ErrorKind::InvalidArgument.into());
        }
        Ok((!entries.is_empty()).then_some(Self { entries }))
    }

    /// Tags in ascending order, the three basic ones and the mask at most once, a mask where anything is named.
    pub(super) fn check(&self) -> Result<()> {
        let entries = &self.entries;
        let count = |tag: u16| entries.iter().filter(|e| e.tag == tag).count();
        let named = count(USER) + count(GROUP);
        let valid = entries.iter().all(|e| e.perm <= 7)
            && entries.iter().all(|e| !matches!(e.tag, USER | GROUP) || e.id != ID_UNDEFINED)
            && entries.is_sorted_by_key(|e| e.tag)
            && [USER_OBJ, GROUP_OBJ, OTHER].iter().all(|tag| count(*tag) == 1)
            && count(MASK) <= 1
            && (named == 0 || count(MASK) == 1);
        if !valid {
            return Err(ErrorKind::InvalidArgument.into());
        }
        Ok(())
    }

    /// Writes the xattr form.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut value = VERSION.to_le_bytes().to_vec();
        for entry in &self.entries {
            value.extend_from_slice(&entry.tag.to_le_bytes());
            value.extend_from_slice(&entry.perm.to_le_bytes());
            value.extend_from_slice(&entry.id.to_le_bytes());
        }
        value
    }

    /// Whether the nine permission bits say all that this list says.
    pub(super) fn is_mode_only(&self) -> bool {
        self.entries.iter().all(|e| matches!(e.tag, USER_OBJ | GROUP_OBJ | OTHER))
    }

    /// The nine permission bits that go with this list; the group's are the mask's if there is one.
    pub(super) fn mode(&self) -> u16 {
        let group = self.perm(MASK).or(self.perm(GROUP_OBJ)).unwrap_or(0);
        self.perm(USER_OBJ).unwrap_or(0) << 6 | group << 3 | self.perm(OTHER).unwrap_or(0)
    }

    /// Takes over a chmod: owner, mask (or group where there is no mask) and others get the mode's bits.
    pub(super) fn chmod(&mut self, mode: u16) {
        self.set_perm(USER_OBJ, mode >> 6 & 7);
        self.set_perm(self.group_class_tag(), mode >> 3 & 7);
        self.set_perm(OTHER, mode & 7);
    }

    /// The list that a new inode asked for with `mode` gets from this default list: both are cut to what the other allows.
    pub(super) fn inherit(&self, mode: u16) -> Self {
        let mut acl = self.clone();
        for (tag, shift) in [(USER_OBJ, 6), (self.group_class_tag(), 3), (OTHER, 0)] {
            acl.set_perm(tag, self.perm(tag).unwrap_or(0) & (mode >> shift));
        }
        acl
    }

    /// The entry that stands for the group class in a mode.
    fn group_class_tag(&self) -> u16 {
        if self.perm(MASK).is_some() { MASK } else { GROUP_OBJ }
    }

    fn perm(&self, tag: u16) -> Option<u16> {
        self.entries.iter().find(|e| e.tag == tag).map(|e| e.perm)
    }

    fn set_perm(&mut self, tag: u16, perm: u16) {
        for entry in self.entries.iter_mut().filter(|e| e.tag == tag) {
            entry.perm = perm;
        }
    }
}

fn decode_entry(bytes: &[u8]) -> Entry {
    let tag = u16::from_le_bytes([bytes[0], bytes[1]]);
    let id = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
    let has_id = matches!(tag, USER | GROUP);
    Entry { tag, perm: u16::from_le_bytes([bytes[2], bytes[3]]), id: if has_id { id } else { ID_UNDEFINED } }
}
