//! Share modes, which the double plays as the driver does: the adapter must close what is refused.

use proxyfs_winfsp::Status;
use proxyfs_winfsp_double::{Create, disposition, right, share};

use crate::cases::cases;
use crate::world::status;

const SHARING_VIOLATION: Status = Status(0xc000_0043);

fn by(access: u32, share: u32) -> Create {
    Create { access, share, ..Create::default() }
}

cases! {
    who_shares_nothing_is_alone(w) {
        w.make("\\f", "x");
        let alone = w.create("\\f", by(right::READ, 0)).unwrap();
        assert_eq!(status(w.create("\\f", by(right::READ, share::ALL))), SHARING_VIOLATION);
        alone.close().unwrap();
        w.create("\\f", by(right::READ, 0)).unwrap().close().unwrap();
    }

    readers_share_reading_and_refuse_a_writer(w) {
        w.make("\\f", "x");
        let one = w.create("\\f", by(right::READ, share::READ)).unwrap();
        let two = w.create("\\f", by(right::READ, share::READ)).unwrap();
        assert_eq!(status(w.create("\\f", by(right::READ_WRITE, share::ALL))), SHARING_VIOLATION);
        one.close().unwrap();
        two.close().unwrap();
        w.create("\\f", by(right::READ_WRITE, share::ALL)).unwrap().close().unwrap();
    }

    deletion_has_to_be_shared(w) {
        w.make("\\f", "x");
        let reader = w.create("\\f", by(right::READ, share::READ | share::WRITE)).unwrap();
        assert_eq!(status(w.create("\\f", by(right::DELETE, share::ALL))), SHARING_VIOLATION);
        reader.close().unwrap();
        w.delete("\\f").unwrap();
    }

    who_only_looks_at_attributes_disturbs_nobody(w) {
        w.make("\\f", "x");
        let alone = w.create("\\f", by(right::READ_WRITE, 0)).unwrap();
        let looker = w.create("\\f", by(right::READ_ATTRIBUTES, 0)).unwrap();
        assert_eq!(looker.query().unwrap().FileSize, 1);
        looker.close().unwrap();
        alone.close().unwrap();
    }

    a_refused_open_leaves_nothing_open(w) {
        w.make("\\f", "x");
        let alone = w.create("\\f", by(right::READ, 0)).unwrap();
        let before = w.mounted.open_files();
        for _ in 0..10 {
            assert_eq!(status(w.create("\\f", by(right::READ, share::ALL))), SHARING_VIOLATION);
        }
        assert_eq!(w.mounted.open_files(), before);
        alone.close().unwrap();
    }

    a_refused_overwrite_leaves_the_content(w) {
        w.make("\\f", "content");
        let alone = w.create("\\f", by(right::READ, share::READ)).unwrap();
        let how = Create { disposition: disposition::OVERWRITE, ..Create::default() };
        assert_eq!(status(w.create("\\f", how)), SHARING_VIOLATION);
        assert_eq!(alone.read_all(), Ok(b"content".to_vec()));
        alone.close().unwrap();
    }
}
