//! Where names lead, and where what is made goes.

use proxyfs_core::ErrorKind;
use proxyfs_core::format::CaseRule;
use proxyfs_core::fs::{
    Caller, FileKind, FileLock, FileSystem, LockFamily, LockKind, NewNode, OpenFlags, SetAttr, SetTime, XattrMode,
};
use proxyfs_core::types::Timestamp;

use crate::world::{READ_WRITE, ROOT, US, World, is_local, on_both, refused};

on_both!(
    files_go_by_their_names,
    directories_are_the_volumes_under_any_name,
    a_local_only_file_has_all_that_files_have,
    what_the_volume_stores_under_such_a_name_stays_what_it_is,
    links_stay_on_their_side,
    what_is_made_inherits_from_its_directory,
    ranges_are_not_shared_between_the_two,
    an_office_editing_session_leaves_nothing_in_the_volume,
);

const FIFO: NewNode = NewNode { kind: FileKind::Fifo, perm: 0o600, umask: 0, rdev: 0 };

async fn files_go_by_their_names<F: FileSystem, L: FileSystem>(w: &World<F, L>) {
    let dir = w.mkdir(ROOT, "d").await;
    for name in ["._a", ".DS_Store", "Thumbs.db", "desktop.ini", "~$a.docx", "thumbs.DB"] {
        let attr = w.write(dir, name, name).await;
        assert!(is_local(&attr), "{name}");
        assert_eq!(w.lookup(dir, name).await.expect("there").ino, attr.ino);
        assert_eq!(w.fs.find(dir, name.as_bytes()).await.expect("there").name, name.as_bytes());
        assert_eq!(w.read(dir, name).await, name);
        assert_eq!(refused(w.fs.volume().lookup(dir, name.as_bytes()).await), ErrorKind::NotFound);
        assert_eq!(refused(w.lookup(ROOT, name).await), ErrorKind::NotFound, "each directory has its own");
    }
    assert!(!is_local(&w.write(dir, "a", "a").await));
    assert!(is_local(&w.fs.mknod(US, dir, b"._fifo", FIFO).await.expect("made")));
    let link = w.fs.symlink(US, dir, b"._link", b"target").await.expect("made");
    assert_eq!(w.fs.getattr(link.ino).await.expect("there"), link);
    assert_eq!(w.fs.readlink(link.ino).await.expect("read"), "target");
    let exclusive = OpenFlags { exclusive: true, ..READ_WRITE };
    assert_eq!(refused(w.fs.create(US, dir, b"._a", 0o644, 0, exclusive).await), ErrorKind::AlreadyExists);
    assert_eq!(refused(w.fs.mknod(US, dir, b"._a", FIFO).await), ErrorKind::AlreadyExists);
    w.unlink(dir, "._a").await.expect("removed");
    assert_eq!(refused(w.lookup(dir, "._a").await), ErrorKind::NotFound);
    assert_eq!(refused(w.unlink(dir, "._a").await), ErrorKind::NotFound);
    let inside = w.lookup(dir, "Thumbs.db").await.expect("there").ino;
    assert_eq!(refused(w.lookup(inside, "x").await), ErrorKind::NotADirectory);
    assert_eq!(refused(w.fs.create(US, inside, b"._x", 0o644, 0, READ_WRITE).await), ErrorKind::NotADirectory);
    assert_eq!(refused(w.fs.opendir(US, inside).await), ErrorKind::NotADirectory);
}

async fn directories_are_the_volumes_under_any_name<F: FileSystem, L: FileSystem>(w: &World<F, L>) {
    let dir = w.mkdir(ROOT, "._d").await;
    assert_eq!(w.fs.volume().lookup(ROOT, b"._d").await.expect("there").ino, dir);
    assert_eq!(refused(w.fs.create(US, ROOT, b"._d", 0o644, 0, READ_WRITE).await), ErrorKind::IsADirectory);
    w.write(ROOT, "._f", "").await;
    assert_eq!(refused(w.fs.mkdir(US, ROOT, b"._f", 0o755, 0).await), ErrorKind::AlreadyExists);
    assert_eq!(refused(w.rmdir(ROOT, "._f").await), ErrorKind::NotADirectory);
    assert_eq!(refused(w.unlink(ROOT, "._d").await), ErrorKind::IsADirectory);
    w.rmdir(ROOT, "._d").await.expect("empty");
}

