//! Sizes and times as people type them: `128MiB`, `10s`.
//!
//! A size is a whole number with B, KiB, MiB, GiB or TiB (K, M, G, T for short; KB, MB, GB, TB are powers of 1000); a time a whole number
//! with ms, s, m or h. A unit is needed, except for 0. Printing gives the largest unit that divides evenly.

use std::time::Duration;

const SIZES: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("T", 1 << 40),
    ("G", 1 << 30),
    ("M", 1 << 20),
    ("K", 1 << 10),
    ("B", 1),
];

/// Units of time with their milliseconds.
const TIMES: &[(&str, u64)] = &[("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];

/// Bytes of a size.
///
/// # Errors
/// A sentence that says what to write.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    parse(text, SIZES).ok_or_else(|| format!("`{text}` is not a size; write for example 16MiB or 2GiB"))
}

/// A time.
///
/// # Errors
/// A sentence that says what to write.
pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    let millis = parse(text, TIMES).ok_or_else(|| format!("`{text}` is not a time; write for example 10s or 500ms"))?;
    Ok(Duration::from_millis(millis))
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim_start()))?.1;
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// A size exactly.
pub(crate) fn show_size(bytes: u64) -> String {
    let unit = SIZES[..4].iter().find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor));
    unit.map_or_else(|| format!("{bytes}B"), |(name, factor)| format!("{}{name}", bytes / factor))
}

/// A size for reading, rounded to one decimal.
pub(crate) fn about_size(bytes: u64) -> String {
    match SIZES[..4].iter().find(|(_, factor)| bytes >= *factor) {
        Some((name, factor)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(*factor);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} bytes"),
    }
}

/// A time exactly, down to milliseconds.
pub(crate) fn show_time(time: Duration) -> String {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let unit = TIMES[1..].iter().find(|(_, factor)| millis >= *factor && millis.is_multiple_of(*factor));
    unit.map_or_else(|| format!("{millis}ms"), |(name, factor)| format!("{}{name}", millis / factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, bytes) in
            [("128MiB", 128 << 20), ("1g", 1 << 30), ("5KB", 5000), ("7B", 7), ("0", 0), ("3 KiB", 3072)]
        {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "12", "MiB", "1.5MiB", "-1KiB", "99999999999TiB", "1 foo"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_read_with_their_units() {
        for (text, millis) in [("10s", 10_000), ("500ms", 500), ("2m", 120_000), ("1h", 3_600_000), ("0", 0)] {
            assert_eq!(parse_time(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "10", "s", "1d", "1.5s"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_printed_reads_back() {
        for bytes in [0, 1, 1023, 1024, 1536, 16 << 20, (1 << 40) + 1] {
            assert_eq!(parse_size(&show_size(bytes)), Ok(bytes));
        }
        for millis in [1, 999, 1000, 60_000, 90_000, 3_600_000] {
            let time = Duration::from_millis(millis);
            assert_eq!(parse_time(&show_time(time)), Ok(time));
        }
    }

    #[test]
    fn rough_sizes_have_one_decimal() {
        assert_eq!(about_size(1536), "1.5 KiB");
        assert_eq!(about_size(10), "10 bytes");
        assert_eq!(about_size(u64::MAX), "16777216.0 TiB".replace("16777216.0", "16777215.9"));
    }
}
