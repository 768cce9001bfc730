//! Security descriptors ([MS-DTYP] 2.4.6) in self-relative form: made of permission bits, turned into permission bits, changed in part.
//!
//! A descriptor: `u8` revision 1, `u8` 0, `u16` control, `u32` offsets of owner, group, SACL and DACL (0: none), then those. An ACL:
//! `u8` revision, `u8` 0, `u16` size, `u16` count, `u16` 0, then entries: `u8` type, `u8` flags, `u16` size, `u32` rights, SID.
//!
//! Bits become a list that allows owner, group and everyone what the bits say, and the operating system and administrators
//! everything, as root has it elsewhere. "Read" brings "execute" for files, since Windows runs programs that nobody has marked. Entries of a
//! directory are inherited, so that what is made in it is as accessible as it.

use proxyfs_core::fs::{Attr, FileKind};

use crate::sid::Sid;
use crate::status::Status;

const HEADER: usize = 20;
const ACL_HEADER: usize = 8;
const ACE_HEADER: usize = 8;

const OWNER_AT: usize = 4;
const GROUP_AT: usize = 8;
const SACL_AT: usize = 12;
const DACL_AT: usize = 16;

const DACL_PRESENT: u16 = 0x0004;
const SELF_RELATIVE: u16 = 0x8000;
/// Present, defaulted, auto-inherited and protected, of either list.
const DACL_CONTROL: u16 = 0x0004 | 0x0008 | 0x0100 | 0x0400 | 0x1000;
const SACL_CONTROL: u16 = 0x0010 | 0x0020 | 0x0200 | 0x0800 | 0x2000;

const ACE_ALLOW: u8 = 0;
const ACE_DENY: u8 = 1;
const ACE_INHERIT_BOTH: u8 = 3;
const ACE_INHERIT_ONLY: u8 = 8;

/// Rights of files and directories ([MS-DTYP] 2.4.3, and the file-specific ones of Windows' documents).
pub mod right {
    /// Read content, or list.
    pub const READ_DATA: u32 = 0x1;
    /// Write content, or make files.
    pub const WRITE_DATA: u32 = 0x2;
    /// Run, or traverse.
    pub const EXECUTE: u32 = 0x20;
    /// Remove what is in a directory.
    pub const DELETE_CHILD: u32 = 0x40;
    /// Remove or rename it.
    pub const DELETE: u32 = 0x1_0000;
    /// FILE_GENERIC_READ.
    pub const FILE_READ: u32 = 0x12_0089;
    /// FILE_GENERIC_WRITE.
    pub const FILE_WRITE: u32 = 0x12_0116;
    /// FILE_GENERIC_EXECUTE.
    pub const FILE_EXECUTE: u32 = 0x12_00a0;
    /// FILE_ALL_ACCESS.
    pub const FILE_ALL: u32 = 0x1f_01ff;
    /// What an owner may always do: see and set attributes and rights, and remove it.
    pub const OWNER: u32 = 0x10_0000 | 0xe_0000 | 0x1_0000 | 0x198;
    /// What everybody may: see attributes and rights, wait.
    pub const LOOK: u32 = 0x10_0000 | 0x2_0000 | 0x88;
    pub(super) const GENERIC_READ: u32 = 0x8000_0000;
    pub(super) const GENERIC_WRITE: u32 = 0x4000_0000;
    pub(super) const GENERIC_EXECUTE: u32 = 0x2000_0000;
    pub(super) const GENERIC_ALL: u32 = 0x1000_0000;
}

/// Parts of a descriptor (SECURITY_INFORMATION).
pub mod part {
    /// The owner.
    pub const OWNER: u32 = 1;
    /// The group.
    pub const GROUP: u32 = 2;
    /// Who may do what.
    pub const DACL: u32 = 4;
    /// What is noted in the system's log, and the integrity label.
    pub const SACL: u32 = 8;
    /// The integrity label alone, which stands in the SACL.
    pub const LABEL: u32 = 0x10;
}

