//! Directories that go away, and what the companion had for them.

use proxyfs_core::ErrorKind::{NotEmpty, NotFound, Stale};
use proxyfs_core::fs::RenameMode::Replace;
use proxyfs_core::fs::{Caller, FileSystem, SetAttr};
use proxyfs_core::types::Timestamp;

use crate::world::{READ_WRITE, ROOT, US, World, on_both, refused};

on_both!(
    a_directory_of_local_only_files_is_removed_with_them,
    a_directory_that_is_replaced_takes_them_along,
    a_file_that_is_open_outlives_its_directory,
    a_number_that_means_another_directory_leads_to_nothing,
    what_belongs_to_directories_that_are_gone_is_pruned,
);

async fn a_directory_of_local_only_files_is_removed_with_them<F: FileSystem, L: FileSystem>(w: &World<F, L>) {
    let dir = w.mkdir(ROOT, "d").await;
    w.write(dir, ".DS_Store", "").await;
    w.write(dir, "plain", "").await;
    assert_eq!(refused(w.rmdir(ROOT, "d").await), NotEmpty);
    assert_eq!(w.names(dir).await, ["plain", ".DS_Store"], "a refusal drops nothing");
    w.unlink(dir, "plain").await.expect("removed");
    w.rmdir(ROOT, "d").await.expect("removed");
    assert_eq!(w.companion_dirs().await, 0);
    let again = w.mkdir(ROOT, "d").await;
    assert!(w.names(again).await.is_empty());
    assert_eq!(refused(w.fs.create(US, dir, b"._x", 0o644, 0, READ_WRITE).await), Stale);
}

async fn a_directory_that_is_replaced_takes_them_along<F: FileSystem, L: FileSystem>(w: &World<F, L>) {
    let [dir, over] = [w.mkdir(ROOT, "d").await, w.mkdir(ROOT, "over").await];
    w.write(dir, "._a", "stays").await;
    w.write(over, "._b", "goes").await;
    w.rename((ROOT, "d"), (ROOT, "over"), Replace).await.expect("replaced");
    assert_eq!(w.names(dir).await, ["._a"]);
    assert_eq!(w.companion_dirs().await, 1);
    let named = w.mkdir(ROOT, "._named").await;
    w.write(named, "._c", "").await;
    w.rename((ROOT, "over"), (ROOT, "._named"), Replace).await.expect("replaced");
    assert_eq!((w.read(dir, "._a").await.as_str(), w.companion_dirs().await), ("stays", 1));
}

async fn a_file_that_is_open_outlives_its_directory<F: FileSystem, L: FileSystem>(w: &World<F, L>) {
    let dir = w.mkdir(ROOT, "d").await;
    let (attr, handle) = w.fs.create(US, dir, b"._a", 0o644, 0, READ_WRITE).await.expect("made");
    let stream = w.fs.opendir(US, dir).await.expect("opens");
    w.fill(handle, "open").await;
    w.rmdir(ROOT, "d").await.expect("removed");
    assert_eq!(w.read_open(handle).await, "open");
    assert_eq!(w.fs.getattr(attr.ino).await.expect("open").nlink, 0);
    assert_eq!(refused(w.lookup(dir, "._a").await), NotFound);
    assert_eq!(refused(w.fs.create(US, dir, b"._b", 0o644, 0, READ_WRITE).await), NotFound);
    assert!(w.ordered(dir).await.is_empty());
    w.fs.releasedir(stream).await.expect("closed");
    w.fs.release(handle, None).await.expect("closed");
}

/// Another owner gives out numbers that this computer had given out before it lost the volume; creation times tell.
async fn a_number_that_means_another_directory_leads_to_nothing<F: FileSystem, L: FileSystem>(w: &World<F, L>) {
    let dir = w.mkdir(ROOT, "d").await;
    w.write(dir, "._a", "old").await;
    let created = |secs| SetAttr { btime: Some(Timestamp::new(secs, 1)), ..SetAttr::default() };
    w.fs.setattr(US, dir, created(1_000)).await.expect("changed");
    assert_eq!(w.read(dir, "._a").await, "old", "who changes it through us keeps them");
    w.fs.volume().setattr(Caller::default(), dir, created(2_000)).await.expect("changed");
    assert_eq!(refused(w.lookup(dir, "._a").await), NotFound);
    assert!(w.names(dir).await.is_empty() && w.ordered(dir).await.is_empty());
    assert_eq!(refused(w.unlink(dir, "._a").await), NotFound);
    w.write(dir, "._b", "new").await;
    assert_eq!(w.names(dir).await, ["._b"], "the first new one ends the old");
}

async fn what_belongs_to_directories_that_are_gone_is_pruned<F: FileSystem, L: FileSystem>(w: &World<F, L>) {
    let [gone, kept, emptied] = [w.mkdir(ROOT, "gone").await, w.mkdir(ROOT, "kept").await, w.mkdir(ROOT, "e").await];
    for dir in [ROOT, gone, kept, emptied] {
        w.write(dir, "._a", "").await;
    }
    w.unlink(emptied, "._a").await.expect("removed");
    w.fs.volume().rmdir(Caller::default(), ROOT, b"gone").await.expect("removed elsewhere");
    // What is not of our making stays.
    w.fs.local().mkdir(Caller::default(), ROOT, b"Recovered from there", 0o700, 0).await.expect("made");
    assert_eq!(w.companion_dirs().await, 5);
    assert_eq!(w.fs.prune().await.expect("pruned"), 2);
    assert_eq!(w.companion_dirs().await, 3);
    assert_eq!((w.names(ROOT).await.len(), w.names(kept).await), (3, vec!["._a".to_owned()]));
    assert_eq!(w.fs.prune().await.expect("pruned"), 0);
}
