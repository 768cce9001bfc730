//! Paths as WinFsp gives them: `\a\b\c:stream:$DATA`, from the root of the volume, in UTF-16.

use crate::name;
use crate::status::Status;

const BACKSLASH: u16 = b'\\' as u16;
const DOT: u16 = b'.' as u16;
const COLON: u16 = b':' as u16;
/// The type of the one kind of stream that there is.
const DATA_TYPE: &str = "$DATA";

/// A path, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path {
    /// The names from the root on, as the volume keeps them; none is the root itself.
    pub names: Vec<Vec<u8>>,
    /// The name of a stream, if not the file itself is meant.
    pub stream: Option<Vec<u8>>,
}

impl Path {
    /// Takes a path apart.
    ///
    /// # Errors
    /// `OBJECT_NAME_INVALID` for a stream in the middle, of another type, or without a name, and for `.` and `..`, which Windows itself resolves.
    pub fn parse(text: &[u16]) -> Result<Self, Status> {
        let mut names = Vec::new();
        let mut stream = None;
        let mut parts = text.split(|u| *u == BACKSLASH).filter(|part| !part.is_empty()).peekable();
        while let Some(part) = parts.next() {
            let mut words = part.split(|u| *u == COLON);
            let name = words.next().unwrap_or_default();
            let (stream_name, kind) = (words.next(), words.next());
            if stream_name.is_some() && (parts.peek().is_some() || words.next().is_some()) {
                return Err(Status::OBJECT_NAME_INVALID);
            }
            if let Some(kind) = kind
                && !String::from_utf16_lossy(kind).eq_ignore_ascii_case(DATA_TYPE)
            {
                return Err(Status::OBJECT_NAME_INVALID);
            }
            match stream_name {
                // `file::$DATA` is the file itself.
                Some([]) if kind.is_some() => {}
                Some([]) => return Err(Status::OBJECT_NAME_INVALID),
                Some(given) => stream = Some(name::from_windows(given)),
                None => {}
            }
            if name == [DOT] || name == [DOT; 2] {
                return Err(Status::OBJECT_NAME_INVALID);
            }
            // `\:stream` is a stream of the root.
            if !name.is_empty() {
                names.push(name::from_windows(name));
            }
        }
        Ok(Self { names, stream })
    }

    /// The path of names.
    #[must_use]
    pub fn show(names: &[Vec<u8>]) -> Vec<u16> {
        if names.is_empty() {
            return vec![BACKSLASH];
        }
        names.iter().flat_map(|n| std::iter::once(BACKSLASH).chain(name::to_windows(n))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(Vec<String>, Option<String>), Status> {
        let text: Vec<u16> = text.encode_utf16().collect();
        let path = Path::parse(&text)?;
        let read = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok((path.names.into_iter().map(read).collect(), path.stream.map(read)))
    }

    #[test]
    fn paths_are_taken_apart() {
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let stream = |s: &str| Some(s.to_owned());
        for (text, expected) in [
            ("\\", Ok((names(&[]), None))),
            ("\\a", Ok((names(&["a"]), None))),
            ("\\a\\b c", Ok((names(&["a", "b c"]), None))),
            ("\\a\\", Ok((names(&["a"]), None))),
            ("\\a:s", Ok((names(&["a"]), stream("s")))),
            ("\\a:s:$data", Ok((names(&["a"]), stream("s")))),
            ("\\a::$DATA", Ok((names(&["a"]), None))),
            ("\\:root", Ok((names(&[]), stream("root")))),
            ("\\a\u{f03a}b", Ok((names(&["a:b"]), None))),
            ("\\a\\..\\b", Err(Status::OBJECT_NAME_INVALID)),
            ("\\a:", Err(Status::OBJECT_NAME_INVALID)),
            ("\\a:s:$INDEX_ALLOCATION", Err(Status::OBJECT_NAME_INVALID)),
            ("\\a:s:$DATA:x", Err(Status::OBJECT_NAME_INVALID)),
            ("\\a:s\\b", Err(Status::OBJECT_NAME_INVALID)),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn names_are_shown_as_a_path() {
        let show = |names: &[&[u8]]| {
            String::from_utf16_lossy(&Path::show(&names.iter().map(|n| n.to_vec()).collect::<Vec<_>>()))
        };
        assert_eq!(show(&[]), "\\");
        assert_eq!(show(&[b"a", b"b:c"]), "\\a\\b\u{f03a}c");
    }
}