async fn a_local_only_file_has_all_that_files_have<F: FileSystem, L: FileSystem>(w: &World<F, L>) {
    let attr = w.write(ROOT, "._a", "0123456789").await;
    let when = Timestamp::new(1_000_000_000, 5);
    let set = SetAttr { perm: Some(0o600), size: Some(4), mtime: Some(SetTime::At(when)), ..SetAttr::default() };
    let changed = w.fs.setattr(US, attr.ino, set).await.expect("changed");
    assert_eq!((changed.ino, changed.perm, changed.size, changed.mtime), (attr.ino, 0o600, 4, when));
    w.fs.setxattr(US, attr.ino, b"user.x", b"1", XattrMode::Set).await.expect("set");
    assert_eq!(w.fs.getxattr(attr.ino, b"user.x").await.expect("there"), "1");
    assert_eq!(w.fs.listxattr(attr.ino).await.expect("listed"), ["user.x"]);
    w.fs.removexattr(US, attr.ino, b"user.x").await.expect("removed");
    let [one, other] = [w.fs.open(US, attr.ino, READ_WRITE).await, w.fs.open(US, attr.ino, READ_WRITE).await]
        .map(|handle| handle.expect("opens"));
    let lock = FileLock { start: 0, end: 3, kind: LockKind::Write, pid: 1 };
    w.fs.setlk(one, LockFamily::Posix, 1, lock, false).await.expect("locked");
    assert_eq!(refused(w.fs.setlk(other, LockFamily::Posix, 2, lock, false).await), ErrorKind::WouldBlock);
    assert_eq!(w.fs.getlk(other, 2, lock).await.expect("asked"), Some(lock));
    w.fs.flush(one, 1).await.expect("released");
    w.fs.fsync(one, false).await.expect("synced");
    w.unlink(ROOT, "._a").await.expect("removed");
    assert_eq!(w.read_open(one).await, "0123", "it is open");
    for handle in [one, other] {
        w.fs.release(handle, None).await.expect("closed");
    }
    assert_eq!(refused(w.fs.getattr(attr.ino).await), ErrorKind::Stale);
    w.fs.syncfs().await.expect("synced");
}

async fn what_the_volume_stores_under_such_a_name_stays_what_it_is<F: FileSystem, L: FileSystem>(w: &World<F, L>) {
    let stored = w.write_elsewhere(ROOT, "._stored").await;
    assert_eq!(w.write(ROOT, "._stored", "new").await.ino, stored.ino, "opened, not made");
    assert_eq!(w.companion_dirs().await, 0);
    // One that comes to be while there is one here hides it, and takes it along.
    assert!(is_local(&w.write(ROOT, "._hidden", "").await));
    let above = w.write_elsewhere(ROOT, "._hidden").await;
    assert_eq!(w.lookup(ROOT, "._hidden").await.expect("there").ino, above.ino);
    assert_eq!(w.names(ROOT).await.len(), 2);
    assert_eq!(w.ordered(ROOT).await, ["._hidden", "._stored"]);
    w.unlink(ROOT, "._hidden").await.expect("removed");
    assert_eq!(refused(w.lookup(ROOT, "._hidden").await), ErrorKind::NotFound);
    w.unlink(ROOT, "._stored").await.expect("removed");
    assert!(is_local(&w.write(ROOT, "._stored", "").await), "the name is free");
}

async fn links_stay_on_their_side<F: FileSystem, L: FileSystem>(w: &World<F, L>) {
    let dir = w.mkdir(ROOT, "d").await;
    let (local, plain) = (w.write(ROOT, "._a", "local").await, w.write(ROOT, "a", "plain").await);
    let linked = w.fs.link(US, local.ino, dir, b"._b").await.expect("linked");
    assert_eq!((linked.ino, linked.nlink), (local.ino, 2));
    assert_eq!(w.read(dir, "._b").await, "local");
    for (ino, name, kind) in [
        (plain.ino, "._c", ErrorKind::CrossDevice),
        (local.ino, "c", ErrorKind::CrossDevice),
        (plain.ino, "._a", ErrorKind::AlreadyExists),
        (local.ino, "a", ErrorKind::AlreadyExists),
        (local.ino, "._a", ErrorKind::AlreadyExists),
        (dir, "._c", ErrorKind::NotPermitted),
    ] {
        assert_eq!(refused(w.fs.link(US, ino, ROOT, name.as_bytes()).await), kind, "{ino} {name}");
    }
    let (unnamed, handle) = w.fs.tmpfile(US, ROOT, 0o600, 0, READ_WRITE).await.expect("made");
    assert_eq!(refused(w.fs.link(US, unnamed.ino, ROOT, b"._t").await), ErrorKind::CrossDevice);
    w.fs.link(US, unnamed.ino, ROOT, b"t").await.expect("linked");
    w.fs.release(handle, None).await.expect("closed");
}