/// Who the users of a volume are to Windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user of [`Identity::uid`].
    pub user: Sid,
    /// The group of [`Identity::gid`].
    pub group: Sid,
    /// The volume's user who is `user`.
    pub uid: u32,
    /// The volume's group that is `group`.
    pub gid: u32,
}

impl Identity {
    fn user_of(&self, uid: u32) -> Sid {
        if uid == self.uid { self.user.clone() } else { Sid::unix_user(uid) }
    }

    fn group_of(&self, gid: u32) -> Sid {
        if gid == self.gid { self.group.clone() } else { Sid::unix_group(gid) }
    }
}

/// The rights that three permission bits give.
fn rights(bits: u16, is_dir: bool) -> u32 {
    let mut rights = right::LOOK;
    if bits & 4 != 0 {
        rights |= right::FILE_READ | if is_dir { 0 } else { right::FILE_EXECUTE };
    }
    if bits & 2 != 0 {
        rights |= right::FILE_WRITE | if is_dir { right::DELETE | right::DELETE_CHILD } else { right::DELETE };
    }
    if bits & 1 != 0 {
        rights |= right::FILE_EXECUTE;
    }
    rights
}

/// The descriptor of what was made elsewhere, from its permissions and owners.
#[must_use]
pub fn derive(attr: &Attr, who: &Identity) -> Vec<u8> {
    let is_dir = attr.kind == FileKind::Dir;
    let (owner, group) = (who.user_of(attr.uid), who.group_of(attr.gid));
    let bits = |shift: u16| attr.perm >> shift & 7;
    let [of_owner, of_group, of_all] = [6, 3, 0].map(|shift| rights(bits(shift), is_dir));
    let mut acl = Acl::default();
    let flags = if is_dir { ACE_INHERIT_BOTH } else { 0 };
    // Whoever is named more closely is not to have what only the wider circle has.
    let owner_lacks = (of_group | of_all) & !(of_owner | right::OWNER);
    acl.push(ACE_DENY, flags, owner_lacks, &owner);
    acl.push(ACE_ALLOW, flags, of_owner | right::OWNER, &owner);
    acl.push(ACE_DENY, flags, of_all & !of_group, &group);
    acl.push(ACE_ALLOW, flags, of_group, &group);
    acl.push(ACE_ALLOW, flags, right::FILE_ALL, &Sid::system());
    acl.push(ACE_ALLOW, flags, right::FILE_ALL, &Sid::administrators());
    acl.push(ACE_ALLOW, flags, of_all, &Sid::everyone());
    assemble(DACL_PRESENT, Some(owner.as_bytes()), Some(group.as_bytes()), None, Some(&acl.finish()))
}

/// The permission bits that come nearest to a descriptor. Execution of a file is left as `before` has it: Windows grants it with
/// reading as a matter of course, and Unix does not.
///
/// # Errors
/// `INVALID_SECURITY_DESCR`, `INVALID_SID`, `INVALID_ACL`.
pub fn permissions(descriptor: &[u8], kind: FileKind, before: u16, who: &Identity) -> Result<u16, Status> {
    let parsed = Parsed::of(descriptor)?;
    let everyone = [Sid::everyone(), Sid::authenticated_users(), Sid::users()];
    let with = |more: [Option<&[u8]>; 2]| {
        let more = more.into_iter().flatten().filter_map(|sid| Sid::parse(sid).ok());
        more.chain(everyone.clone()).collect::<Vec<_>>()
    };
    let Some(acl) = parsed.dacl else {
        // No list at all: everything is allowed.
        return Ok(0o777 & mask(kind) | kept(kind, before));
    };
    let bits = |sids: &[Sid]| -> Result<u16, Status> {
        let allowed = allowed(acl, sids)?;
        let bit = |right: u32, bit: u16| if allowed & right != 0 { bit } else { 0 };
        Ok(bit(right::READ_DATA, 4) | bit(right::WRITE_DATA, 2) | bit(right::EXECUTE, 1))
    };
    let owner = bits(&with([parsed.owner, Some(who.user.as_bytes())]))?;
    let group = bits(&with([parsed.group, None]))?;
    let all = bits(&everyone)?;
    Ok((owner << 6 | group << 3 | all) & mask(kind) | kept(kind, before))
}

