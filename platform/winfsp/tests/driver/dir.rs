//! Listings: with markers and buffers of every size, by name and by pattern, while they change.

use proxyfs_winfsp::Status;
use proxyfs_winfsp_double::{Create, option};

use crate::cases::cases;
use crate::world::{World, status};

/// Bytes of an entry without its name.
const ENTRY_HEADER: u32 = 104;

fn many(w: &World, dir: &str, count: usize) -> Vec<String> {
    let mut names: Vec<String> = (0..count).map(|n| format!("file-{n:05}")).collect();
    for name in &names {
        w.make(&format!("{dir}\\{name}"), "");
    }
    names.sort();
    names
}

fn listed(w: &World, dir: &str, len: u32) -> Vec<String> {
    let opened = w.create(dir, Create { options: option::DIRECTORY, ..Create::default() }).expect("a directory");
    let names = opened.list(len).expect("listed").into_iter().map(|entry| entry.name);
    let names = names.filter(|name| name != "." && name != "..").collect();
    opened.close().expect("closed");
    names
}

cases! {
    an_empty_directory_lists_the_dots_alone(w) {
        w.mkdir("\\d");
        let names: Vec<_> = w.list("\\d").into_iter().map(|e| e.name).collect();
        assert_eq!(names, [".", ".."]);
    }

    an_empty_root_lists_nothing(w) {
        assert!(w.list("\\").is_empty());
    }

    entries_say_how_they_are(w) {
        w.make("\\f", "12345");
        w.mkdir("\\d");
        let entries = w.list("\\");
        let of = |name: &str| entries.iter().find(|e| e.name == name).map(|e| e.info).unwrap();
        assert_eq!((of("f").FileSize, of("f").FileAttributes), (5, 0x20));
        assert_eq!(of("d").FileAttributes, 0x10);
        assert_eq!(of("f").IndexNumber, w.info("\\f").index);
        assert_eq!(of("f").LastWriteTime, w.info("\\f").write);
    }

    buffers_of_every_size_list_the_same(w) {
        w.mkdir("\\d");
        let expected = many(w, "\\d", 60);
        // From a buffer that holds one entry up.
        let one = ENTRY_HEADER + 20 + 4;
        for len in [one, one + 1, one + 8, 2 * one, 3 * one + 5, 1000, 4096, 65_536, 1 << 20] {
            assert_eq!(listed(w, "\\d", len), expected, "{len} bytes");
        }
    }

    every_marker_goes_on_behind_it(w) {
        w.mkdir("\\d");
        let expected = many(w, "\\d", 12);
        let dir = w.create("\\d", Create { options: option::DIRECTORY, ..Create::default() }).unwrap();
        for (at, marker) in expected.iter().enumerate() {
            let list = dir.begin_list(Some(marker), None, 65_536).wait().unwrap();
            let entries = expected.len() - at - 1;
            // Each entry of these names takes 128 bytes; two bytes end the list.
            assert_eq!(list.len(), entries * 128 + 2, "{marker}");
        }
        dir.close().unwrap();
    }

    a_marker_that_is_gone_still_tells_where_to_go_on(w) {
        w.mkdir("\\d");
        let expected = many(w, "\\d", 10);
        let dir = w.create("\\d", Create { options: option::DIRECTORY, ..Create::default() }).unwrap();
        w.delete(&format!("\\d\\{}", expected[4])).unwrap();
        let list = dir.begin_list(Some(&expected[4]), None, 65_536).wait().unwrap();
        assert_eq!(list.len(), 5 * 128 + 2);
        dir.close().unwrap();
    }

    one_entry_is_found_by_its_name(w) {
        w.mkdir("\\d");
        w.make("\\d\\Some.Name", "123");
        let dir = w.create("\\d", Create { options: option::DIRECTORY, ..Create::default() }).unwrap();
        let found = dir.find("Some.Name").unwrap();
        assert_eq!((found.len(), found[0].name.as_str(), found[0].info.FileSize), (1, "Some.Name", 3));
        assert_eq!(dir.find("some.name").is_ok(), w.case_insensitive);
        assert!(dir.find("missing").is_err());
        dir.close().unwrap();
    }

    entries_are_found_by_a_pattern(w) {
        w.mkdir("\\d");
        for name in ["a.txt", "b.txt", "c.doc", "txt"] {
            w.make(&format!("\\d\\{name}"), "");
        }
        let dir = w.create("\\d", Create { options: option::DIRECTORY, ..Create::default() }).unwrap();
        let names = |pattern: &str| dir.find(pattern).map(|all| all.into_iter().map(|e| e.name).collect::<Vec<_>>());
        assert_eq!(names("*.txt").unwrap(), ["a.txt", "b.txt"]);
        assert_eq!(names("?.doc").unwrap(), ["c.doc"]);
        assert!(names("*.exe").is_err());
        dir.close().unwrap();
    }

    entries_that_stay_are_listed_once_while_others_come_and_go(w) {
        w.mkdir("\\d");
        let stay = many(w, "\\d", 40);
        let dir = w.create("\\d", Create { options: option::DIRECTORY, ..Create::default() }).unwrap();
        let mut seen: Vec<String> = Vec::new();
        let mut marker: Option<String> = None;
        for round in 0.. {
            let list = dir.begin_list(marker.as_deref(), None, 700).wait().unwrap();
            let page = names_of(&list);
            if page.is_empty() {
                break;
            }
            marker = page.last().cloned();
            seen.extend(page);
            w.make(&format!("\\d\\a-new-{round}"), "");
            w.make(&format!("\\d\\z-new-{round}"), "");
            w.delete(&format!("\\d\\a-new-{round}")).unwrap();
            if round > 20 {
                break;
            }
        }
        dir.close().unwrap();
        seen.retain(|name| name.starts_with("file-"));
        assert_eq!(seen, stay);
    }

    a_file_is_no_directory_to_list(w) {
        w.make("\\f", "x");
        let how = Create { options: option::DIRECTORY, ..Create::default() };
        assert_eq!(status(w.create("\\f", how)), Status::NOT_A_DIRECTORY);
    }

    ten_thousand_entries_are_listed_with_every_size_of_buffer(w) {
        w.mkdir("\\d");
        let expected = w.unix(Populate("d", 10_000));
        for len in [4096, 16_384, 65_536, 1 << 20] {
            let names = listed(w, "\\d", len);
            assert_eq!(names.len(), expected.len(), "{len} bytes");
            assert!(names == expected, "{len} bytes");
        }
        let dir = w.create("\\d", Create { options: option::DIRECTORY, ..Create::default() }).unwrap();
        assert_eq!(dir.find("e9999").unwrap().len(), 1);
        dir.close().unwrap();
    }
}

