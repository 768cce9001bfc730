//! Times: Windows counts steps of 100 ns since 1601, the volume seconds and nanoseconds since 1970.

use proxyfs_core::types::Timestamp;

/// Seconds from 1601-01-01 to 1970-01-01.
const SECS_TO_1970: i64 = 11_644_473_600;
const STEPS_PER_SEC: i64 = 10_000_000;

/// A time as Windows has it; the first or last that there is for one out of its range. Rounds down to 100 ns.
#[must_use]
pub fn to_windows(time: Timestamp) -> u64 {
    let secs = i128::from(time.secs) + i128::from(SECS_TO_1970);
    let steps = secs * i128::from(STEPS_PER_SEC) + i128::from(time.nanos / 100);
    // 0 and the last bit mean other things.
    u64::try_from(steps.clamp(1, i128::from(i64::MAX))).unwrap_or(1)
}

/// A time as the volume has it; `None` for the values that mean "leave it as it is" (0) and "leave it so for good" (-1, -2).
#[must_use]
pub fn from_windows(steps: u64) -> Option<Timestamp> {
    let steps = i64::try_from(steps).ok().filter(|steps| *steps > 0)?;
    let nanos = u32::try_from(steps % STEPS_PER_SEC * 100).ok()?;
    Some(Timestamp::new(steps / STEPS_PER_SEC - SECS_TO_1970, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_documents() {
        // FILETIME of 1970-01-01, as in Microsoft's "Converting a time_t value to a FILETIME".
        assert_eq!(to_windows(Timestamp::new(0, 0)), 116_444_736_000_000_000);
        assert_eq!(from_windows(116_444_736_000_000_001), Some(Timestamp::new(0, 100)));
        assert_eq!(to_windows(Timestamp::new(1, 199)), 116_444_736_010_000_001);
        assert_eq!(to_windows(Timestamp::new(-SECS_TO_1970 - 5, 0)), 1);
        assert_eq!(to_windows(Timestamp::new(i64::MAX, 0)), i64::MAX as u64);
        assert_eq!([0, u64::MAX, u64::MAX - 1].map(from_windows), [None; 3]);
        for steps in [1, 9_999_999, 133_000_000_000_000_007, i64::MAX as u64] {
            assert_eq!(from_windows(steps).map(to_windows), Some(steps), "{steps}");
        }
    }
}
