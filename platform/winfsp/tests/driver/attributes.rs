//! File attributes and the four times.

use std::time::{Duration, SystemTime};

use proxyfs_winfsp::{Status, time};
use proxyfs_winfsp_double::Times;

use crate::cases::cases;
use crate::world::status;

const READ_ONLY: u32 = 0x1;
const HIDDEN: u32 = 0x2;
const SYSTEM: u32 = 0x4;
const DIRECTORY: u32 = 0x10;
const ARCHIVE: u32 = 0x20;
const NORMAL: u32 = 0x80;
/// 2020-09-13 12:26:40 UTC and a few steps of 100 ns.
const SOME_TIME: u64 = 132_444_736_000_000_123;

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    time::to_windows(proxyfs_core::types::Timestamp::new(since.as_secs() as i64, since.subsec_nanos()))
}

cases! {
    a_new_file_is_one_that_was_not_backed_up_yet(w) {
        w.make("\\f", "x");
        assert_eq!(w.info("\\f").attributes, ARCHIVE);
    }

    a_new_directory_is_just_one(w) {
        w.mkdir("\\d");
        assert_eq!(w.info("\\d").attributes, DIRECTORY);
    }

    every_attribute_is_kept(w) {
        w.make("\\f", "x");
        let file = w.open("\\f");
        for wanted in [HIDDEN, SYSTEM, READ_ONLY, ARCHIVE, HIDDEN | SYSTEM | READ_ONLY | ARCHIVE, 0x100, 0x2000] {
            assert_eq!(file.set_basic(Some(wanted), Times::default()).unwrap().FileAttributes, wanted, "{wanted:#x}");
            assert_eq!(w.info("\\f").attributes, wanted, "{wanted:#x}");
        }
        file.close().unwrap();
    }

    normal_means_none(w) {
        w.make("\\f", "x");
        let file = w.open("\\f");
        assert_eq!(file.set_basic(Some(NORMAL), Times::default()).unwrap().FileAttributes, NORMAL);
        file.close().unwrap();
        assert_eq!(w.info("\\f").attributes, NORMAL);
    }

    attributes_of_a_directory_are_kept_beside_that_it_is_one(w) {
        w.mkdir("\\d");
        let dir = w.open("\\d");
        dir.set_basic(Some(DIRECTORY | HIDDEN | READ_ONLY), Times::default()).unwrap();
        dir.close().unwrap();
        assert_eq!(w.info("\\d").attributes, DIRECTORY | HIDDEN | READ_ONLY);
    }

    a_file_does_not_become_a_directory_by_an_attribute(w) {
        w.make("\\f", "x");
        let file = w.open("\\f");
        assert_eq!(status(file.set_basic(Some(DIRECTORY), Times::default())), Status::INVALID_PARAMETER);
        file.close().unwrap();
    }

    what_is_not_given_is_left_alone(w) {
        w.make("\\f", "x");
        let file = w.open("\\f");
        file.set_basic(Some(HIDDEN), Times { write: SOME_TIME, ..Times::default() }).unwrap();
        let before = file.query().unwrap();
        let after = file.set_basic(None, Times::default()).unwrap();
        assert_eq!((after.FileAttributes, after.LastWriteTime), (before.FileAttributes, before.LastWriteTime));
        file.close().unwrap();
    }

    a_written_file_is_to_be_backed_up_again(w) {
        w.make("\\f", "x");
        let file = w.open("\\f");
        file.set_basic(Some(NORMAL), Times::default()).unwrap();
        file.write(0, b"y").unwrap();
        file.close().unwrap();
        assert_eq!(w.info("\\f").attributes, ARCHIVE);
    }

    permissions_without_write_show_as_read_only(w) {
        w.make("\\f", "x");
        w.chmod("f", 0o444);
        assert_eq!(w.info("\\f").attributes & READ_ONLY, READ_ONLY);
        w.chmod("f", 0o644);
        assert_eq!(w.info("\\f").attributes & READ_ONLY, 0);
    }

    all_four_times_are_set_and_kept(w) {
        w.make("\\f", "x");
        let file = w.open("\\f");
        let [creation, access, write, change] = [0, 1, 2, 3].map(|n| SOME_TIME + n * 10_000_000_000);
        file.set_basic(None, Times { creation, access, write, change }).unwrap();
        file.close().unwrap();
        let info = w.info("\\f");
        assert_eq!([info.creation, info.access, info.write, info.change], [creation, access, write, change]);
    }

    times_of_a_directory_are_set_and_kept(w) {
        w.mkdir("\\d");
        let dir = w.open("\\d");
        dir.set_basic(None, Times { creation: SOME_TIME, write: SOME_TIME + 7, ..Times::default() }).unwrap();
        dir.close().unwrap();
        let info = w.info("\\d");
        assert_eq!((info.creation, info.write), (SOME_TIME, SOME_TIME + 7));
    }

    times_are_seen_by_unix(w) {
        w.make("\\f", "x");
        let file = w.open("\\f");
        file.set_basic(None, Times { write: SOME_TIME, ..Times::default() }).unwrap();
        file.close().unwrap();
        assert_eq!(time::to_windows(w.attr("f").mtime), SOME_TIME);
    }

    a_new_file_has_the_time_of_now(w) {
        let before = now();
        w.make("\\f", "x");
        let after = now();
        let info = w.info("\\f");
        for (what, time) in [("creation", info.creation), ("write", info.write), ("change", info.change)] {
            assert!(before <= time && time <= after, "{what}: {before} {time} {after}");
        }
    }

    a_time_that_was_set_stays_while_the_file_is_written_through_the_same_handle(w) {
        let file = w.new_file("\\f");
        file.set_basic(None, Times { write: SOME_TIME, ..Times::default() }).unwrap();
        assert_eq!(file.write(0, b"x").unwrap().LastWriteTime, SOME_TIME);
        file.close().unwrap();
        assert_eq!(w.info("\\f").write, SOME_TIME);
        let file = w.open("\\f");
        assert_ne!(file.write(0, b"y").unwrap().LastWriteTime, SOME_TIME);
        file.close().unwrap();
    }

    a_file_keeps_its_number(w) {
        w.make("\\f", "x");
        w.make("\\g", "x");
        let (f, g) = (w.info("\\f"), w.info("\\g"));
        assert_ne!(f.index, g.index);
        assert_eq!(w.info("\\f").index, f.index);
    }
}
