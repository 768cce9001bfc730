//! Rules shared by all backends: which object paths are allowed, how a range meets a length, what settles a conflict.
//!
//! Pure helpers apart from [`settle_conflict`], which reads the object that stood in the way.

use bytes::Bytes;
use proxyfs_core::store::{GetRange, ObjectKey, ObjectStore, StoreError, StoreErrorKind, StoreResult};

/// Longest path in bytes; S3 and Swift allow 1024 for prefix and path together.
const PATH_BYTES_MAX: usize = 900;

/// Refuses paths that some backend could not store, or could store outside its root.
///
/// # Errors
/// [`StoreErrorKind::Invalid`].
pub(crate) fn check_path(path: &str) -> StoreResult<()> {
    let printable = path.bytes().all(|b| (0x21..0x7f).contains(&b) && b != b'\\' && b != b':');
    let segments = path.split('/').all(|s| !s.is_empty() && !s.starts_with('.'));
    if printable && segments && path.len() <= PATH_BYTES_MAX {
        return Ok(());
    }
    let why = "paths are printable ASCII, at most 900 bytes, without empty segments or segments that begin with a dot";
    Err(StoreError::new(StoreErrorKind::Invalid, format!("object path {path:?} is not allowed: {why}")))
}

/// Joins a volume's prefix and a path below it; an empty prefix adds nothing.
pub(crate) fn join(prefix: &str, path: &str) -> String {
    if prefix.is_empty() { path.to_owned() } else { format!("{prefix}/{path}") }
}

/// A name shortly before `path` in byte order, with few other names between the two; empty when there is none.
pub(crate) fn just_before(path: &str) -> String {
    let mut chars = path.chars();
    let last = chars.next_back();
    let mut before = chars.as_str().to_owned();
    // `~` is the last character that a path may hold. What is not printable is left out, which is earlier still.
    if let Some(lower) = last.and_then(|c| u8::try_from(c).ok()).filter(|b| (0x22..0x7f).contains(b)) {
        before.push(char::from(lower - 1));
        before.push('~');
    }
    before
}

/// Total length of a body in bytes.
pub(crate) fn body_len(body: &[Bytes]) -> u64 {
    body.iter().map(|c| c.len() as u64).sum()
}

/// Refuses ranges without bytes, which no protocol can express.
///
/// # Errors
/// [`StoreErrorKind::Invalid`].
pub(crate) fn check_range(key: &ObjectKey, range: GetRange) -> StoreResult<()> {
    let (GetRange::Bounded { len, .. } | GetRange::Suffix { len }) = range else { return Ok(()) };
    let end = match range {
        GetRange::Bounded { offset, len } => offset.checked_add(len),
        GetRange::Full | GetRange::Suffix { .. } => Some(len),
    };
    match (len, end) {
        (0, _) | (_, None) => {
            Err(StoreError::new(StoreErrorKind::Invalid, format!("get {key}: range {range:?} is empty or too large")))
        }
        _ => Ok(()),
    }
}

/// The first byte and the length that `range` means on an object of `total` bytes.
///
/// # Errors
/// [`StoreErrorKind::Truncated`] when a bounded range ends past the object, [`StoreErrorKind::Invalid`] when it is empty.
pub(crate) fn resolve_range(key: &ObjectKey, range: GetRange, total: u64) -> StoreResult<(u64, u64)> {
    check_range(key, range)?;
    match range {
        GetRange::Full => Ok((0, total)),
        GetRange::Suffix { len } => Ok((total.saturating_sub(len), len.min(total))),
        GetRange::Bounded { offset, len } if offset + len <= total => Ok((offset, len)),
        GetRange::Bounded { offset, len } => Err(StoreError::new(
            StoreErrorKind::Truncated,
            format!("get {key}: bytes {offset}+{len} wanted, the object has {total}"),
        )),
    }
}