fn names_of(mut list: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    while let Some([s0, s1]) = list.first_chunk::<2>() {
        let size = usize::from(u16::from_le_bytes([*s0, *s1]));
        if size == 0 {
            break;
        }
        let units: Vec<u16> =
            list[ENTRY_HEADER as usize..size].chunks_exact(2).map(|u| u16::from_le_bytes([u[0], u[1]])).collect();
        names.push(String::from_utf16_lossy(&units));
        list = list.get(size.next_multiple_of(8)..).unwrap_or_default();
    }
    names
}

/// Makes many files as Unix does.
struct Populate<'a>(&'a str, usize);

impl crate::world::Unix<Vec<String>> for Populate<'_> {
    fn on<F: proxyfs_core::fs::FileSystem>(self, fs: &F) -> Vec<String> {
        use proxyfs_core::fs::{Caller, FileKind, NewNode};
        use proxyfs_core::types::Ino;
        crate::world::runtime().block_on(async {
            let dir = fs.lookup(Ino::ROOT, self.0.as_bytes()).await.unwrap().ino;
            let node = NewNode { kind: FileKind::File, perm: 0o644, umask: 0, rdev: 0 };
            let names: Vec<String> = (0..self.1).map(|n| format!("e{n:04}")).collect();
            for name in &names {
                fs.mknod(Caller::default(), dir, name.as_bytes(), node).await.unwrap();
            }
            names
        })
    }
}
