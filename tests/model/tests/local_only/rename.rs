//! Renames: within the class, into it, out of it, and of directories.

use proxyfs_core::ErrorKind::{AlreadyExists, CrossDevice, IsADirectory, NotADirectory, NotFound};
use proxyfs_core::fs::FileSystem;
use proxyfs_core::fs::RenameMode::{Exchange, NoReplace, Replace};

use crate::world::{ROOT, World, is_local, on_both, refused};

on_both!(
    within_the_class_names_move_as_they_do_anywhere,
    nothing_is_moved_in_or_out,
    a_finder_save_moves_both_of_a_pair,
    what_the_volume_stores_moves_in_the_volume,
    directories_move_under_any_name,
);

async fn within_the_class_names_move_as_they_do_anywhere<F: FileSystem, L: FileSystem>(w: &World<F, L>) {
    let dir = w.mkdir(ROOT, "d").await;
    let attr = w.write(ROOT, "._a", "a").await;
    w.rename((ROOT, "._a"), (ROOT, "._b"), NoReplace).await.expect("moved");
    w.rename((ROOT, "._b"), (dir, "Thumbs.db"), Replace).await.expect("moved between directories");
    assert_eq!(w.lookup(dir, "Thumbs.db").await.expect("there").ino, attr.ino);
    w.write(dir, "._c", "c").await;
    assert_eq!(refused(w.rename((dir, "._c"), (dir, "Thumbs.db"), NoReplace).await), AlreadyExists);
    w.rename((dir, "._c"), (dir, "Thumbs.db"), Exchange).await.expect("exchanged");
    assert_eq!((w.read(dir, "._c").await, w.read(dir, "Thumbs.db").await), ("a".to_owned(), "c".to_owned()));
    w.rename((dir, "._c"), (dir, "Thumbs.db"), Replace).await.expect("replaced");
    assert_eq!(w.names(dir).await, ["Thumbs.db"]);
    assert_eq!(w.read(dir, "Thumbs.db").await, "a");
    assert_eq!(refused(w.rename((dir, "._none"), (dir, "._x"), Replace).await), NotFound);
    assert_eq!(refused(w.rename((dir, "Thumbs.db"), (dir, "._x"), Exchange).await), NotFound);
}

async fn nothing_is_moved_in_or_out<F: FileSystem, L: FileSystem>(w: &World<F, L>) {
    w.mkdir(ROOT, "dir").await;
    w.write(ROOT, "._a", "").await;
    w.write(ROOT, "a", "").await;
    w.write(ROOT, "b", "").await;
    for (from, to, mode, kind) in [
        ("a", "._new", Replace, CrossDevice),
        ("a", "._new", NoReplace, CrossDevice),
        ("a", "._new", Exchange, NotFound),
        ("a", "._a", Replace, CrossDevice),
        ("a", "._a", NoReplace, AlreadyExists),
        ("a", "._a", Exchange, CrossDevice),
        ("._a", "new", Replace, CrossDevice),
        ("._a", "new", Exchange, NotFound),
        ("._a", "b", Replace, CrossDevice),
        ("._a", "b", NoReplace, AlreadyExists),
        ("._a", "b", Exchange, CrossDevice),
        ("._a", "dir", Replace, IsADirectory),
        ("dir", "._a", Replace, NotADirectory),
        ("dir", "._a", NoReplace, AlreadyExists),
    ] {
        assert_eq!(refused(w.rename((ROOT, from), (ROOT, to), mode).await), kind, "{from} -> {to}, {mode:?}");
    }
    assert_eq!(w.ordered(ROOT).await, ["._a", "a", "b", "dir"]);
}

/// A Mac moves the file and its `._` companion each by its own name.
async fn a_finder_save_moves_both_of_a_pair<F: FileSystem, L: FileSystem>(w: &World<F, L>) {
    for (name, content) in [("doc", "old"), ("._doc", "old info"), ("doc.sb-1", "new"), ("._doc.sb-1", "new info")] {
        w.write(ROOT, name, content).await;
    }
    w.rename((ROOT, "doc.sb-1"), (ROOT, "doc"), Replace).await.expect("moved");
    w.rename((ROOT, "._doc.sb-1"), (ROOT, "._doc"), Replace).await.expect("moved");
    assert_eq!((w.read(ROOT, "doc").await, w.read(ROOT, "._doc").await), ("new".to_owned(), "new info".to_owned()));
    assert_eq!(w.ordered(ROOT).await, ["._doc", "doc"]);
}

async fn what_the_volume_stores_moves_in_the_volume<F: FileSystem, L: FileSystem>(w: &World<F, L>) {
    let stored = w.write_elsewhere(ROOT, "._stored").await;
    w.rename((ROOT, "._stored"), (ROOT, "._moved"), Replace).await.expect("moved");
    assert_eq!(w.lookup(ROOT, "._moved").await.expect("there").ino, stored.ino);
    w.write(ROOT, "._local", "").await;
    assert_eq!(refused(w.rename((ROOT, "._moved"), (ROOT, "._local"), Replace).await), CrossDevice);
    assert_eq!(refused(w.rename((ROOT, "._local"), (ROOT, "._moved"), Replace).await), CrossDevice);
    // One that it hid does not come to light when it leaves.
    w.write(ROOT, "._hidden", "").await;
    w.write_elsewhere(ROOT, "._hidden").await;
    w.rename((ROOT, "._hidden"), (ROOT, "plain"), Replace).await.expect("moved out");
    assert_eq!(refused(w.lookup(ROOT, "._hidden").await), NotFound);
    // A file of the volume's may replace one that it stores under such a name.
    w.rename((ROOT, "plain"), (ROOT, "._moved"), Replace).await.expect("replaced");
    assert!(!is_local(&w.lookup(ROOT, "._moved").await.expect("there")));
}

async fn directories_move_under_any_name<F: FileSystem, L: FileSystem>(w: &World<F, L>) {
    let dir = w.mkdir(ROOT, "d").await;
    w.write(dir, "._in", "in").await;
    w.rename((ROOT, "d"), (ROOT, "._d"), Replace).await.expect("moved");
    w.rename((ROOT, "._d"), (ROOT, "e"), NoReplace).await.expect("moved");
    assert_eq!(w.read(dir, "._in").await, "in", "what is in it goes along");
    let other = w.mkdir(ROOT, "other").await;
    w.write(other, "._in", "other").await;
    w.rename((ROOT, "e"), (ROOT, "other"), Exchange).await.expect("exchanged");
    assert_eq!((w.read(dir, "._in").await, w.read(other, "._in").await), ("in".to_owned(), "other".to_owned()));
    assert_eq!(w.lookup(ROOT, "other").await.expect("there").ino, dir);
}