async fn what_is_made_inherits_from_its_directory<F: FileSystem, L: FileSystem>(w: &World<F, L>) {
    let dir = w.mkdir(ROOT, "d").await;
    w.write(dir, "._before", "").await;
    let group = SetAttr { perm: Some(0o2775), gid: Some(77), ..SetAttr::default() };
    w.fs.setattr(Caller::default(), dir, group).await.expect("changed");
    assert_eq!(w.write(dir, "._of_the_group", "").await.gid, 77);
    // Version 2; user, group, mask, other: everything, r-x, rwx, nothing, and user 5 rw-.
    let entries: [(u16, u16, u32); 5] =
        [(1, 7, u32::MAX), (2, 6, 5), (4, 5, u32::MAX), (16, 7, u32::MAX), (32, 0, u32::MAX)];
    let mut acl = 2u32.to_le_bytes().to_vec();
    for (tag, perm, id) in entries {
        acl.extend([tag.to_le_bytes(), perm.to_le_bytes()].concat());
        acl.extend(id.to_le_bytes());
    }
    let name = b"system.posix_acl_default";
    w.fs.setxattr(Caller::default(), dir, name, &acl, XattrMode::Set).await.expect("set");
    let (with_acl, plain) = (w.write(dir, "._with", "").await, w.write(dir, "plain", "").await);
    assert_eq!((with_acl.perm, with_acl.gid), (plain.perm, plain.gid));
    let access = b"system.posix_acl_access";
    assert_eq!(
        w.fs.getxattr(with_acl.ino, access).await.expect("inherited"),
        w.fs.getxattr(plain.ino, access).await.expect("inherited")
    );
    w.fs.removexattr(Caller::default(), dir, name).await.expect("removed");
    let without = w.write(dir, "._without", "").await;
    assert_eq!(refused(w.fs.getxattr(without.ino, access).await), ErrorKind::NoAttribute);
}

async fn ranges_are_not_shared_between_the_two<F: FileSystem, L: FileSystem>(w: &World<F, L>) {
    let attrs = [w.write(ROOT, "._a", "local").await, w.write(ROOT, "a", "plain").await];
    let mut handles = Vec::new();
    for attr in attrs {
        handles.push(w.fs.open(US, attr.ino, READ_WRITE).await.expect("opens"));
    }
    for (from, to) in [(0, 1), (1, 0)] {
        let copied = w.fs.copy_file_range(handles[from], 0, handles[to], 0, 5).await;
        assert_eq!(refused(copied), ErrorKind::CrossDevice);
    }
    assert_eq!(w.fs.copy_file_range(handles[0], 0, handles[0], 5, 5).await.expect("copied"), 5);
    assert_eq!(w.read(ROOT, "._a").await, "locallocal");
    for handle in handles {
        w.fs.release(handle, None).await.expect("closed");
    }
}

/// Word's owner file is made and removed; what is saved goes through names of the volume only.
async fn an_office_editing_session_leaves_nothing_in_the_volume<F: FileSystem, L: FileSystem>(w: &World<F, L>) {
    use proxyfs_core::fs::RenameMode::NoReplace;
    w.write(ROOT, "doc.docx", "old").await;
    w.write(ROOT, "~$doc.docx", "owner").await;
    w.write(ROOT, "~WRD0000.tmp", "new").await;
    w.rename((ROOT, "doc.docx"), (ROOT, "~WRL0001.tmp"), NoReplace).await.expect("moved");
    w.rename((ROOT, "~WRD0000.tmp"), (ROOT, "doc.docx"), NoReplace).await.expect("moved");
    w.unlink(ROOT, "~WRL0001.tmp").await.expect("removed");
    assert_eq!(w.fs.volume().entries_after(ROOT, None).await.expect("listed").len(), 1);
    w.unlink(ROOT, "~$doc.docx").await.expect("removed");
    assert_eq!(w.read(ROOT, "doc.docx").await, "new");
    assert_eq!(w.names(ROOT).await, ["doc.docx"]);
}

#[tokio::test(start_paused = true)]
async fn a_case_insensitive_volume_has_a_case_insensitive_companion() {
    let w = World::of_engines_with(CaseRule::Insensitive).await;
    let attr = w.write(ROOT, "Thumbs.db", "x").await;
    assert_eq!(w.write(ROOT, "THUMBS.DB", "y").await.ino, attr.ino);
    let found = w.fs.find(ROOT, b"thumbs.db").await.expect("there");
    assert_eq!((found.name.as_ref(), found.attr.ino), (&b"Thumbs.db"[..], attr.ino));
    w.write(ROOT, "._B", "").await;
    w.write(ROOT, "._a", "").await;
    w.write(ROOT, "Zebra", "").await;
    w.write(ROOT, "apple", "").await;
    assert_eq!(w.ordered(ROOT).await, ["._a", "._B", "apple", "Thumbs.db", "Zebra"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_told_of_the_whole_is_told_of_the_volume() {
    let w = World::of_engines().await;
    let before = (w.fs.volume().statfs().await.expect("told"), w.fs.volume().status().lsn);
    w.write(ROOT, "._a", "0123456789").await;
    w.unlink(ROOT, "._a").await.expect("removed");
    w.write(ROOT, "._b", "0123456789").await;
    let after = (w.fs.statfs().await.expect("told"), w.fs.volume().status().lsn);
    assert_eq!(after, before, "nothing was changed that would have to go up");
    assert!(std::sync::Arc::ptr_eq(&w.fs.meter(), &w.fs.volume().meter()));
    assert!(w.fs.changes().is_none());
}
