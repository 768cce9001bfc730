//! Names of files: bytes in the volume, UTF-16 on Windows, mapped one to one by one rule.
//!
//! A name that is UTF-8 and that Windows can show is itself. Everything else is shown by characters of Unicode's private use area,
//! U+F000 + b for a byte b (1 to 255), as Services for Macintosh, Cygwin and Samba's `mapchars` do:
//!
//! - characters that Windows reserves: `" * : < > ? \ |` and the control characters;
//! - a space or full stop at the end;
//! - the first letter of a name that is a device to Windows (`CON`, `nul.txt`, `COM1`...);
//! - each byte that is not part of valid UTF-8;
//! - each byte of a character that is itself one of U+F001 to U+F0FF, so that no two names look the same.
//!
//! Back from Windows, U+F000 + b is the byte b. Half surrogate pairs, which Windows allows, are kept as WTF-8 keeps them.

/// First of the characters that stand for bytes.
const BASE: u16 = 0xf000;
/// Names that are devices, with any extension.
const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];
/// Names that are devices with one digit after them.
const NUMBERED: [&str; 2] = ["COM", "LPT"];

/// A name as Windows is to see it.
#[must_use]
pub fn to_windows(name: &[u8]) -> Vec<u16> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while !rest.is_empty() {
        let (valid, invalid) = next_chunk(rest);
        for c in valid.chars() {
            push_char(&mut out, c);
        }
        rest = &rest[valid.len()..];
        if let Some(unit) = lone_surrogate(rest) {
            out.push(unit);
            rest = &rest[3..];
            continue;
        }
        out.extend(rest[..invalid].iter().map(|b| byte_unit(*b)));
        rest = &rest[invalid..];
    }
    if let Some(last) = out.last_mut()
        && (*last == u16::from(b' ') || *last == u16::from(b'.'))
    {
        *last += BASE;
    }
    if is_device(&out) {
        out[0] += BASE;
    }
    out
}

/// A name as the volume keeps it.
#[must_use]
pub fn from_windows(name: &[u16]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    for decoded in char::decode_utf16(name.iter().copied()) {
        match decoded {
            Ok(c) => match stands_for(c) {
                Some(byte) => out.push(byte),
                None => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            },
            Err(lone) => {
                let unit = lone.unpaired_surrogate();
                let low_six = |shift: u16| 0x80 | ((unit >> shift) & 0x3f) as u8;
                out.extend_from_slice(&[0xe0 | (unit >> 12) as u8, low_six(6), low_six(0)]);
            }
        }
    }
    out
}

/// Whether Windows takes two names or paths for the same, as far as single characters tell: it compares upper-case letters one by one.
#[must_use]
pub fn is_same_in_any_case(one: &[u16], other: &[u16]) -> bool {
    let upper = |name: &[u16]| -> Vec<u32> {
        let decoded = char::decode_utf16(name.iter().copied());
        decoded
            .map(|c| c.map_or_else(|lone| u32::from(lone.unpaired_surrogate()), |c| u32::from(simple_upper(c))))
            .collect()
    };
    one == other || one.len() == other.len() && upper(one) == upper(other)
}

