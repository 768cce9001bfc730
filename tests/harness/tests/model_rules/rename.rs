//! Rename.

use proxyfs_core::ErrorKind;
use proxyfs_core::fs::{FileSystem, RenameMode};

use crate::world::{ROOT, World, kind, now};

use RenameMode::{Exchange, NoReplace, Replace};

#[test]
fn it_sets_the_times_of_both_directories_and_the_change_time_of_the_inode() {
    let w = World::new();
    let (d, e) = (w.dir(ROOT, "d"), w.dir(ROOT, "e"));
    let f = w.file(d, "f");
    let made = w.time();
    let t = w.tick();
    w.rename((d, "f"), (e, "g"), Replace).expect("rename");
    assert_eq!((w.attr(d).mtime, w.attr(d).ctime, w.attr(e).mtime, w.attr(e).ctime), (t, t, t, t));
    assert_eq!((w.attr(f).ctime, w.attr(f).mtime), (t, made));
    assert_eq!(w.attr(ROOT).mtime, made);
    assert_eq!(kind(w.lookup(d, "f")), ErrorKind::NotFound);
    assert_eq!(w.lookup(e, "g").expect("moved").ino, f);
}

#[test]
fn a_moved_directory_takes_its_link_along_and_finds_its_new_parent() {
    let w = World::new();
    let (d, e) = (w.dir(ROOT, "d"), w.dir(ROOT, "e"));
    let x = w.dir(d, "x");
    w.rename((d, "x"), (e, "x"), Replace).expect("rename");
    assert_eq!((w.attr(d).nlink, w.attr(e).nlink), (2, 3));
    assert_eq!(w.lookup(x, "..").expect("..").ino, e);
}

#[test]
fn a_replaced_file_loses_a_link_and_an_open_one_lives_on() {
    let w = World::new();
    let f = w.file(ROOT, "f");
    let (g, handle) = w.create(ROOT, "g");
    w.link(g.ino, ROOT, "h").expect("link");
    let t = w.tick();
    w.rename((ROOT, "f"), (ROOT, "g"), Replace).expect("rename");
    assert_eq!((w.attr(g.ino).nlink, w.attr(g.ino).ctime), (1, t));
    w.rename((ROOT, "g"), (ROOT, "h"), Replace).expect("rename");
    assert_eq!(w.attr(g.ino).nlink, 0);
    assert_eq!(w.lookup(ROOT, "h").expect("moved").ino, f);
    w.close(handle);
    assert_eq!(kind(now(w.fs.getattr(g.ino))), ErrorKind::Stale);
}

#[test]
fn only_an_empty_directory_is_replaced_and_only_by_a_directory() {
    let w = World::new();
    let d = w.dir(ROOT, "d");
    w.dir(ROOT, "e");
    w.file(ROOT, "f");
    w.file(d, "x");
    assert_eq!(kind(w.rename((ROOT, "e"), (ROOT, "d"), Replace)), ErrorKind::NotEmpty);
    assert_eq!(kind(w.rename((ROOT, "e"), (ROOT, "f"), Replace)), ErrorKind::NotADirectory);
    assert_eq!(kind(w.rename((ROOT, "f"), (ROOT, "e"), Replace)), ErrorKind::IsADirectory);
    w.rename((ROOT, "d"), (ROOT, "e"), Replace).expect("empty target");
    assert_eq!(w.attr(ROOT).nlink, 3);
}

#[test]
fn nothing_moves_into_itself_or_over_what_holds_it() {
    let w = World::new();
    let d = w.dir(ROOT, "d");
    let e = w.dir(d, "e");
    w.dir(e, "x");
    assert_eq!(kind(w.rename((ROOT, "d"), (e, "y"), Replace)), ErrorKind::InvalidArgument);
    assert_eq!(kind(w.rename((ROOT, "d"), (d, "y"), Replace)), ErrorKind::InvalidArgument);
    assert_eq!(kind(w.rename((e, "x"), (ROOT, "d"), Replace)), ErrorKind::NotEmpty);
    assert_eq!(kind(w.rename((e, "x"), (ROOT, "d"), Exchange)), ErrorKind::InvalidArgument);
}

#[test]
fn between_two_names_of_one_inode_it_does_nothing() {
    let w = World::new();
    let f = w.file(ROOT, "f");
    w.link(f, ROOT, "g").expect("link");
    let before = (w.attr(f), w.attr(ROOT));
    w.tick();
    w.rename((ROOT, "f"), (ROOT, "g"), Replace).expect("no-op");
    w.rename((ROOT, "f"), (ROOT, "f"), Replace).expect("no-op");
    assert_eq!((w.attr(f), w.attr(ROOT)), before);
    assert!(w.lookup(ROOT, "f").is_ok() && w.lookup(ROOT, "g").is_ok());
}

#[test]
fn no_replace_refuses_any_target() {
    let w = World::new();
    w.file(ROOT, "f");
    w.file(ROOT, "g");
    assert_eq!(kind(w.rename((ROOT, "f"), (ROOT, "g"), NoReplace)), ErrorKind::AlreadyExists);
    assert_eq!(kind(w.rename((ROOT, "f"), (ROOT, "f"), NoReplace)), ErrorKind::AlreadyExists);
    w.rename((ROOT, "f"), (ROOT, "h"), NoReplace).expect("free name");
}

#[test]
fn exchange_swaps_a_file_and_a_directory_with_all_that_follows() {
    let w = World::new();
    let d = w.dir(ROOT, "d");
    let (x, f) = (w.dir(d, "x"), w.file(ROOT, "f"));
    assert_eq!(kind(w.rename((ROOT, "f"), (d, "none"), Exchange)), ErrorKind::NotFound);
    let t = w.tick();
    w.rename((ROOT, "f"), (d, "x"), Exchange).expect("exchange");
    assert_eq!((w.lookup(ROOT, "f").expect("f").ino, w.lookup(d, "x").expect("x").ino), (x, f));
    assert_eq!((w.attr(ROOT).nlink, w.attr(d).nlink, w.lookup(x, "..").expect("..").ino), (4, 2, ROOT));
    assert_eq!((w.attr(x).ctime, w.attr(f).ctime, w.attr(d).mtime, w.attr(ROOT).mtime), (t, t, t, t));
}
