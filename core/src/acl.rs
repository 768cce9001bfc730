//! POSIX access control lists: the kernel's binary form, its rules, and their ties to the mode bits.
//!
//! An ACL is kept as the extended attribute that the kernel sends and reads (`system.posix_acl_access` and
//! `system.posix_acl_default`, version 2): `u32` 2, then per entry `u16` tag, `u16` permission bits, `u32` id, all
//! little-endian. An ACL of only the three base entries says nothing that the mode does not say; as an access ACL it is
//! turned into mode bits and not stored. Checking permissions is the kernel's task and not done here.

use crate::error::{Error, ErrorKind, Result};

/// Name of the attribute that holds the access ACL.
pub const XATTR_ACCESS: &[u8] = b"system.posix_acl_access";
/// Name of the attribute that holds a directory's default ACL.
pub const XATTR_DEFAULT: &[u8] = b"system.posix_acl_default";

/// Version of the binary form (`POSIX_ACL_XATTR_VERSION`).
const VERSION: u32 = 2;
/// Bytes before the first entry.
const HEADER_BYTES: usize = 4;
/// Bytes of one entry.
const ENTRY_BYTES: usize = 8;
/// The id of entries that have none (`ACL_UNDEFINED_ID`).
const ID_NONE: u32 = u32::MAX;
/// One class's permission bits.
const RWX: u16 = 0o7;

/// Whom an entry is about, in the order that an ACL must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tag {
    /// The owner.
    UserObj,
    /// A named user.
    User(u32),
    /// The owning group.
    GroupObj,
    /// A named group.
    Group(u32),
    /// The most that named users and all groups can have.
    Mask,
    /// Everybody else.
    Other,
}

/// One entry of an ACL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whom it is about.
    pub tag: Tag,
    /// Permission bits, 0..=7.
    pub perm: u16,
}

/// An ACL. Once checked: base entries present once, named entries only together with a mask, all in the order of [`Tag`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl(Vec<Entry>);

impl Acl {
    /// Reads the binary form. `None`, from no entries or no bytes at all, stands for "remove it". What is read has still to pass
    /// [`Acl::check`].
    ///
    /// # Errors
    /// `NotSupported` for another version, `InvalidArgument` for what is not of the form.
    pub fn decode(value: &[u8]) -> Result<Option<Self>> {
        if value.is_empty() {
            return Ok(None);
        }
        let (header, body) =
            value.split_first_chunk::<HEADER_BYTES>().ok_or_else(|| invalid("acl shorter than its header"))?;
        if u32::from_le_bytes(*header) != VERSION {
            return Err(Error::new(ErrorKind::NotSupported, "acl of an unknown version"));
        }
        let (chunks, rest) = body.as_chunks::<ENTRY_BYTES>();
        if !rest.is_empty() {
            return Err(invalid("acl ends inside an entry"));
        }
        if chunks.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self(chunks.iter().map(decode_entry).collect::<Result<Vec<_>>>()?)))
    }

    /// Fails unless this is an ACL: base entries once, a mask with named entries, the kernel's order, known permission bits.
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub fn check(&self) -> Result<()> {
        for entry in &self.0 {
            if entry.perm & !RWX != 0 {
                return Err(invalid("acl entry with unknown permission bits"));
            }
            if matches!(entry.tag, Tag::User(ID_NONE) | Tag::Group(ID_NONE)) {
                return Err(invalid("acl entry without an id"));
            }
        }
        check_order(&self.0)
    }

    /// The binary form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES + self.0.len() * ENTRY_BYTES);
        out.extend_from_slice(&VERSION.to_le_bytes());
        for entry in &self.0 {
            let (tag, id) = tag_code(entry.tag);
            out.extend_from_slice(&tag.to_le_bytes());
            out.extend_from_slice(&entry.perm.to_le_bytes());
            out.extend_from_slice(&id.to_le_bytes());
        }
        out
    }

    /// Whether the mode bits can say all of it.
    #[must_use]
    pub fn is_minimal(&self) -> bool {
        self.0.len() == 3
    }

    /// `perm` with its lower nine bits taken from this ACL: the group class is the mask, if there is one.
    #[must_use]
    pub fn apply_to_perm(&self, perm: u16) -> u16 {
        let mut bits = 0;
        for entry in &self.0 {
            match entry.tag {
                Tag::UserObj => bits |= entry.perm << 6,
                Tag::GroupObj if self.is_minimal() => bits |= entry.perm << 3,
                Tag::Mask => bits |= entry.perm << 3,
                Tag::Other => bits |= entry.perm,
                Tag::GroupObj | Tag::User(_) | Tag::Group(_) => {}
            }
        }
        (perm & !0o777) | bits
    }

    /// Takes the base entries (the mask in place of the group, if there is one) from `perm`: what chmod does.
    pub fn chmod(&mut self, perm: u16) {
        self.edit_classes(|_, shift| (perm >> shift) & RWX);
    }

    /// The ACL that an inode made with permission bits `perm` inherits from this default ACL, and its permission bits.
    /// `None` if the bits say all of it.
    #[must_use]
    pub fn inherit(&self, perm: u16) -> (Option<Self>, u16) {
        let mut acl = self.clone();
        acl.edit_classes(|old, shift| old & (perm >> shift));
        let perm = acl.apply_to_perm(perm);
        (Some(acl).filter(|acl| !acl.is_minimal()), perm)
    }

    /// Replaces the bits of the three entries that the mode's classes stand for; `edit` gets the old bits and the class's shift.
    fn edit_classes(&mut self, edit: impl Fn(u16, u32) -> u16) {
        let minimal = self.is_minimal();
        for entry in &mut self.0 {
            let shift = match entry.tag {
                Tag::UserObj => 6,
                Tag::GroupObj if minimal => 3,
                Tag::Mask => 3,
                Tag::Other => 0,
                Tag::GroupObj | Tag::User(_) | Tag::Group(_) => continue,
            };
            entry.perm = edit(entry.perm, shift);
        }
    }
}

