//! Random 16-byte ids: of a volume, and of one claim of an epoch. Stored as 16 bytes, written as 32 lower-case hex digits.

use std::fmt;

/// Parses exactly 32 lower-case hex digits.
fn parse_hex(text: &str) -> Option<[u8; 16]> {
    let text = text.as_bytes();
    if text.len() != 32 {
        return None;
    }
    let mut out = [0; 16];
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        *byte = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
    }
    Some(out)
}

fn hex_digit(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    }
}

/// Declares a 16-byte id.
macro_rules! id_16 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl $name {
            /// From 32 lower-case hex digits.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                parse_hex(text).map(Self)
            }
        }
    };
}

id_16! {
    /// Names a volume for ever.
    VolumeUuid
}
id_16! {
    /// Names one claim of an epoch, so that two claimants of one number can tell themselves apart.
    ClaimId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_comes_back_and_other_text_is_refused() {
        let id = VolumeUuid(*b"0123456789abcdef");
        assert_eq!(id.to_string(), "30313233343536373839616263646566");
        assert_eq!(VolumeUuid::parse(&id.to_string()), Some(id));
        for bad in ["", "30", "3031323334353637383961626364656G", "3031323334353637383961626364656F"] {
            assert_eq!(VolumeUuid::parse(bad), None, "{bad}");
        }
    }
}