/// Decides a conditional put that found its name taken: the bytes there are ours (an earlier reply was lost), or not.
///
/// # Errors
/// [`StoreErrorKind::AlreadyExists`] when the content differs, or whatever reading it gave.
pub(crate) async fn settle_conflict(store: &dyn ObjectStore, key: &ObjectKey, body: &[Bytes]) -> StoreResult<()> {
    let taken = || StoreError::new(StoreErrorKind::AlreadyExists, format!("put {key}: the name is taken"));
    let stored = match store.get(key, GetRange::Full).await {
        Ok(stored) => stored,
        Err(e) if e.kind == StoreErrorKind::NotFound => return Err(taken()),
        Err(e) => return Err(e),
    };
    if same_bytes(&stored, body) { Ok(()) } else { Err(taken()) }
}

/// Whether the chunks of `body`, joined, are `stored`.
pub(crate) fn same_bytes(mut stored: &[u8], body: &[Bytes]) -> bool {
    for chunk in body {
        let Some(rest) = stored.strip_prefix(chunk.as_ref()) else { return false };
        stored = rest;
    }
    stored.is_empty()
}

/// The chunks as one piece; a single chunk is not copied.
pub(crate) fn concat(mut body: Vec<Bytes>) -> Bytes {
    if body.len() == 1 {
        return body.remove(0);
    }
    body.concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_could_escape_or_hide_are_refused() {
        for bad in ["", "/a", "a//b", "a/", "../a", "a/../b", ".hidden", "a/.tmp", "a b", "ä", "a\\b", "c:d", "a\nb"] {
            assert_eq!(check_path(bad).unwrap_err().kind, StoreErrorKind::Invalid, "{bad:?}");
        }
        for good in ["a", "volume.json", "data/3f/0000000000000001-000000000000002a", "head/00"] {
            check_path(good).unwrap();
        }
        assert!(check_path(&"a".repeat(PATH_BYTES_MAX)).is_ok());
        assert!(check_path(&"a".repeat(PATH_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn a_name_just_before_another_is_lower_and_leaves_next_to_nothing_between() {
        for (path, expected) in [
            ("log/1", "log/0~"),
            ("head/000a", "head/000`~"),
            ("log/", "log.~"),
            ("a!", "a"),
            ("!", ""),
            ("", ""),
            ("\u{e9}", ""),
        ] {
            assert_eq!(just_before(path), expected, "{path:?}");
            assert!(just_before(path).as_str() <= path, "{path:?}");
        }
    }

    #[test]
    fn ranges_resolve_against_the_length() {
        let key = ObjectKey::home("k");
        let resolve = |range, total| resolve_range(&key, range, total).map_err(|e| e.kind);
        assert_eq!(resolve(GetRange::Full, 7), Ok((0, 7)));
        assert_eq!(resolve(GetRange::Bounded { offset: 2, len: 5 }, 7), Ok((2, 5)));
        assert_eq!(resolve(GetRange::Bounded { offset: 2, len: 6 }, 7), Err(StoreErrorKind::Truncated));
        assert_eq!(resolve(GetRange::Bounded { offset: 2, len: 0 }, 7), Err(StoreErrorKind::Invalid));
        assert_eq!(resolve(GetRange::Bounded { offset: u64::MAX, len: 2 }, 7), Err(StoreErrorKind::Invalid));
        assert_eq!(resolve(GetRange::Suffix { len: 3 }, 7), Ok((4, 3)));
        assert_eq!(resolve(GetRange::Suffix { len: 9 }, 7), Ok((0, 7)));
        assert_eq!(resolve(GetRange::Suffix { len: 0 }, 7), Err(StoreErrorKind::Invalid));
    }

    #[test]
    fn bodies_compare_across_chunk_borders() {
        let body = [Bytes::from_static(b"ab"), Bytes::new(), Bytes::from_static(b"c")];
        assert!(same_bytes(b"abc", &body));
        assert!(!same_bytes(b"abcd", &body));
        assert!(!same_bytes(b"ab", &body));
        assert!(!same_bytes(b"abd", &body));
        assert!(same_bytes(b"", &[]));
    }
}