/// Bits that a descriptor decides.
fn mask(kind: FileKind) -> u16 {
    if kind == FileKind::Dir { 0o777 } else { 0o666 }
}

/// Bits that a descriptor leaves alone.
fn kept(kind: FileKind, before: u16) -> u16 {
    before & !mask(kind)
}

/// What a list allows somebody who is all of `sids`.
fn allowed(acl: &[u8], sids: &[Sid]) -> Result<u32, Status> {
    let (mut allowed, mut denied) = (0, 0);
    for ace in entries(acl)? {
        if ace.flags & ACE_INHERIT_ONLY != 0 || !sids.iter().any(|sid| sid.as_bytes() == ace.sid) {
            continue;
        }
        match ace.kind {
            ACE_ALLOW => allowed |= specific(ace.rights) & !denied,
            ACE_DENY => denied |= specific(ace.rights) & !allowed,
            _ => {}
        }
    }
    Ok(allowed)
}

/// Generic rights as those of files.
fn specific(rights: u32) -> u32 {
    let one = |generic: u32, file: u32| if rights & generic != 0 { file } else { 0 };
    rights
        | one(right::GENERIC_ALL, right::FILE_ALL)
        | one(right::GENERIC_READ, right::FILE_READ)
        | one(right::GENERIC_WRITE, right::FILE_WRITE)
        | one(right::GENERIC_EXECUTE, right::FILE_EXECUTE)
}

/// Puts the `parts` of `change` in the place of those of `now`.
///
/// # Errors
/// `INVALID_SECURITY_DESCR` when one of them is not whole.
pub fn merge(now: &[u8], parts: u32, change: &[u8]) -> Result<Vec<u8>, Status> {
    let (now, change) = (Parsed::of(now)?, Parsed::of(change)?);
    let has = |part: u32| parts & part != 0;
    let owner = if has(part::OWNER) { change.owner } else { now.owner };
    let group = if has(part::GROUP) { change.group } else { now.group };
    let (dacl, dacl_control) = if has(part::DACL) { (change.dacl, change.control) } else { (now.dacl, now.control) };
    let from_change = has(part::SACL) || has(part::LABEL);
    let (sacl, sacl_control) = if from_change { (change.sacl, change.control) } else { (now.sacl, now.control) };
    let control = dacl_control & DACL_CONTROL | sacl_control & SACL_CONTROL;
    Ok(assemble(control, owner, group, sacl, dacl))
}

/// Checks that a descriptor is whole, so that it can be kept and given back.
///
/// # Errors
/// `INVALID_SECURITY_DESCR`, `INVALID_SID`, `INVALID_ACL`.
pub fn check(descriptor: &[u8]) -> Result<(), Status> {
    let parsed = Parsed::of(descriptor)?;
    for acl in [parsed.dacl, parsed.sacl].into_iter().flatten() {
        entries(acl)?;
    }
    Ok(())
}

#[derive(Clone, Copy, Debug)]
struct Parsed<'a> {
    control: u16,
    owner: Option<&'a [u8]>,
    group: Option<&'a [u8]>,
    sacl: Option<&'a [u8]>,
    dacl: Option<&'a [u8]>,
}

impl<'a> Parsed<'a> {
    fn of(descriptor: &'a [u8]) -> Result<Self, Status> {
        let header: &[u8; HEADER] = descriptor.first_chunk().ok_or(Status::INVALID_SECURITY_DESCR)?;
        let control = u16::from_le_bytes([header[2], header[3]]);
        if header[0] != 1 || control & SELF_RELATIVE == 0 {
            return Err(Status::INVALID_SECURITY_DESCR);
        }
        let from = |at: usize| {
            let offset = u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]) as usize;
            match offset {
                0 => Ok(None),
                _ => descriptor.get(offset..).map(Some).ok_or(Status::INVALID_SECURITY_DESCR),
            }
        };
        let sid = |at| -> Result<Option<&'a [u8]>, Status> {
            let Some(bytes) = from(at)? else { return Ok(None) };
            let len = Sid::parse(bytes)?.as_bytes().len();
            Ok(Some(&bytes[..len]))
        };
        let acl = |at| -> Result<Option<&'a [u8]>, Status> {
            let Some(bytes) = from(at)? else { return Ok(None) };
            let [_, _, s0, s1] = *bytes.first_chunk::<4>().ok_or(Status::INVALID_ACL)?;
            bytes.get(..usize::from(u16::from_le_bytes([s0, s1]))).map(Some).ok_or(Status::INVALID_ACL)
        };
        let dacl = if control & DACL_PRESENT != 0 { acl(DACL_AT)? } else { None };
        Ok(Self { control, owner: sid(OWNER_AT)?, group: sid(GROUP_AT)?, sacl: acl(SACL_AT)?, dacl })
    }
}

