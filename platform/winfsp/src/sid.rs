//! Security identifiers ([MS-DTYP] 2.4.2): who somebody is to Windows.
//!
//! A SID: `u8` revision 1, `u8` count of sub-authorities, 6 bytes of authority with the highest first, then each sub-authority as a
//! little-endian `u32`.

use std::fmt;

use crate::status::Status;

const HEADER: usize = 8;
/// Most sub-authorities that there may be.
const SUB_AUTHORITIES_MAX: usize = 15;

/// A security identifier that is whole.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Sid(Vec<u8>);

impl Sid {
    /// One of an authority and its sub-authorities.
    #[must_use]
    pub(crate) fn new(authority: u8, subs: &[u32]) -> Self {
        let count = u8::try_from(subs.len().min(SUB_AUTHORITIES_MAX)).unwrap_or_default();
        let mut bytes = vec![1, count, 0, 0, 0, 0, 0, authority];
        for sub in subs.iter().take(SUB_AUTHORITIES_MAX) {
            bytes.extend_from_slice(&sub.to_le_bytes());
        }
        Self(bytes)
    }

    /// Everyone: S-1-1-0.
    #[must_use]
    pub fn everyone() -> Self {
        Self::new(1, &[0])
    }

    /// Whoever has logged in: S-1-5-11.
    #[must_use]
    pub fn authenticated_users() -> Self {
        Self::new(5, &[11])
    }

    /// The operating system: S-1-5-18.
    #[must_use]
    pub fn system() -> Self {
        Self::new(5, &[18])
    }

    /// The group of administrators: S-1-5-32-544.
    #[must_use]
    pub fn administrators() -> Self {
        Self::new(5, &[32, 544])
    }

    /// The group of users: S-1-5-32-545.
    #[must_use]
    pub fn users() -> Self {
        Self::new(5, &[32, 545])
    }

    /// A user that only Unix knows, as Samba names it: S-1-22-1-UID.
    #[must_use]
    pub fn unix_user(uid: u32) -> Self {
        Self::new(22, &[1, uid])
    }

    /// A group that only Unix knows, as Samba names it: S-1-22-2-GID.
    #[must_use]
    pub fn unix_group(gid: u32) -> Self {
        Self::new(22, &[2, gid])
    }

    /// The SID at the start of `bytes`, which may be longer.
    ///
    /// # Errors
    /// `INVALID_SID` when it is not whole.
    pub fn parse(bytes: &[u8]) -> Result<Self, Status> {
        let [1, count, ..] = *bytes else { return Err(Status::INVALID_SID) };
        if usize::from(count) > SUB_AUTHORITIES_MAX {
            return Err(Status::INVALID_SID);
        }
        let len = HEADER + 4 * usize::from(count);
        bytes.get(..len).map(|sid| Self(sid.to_vec())).ok_or(Status::INVALID_SID)
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.0[2..HEADER].iter().fold(0u64, |all, byte| all << 8 | u64::from(*byte));
        write!(f, "S-1-{authority}")?;
        for sub in self.0[HEADER..].chunks_exact(4) {
            write!(f, "-{}", u32::from_le_bytes([sub[0], sub[1], sub[2], sub[3]]))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_ones_have_the_documented_names() {
        for (sid, expected) in [
            (Sid::everyone(), "S-1-1-0"),
            (Sid::authenticated_users(), "S-1-5-11"),
            (Sid::system(), "S-1-5-18"),
            (Sid::administrators(), "S-1-5-32-544"),
            (Sid::users(), "S-1-5-32-545"),
            (Sid::unix_user(1000), "S-1-22-1-1000"),
            (Sid::unix_group(100), "S-1-22-2-100"),
        ] {
            assert_eq!(sid.to_string(), expected);
            assert_eq!(Sid::parse(sid.as_bytes()), Ok(sid.clone()));
            assert_eq!(Sid::parse(&[sid.as_bytes(), &[9; 3]].concat()), Ok(sid));
        }
        assert_eq!(Sid::everyone().as_bytes(), [1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn damaged_ones_are_refused() {
        for bytes in [&[][..], &[1], &[2, 0, 0, 0, 0, 0, 0, 1], &[1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0], &[1, 16]] {
            assert_eq!(Sid::parse(bytes), Err(Status::INVALID_SID), "{bytes:?}");
        }
    }
}
