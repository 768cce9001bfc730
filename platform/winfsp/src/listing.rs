//! Lists as WinFsp's driver takes them: of a directory's entries (FSP_FSCTL_DIR_INFO) and of streams (FSP_FSCTL_STREAM_INFO).
//!
//! An entry: `u16` size of it, padding to 8, the file's information (72 bytes), 24 bytes of 0, the name. A stream: `u16` size, padding
//! to 8, `u64` length, `u64` allocated, the name. Each begins at a multiple of 8; a size of 0 ends a list that is complete.

use crate::drive::{ALLOCATION_UNIT, Info, Listed, StreamInfo};

const ALIGNMENT: usize = 8;
const ENTRY_HEADER: usize = 104;
const STREAM_HEADER: usize = 24;
const END: [u8; 2] = [0; 2];

/// Entries of a directory, as many as there is room for.
#[derive(Debug)]
pub struct Entries {
    out: Vec<u8>,
    room: usize,
}

impl Entries {
    /// An empty list for a buffer of so many bytes.
    #[must_use]
    pub fn new(room: usize) -> Self {
        Self { out: Vec::with_capacity(room.min(64 << 10)), room }
    }

    /// Adds an entry, if there is room for it.
    pub fn push(&mut self, entry: &Listed) -> bool {
        let size = ENTRY_HEADER + entry.name.len() * 2;
        let Ok(size_short) = u16::try_from(size) else { return true };
        if self.out.len() + size.next_multiple_of(ALIGNMENT) > self.room {
            return false;
        }
        let start = self.out.len();
        self.out.extend_from_slice(&size_short.to_le_bytes());
        self.out.extend_from_slice(&[0; ALIGNMENT - 2]);
        push_info(&mut self.out, &entry.info);
        self.out.resize(start + ENTRY_HEADER, 0);
        self.out.extend(entry.name.iter().flat_map(|unit| unit.to_le_bytes()));
        self.out.resize(self.out.len().next_multiple_of(ALIGNMENT), 0);
        true
    }

    /// Notes that there are no more, if there is room for it. If not, the driver asks once more, and there is.
    pub fn end(&mut self) {
        if self.out.len() + END.len() <= self.room {
            self.out.extend_from_slice(&END);
        }
    }

    /// The list.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.out
    }
}

fn push_info(out: &mut Vec<u8>, info: &Info) {
    out.extend_from_slice(&info.attributes.to_le_bytes());
    out.extend_from_slice(&info.reparse_tag.to_le_bytes());
    for number in [
        info.allocation_size,
        info.file_size,
        info.creation_time,
        info.last_access_time,
        info.last_write_time,
        info.change_time,
        info.index_number,
    ] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&info.ea_size.to_le_bytes());
}

/// All streams of a file; `None` when there is no room for them.
#[must_use]
pub fn streams(streams: &[StreamInfo], room: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for stream in streams {
        let size = STREAM_HEADER + stream.name.len() * 2;
        out.extend_from_slice(&u16::try_from(size).ok()?.to_le_bytes());
        out.extend_from_slice(&[0; ALIGNMENT - 2]);
        out.extend_from_slice(&stream.len.to_le_bytes());
        out.extend_from_slice(&stream.len.next_multiple_of(ALLOCATION_UNIT).to_le_bytes());
        out.extend(stream.name.iter().flat_map(|unit| unit.to_le_bytes()));
        out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
    }
    if out.len() + END.len() <= room {
        out.extend_from_slice(&END);
    }
    (out.len() <= room).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> Listed {
        let info = Info { attributes: 0x20, file_size: 5, index_number: 7, ea_size: 9, ..Info::default() };
        Listed { name: name.encode_utf16().collect(), info }
    }

    #[test]
    fn an_entry_has_the_documented_bytes() {
        let mut list = Entries::new(1000);
        assert!(list.push(&entry("ab")));
        list.end();
        let out = list.finish();
        assert_eq!(out.len(), 112 + 2);
        assert_eq!(out[..2], [108, 0]);
        assert_eq!(out[8..12], [0x20, 0, 0, 0]);
        assert_eq!(out[24..32], 5u64.to_le_bytes());
        assert_eq!(out[64..72], 7u64.to_le_bytes());
        assert_eq!(out[76..80], 9u32.to_le_bytes());
        assert_eq!(out[104..], [b'a', 0, b'b', 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn an_entry_is_whole_or_not_there() {
        for (room, fits) in [(0, false), (111, false), (112, true)] {
            let mut list = Entries::new(room);
            assert_eq!(list.push(&entry("ab")), fits, "{room}");
            list.end();
            assert_eq!(list.finish().len(), if fits { 112 } else { 2.min(room) }, "{room}");
        }
    }

    #[test]
    fn streams_have_the_documented_bytes() {
        let list =
            [StreamInfo { name: Vec::new(), len: 3 }, StreamInfo { name: "s".encode_utf16().collect(), len: 5000 }];
        let out = streams(&list, 1000).unwrap();
        assert_eq!(out.len(), 24 + 32 + 2);
        assert_eq!(out[..2], [24, 0]);
        assert_eq!(out[8..16], 3u64.to_le_bytes());
        assert_eq!(out[16..24], 4096u64.to_le_bytes());
        assert_eq!(out[24..26], [26, 0]);
        assert_eq!(out[40..48], 8192u64.to_le_bytes());
        assert_eq!(out[48..50], [b's', 0]);
        assert_eq!(streams(&list, 55), None);
        assert_eq!(streams(&list, 56).map(|out| out.len()), Some(56));
    }
}
