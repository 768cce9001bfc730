//! Dispositions: open, create, open-if, overwrite, supersede.

use proxyfs_winfsp::Status;
use proxyfs_winfsp_double::{Create, disposition, option};

use crate::cases::cases;
use crate::world::status;

const SUPERSEDED: u32 = 0;
const OPENED: u32 = 1;
const CREATED: u32 = 2;
const OVERWRITTEN: u32 = 3;
const HIDDEN: u32 = 0x2;
const ARCHIVE: u32 = 0x20;
const SYSTEM: u32 = 0x4;

fn by(disposition: u32) -> Create {
    Create { disposition, options: option::NON_DIRECTORY, ..Create::default() }
}

cases! {
    create_makes_a_file_and_says_so(w) {
        let file = w.create("\\f", by(disposition::CREATE)).unwrap();
        assert_eq!((file.information, file.info.FileSize), (CREATED, 0));
        file.close().unwrap();
        assert!(w.exists("\\f"));
    }

    create_refuses_a_name_that_is_taken(w) {
        w.make("\\f", "x");
        assert_eq!(status(w.create("\\f", by(disposition::CREATE))), Status::OBJECT_NAME_COLLISION);
        assert_eq!(w.content("\\f"), Ok("x".to_owned()));
    }

    create_of_a_file_over_a_directory_says_what_it_is(w) {
        w.mkdir("\\d");
        assert_eq!(status(w.create("\\d", by(disposition::CREATE))), Status::FILE_IS_A_DIRECTORY);
    }

    create_makes_a_directory(w) {
        let dir = w.new_dir("\\d");
        assert_eq!(dir.information, CREATED);
        assert_ne!(dir.info.FileAttributes & 0x10, 0);
        dir.close().unwrap();
    }

    open_opens_and_refuses_what_is_missing(w) {
        assert_eq!(status(w.create("\\f", by(disposition::OPEN))), Status::OBJECT_NAME_NOT_FOUND);
        w.make("\\f", "x");
        let file = w.create("\\f", by(disposition::OPEN)).unwrap();
        assert_eq!(file.information, OPENED);
        file.close().unwrap();
    }

    open_if_makes_what_is_missing_and_opens_what_is_there(w) {
        let file = w.create("\\f", by(disposition::OPEN_IF)).unwrap();
        assert_eq!(file.information, CREATED);
        file.write(0, b"kept").unwrap();
        file.close().unwrap();
        let file = w.create("\\f", by(disposition::OPEN_IF)).unwrap();
        assert_eq!((file.information, file.info.FileSize), (OPENED, 4));
        file.close().unwrap();
    }

    overwrite_empties_a_file_and_refuses_what_is_missing(w) {
        assert_eq!(status(w.create("\\f", by(disposition::OVERWRITE))), Status::OBJECT_NAME_NOT_FOUND);
        w.make("\\f", "content");
        let file = w.create("\\f", by(disposition::OVERWRITE)).unwrap();
        assert_eq!((file.information, file.info.FileSize), (OVERWRITTEN, 0));
        file.close().unwrap();
        assert_eq!(w.content("\\f"), Ok(String::new()));
    }

    overwrite_if_empties_or_makes(w) {
        let file = w.create("\\f", by(disposition::OVERWRITE_IF)).unwrap();
        assert_eq!(file.information, CREATED);
        file.write(0, b"content").unwrap();
        file.close().unwrap();
        let file = w.create("\\f", by(disposition::OVERWRITE_IF)).unwrap();
        assert_eq!((file.information, file.info.FileSize), (OVERWRITTEN, 0));
        file.close().unwrap();
    }

    supersede_replaces_content_and_attributes(w) {
        w.make("\\f", "content");
        let file = w.open("\\f");
        file.set_basic(Some(HIDDEN), Default::default()).unwrap();
        file.close().unwrap();
        let how = Create { attributes: SYSTEM, ..by(disposition::SUPERSEDE) };
        let file = w.create("\\f", how).unwrap();
        assert_eq!((file.information, file.info.FileSize), (SUPERSEDED, 0));
        assert_eq!(file.info.FileAttributes, SYSTEM | ARCHIVE);
        file.close().unwrap();
    }

    overwrite_adds_attributes_to_those_that_are_there(w) {
        w.make("\\f", "content");
        let file = w.open("\\f");
        file.set_basic(Some(SYSTEM), Default::default()).unwrap();
        file.close().unwrap();
        let how = Create { attributes: SYSTEM | HIDDEN, ..by(disposition::OVERWRITE) };
        let file = w.create("\\f", how).unwrap();
        assert_eq!(file.info.FileAttributes, SYSTEM | HIDDEN | ARCHIVE);
        file.close().unwrap();
    }

    overwriting_keeps_the_file_itself_and_when_it_was_made(w) {
        w.make("\\f", "content");
        let before = w.info("\\f");
        w.create("\\f", by(disposition::OVERWRITE)).unwrap().close().unwrap();
        let after = w.info("\\f");
        assert_eq!((after.index, after.creation), (before.index, before.creation));
    }

    a_directory_is_not_overwritten(w) {
        w.mkdir("\\d");
        let how = Create { disposition: disposition::OVERWRITE, ..Create::default() };
        let refused = status(w.create("\\d", how));
        assert!([Status::FILE_IS_A_DIRECTORY, Status::ACCESS_DENIED, Status::INVALID_PARAMETER].contains(&refused), "{refused}");
        assert!(w.exists("\\d"));
    }

    two_that_open_or_create_at_once_both_succeed(w) {
        for round in 0..20 {
            let name = format!("\\race{round}");
            let made = std::thread::scope(|scope| {
                let one = || w.device.create(&name, &by(disposition::OPEN_IF)).map(|file| {
                    let information = file.information;
                    file.close().unwrap();
                    information
                });
                let threads = [scope.spawn(one), scope.spawn(one), scope.spawn(one)];
                threads.map(|thread| thread.join().unwrap())
            });
            assert!(made.iter().all(|m| matches!(m, Ok(OPENED | CREATED))), "{made:?}");
            assert_eq!(made.iter().filter(|m| **m == Ok(CREATED)).count(), 1, "{made:?}");
        }
    }

    a_file_made_with_attributes_has_them(w) {
        let how = Create { attributes: HIDDEN | SYSTEM, ..by(disposition::CREATE) };
        w.create("\\f", how).unwrap().close().unwrap();
        assert_eq!(w.info("\\f").attributes, HIDDEN | SYSTEM | ARCHIVE);
    }

    an_editors_save_by_temporary_file_keeps_every_version_whole(w) {
        w.make("\\report.docx", "old");
        let reader = w.open("\\report.docx");
        // Word: write ~WRD, move the document out of the way, move the new one in, delete the old.
        w.make("\\~WRD0001.tmp", "new version");
        w.rename("\\report.docx", "\\~WRL0002.tmp", false).unwrap_or_else(|status| panic!("{}", Status(status)));
        w.rename("\\~WRD0001.tmp", "\\report.docx", false).unwrap();
        assert_eq!(reader.read_all(), Ok(b"old".to_vec()), "who has the old one open reads on");
        w.delete("\\~WRL0002.tmp").unwrap();
        assert_eq!(w.content("\\report.docx"), Ok("new version".to_owned()));
        reader.close().unwrap();
        assert_eq!(w.names("\\"), ["report.docx"]);
    }

    an_editors_save_by_renaming_over_the_open_original_keeps_every_version_whole(w) {
        const REPLACE_POSIX: u32 = 0x3;
        w.make("\\sheet.xlsx", "old");
        let reader = w.open("\\sheet.xlsx");
        let new = w.new_file("\\A1B2.tmp");
        new.write(0, b"new version").unwrap();
        new.flush().unwrap();
        new.rename_ex("\\sheet.xlsx", REPLACE_POSIX).unwrap_or_else(|status| panic!("{}", Status(status)));
        new.close().unwrap();
        assert_eq!(w.content("\\sheet.xlsx"), Ok("new version".to_owned()));
        assert_eq!(reader.read_all(), Ok(b"old".to_vec()));
        reader.close().unwrap();
        assert_eq!(w.names("\\"), ["sheet.xlsx"]);
    }

    a_save_that_replaces_a_file_takes_a_backup_aside(w) {
        // ReplaceFile: the original becomes the backup, the replacement takes its name.
        w.make("\\doc", "old");
        w.make("\\doc.new", "new");
        w.rename("\\doc", "\\doc.bak", true).unwrap();
        w.rename("\\doc.new", "\\doc", true).unwrap();
        assert_eq!((w.content("\\doc"), w.content("\\doc.bak")), (Ok("new".to_owned()), Ok("old".to_owned())));
    }
}