fn invalid(context: &'static str) -> Error {
    Error::new(ErrorKind::InvalidArgument, context)
}

/// Tag and id as the kernel writes them.
fn tag_code(tag: Tag) -> (u16, u32) {
    match tag {
        Tag::UserObj => (0x01, ID_NONE),
        Tag::User(id) => (0x02, id),
        Tag::GroupObj => (0x04, ID_NONE),
        Tag::Group(id) => (0x08, id),
        Tag::Mask => (0x10, ID_NONE),
        Tag::Other => (0x20, ID_NONE),
    }
}

fn decode_entry(bytes: &[u8; ENTRY_BYTES]) -> Result<Entry> {
    let [t0, t1, p0, p1, id @ ..] = *bytes;
    let id = u32::from_le_bytes(id);
    let tag = match u16::from_le_bytes([t0, t1]) {
        0x01 => Tag::UserObj,
        0x02 => Tag::User(id),
        0x04 => Tag::GroupObj,
        0x08 => Tag::Group(id),
        0x10 => Tag::Mask,
        0x20 => Tag::Other,
        _ => return Err(invalid("acl entry with an unknown tag")),
    };
    Ok(Entry { tag, perm: u16::from_le_bytes([p0, p1]) })
}

/// Position of a tag in the order that the kernel demands; ids of one tag may come in any order.
fn rank(tag: Tag) -> u8 {
    match tag {
        Tag::UserObj => 0,
        Tag::User(_) => 1,
        Tag::GroupObj => 2,
        Tag::Group(_) => 3,
        Tag::Mask => 4,
        Tag::Other => 5,
    }
}

