//! Renaming: onto names that are free, taken, open, read-only; of directories; across directories.

use proxyfs_winfsp::Status;
use proxyfs_winfsp_double::Create;

use crate::cases::cases;
use crate::world::status;

const READ_ONLY: u32 = 0x1;
const REPLACE: u32 = 0x1;
const POSIX: u32 = 0x2;
const IGNORE_READ_ONLY: u32 = 0x40;

cases! {
    a_file_moves_to_a_free_name(w) {
        w.make("\\a", "x");
        w.rename("\\a", "\\b", false).unwrap();
        assert_eq!(w.names("\\"), ["b"]);
        assert_eq!(w.content("\\b"), Ok("x".to_owned()));
    }

    a_file_moves_into_another_directory(w) {
        w.mkdir("\\d");
        w.make("\\a", "x");
        w.rename("\\a", "\\d\\b", false).unwrap();
        assert_eq!(w.content("\\d\\b"), Ok("x".to_owned()));
        assert_eq!(w.names("\\"), ["d"]);
    }

    a_file_is_written_on_under_its_new_name(w) {
        w.make("\\a", "x");
        let file = w.open("\\a");
        file.rename("\\b", false).unwrap();
        file.write(1, b"y").unwrap();
        file.set_delete(true).unwrap();
        file.set_delete(false).unwrap();
        file.close().unwrap();
        assert_eq!(w.content("\\b"), Ok("xy".to_owned()));
    }

    a_name_that_is_taken_is_replaced_only_if_asked(w) {
        w.make("\\a", "a");
        w.make("\\b", "b");
        assert_eq!(status(w.rename("\\a", "\\b", false)), Status::OBJECT_NAME_COLLISION);
        assert_eq!(w.content("\\b"), Ok("b".to_owned()));
        w.rename("\\a", "\\b", true).unwrap();
        assert_eq!(w.content("\\b"), Ok("a".to_owned()));
        assert_eq!(w.names("\\"), ["b"]);
    }

    an_open_file_is_replaced_only_in_the_posix_way(w) {
        w.make("\\a", "a");
        w.make("\\b", "b");
        let reader = w.open("\\b");
        assert_eq!(status(w.rename("\\a", "\\b", true)), Status::ACCESS_DENIED);
        let file = w.open("\\a");
        file.rename_ex("\\b", REPLACE | POSIX).unwrap_or_else(|s| panic!("{}", Status(s)));
        file.close().unwrap();
        assert_eq!(reader.read_all(), Ok(b"b".to_vec()));
        reader.close().unwrap();
        assert_eq!(w.content("\\b"), Ok("a".to_owned()));
    }

    a_read_only_file_is_not_replaced_unless_that_is_to_be_ignored(w) {
        w.make("\\a", "a");
        w.make("\\b", "b");
        let file = w.open("\\b");
        file.set_basic(Some(READ_ONLY), Default::default()).unwrap();
        file.close().unwrap();
        let refused = status(w.rename("\\a", "\\b", true));
        assert!([Status::ACCESS_DENIED, Status::CANNOT_DELETE].contains(&refused), "{refused}");
        let file = w.open("\\a");
        file.rename_ex("\\b", REPLACE | POSIX | IGNORE_READ_ONLY).unwrap_or_else(|s| panic!("{}", Status(s)));
        file.close().unwrap();
        assert_eq!(w.content("\\b"), Ok("a".to_owned()));
    }

    a_directory_moves_with_all_that_is_in_it(w) {
        w.mkdir("\\d");
        w.mkdir("\\d\\e");
        w.make("\\d\\e\\f", "deep");
        w.rename("\\d", "\\moved", false).unwrap();
        assert_eq!(w.content("\\moved\\e\\f"), Ok("deep".to_owned()));
        assert!(!w.exists("\\d"));
    }

    a_directory_is_never_replaced(w) {
        w.make("\\f", "x");
        w.mkdir("\\d");
        w.mkdir("\\e");
        assert_eq!(status(w.rename("\\f", "\\d", true)), Status::ACCESS_DENIED);
        assert_eq!(status(w.rename("\\e", "\\d", true)), Status::ACCESS_DENIED);
        assert_eq!(status(w.rename("\\e", "\\f", true)), Status::ACCESS_DENIED);
        assert_eq!(w.names("\\"), ["d", "e", "f"]);
    }

    a_directory_does_not_move_into_itself(w) {
        w.mkdir("\\d");
        let refused = status(w.rename("\\d", "\\d\\below", false));
        assert_eq!(refused, Status::INVALID_PARAMETER);
        assert!(w.exists("\\d"));
    }

    a_name_in_a_directory_that_is_missing_is_refused(w) {
        w.make("\\f", "x");
        assert_eq!(status(w.rename("\\f", "\\missing\\f", false)), Status::OBJECT_PATH_NOT_FOUND);
        assert!(w.exists("\\f"));
    }

    a_rename_onto_itself_changes_nothing(w) {
        w.make("\\f", "x");
        w.rename("\\f", "\\f", true).unwrap();
        assert_eq!(w.content("\\f"), Ok("x".to_owned()));
    }

    a_renamed_file_keeps_its_times_attributes_and_number(w) {
        w.make("\\a", "x");
        let file = w.open("\\a");
        file.set_basic(Some(0x2), Default::default()).unwrap();
        file.close().unwrap();
        let before = w.info("\\a");
        w.rename("\\a", "\\b", false).unwrap();
        let after = w.info("\\b");
        assert_eq!((after.index, after.attributes, after.write, after.creation), (before.index, before.attributes, before.write, before.creation));
    }

    a_directory_in_which_something_is_open_is_not_renamed_by_the_driver(w) {
        w.mkdir("\\d");
        w.make("\\d\\f", "x");
        let file = w.open("\\d\\f");
        assert_eq!(status(w.rename("\\d", "\\e", false)), Status::ACCESS_DENIED);
        file.close().unwrap();
        w.rename("\\d", "\\e", false).unwrap();
        assert_eq!(w.content("\\e\\f"), Ok("x".to_owned()));
    }

    a_file_is_deleted_by_the_name_that_it_was_given_while_open(w) {
        w.make("\\a", "x");
        let file = w.create("\\a", Create::default()).unwrap();
        file.rename("\\b", false).unwrap();
        file.set_delete(true).unwrap();
        file.close().unwrap();
        assert!(w.names("\\").is_empty());
    }
}
