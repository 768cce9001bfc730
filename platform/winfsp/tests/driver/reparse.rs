//! Reparse points: symlinks both ways, followed by the library; others kept.

use proxyfs_core::fs::FileKind;
use proxyfs_winfsp::Status;
use proxyfs_winfsp::reparse::{TAG_SYMLINK, of_symlink};
use proxyfs_winfsp_double::{Create, disposition, option};

use crate::cases::cases;
use crate::world::status;

const REPARSE_POINT: u32 = 0x400;
const DIRECTORY: u32 = 0x10;

fn itself() -> Create {
    Create { options: option::OPEN_REPARSE_POINT, ..Create::default() }
}

/// A reparse point of a tag that nobody here understands.
fn foreign(data: &[u8]) -> Vec<u8> {
    let mut buffer = 0x0000_1234_u32.to_le_bytes().to_vec();
    buffer.extend_from_slice(&u16::try_from(data.len()).expect("short").to_le_bytes());
    buffer.extend_from_slice(&[0, 0]);
    buffer.extend_from_slice(data);
    buffer
}

cases! {
    a_symlink_of_unix_is_a_reparse_point(w) {
        w.make("\\target", "x");
        w.symlink("link", "target");
        let link = w.create("\\link", itself()).unwrap();
        assert_eq!(link.info.FileAttributes & REPARSE_POINT, REPARSE_POINT);
        assert_eq!(link.info.ReparseTag, TAG_SYMLINK);
        assert_eq!(link.reparse_point(), Ok(of_symlink(b"target")));
        link.close().unwrap();
    }

    a_symlink_is_followed_when_it_is_opened(w) {
        w.make("\\target", "content");
        w.symlink("link", "target");
        assert_eq!(w.content("\\link"), Ok("content".to_owned()));
    }

    a_symlink_on_the_way_is_followed(w) {
        w.mkdir("\\dir");
        w.make("\\dir\\f", "content");
        w.symlink("link", "dir");
        assert_eq!(w.content("\\link\\f"), Ok("content".to_owned()));
    }

    symlinks_one_after_the_other_and_upwards_are_followed(w) {
        w.mkdir("\\dir");
        w.make("\\f", "content");
        w.symlink("dir/up", "../f");
        w.symlink("again", "dir/up");
        assert_eq!(w.content("\\dir\\up"), Ok("content".to_owned()));
        assert_eq!(w.content("\\again"), Ok("content".to_owned()));
    }

    a_symlink_to_a_directory_is_listed_as_one(w) {
        w.mkdir("\\dir");
        w.symlink("link", "dir");
        let link = w.create("\\link", itself()).unwrap();
        assert_eq!(link.info.FileAttributes & DIRECTORY, DIRECTORY);
        link.close().unwrap();
    }

    a_symlink_that_leads_nowhere_is_there_itself(w) {
        w.symlink("link", "missing");
        w.create("\\link", itself()).unwrap().close().unwrap();
        assert_eq!(status(w.try_open("\\link")), Status::OBJECT_NAME_NOT_FOUND);
    }

    a_symlink_is_deleted_and_renamed_itself(w) {
        w.make("\\target", "x");
        w.symlink("link", "target");
        w.rename("\\link", "\\moved", false).unwrap();
        assert_eq!(w.content("\\moved"), Ok("x".to_owned()));
        w.delete("\\moved").unwrap();
        assert_eq!(w.names("\\"), ["target"]);
    }

    windows_makes_a_symlink_to_a_file(w) {
        w.make("\\target", "content");
        let how = Create {
            disposition: disposition::CREATE,
            options: option::NON_DIRECTORY | option::OPEN_REPARSE_POINT,
            ..Create::default()
        };
        let link = w.create("\\link", how).unwrap();
        link.set_reparse_point(&of_symlink(b"target")).unwrap_or_else(|s| panic!("{}", Status(s)));
        assert_eq!(link.query().unwrap().ReparseTag, TAG_SYMLINK);
        link.close().unwrap();
        assert_eq!(w.attr("link").kind, FileKind::Symlink);
        assert_eq!(w.content("\\link"), Ok("content".to_owned()));
    }

    windows_makes_a_symlink_to_a_directory(w) {
        w.mkdir("\\dir");
        w.make("\\dir\\f", "content");
        let how = Create {
            disposition: disposition::CREATE,
            options: option::DIRECTORY | option::OPEN_REPARSE_POINT,
            ..Create::default()
        };
        let link = w.create("\\link", how).unwrap();
        link.set_reparse_point(&of_symlink(b"dir")).unwrap();
        link.close().unwrap();
        assert_eq!(w.attr("link").kind, FileKind::Symlink);
        assert_eq!(w.content("\\link\\f"), Ok("content".to_owned()));
    }

    a_reparse_point_is_taken_away_again(w) {
        w.make("\\target", "content");
        w.symlink("link", "target");
        let link = w.create("\\link", itself()).unwrap();
        link.delete_reparse_point(&of_symlink(b"target")[..8]).unwrap_or_else(|s| panic!("{}", Status(s)));
        link.close().unwrap();
        assert_eq!(w.attr("link").kind, FileKind::File);
        assert_eq!(w.content("\\target"), Ok("content".to_owned()));
    }

    a_foreign_reparse_point_is_kept_as_it_is(w) {
        let file = w.new_file("\\f");
        // Tags that are not Microsoft's carry a GUID before the data; the library passes all of it on.
        let mut buffer = foreign(b"0123456789abcdefanything");
        let len = buffer.len() - 8;
        buffer[4..6].copy_from_slice(&u16::try_from(len).expect("short").to_le_bytes());
        buffer[3] = 0x80;
        file.set_reparse_point(&buffer).unwrap_or_else(|s| panic!("{}", Status(s)));
        file.close().unwrap();
        let file = w.create("\\f", itself()).unwrap();
        assert_eq!(file.reparse_point(), Ok(buffer.clone()));
        assert_eq!(file.info.FileAttributes & REPARSE_POINT, REPARSE_POINT);
        file.close().unwrap();
    }

    a_plain_file_is_no_reparse_point(w) {
        let file = w.new_file("\\f");
        assert_eq!(status(file.reparse_point()), Status::NOT_A_REPARSE_POINT);
        assert_eq!(status(file.delete_reparse_point(&of_symlink(b"x")[..8])), Status::NOT_A_REPARSE_POINT);
        file.close().unwrap();
    }

    a_directory_with_entries_does_not_become_a_reparse_point(w) {
        w.mkdir("\\d");
        w.make("\\d\\f", "x");
        let dir = w.create("\\d", itself()).unwrap();
        assert_eq!(status(dir.set_reparse_point(&of_symlink(b"x"))), Status::DIRECTORY_NOT_EMPTY);
        dir.close().unwrap();
    }
}
