//! Names: case, spelling, what Windows reserves, paths that lead nowhere.

use proxyfs_winfsp::Status;
use proxyfs_winfsp_double::{Create, disposition, option};

use crate::cases::cases;
use crate::world::status;

cases! {
    a_name_is_kept_as_it_is_spelt(w) {
        w.make("\\MixedCase.Txt", "x");
        assert_eq!(w.names("\\"), ["MixedCase.Txt"]);
        assert_eq!(w.open("\\MixedCase.Txt").close(), Ok(()));
    }

    another_case_finds_a_file_where_the_volume_says_so(w) {
        w.make("\\MixedCase.Txt", "x");
        if w.case_insensitive {
            let file = w.open("\\mixedcase.TXT");
            assert_eq!(file.name(), "\\MixedCase.Txt", "the driver is told the spelling");
            file.close().unwrap();
        } else {
            assert_eq!(status(w.try_open("\\mixedcase.TXT")), Status::OBJECT_NAME_NOT_FOUND);
        }
    }

    creating_a_name_in_another_case_collides_where_the_volume_says_so(w) {
        w.make("\\a", "x");
        let made = w.create("\\A", Create { disposition: disposition::CREATE, ..Create::default() });
        if w.case_insensitive {
            assert_eq!(status(made), Status::OBJECT_NAME_COLLISION);
        } else {
            made.unwrap().close().unwrap();
            assert_eq!(w.names("\\"), ["A", "a"]);
        }
    }

    letters_beyond_ascii_fold_as_well(w) {
        w.make("\\\u{e9}t\u{e9}.txt", "x");
        assert_eq!(w.exists("\\\u{c9}T\u{c9}.TXT"), w.case_insensitive);
        assert_eq!(w.names("\\"), ["\u{e9}t\u{e9}.txt"]);
    }

    renaming_changes_only_the_case(w) {
        w.make("\\readme", "x");
        w.rename("\\readme", "\\README", false).unwrap();
        assert_eq!(w.names("\\"), ["README"]);
        assert_eq!(w.content("\\README"), Ok("x".to_owned()));
    }

    names_that_windows_reserves_are_shown_by_private_characters(w) {
        for name in [&b"a:b"[..], b"what?", b"con", b"nul.txt", b"ends.", b"ends ", b"back\\slash", b"tab\there"] {
            w.unix_file(name);
        }
        let mut shown = w.names("\\");
        shown.sort();
        let mut expected = [
            "a\u{f03a}b", "what\u{f03f}", "\u{f063}on", "\u{f06e}ul.txt", "ends\u{f02e}", "ends\u{f020}",
            "back\u{f05c}slash", "tab\u{f009}here",
        ];
        expected.sort_unstable();
        assert_eq!(shown, expected);
        for name in expected {
            w.make_sure(&format!("\\{name}"));
        }
    }

    bytes_that_are_no_text_are_shown_and_found_again(w) {
        w.unix_file(b"latin \xe9");
        let names = w.names("\\");
        assert_eq!(names, ["latin \u{f0e9}"]);
        w.rename("\\latin \u{f0e9}", "\\latin \u{f0e8}", false).unwrap();
        assert_eq!(w.attr("").kind, proxyfs_core::fs::FileKind::Dir);
        assert_eq!(w.names("\\"), ["latin \u{f0e8}"]);
    }

    names_of_255_characters_are_made_and_longer_ones_are_not(w) {
        let longest = format!("\\{}", "n".repeat(255));
        w.make(&longest, "x");
        assert_eq!(w.content(&longest), Ok("x".to_owned()));
        let longer = format!("{longest}n");
        let made = w.create(&longer, Create { disposition: disposition::CREATE, ..Create::default() });
        assert_eq!(status(made), Status::NAME_TOO_LONG);
    }

    long_paths_work(w) {
        let mut path = String::new();
        for _ in 0..6 {
            path = format!("{path}\\{}", "d".repeat(100));
            w.mkdir(&path);
        }
        path.push_str("\\file");
        assert!(path.len() > 600);
        w.make(&path, "deep");
        assert_eq!(w.content(&path), Ok("deep".to_owned()));
    }

    paths_say_where_they_end(w) {
        w.mkdir("\\dir");
        w.make("\\file", "x");
        for (path, expected) in [
            ("\\missing", Status::OBJECT_NAME_NOT_FOUND),
            ("\\dir\\missing", Status::OBJECT_NAME_NOT_FOUND),
            ("\\missing\\below", Status::OBJECT_PATH_NOT_FOUND),
            ("\\file\\below", Status::OBJECT_PATH_NOT_FOUND),
            ("\\dir\\missing\\below", Status::OBJECT_PATH_NOT_FOUND),
        ] {
            assert_eq!(status(w.try_open(path)), expected, "{path}");
        }
    }

    a_directory_is_opened_only_as_one_and_a_file_only_as_one(w) {
        w.mkdir("\\dir");
        w.make("\\file", "x");
        let as_file = Create { options: option::NON_DIRECTORY, ..Create::default() };
        let as_dir = Create { options: option::DIRECTORY, ..Create::default() };
        assert_eq!(status(w.create("\\dir", as_file.clone())), Status::FILE_IS_A_DIRECTORY);
        assert_eq!(status(w.create("\\file", as_dir.clone())), Status::NOT_A_DIRECTORY);
        w.create("\\dir", as_dir).unwrap().close().unwrap();
        w.create("\\file", as_file).unwrap().close().unwrap();
    }

    the_root_opens_and_has_no_parent(w) {
        let root = w.open("\\");
        assert_ne!(root.info.FileAttributes & 0x10, 0);
        root.close().unwrap();
        assert!(!w.list("\\").iter().any(|e| e.name == "." || e.name == ".."));
    }

    names_that_begin_with_a_full_stop_are_hidden_if_windows_did_not_make_them(w) {
        w.unix_file(b".profile");
        w.make("\\plain", "x");
        w.make("\\.mine", "x");
        assert_eq!(w.info("\\.mine").attributes & 0x2, 0, "its maker did not ask for it");
        assert_eq!(w.info("\\.profile").attributes & 0x2, 0x2);
        assert_eq!(w.info("\\plain").attributes & 0x2, 0);
    }
}

impl crate::world::World {
    fn make_sure(&self, name: &str) {
        self.open(name).close().unwrap();
        self.delete(name).unwrap();
        assert!(!self.exists(name), "{name}");
    }
}
