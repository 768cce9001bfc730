//! Security descriptors: whole, derived, changed in part; access checks by the library.

use proxyfs_core::fs::FileKind;
use proxyfs_winfsp::security::{derive, part, permissions};
use proxyfs_winfsp::{Identity, Sid, Status};
use proxyfs_winfsp_double::{Create, disposition, option, right};

use crate::cases::cases;
use crate::world::{World, status, who};

/// What the driver's library leaves of the control bits when it makes a descriptor for a new file is its own affair.
fn perm_of(descriptor: &[u8]) -> u16 {
    permissions(descriptor, FileKind::Dir, 0, &who()).expect("a descriptor")
}

fn descriptor(w: &World, perm: u16) -> Vec<u8> {
    derive(&proxyfs_core::fs::Attr { perm, kind: FileKind::Dir, ..w.attr("") }, &who())
}

fn security(w: &World, name: &str) -> Vec<u8> {
    let file = w.open(name);
    let found = file.security().expect("a descriptor");
    file.close().expect("closed");
    found
}

cases! {
    a_descriptor_that_was_set_comes_back_whole(w) {
        w.make("\\f", "x");
        let file = w.create("\\f", Create { access: right::READ | right::SECURITY, ..Create::default() }).unwrap();
        let wanted = descriptor(w, 0o750);
        file.set_security(part::DACL | part::OWNER | part::GROUP, &wanted).unwrap();
        assert_eq!(file.security(), Ok(wanted.clone()));
        file.close().unwrap();
        assert_eq!(security(w, "\\f"), wanted);
    }

    permissions_follow_a_descriptor(w) {
        w.make("\\f", "x");
        let file = w.create("\\f", Create { access: right::READ | right::SECURITY, ..Create::default() }).unwrap();
        file.set_security(part::DACL, &descriptor(w, 0o640)).unwrap();
        file.close().unwrap();
        assert_eq!(w.attr("f").perm & 0o666, 0o640);
        w.mkdir("\\d");
        let dir = w.create("\\d", Create { access: right::READ | right::SECURITY, ..Create::default() }).unwrap();
        dir.set_security(part::DACL, &descriptor(w, 0o711)).unwrap();
        dir.close().unwrap();
        assert_eq!(w.attr("d").perm, 0o711);
    }

    a_descriptor_follows_permissions(w) {
        w.mkdir("\\d");
        for perm in [0o755, 0o700, 0o750, 0o775] {
            w.chmod("d", perm);
            assert_eq!(perm_of(&security(w, "\\d")), perm, "{perm:o}");
        }
    }

    a_descriptor_holds_until_permissions_change_elsewhere(w) {
        w.mkdir("\\d");
        let dir = w.create("\\d", Create { access: right::READ | right::SECURITY, ..Create::default() }).unwrap();
        let wanted = descriptor(w, 0o755);
        dir.set_security(part::DACL, &wanted).unwrap();
        let kept = dir.security().unwrap();
        dir.close().unwrap();
        w.chmod("d", 0o700);
        assert_ne!(security(w, "\\d"), kept);
        assert_eq!(perm_of(&security(w, "\\d")), 0o700);
    }

    a_new_file_is_as_accessible_as_its_directory(w) {
        w.mkdir("\\d");
        w.make("\\d\\f", "x");
        assert_eq!(w.attr("d/f").perm & 0o600, 0o600, "its maker can read and write it");
        assert_eq!(w.content("\\d\\f"), Ok("x".to_owned()));
    }

    a_new_file_belongs_to_the_volumes_user(w) {
        w.make("\\f", "x");
        w.mkdir("\\d");
        for path in ["f", "d"] {
            let attr = w.attr(path);
            assert_eq!((attr.uid, attr.gid), (crate::world::UID, crate::world::GID), "{path}");
        }
    }

    a_file_is_made_with_the_descriptor_that_is_given(w) {
        let how = Create {
            disposition: disposition::CREATE,
            options: option::NON_DIRECTORY,
            security: descriptor(w, 0o600),
            ..Create::default()
        };
        w.create("\\f", how).unwrap().close().unwrap();
        assert_eq!(perm_of(&security(w, "\\f")) & 0o666, 0o600);
        assert_eq!(w.attr("f").perm, 0o600);
    }

    somebody_elses_file_is_shown_as_theirs(w) {
        w.make("\\f", "x");
        w.unix(Chown("f", 4242));
        let found = security(w, "\\f");
        let theirs = Sid::unix_user(4242);
        assert!(found.windows(theirs.as_bytes().len()).any(|bytes| bytes == theirs.as_bytes()));
    }

    a_damaged_descriptor_is_refused(w) {
        w.make("\\f", "x");
        let file = w.create("\\f", Create { access: right::READ | right::SECURITY, ..Create::default() }).unwrap();
        let before = file.security().unwrap();
        let mut damaged = descriptor(w, 0o600);
        let len = damaged.len();
        damaged.truncate(len - 30);
        assert_ne!(status(file.set_security(part::DACL, &damaged)), Status(0));
        assert_eq!(file.security(), Ok(before));
        file.close().unwrap();
    }

    all_rights_are_granted_to_the_owner_who_asks_for_the_most(w) {
        w.make("\\f", "x");
        let file = w.create("\\f", Create { access: right::MAXIMUM, ..Create::default() }).unwrap();
        assert_eq!(file.granted & right::READ_WRITE, right::READ_WRITE, "{:#x}", file.granted);
        file.close().unwrap();
    }
}

/// Whose rights do not suffice is refused by the library, on the strength of what the adapter says.
#[test]
fn somebody_without_rights_is_refused() {
    use crate::world::{mount_fs, options, runtime};
    let model = std::sync::Arc::new(proxyfs_harness::model::Model::default());
    // The volume's user is nobody who runs this test, and administrators are not let in by a descriptor of one's own.
    let stranger = Identity { user: Sid::unix_user(1), group: Sid::unix_group(1), uid: 0, gid: 0 };
    let (mounted, device) =
        mount_fs(std::sync::Arc::clone(&model), proxyfs_winfsp::MountOptions { who: Some(stranger), ..options(false) });
    let look = device.create("\\", &Create { access: right::READ, ..Create::default() }).expect("everybody may look");
    look.close().expect("closed");
    let token_is_administrators = device.create("\\", &Create { access: right::READ_WRITE, ..Create::default() });
    match token_is_administrators {
        Ok(root) if std::env::var_os("PROXYFS_TEST_WINE").is_some() => {
            eprintln!("SKIP: this process is one of the administrators, who may do everything");
            root.close().expect("closed");
        }
        refused => assert_eq!(refused.err().map(Status), Some(Status::ACCESS_DENIED)),
    }
    runtime().block_on(mounted.unmount(crate::world::PATIENCE)).expect("unmounted");
}

struct Chown<'a>(&'a str, u32);

impl crate::world::Unix<()> for Chown<'_> {
    fn on<F: proxyfs_core::fs::FileSystem>(self, fs: &F) {
        use proxyfs_core::fs::{Caller, SetAttr};
        use proxyfs_core::types::Ino;
        crate::world::runtime().block_on(async {
            let ino = fs.lookup(Ino::ROOT, self.0.as_bytes()).await.unwrap().ino;
            let set = SetAttr { uid: Some(self.1), ..SetAttr::default() };
            fs.setattr(Caller::default(), ino, set).await.unwrap();
        });
    }
}
