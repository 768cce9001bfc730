//! Deletion: marked and done at cleanup, delete-on-close, the POSIX way, refusals.

use proxyfs_winfsp::Status;
use proxyfs_winfsp_double::{Create, option};

use crate::cases::cases;
use crate::world::status;

const READ_ONLY: u32 = 0x1;
const DELETE: u32 = 0x1;
const POSIX: u32 = 0x2;
const IGNORE_READ_ONLY: u32 = 0x10;
/// STATUS_DELETE_PENDING, which the driver gives.
const DELETE_PENDING: Status = Status(0xc000_0056);

cases! {
    a_marked_file_goes_when_it_is_closed(w) {
        w.make("\\f", "x");
        let file = w.open("\\f");
        file.set_delete(true).unwrap();
        assert_eq!(w.names("\\"), ["f"], "still there");
        file.close().unwrap();
        assert!(w.names("\\").is_empty());
    }

    a_mark_can_be_taken_back(w) {
        w.make("\\f", "x");
        let file = w.open("\\f");
        file.set_delete(true).unwrap();
        file.set_delete(false).unwrap();
        file.close().unwrap();
        assert!(w.exists("\\f"));
    }

    a_marked_file_goes_when_the_last_of_two_is_closed(w) {
        w.make("\\f", "x");
        let (first, second) = (w.open("\\f"), w.open("\\f"));
        first.set_delete(true).unwrap();
        first.close().unwrap();
        assert_eq!(second.read_all(), Ok(b"x".to_vec()));
        assert_eq!(w.names("\\"), ["f"]);
        assert_eq!(status(w.try_open("\\f")), DELETE_PENDING);
        second.close().unwrap();
        assert!(!w.exists("\\f"));
    }

    delete_on_close_deletes(w) {
        w.make("\\f", "x");
        let how = Create { options: option::DELETE_ON_CLOSE, ..Create::default() };
        w.create("\\f", how).unwrap().close().unwrap();
        assert!(!w.exists("\\f"));
    }

    delete_on_close_of_a_read_only_file_is_refused(w) {
        w.make("\\f", "x");
        let file = w.open("\\f");
        file.set_basic(Some(READ_ONLY), Default::default()).unwrap();
        file.close().unwrap();
        let how = Create { options: option::DELETE_ON_CLOSE, access: 0x1_0080, ..Create::default() };
        assert_eq!(status(w.create("\\f", how)), Status::CANNOT_DELETE);
    }

    a_posix_deletion_takes_the_name_at_once_and_leaves_the_content_to_who_has_it_open(w) {
        w.make("\\f", "content");
        let reader = w.open("\\f");
        let file = w.open("\\f");
        file.set_delete_ex(DELETE | POSIX).unwrap();
        file.close().unwrap();
        assert!(!w.exists("\\f"));
        w.make("\\f", "another");
        assert_eq!(reader.read_all(), Ok(b"content".to_vec()));
        reader.close().unwrap();
        assert_eq!(w.content("\\f"), Ok("another".to_owned()));
    }

    a_deleted_file_is_written_and_read_through_who_has_it_open(w) {
        w.make("\\f", "content");
        let writer = w.open("\\f");
        let file = w.open("\\f");
        file.set_delete_ex(DELETE | POSIX).unwrap();
        file.close().unwrap();
        writer.write(7, b" and more").unwrap();
        assert_eq!(writer.read_all(), Ok(b"content and more".to_vec()));
        assert_eq!(writer.query().unwrap().FileSize, 16);
        writer.close().unwrap();
        assert!(w.names("\\").is_empty());
    }

    a_read_only_file_is_not_deleted(w) {
        w.make("\\f", "x");
        let file = w.open("\\f");
        file.set_basic(Some(READ_ONLY), Default::default()).unwrap();
        assert_eq!(status(file.set_delete(true)), Status::CANNOT_DELETE);
        assert_eq!(status(file.set_delete_ex(DELETE | POSIX)), Status::CANNOT_DELETE);
        file.close().unwrap();
        assert!(w.exists("\\f"));
    }

    a_read_only_file_is_deleted_when_that_is_to_be_ignored(w) {
        w.make("\\f", "x");
        let file = w.open("\\f");
        file.set_basic(Some(READ_ONLY), Default::default()).unwrap();
        file.set_delete_ex(DELETE | POSIX | IGNORE_READ_ONLY).unwrap_or_else(|s| panic!("{}", Status(s)));
        file.close().unwrap();
        assert!(!w.exists("\\f"));
    }

    a_directory_that_has_entries_is_not_deleted(w) {
        w.mkdir("\\d");
        w.make("\\d\\f", "x");
        assert_eq!(status(w.delete("\\d")), Status::DIRECTORY_NOT_EMPTY);
        w.delete("\\d\\f").unwrap();
        w.delete("\\d").unwrap();
        assert!(!w.exists("\\d"));
    }

    the_root_is_not_deleted(w) {
        assert_eq!(status(w.delete("\\")), Status::CANNOT_DELETE);
        w.open("\\").close().unwrap();
    }

    a_file_that_took_the_name_of_a_marked_one_stays(w) {
        w.make("\\f", "first");
        let file = w.open("\\f");
        file.set_delete(true).unwrap();
        // Somebody else, on another machine, replaces it meanwhile.
        w.unix_file(b"other");
        w.unix(Replace);
        file.close().unwrap();
        assert!(w.exists("\\f"), "the other file has the name now");
    }

    a_deleted_directory_lists_nothing_and_takes_nothing(w) {
        w.mkdir("\\d");
        let dir = w.create("\\d", Create { options: option::DIRECTORY, ..Create::default() }).unwrap();
        let other = w.create("\\d", Create { options: option::DIRECTORY, ..Create::default() }).unwrap();
        dir.set_delete_ex(DELETE | POSIX).unwrap();
        dir.close().unwrap();
        assert!(!w.exists("\\d"));
        let names: Vec<_> = other.list(4096).map(|all| all.into_iter().map(|e| e.name).collect()).unwrap_or_default();
        assert!(names.iter().all(|name: &String| name == "." || name == ".."), "{names:?}");
        other.close().unwrap();
    }
}

struct Replace;

impl crate::world::Unix<()> for Replace {
    fn on<F: proxyfs_core::fs::FileSystem>(self, fs: &F) {
        use proxyfs_core::fs::{Caller, RenameMode};
        use proxyfs_core::types::Ino;
        let renaming = fs.rename(Caller::default(), Ino::ROOT, b"other", Ino::ROOT, b"f", RenameMode::Replace);
        crate::world::runtime().block_on(renaming).unwrap();
    }
}
