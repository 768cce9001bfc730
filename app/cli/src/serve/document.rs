//! A TOML text with its places: what stands where, and what is wrong with it.
//!
//! Knows tables, keys and values, but not what any of them means.

use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Something wrong, at its place in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// Byte offset.
    pub(crate) at: usize,
    /// What is wrong.
    pub(crate) why: String,
    /// What to write instead.
    pub(crate) advice: String,
    /// Whether something is not there, which may be what a misspelt neighbour was meant to be.
    pub(crate) missing: bool,
}

impl Mistake {
    pub(crate) fn new(at: usize, why: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { at, why: why.into(), advice: advice.into(), missing: false }
    }

    pub(crate) fn missing(at: usize, why: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { missing: true, ..Self::new(at, why, advice) }
    }
}

/// Line and column of a byte offset, both from 1; the column in characters.
pub(crate) fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let before = &text[..at];
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |i| i + 1);
    (line, before[start..].chars().count() + 1)
}

/// A value as it was written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Number(String),
    Flag(bool),
    List(Vec<Value>),
    Other(&'static str),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("a text"),
            Self::Number(n) => write!(f, "the number {n}"),
            Self::Flag(on) => write!(f, "{on}"),
            Self::List(_) => f.write_str("a list"),
            Self::Other(kind) => write!(f, "a {kind}"),
        }
    }
}

fn value(from: &DeValue<'_>) -> Value {
    match from {
        DeValue::String(text) => Value::Text(text.clone().into_owned()),
        DeValue::Integer(n) if n.radix() == 10 => Value::Number(n.as_str().to_owned()),
        DeValue::Integer(_) => Value::Other("number that is not decimal"),
        DeValue::Float(n) => Value::Number(n.as_str().to_owned()),
        DeValue::Boolean(on) => Value::Flag(*on),
        DeValue::Datetime(_) => Value::Other("date"),
        DeValue::Array(items) => Value::List(items.iter().map(|i| value(i.get_ref())).collect()),
        DeValue::Table(_) => Value::Other("table"),
    }
}

/// One entry of a table.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'a, 'i> {
    pub(crate) name: &'a str,
    key: Range<usize>,
    value: &'a Spanned<DeValue<'i>>,
}

impl<'a, 'i> Entry<'a, 'i> {
    /// Where its name stands.
    pub(crate) fn at(&self) -> usize {
        self.key.start
    }

    /// Where its value stands.
    pub(crate) fn value_at(&self) -> usize {
        self.value.span().start
    }

    pub(crate) fn value(&self) -> Value {
        value(self.value.get_ref())
    }

    /// Its entries, if it is a table.
    pub(crate) fn table(&self) -> Result<Vec<Entry<'a, 'i>>, Mistake> {
        match self.value.get_ref() {
            DeValue::Table(table) => Ok(entries(table)),
            other => {
                let why = format!("`{}` is {}, and should be a table", self.name, value(other));
                Err(Mistake::new(self.at(), why, format!("write a line [{}] and its keys below", self.name)))
            }
        }
    }
}

/// The entries of a table, in the order of the text.
pub(crate) fn entries<'a, 'i>(table: &'a DeTable<'i>) -> Vec<Entry<'a, 'i>> {
    let entry =
        |(key, value): (&'a Spanned<_>, _)| Entry { name: AsRef::<str>::as_ref(key.get_ref()), key: key.span(), value };
    let mut all: Vec<Entry<'a, 'i>> = table.iter().map(entry).collect();
    all.sort_by_key(Entry::at);
    all
}

/// Parses a text.
pub(crate) fn parse(text: &str) -> Result<Spanned<DeTable<'_>>, Mistake> {
    DeTable::parse(text).map_err(|e| {
        let at = e.span().map_or(0, |span| span.start);
        Mistake::new(at, e.message().to_owned(), "correct it: the file is TOML, see https://toml.io")
    })
}

/// The nearest of the known names, if one is near.
pub(crate) fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let measured = known.into_iter().map(|k| (strsim::damerau_levenshtein(k, name), k));
    measured.min().filter(|(distance, known)| *distance <= known.len().max(2) / 2).map(|(_, known)| known)
}

/// Advice for a name that is not known.
pub(crate) fn instead<'k>(name: &str, known: impl IntoIterator<Item = &'k str> + Clone) -> String {
    match nearest(name, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: {}", known.into_iter().collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_lines_and_columns_of_characters() {
        let text = "a = 1\n\u{fc}\u{fc} = 2\n";
        assert_eq!(line_and_column(text, 0), (1, 1));
        assert_eq!(line_and_column(text, text.find("= 2").unwrap()), (2, 4));
        assert_eq!(line_and_column(text, 999), (3, 1));
    }

    #[test]
    fn a_near_name_is_proposed_and_a_far_one_answered_with_all() {
        assert_eq!(instead("mont_point", ["mount_point", "store"]), "did you mean `mount_point`?");
        assert_eq!(instead("zzz", ["mount_point", "store"]), "known here: mount_point, store");
    }
}