fn simple_upper(c: char) -> char {
    let mut upper = c.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

/// The valid text at the start, and how many bytes after it are not valid (at least one, unless the text is all there is).
fn next_chunk(bytes: &[u8]) -> (&str, usize) {
    let Some(chunk) = bytes.utf8_chunks().next() else { return ("", 0) };
    (chunk.valid(), chunk.invalid().len())
}

/// Half a surrogate pair in WTF-8 at the start; not the second half of a whole pair, which is not WTF-8.
fn lone_surrogate(bytes: &[u8]) -> Option<u16> {
    let unit = |at: usize| match bytes.get(at..at + 3)? {
        [0xed, b @ 0xa0..=0xbf, c @ 0x80..=0xbf] => Some(0xd000 | (u16::from(b & 0x3f) << 6) | u16::from(c & 0x3f)),
        _ => None,
    };
    let first = unit(0)?;
    let makes_pair = |second| (0xd800..0xdc00).contains(&first) && (0xdc00..0xe000).contains(&second);
    (!unit(3).is_some_and(makes_pair)).then_some(first)
}

fn byte_unit(byte: u8) -> u16 {
    BASE + u16::from(byte)
}

fn push_char(out: &mut Vec<u16>, c: char) {
    if stands_for(c).is_some() {
        out.extend(c.encode_utf8(&mut [0; 4]).bytes().map(byte_unit));
    } else if is_reserved(c) {
        out.push(byte_unit(c as u8));
    } else {
        out.extend_from_slice(c.encode_utf16(&mut [0; 2]));
    }
}

/// The byte that a character of the private use area stands for.
fn stands_for(c: char) -> Option<u8> {
    let byte = u32::from(c).checked_sub(u32::from(BASE))?;
    u8::try_from(byte).ok().filter(|b| *b != 0)
}

fn is_reserved(c: char) -> bool {
    matches!(c, '\u{1}'..='\u{1f}' | '"' | '*' | ':' | '<' | '>' | '?' | '\\' | '|')
}

/// Whether Windows would take the name for a device: what is before the first full stop, without spaces at its end.
fn is_device(name: &[u16]) -> bool {
    let stem: Vec<u16> = name.iter().copied().take_while(|u| *u != u16::from(b'.')).collect();
    let Ok(stem) = String::from_utf16(&stem) else { return false };
    let stem = stem.trim_end_matches(' ').to_ascii_uppercase();
    let numbered = |device: &&str| {
        stem.strip_prefix(*device)
            .is_some_and(|n| matches!(n, "\u{b9}" | "\u{b2}" | "\u{b3}") || matches!(n.as_bytes(), [b'1'..=b'9']))
    };
    DEVICES.contains(&stem.as_str()) || NUMBERED.iter().any(numbered)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(name: &[u8]) -> String {
        let units = to_windows(name);
        assert_eq!(from_windows(&units), name, "{name:?} by way of {units:x?}");
        String::from_utf16_lossy(&units)
    }

    #[test]
    fn everyday_names_are_themselves() {
        for name in
            ["a", "Report 2.docx", ".hidden", "été.txt", "日本", "😀", "a.b.c", "CONTENTS", "COM10", "LPT", "~$x"]
        {
            assert_eq!(shown(name.as_bytes()), name);
        }
    }

    #[test]
    fn what_windows_cannot_show_goes_to_the_private_use_area() {
        for (name, expected) in [
            (&b"a:b"[..], "a\u{f03a}b"),
            (b"q?*<>|\"\\", "q\u{f03f}\u{f02a}\u{f03c}\u{f03e}\u{f07c}\u{f022}\u{f05c}"),
            (b"line\nfeed", "line\u{f00a}feed"),
            (b"ends.", "ends\u{f02e}"),
            (b"ends ", "ends\u{f020}"),
            (b"...", "..\u{f02e}"),
            (b"con", "\u{f063}on"),
            (b"NUL.tar.gz", "\u{f04e}UL.tar.gz"),
            (b"com1 .txt", "\u{f063}om1 .txt"),
            ("LPT\u{b2}".as_bytes(), "\u{f04c}PT\u{b2}"),
            (b"latin \xe9", "latin \u{f0e9}"),
            ("was \u{f03a}".as_bytes(), "was \u{f0ef}\u{f080}\u{f0ba}"),
        ] {
            assert_eq!(shown(name), expected, "{name:?}");
        }
    }

    #[test]
    fn half_pairs_of_windows_come_back() {
        for units in [&[0xd800][..], &[0xdc00], &[0x61, 0xdfff, 0x62], &[0xdc00, 0xd800], &[0xd83d, 0xde00]] {
            assert_eq!(to_windows(&from_windows(units)), units, "{units:x?}");
        }
    }

    #[test]
    fn names_are_the_same_in_any_case_letter_by_letter() {
        for (one, other, expected) in [
            ("Ab", "aB", true),
            ("\u{e9}", "\u{c9}", true),
            ("ab", "abc", false),
            ("stra\u{df}e", "STRASSE", false),
            ("\u{df}", "\u{df}", true),
        ] {
            let units = |text: &str| text.encode_utf16().collect::<Vec<_>>();
            assert_eq!(is_same_in_any_case(&units(one), &units(other)), expected, "{one} {other}");
        }
    }

    proptest! {
        #[test]
        fn every_name_comes_back_and_has_nothing_reserved(name in prop::collection::vec(1u8.., 1..40)) {
            let name: Vec<u8> = name.into_iter().filter(|b| *b != b'/').collect();
            let units = to_windows(&name);
            prop_assert_eq!(from_windows(&units), &name[..]);
            prop_assert!(units.len() <= name.len());
            let bad = |u: &u16| *u == 0 || char::from_u32(u32::from(*u)).is_some_and(is_reserved);
            prop_assert!(!units.iter().any(bad));
            prop_assert!(!matches!(units.last(), Some(0x20 | 0x2e)));
            prop_assert!(!is_device(&units));
        }
    }
}
