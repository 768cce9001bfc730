//! Standard output: text for people, or one JSON object for programs.
//!
//! With `--json`, standard output gets exactly one JSON object a command (completions and help excepted), also when it
//! fails. Progress goes to standard error. A reader that hangs up is no error.

use std::io::{self, Write};

use serde::Serialize;

use crate::failure::Failure;

/// How this run answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Text.
    Text,
    /// One JSON object.
    Json,
}

impl Style {
    /// Shows a command's result.
    pub(crate) fn show<T: Serialize>(self, value: &T, text: impl FnOnce() -> String) {
        match self {
            Self::Text => line(&text()),
            Self::Json => line(&json(value)),
        }
    }

    /// Shows text that has no place in JSON.
    pub(crate) fn say(self, text: &str) {
        if self == Self::Text {
            line(text);
        }
    }

    /// Shows what is under way.
    pub(crate) fn progress(self, text: &str) {
        if self == Self::Text {
            // Nothing is lost when nobody reads.
            let _unread = writeln!(io::stderr().lock(), "{text}").is_err();
        }
    }

    /// Shows a failure: text on standard error, or a JSON object on standard output.
    pub(crate) fn fail(self, failure: &Failure) {
        match self {
            Self::Text => {
                let _unread = writeln!(io::stderr().lock(), "{failure}").is_err();
            }
            Self::Json => line(&json(&serde_json::json!({ "error": failure }))),
        }
    }
}

/// Writes one line to standard output, without a newline after empty text.
pub(crate) fn line(text: &str) {
    let mut out = io::stdout().lock();
    let _unread = writeln!(out, "{text}").and_then(|()| out.flush()).is_err();
}

/// Indented JSON.
pub(crate) fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|e| format!("{{\"error\": \"not JSON: {e}\"}}"))
}

/// Columns padded to their widest cell.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_without_trailing_blanks() {
        let rows = [vec!["NAME".to_owned(), "X".to_owned()], vec!["a".to_owned(), "longer".to_owned()]];
        assert_eq!(table(&rows), "NAME  X\na     longer");
    }
}
