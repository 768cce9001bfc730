//! Lists of Windows' extended attributes: FILE_FULL_EA_INFORMATION ([MS-FSCC] 2.4.15).
//!
//! An entry: `u32` offset of the next one or 0, `u8` flags, `u8` length of the name, `u16` length of the value, the name, a NUL, the
//! value; entries begin at multiples of 4.

use crate::status::Status;

const HEADER: usize = 8;

/// One extended attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ea {
    /// Flags; only "a file that does not understand this is not to be opened" (0x80) is known.
    pub flags: u8,
    /// Its name, 1 to 254 bytes.
    pub name: Vec<u8>,
    /// Its value; empty to remove it.
    pub value: Vec<u8>,
}

/// Whether Windows allows the name ([MS-FSCC] 2.4.15).
#[must_use]
pub fn is_name(name: &[u8]) -> bool {
    let allowed = |b: &u8| *b >= 0x20 && !br#""*+,/:;<=>?[\]|"#.contains(b);
    !name.is_empty() && name.len() < 255 && name.iter().all(allowed)
}

/// Takes a list apart.
///
/// # Errors
/// `EA_LIST_INCONSISTENT`, `INVALID_EA_NAME`.
pub fn parse(list: &[u8]) -> Result<Vec<Ea>, Status> {
    let mut found = Vec::new();
    let mut rest = list;
    while !rest.is_empty() {
        let [n0, n1, n2, n3, flags, name_len, v0, v1] =
            *rest.first_chunk::<HEADER>().ok_or(Status::EA_LIST_INCONSISTENT)?;
        let next = u32::from_le_bytes([n0, n1, n2, n3]) as usize;
        let (name_len, value_len) = (usize::from(name_len), usize::from(u16::from_le_bytes([v0, v1])));
        let body = rest.get(HEADER..HEADER + name_len + 1 + value_len).ok_or(Status::EA_LIST_INCONSISTENT)?;
        let (name, value) = (&body[..name_len], &body[name_len + 1..]);
        if !is_name(name) || body[name_len] != 0 {
            return Err(Status::INVALID_EA_NAME);
        }
        found.push(Ea { flags, name: name.to_vec(), value: value.to_vec() });
        if next == 0 {
            break;
        }
        if next < HEADER + body.len() {
            return Err(Status::EA_LIST_INCONSISTENT);
        }
        rest = rest.get(next..).filter(|rest| !rest.is_empty()).ok_or(Status::EA_LIST_INCONSISTENT)?;
    }
    Ok(found)
}

/// Puts a list together.
///
/// # Errors
/// `EA_TOO_LARGE` for a value past 64 KiB less a byte, `INVALID_EA_NAME` for a name that Windows does not allow.
pub fn build(eas: &[Ea]) -> Result<Vec<u8>, Status> {
    let mut out = Vec::new();
    let mut last = None;
    for ea in eas {
        if !is_name(&ea.name) {
            return Err(Status::INVALID_EA_NAME);
        }
        let value_len = u16::try_from(ea.value.len()).map_err(|_| Status::EA_TOO_LARGE)?;
        let name_len = u8::try_from(ea.name.len()).map_err(|_| Status::INVALID_EA_NAME)?;
        out.resize(out.len().next_multiple_of(4), 0);
        let at = out.len();
        if let Some(last) = last.replace(at) {
            let next = u32::try_from(at - last).map_err(|_| Status::EA_TOO_LARGE)?;
            out[last..last + 4].copy_from_slice(&next.to_le_bytes());
        }
        out.extend_from_slice(&[0, 0, 0, 0, ea.flags, name_len]);
        out.extend_from_slice(&value_len.to_le_bytes());
        out.extend_from_slice(&ea.name);
        out.push(0);
        out.extend_from_slice(&ea.value);
    }
    Ok(out)
}

/// Bytes that attributes take as Windows counts them for a file (`EaSize`).
#[must_use]
pub fn size(eas: &[Ea]) -> u32 {
    let one = |ea: &Ea| (HEADER + ea.name.len() + 1 + ea.value.len()).next_multiple_of(4);
    u32::try_from(eas.iter().map(one).sum::<usize>()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ea(name: &str, value: &[u8]) -> Ea {
        Ea { flags: 0, name: name.as_bytes().to_vec(), value: value.to_vec() }
    }

    #[test]
    fn a_list_has_the_documented_bytes_and_comes_back() {
        let eas = [ea("AB", b"xyz"), Ea { flags: 0x80, ..ea("C", b"") }];
        let bytes = build(&eas).unwrap();
        assert_eq!(
            bytes,
            [&[16, 0, 0, 0, 0, 2, 3, 0][..], b"AB\0xyz\0\0", &[0, 0, 0, 0, 0x80, 1, 0, 0], b"C\0"].concat()
        );
        assert_eq!(parse(&bytes).unwrap(), eas);
        assert_eq!(parse(&[]).unwrap(), []);
        assert_eq!(size(&eas), 16 + 12);
    }

    #[test]
    fn lists_that_contradict_themselves_are_refused() {
        let good = build(&[ea("AB", b"xyz"), ea("C", b"d")]).unwrap();
        for (at, value, expected) in [
            (0, 8, Status::EA_LIST_INCONSISTENT),
            (0, 200, Status::EA_LIST_INCONSISTENT),
            (5, 200, Status::EA_LIST_INCONSISTENT),
            (5, 0, Status::INVALID_EA_NAME),
            (6, 255, Status::EA_LIST_INCONSISTENT),
            (8, b'=', Status::INVALID_EA_NAME),
            (10, 1, Status::INVALID_EA_NAME),
        ] {
            let mut bad = good.clone();
            bad[at] = value;
            assert_eq!(parse(&bad), Err(expected), "byte {at} is {value}");
        }
        assert_eq!(parse(&good[..5]), Err(Status::EA_LIST_INCONSISTENT));
        assert_eq!(build(&[ea("a:b", b"")]), Err(Status::INVALID_EA_NAME));
        assert_eq!(build(&[ea("a", &[0; 70_000])]), Err(Status::EA_TOO_LARGE));
    }
}
