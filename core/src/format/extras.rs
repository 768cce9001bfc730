//! Extras: fields that a later version may append to a value.
//!
//! Layout: a sequence of (varint tag, `bytes`), tags strictly ascending, to the end of the value. An unknown even tag is kept or
//! skipped, an unknown odd one is refused. No tag is defined yet. FORMAT, section 5.

use super::error::{FormatError, FormatResult};
use super::varint::{Reader, Writer};

/// Unknown even-tagged fields, kept so that rewriting a record does not lose them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras(Vec<(u64, Vec<u8>)>);

impl Extras {
    /// Whether there are none, the usual case.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields, tags ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.0.iter().map(|(tag, value)| (*tag, value.as_slice()))
    }

    /// Appends the fields to a value.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        for (tag, value) in &self.0 {
            out.put_varint(*tag);
            out.put_bytes(value);
        }
    }

    /// Takes everything that is left of a value.
    ///
    /// # Errors
    /// `UnknownFeature` for an odd tag, Invalid for tags out of order, Truncated.
    pub fn decode(reader: &mut Reader<'_>) -> FormatResult<Self> {
        let mut fields: Vec<(u64, Vec<u8>)> = Vec::new();
        walk(reader, |tag, value| fields.push((tag, value.to_vec())))?;
        Ok(Self(fields))
    }

    /// As [`Extras::decode`], but drops the fields: for values that are derived or never rewritten in place.
    ///
    /// # Errors
    /// As [`Extras::decode`].
    pub fn skip(reader: &mut Reader<'_>) -> FormatResult<()> {
        walk(reader, |_, _| ())
    }
}

fn walk<'a>(reader: &mut Reader<'a>, mut visit: impl FnMut(u64, &'a [u8])) -> FormatResult<()> {
    let mut last = None;
    while !reader.is_empty() {
        let tag = reader.varint()?;
        if last.is_some_and(|last| tag <= last) {
            return Err(reader.invalid("tags of extras do not ascend"));
        }
        if tag % 2 == 1 {
            return Err(FormatError::unknown(reader.what(), format!("extra field {tag}")));
        }
        last = Some(tag);
        visit(tag, reader.bytes()?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn even_tags_are_kept_and_odd_ones_refused() {
        let bytes = [2, 1, 0xaa, 8, 0];
        let extras = Extras::decode(&mut Reader::new("test", &bytes)).expect("even tags");
        assert_eq!(extras.iter().collect::<Vec<_>>(), vec![(2, &[0xaa][..]), (8, &[][..])]);
        let mut out = Vec::new();
        extras.encode_into(&mut out);
        assert_eq!(out, bytes);

        let odd = Extras::decode(&mut Reader::new("test", &[2, 0, 3, 0])).expect_err("odd tag");
        assert_eq!(odd.kind(), ErrorKind::UnknownFormat);
        let unordered = Extras::skip(&mut Reader::new("test", &[4, 0, 2, 0])).expect_err("descending");
        assert_eq!(unordered.kind(), ErrorKind::Corrupt);
    }
}
