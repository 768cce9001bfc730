//! Numbers in requests: whole, not negative, and within what the document says of them.
//!
//! JSON has one kind of number, so `5.0` is as good as `5`.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// Largest amount: what the format `int64` of the document can hold.
const MAX: u64 = i64::MAX as u64;
/// Largest whole number up to which each has a float of its own.
const FLOAT_MAX: f64 = 9_007_199_254_740_992.0;

/// A number of bytes.
struct Amount(u64);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Whole).map(Self)
    }
}

struct Whole;

impl Visitor<'_> for Whole {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number from 0 to 9223372036854775807")
    }

    fn visit_u64<E: Error>(self, n: u64) -> Result<u64, E> {
        if n <= MAX { Ok(n) } else { Err(E::custom("the number is too large")) }
    }

    fn visit_f64<E: Error>(self, n: f64) -> Result<u64, E> {
        if n.fract() == 0.0 && (0.0..=FLOAT_MAX).contains(&n) {
            return Ok(n as u64);
        }
        Err(E::custom("the number is not whole, negative or too large"))
    }
}

/// A number or null.
pub(super) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(Option::<Amount>::deserialize(deserializer)?.map(|amount| amount.0))
}

/// Numbers by name, each of them small.
pub(super) fn small_by_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, u32>, D::Error> {
    let small = |(name, amount): (String, Amount)| {
        let small = i32::try_from(amount.0).ok().and_then(|n| u32::try_from(n).ok());
        small.map(|n| (name, n)).ok_or_else(|| D::Error::custom("the number is too large"))
    };
    BTreeMap::<String, Amount>::deserialize(deserializer)?.into_iter().map(small).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_numbers_within_the_bounds_are_amounts() {
        let amount = |text| serde_json::from_str::<Amount>(text).ok().map(|amount| amount.0);
        assert_eq!([amount("0"), amount("5.0"), amount("9223372036854775807")], [Some(0), Some(5), Some(MAX)]);
        for bad in ["-1", "0.5", "9223372036854775808", "1e300", "\"1\"", "null", "[]", "-1.0"] {
            assert_eq!(amount(bad), None, "{bad}");
        }
    }
}
