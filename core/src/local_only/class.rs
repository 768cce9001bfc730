//! Which names are local-only.

use crate::ops::OpCx;
use crate::ops::name::key_name;

/// How names begin: AppleDouble files of Macs, owner files of Microsoft Office.
const PREFIXES: [&[u8]; 2] = [b"._", b"~$"];
/// Whole names, in lower case: the Finder's views, Explorer's pictures and settings of folders.
const NAMES: [&[u8]; 3] = [b".ds_store", b"thumbs.db", b"desktop.ini"];
/// Longest of [`NAMES`] in another spelling: each character takes at most three bytes.
const NAME_BYTES_MAX: usize = 33;

/// Whether a file of this name stays on this computer: `._*`, `~$*`, `.DS_Store`, `Thumbs.db`, `desktop.ini`, in upper or lower case
/// on every volume. A directory never does.
#[must_use]
pub fn is_local_only(name: &[u8]) -> bool {
    if PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        return true;
    }
    if name.is_ascii() {
        return NAMES.iter().any(|known| name.eq_ignore_ascii_case(known));
    }
    // By the rule of case-insensitive volumes, where `K` may also be a kelvin sign.
    let cx = OpCx { case_insensitive: true, ..OpCx::default() };
    name.len() <= NAME_BYTES_MAX && NAMES.contains(&key_name(&cx, name).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_is_what_the_documents_say() {
        for (name, local) in [
            ("._a", true),
            ("._", true),
            ("._.DS_Store", true),
            (".DS_Store", true),
            (".ds_STORE", true),
            ("Thumbs.db", true),
            ("THUMBS.DB", true),
            ("desktop.ini", true),
            ("Desktop.ini", true),
            ("des\u{212a}top.ini", true),
            ("~$report.docx", true),
            ("~$", true),
            ("", false),
            (".", false),
            ("..", false),
            (".a", false),
            ("a._b", false),
            (".DS_Store2", false),
            ("Thumbs.db:encryptable", false),
            ("thumbs.dbx", false),
            ("~report", false),
            ("~WRD0001.tmp", false),
            ("\u{e9}desktop.ini", false),
        ] {
            assert_eq!(is_local_only(name.as_bytes()), local, "{name}");
        }
    }
}