#[derive(Clone, Copy, Debug)]
struct Ace<'a> {
    kind: u8,
    flags: u8,
    rights: u32,
    sid: &'a [u8],
}

/// The entries of a list.
fn entries(acl: &[u8]) -> Result<Vec<Ace<'_>>, Status> {
    let header: &[u8; ACL_HEADER] = acl.first_chunk().ok_or(Status::INVALID_ACL)?;
    let count = u16::from_le_bytes([header[4], header[5]]);
    let mut rest = &acl[ACL_HEADER..];
    let mut found = Vec::with_capacity(usize::from(count).min(rest.len() / ACE_HEADER));
    for _ in 0..count {
        let [kind, flags, s0, s1, r0, r1, r2, r3] = *rest.first_chunk::<ACE_HEADER>().ok_or(Status::INVALID_ACL)?;
        let size = usize::from(u16::from_le_bytes([s0, s1]));
        let ace = rest.get(..size).filter(|_| size >= ACE_HEADER).ok_or(Status::INVALID_ACL)?;
        let sid = match kind {
            ACE_ALLOW | ACE_DENY => {
                let len = Sid::parse(&ace[ACE_HEADER..])?.as_bytes().len();
                &ace[ACE_HEADER..ACE_HEADER + len]
            }
            _ => &ace[ACE_HEADER..],
        };
        found.push(Ace { kind, flags, rights: u32::from_le_bytes([r0, r1, r2, r3]), sid });
        rest = &rest[size..];
    }
    Ok(found)
}

/// A list that is being made.
#[derive(Debug, Default)]
struct Acl {
    count: u16,
    entries: Vec<u8>,
}

impl Acl {
    /// Adds an entry, unless it is about no right.
    fn push(&mut self, kind: u8, flags: u8, rights: u32, sid: &Sid) {
        if rights == 0 {
            return;
        }
        let size = u16::try_from(ACE_HEADER + sid.as_bytes().len()).unwrap_or(u16::MAX);
        self.entries.extend_from_slice(&[kind, flags]);
        self.entries.extend_from_slice(&size.to_le_bytes());
        self.entries.extend_from_slice(&rights.to_le_bytes());
        self.entries.extend_from_slice(sid.as_bytes());
        self.count += 1;
    }

    fn finish(self) -> Vec<u8> {
        let size = u16::try_from(ACL_HEADER + self.entries.len()).unwrap_or(u16::MAX);
        let mut out = vec![2, 0];
        out.extend_from_slice(&size.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&self.entries);
        out
    }
}

/// A descriptor of its parts.
fn assemble(
    control: u16,
    owner: Option<&[u8]>,
    group: Option<&[u8]>,
    sacl: Option<&[u8]>,
    dacl: Option<&[u8]>,
) -> Vec<u8> {
    let mut out = vec![0; HEADER];
    out[0] = 1;
    out[2..4].copy_from_slice(&(control | SELF_RELATIVE).to_le_bytes());
    for (at, body) in [(SACL_AT, sacl), (DACL_AT, dacl), (OWNER_AT, owner), (GROUP_AT, group)] {
        let Some(body) = body else { continue };
        let offset = u32::try_from(out.len()).unwrap_or(u32::MAX);
        out[at..at + 4].copy_from_slice(&offset.to_le_bytes());
        out.extend_from_slice(body);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}

#[cfg(test)]
#[path = "security/tests.rs"]
mod tests;
