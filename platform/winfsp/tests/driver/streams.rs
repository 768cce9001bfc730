//! Named streams.

use proxyfs_winfsp::Status;
use proxyfs_winfsp_double::{Create, disposition, option};

use crate::cases::cases;
use crate::world::status;

cases! {
    a_stream_is_made_written_and_read(w) {
        w.make("\\f", "main");
        w.make("\\f:zone", "[ZoneTransfer]");
        assert_eq!(w.content("\\f:zone"), Ok("[ZoneTransfer]".to_owned()));
        assert_eq!(w.content("\\f"), Ok("main".to_owned()));
    }

    a_stream_of_a_file_that_is_missing_is_refused_by_the_library(w) {
        let how = Create { disposition: disposition::CREATE, options: option::NON_DIRECTORY, ..Create::default() };
        assert_eq!(status(w.create("\\f:s", how)), Status::OBJECT_NAME_NOT_FOUND);
        assert!(w.names("\\").is_empty());
    }

    streams_are_listed_with_the_files_own_content_first(w) {
        w.make("\\f", "main");
        w.make("\\f:one", "1");
        w.make("\\f:two", "22");
        let file = w.open("\\f");
        let mut found = file.streams().unwrap();
        file.close().unwrap();
        assert_eq!(found.remove(0), (String::new(), 4));
        found.sort();
        assert_eq!(found, [("one".to_owned(), 1), ("two".to_owned(), 2)]);
    }

    a_directory_has_streams_and_no_content(w) {
        w.mkdir("\\d");
        w.make("\\d:s", "x");
        let dir = w.open("\\d");
        assert_eq!(dir.streams().unwrap(), [("s".to_owned(), 1)]);
        dir.close().unwrap();
        assert_eq!(w.content("\\d:s"), Ok("x".to_owned()));
    }

    a_stream_is_found_in_any_case_as_its_file_is(w) {
        w.make("\\f", "main");
        w.make("\\f:Zone", "x");
        assert_eq!(w.content("\\f:zone"), Ok("x".to_owned()));
    }

    a_missing_stream_is_missing(w) {
        w.make("\\f", "main");
        assert_eq!(status(w.try_open("\\f:s")), Status::OBJECT_NAME_NOT_FOUND);
    }

    a_stream_is_deleted_and_its_file_stays(w) {
        w.make("\\f", "main");
        w.make("\\f:s", "x");
        w.delete("\\f:s").unwrap();
        assert_eq!(status(w.try_open("\\f:s")), Status::OBJECT_NAME_NOT_FOUND);
        assert_eq!(w.content("\\f"), Ok("main".to_owned()));
    }

    a_stream_is_cut_grown_and_overwritten(w) {
        w.make("\\f", "main");
        w.make("\\f:s", "stream");
        let stream = w.open("\\f:s");
        assert_eq!(stream.set_size(3).unwrap().FileSize, 3);
        assert_eq!(stream.read_all(), Ok(b"str".to_vec()));
        stream.write(u64::MAX, b"ing").unwrap();
        assert_eq!(stream.read_all(), Ok(b"string".to_vec()));
        stream.close().unwrap();
        let how = Create { disposition: disposition::OVERWRITE, options: option::NON_DIRECTORY, ..Create::default() };
        let stream = w.create("\\f:s", how).unwrap();
        assert_eq!(stream.info.FileSize, 0);
        stream.close().unwrap();
        assert_eq!(w.content("\\f"), Ok("main".to_owned()), "only the stream is emptied");
    }

    a_stream_has_a_size_of_its_own(w) {
        w.make("\\f", "main content");
        w.make("\\f:s", "x");
        assert_eq!(w.info("\\f:s").size, 1);
        assert_eq!(w.info("\\f").size, 12);
    }

    overwriting_a_file_takes_its_streams(w) {
        w.make("\\f", "main");
        w.make("\\f:s", "x");
        let how = Create { disposition: disposition::OVERWRITE, options: option::NON_DIRECTORY, ..Create::default() };
        w.create("\\f", how).unwrap().close().unwrap();
        assert_eq!(status(w.try_open("\\f:s")), Status::OBJECT_NAME_NOT_FOUND);
    }

    streams_move_with_their_file(w) {
        w.make("\\a", "main");
        w.make("\\a:s", "x");
        w.rename("\\a", "\\b", false).unwrap();
        assert_eq!(w.content("\\b:s"), Ok("x".to_owned()));
    }

    a_stream_is_no_larger_than_its_attribute_may_be(w) {
        w.make("\\f", "main");
        let stream = w.new_file("\\f:s");
        assert_eq!(status(stream.write(0, &vec![7; 70_000])), Status::FILE_TOO_LARGE);
        assert!(stream.write(0, &vec![7; 60_000]).is_ok());
        stream.close().unwrap();
    }

    unix_sees_a_stream_as_samba_keeps_it(w) {
        w.make("\\f", "main");
        w.make("\\f:zone", "x");
        assert_eq!(w.xattr("f", "user.DosStream.zone:$DATA").as_deref(), Some(&b"x\0"[..]));
    }
}