fn check_order(entries: &[Entry]) -> Result<()> {
    let mut count = [0usize; 6];
    let mut last = 0;
    for entry in entries {
        let rank = rank(entry.tag);
        if rank < last {
            return Err(invalid("acl entries out of order"));
        }
        last = rank;
        count[usize::from(rank)] += 1;
    }
    let [user_obj, users, group_obj, groups, masks, others] = count;
    if user_obj != 1 || group_obj != 1 || others != 1 || masks > 1 {
        return Err(invalid("acl must have each base entry once and at most one mask"));
    }
    if users + groups > 0 && masks == 0 {
        return Err(invalid("acl with named entries must have a mask"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(entries: &[(Tag, u16)]) -> Acl {
        Acl(entries.iter().map(|&(tag, perm)| Entry { tag, perm }).collect())
    }

    fn named() -> Acl {
        acl(&[(Tag::UserObj, 7), (Tag::User(10), 6), (Tag::GroupObj, 5), (Tag::Mask, 6), (Tag::Other, 4)])
    }

    #[test]
    fn binary_form_is_the_kernels() {
        let minimal = acl(&[(Tag::UserObj, 6), (Tag::GroupObj, 4), (Tag::Other, 0)]);
        let bytes = [
            2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 4, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255,
        ];
        assert_eq!(minimal.encode(), bytes);
        assert_eq!(Acl::decode(&bytes).expect("valid"), Some(minimal));
        assert_eq!(Acl::decode(&named().encode()).expect("valid"), Some(named()));
    }

    #[test]
    fn header_alone_means_no_acl() {
        assert_eq!(Acl::decode(&[2, 0, 0, 0]).expect("valid"), None);
        assert_eq!(Acl::decode(&[]).expect("valid"), None);
    }

    #[test]
    fn rejects_what_is_not_an_acl() {
        let kind = |bytes: &[u8]| match Acl::decode(bytes) {
            Ok(acl) => acl.expect("has entries").check().expect_err("invalid").kind(),
            Err(error) => error.kind(),
        };
        let encoded = |entries: &[(Tag, u16)]| acl(entries).encode();
        assert_eq!(kind(&[2, 0]), ErrorKind::InvalidArgument);
        assert_eq!(kind(&[1, 0, 0, 0]), ErrorKind::NotSupported);
        assert_eq!(kind(&[2, 0, 0, 0, 1]), ErrorKind::InvalidArgument);
        let base = [(Tag::UserObj, 6), (Tag::GroupObj, 4), (Tag::Other, 0)];
        assert_eq!(kind(&encoded(&base[..2])), ErrorKind::InvalidArgument, "missing base entry");
        assert_eq!(kind(&encoded(&[base[1], base[0], base[2]])), ErrorKind::InvalidArgument, "order");
        assert_eq!(kind(&encoded(&[base[0], (Tag::User(1), 7), base[1], base[2]])), ErrorKind::InvalidArgument, "mask");
        assert_eq!(kind(&encoded(&[base[0], base[1], (Tag::Other, 8)])), ErrorKind::InvalidArgument, "bits");
        assert_eq!(kind(&encoded(&[base[0], base[0], base[1], base[2]])), ErrorKind::InvalidArgument, "twice");
    }

    #[test]
    fn group_bits_of_the_mode_are_the_mask() {
        assert_eq!(named().apply_to_perm(0o2000), 0o2764);
        assert_eq!(acl(&[(Tag::UserObj, 6), (Tag::GroupObj, 4), (Tag::Other, 0)]).apply_to_perm(0o4777), 0o4640);
    }

    #[test]
    fn chmod_changes_the_mask_and_leaves_the_group_entry() {
        let mut acl = named();
        acl.chmod(0o610);
        assert_eq!(acl.0[2].perm, 5, "group entry");
        assert_eq!(acl.0[3].perm, 1, "mask");
        assert_eq!(acl.apply_to_perm(0), 0o610);
    }

    #[test]
    fn inheritance_restricts_by_the_requested_bits() {
        let (inherited, perm) = named().inherit(0o4640);
        assert_eq!(perm, 0o4640);
        let inherited = inherited.expect("has named entries");
        assert_eq!(inherited.0.iter().map(|e| e.perm).collect::<Vec<_>>(), [6, 6, 5, 4, 0]);
        let minimal = acl(&[(Tag::UserObj, 7), (Tag::GroupObj, 5), (Tag::Other, 5)]);
        assert_eq!(minimal.inherit(0o777), (None, 0o755));
    }
}
