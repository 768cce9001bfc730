//! Names in both Unicode spellings on a real mount that takes them for one, as a Mac's does.
#![cfg(target_os = "linux")]
#![allow(missing_docs, reason = "a test program")]

mod common;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;

use common::{Lab, can_mount};
use proxyfs_fuse::{MountOptions, Names};
use proxyfs_harness::model::Model;

/// One name, composed and decomposed.
const COMPOSED: &str = "caf\u{e9}";
const DECOMPOSED: &str = "cafe\u{301}";

fn lab(test: &str, names: Names) -> Option<Lab<Model>> {
    can_mount(test).then(|| Lab::mount(Model::default(), MountOptions { names, ..MountOptions::default() }))
}

fn listed(lab: &Lab<Model>) -> BTreeSet<String> {
    let entries = fs::read_dir(lab.root()).expect("a listing");
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a plain name")).collect()
}

fn names<const N: usize>(expected: [&str; N]) -> BTreeSet<String> {
    expected.into_iter().map(str::to_owned).collect()
}

#[test]
fn either_spelling_finds_the_file_which_keeps_its_own() {
    let Some(lab) = lab("either_spelling_finds_the_file_which_keeps_its_own", Names::Equivalent) else { return };
    // Asked for before it is there: that must not be remembered.
    assert!(fs::metadata(lab.path(DECOMPOSED)).is_err());
    fs::write(lab.path(COMPOSED), "one").expect("a file");
    assert_eq!(fs::read_to_string(lab.path(DECOMPOSED)).expect("the same file"), "one");
    OpenOptions::new()
        .append(true)
        .open(lab.path(DECOMPOSED))
        .and_then(|mut f| f.write_all(b" two"))
        .expect("an append");
    assert_eq!(fs::read_to_string(lab.path(COMPOSED)).expect("the file"), "one two");
    let again = File::create_new(lab.path(DECOMPOSED)).map_err(|e| e.kind());
    assert_eq!(again.err(), Some(ErrorKind::AlreadyExists));
    assert_eq!(fs::create_dir(lab.path(DECOMPOSED)).map_err(|e| e.kind()), Err(ErrorKind::AlreadyExists));
    assert_eq!(listed(&lab), names([COMPOSED]));
    fs::remove_file(lab.path(DECOMPOSED)).expect("a removal");
    for name in [COMPOSED, DECOMPOSED] {
        assert_eq!(fs::metadata(lab.path(name)).map_err(|e| e.kind()).err(), Some(ErrorKind::NotFound), "{name}");
    }
    assert_eq!(listed(&lab), names([]));
}

#[test]
fn a_removed_file_is_gone_under_the_spelling_that_did_not_remove_it() {
    let Some(lab) = lab("a_removed_file_is_gone_under_the_spelling_that_did_not_remove_it", Names::Equivalent) else {
        return;
    };
    fs::write(lab.path(COMPOSED), "").expect("a file");
    assert!(fs::metadata(lab.path(DECOMPOSED)).is_ok());
    fs::remove_file(lab.path(COMPOSED)).expect("a removal");
    assert_eq!(fs::metadata(lab.path(DECOMPOSED)).map_err(|e| e.kind()).err(), Some(ErrorKind::NotFound));
}

#[test]
fn a_rename_replaces_the_other_spelling() {
    let Some(lab) = lab("a_rename_replaces_the_other_spelling", Names::Equivalent) else { return };
    fs::write(lab.path(COMPOSED), "old").expect("a file");
    fs::write(lab.path("new"), "new").expect("a file");
    fs::rename(lab.path("new"), lab.path(DECOMPOSED)).expect("a replacement");
    assert_eq!(listed(&lab), names([COMPOSED]));
    assert_eq!(fs::read_to_string(lab.path(COMPOSED)).expect("the file"), "new");
    fs::rename(lab.path(DECOMPOSED), lab.path("plain")).expect("a move");
    assert_eq!(listed(&lab), names(["plain"]));
    fs::create_dir(lab.path(COMPOSED)).expect("a directory");
    fs::write(lab.path(DECOMPOSED).join("inside"), "").expect("a file in it");
    assert!(fs::metadata(lab.path(COMPOSED).join("inside")).is_ok());
    fs::remove_file(lab.path(COMPOSED).join("inside")).expect("a removal");
    fs::remove_dir(lab.path(DECOMPOSED)).expect("a removal");
    assert_eq!(listed(&lab), names(["plain"]));
}

#[test]
fn both_spellings_made_elsewhere_lie_side_by_side() {
    let model = Model::default();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let us = proxyfs_core::fs::Caller { uid: 0, gid: 0, pid: 1 };
    let inodes = [COMPOSED, DECOMPOSED].map(|name| {
        use proxyfs_core::fs::{FileKind, FileSystem, NewNode};
        let node = NewNode { kind: FileKind::File, perm: 0o644, umask: 0, rdev: 0 };
        let made = model.mknod(us, proxyfs_core::types::Ino::ROOT, name.as_bytes(), node);
        runtime.block_on(made).expect("a file").ino.0
    });
    if !can_mount("both_spellings_made_elsewhere_lie_side_by_side") {
        return;
    }
    let lab = Lab::mount(model, MountOptions { names: Names::Equivalent, ..MountOptions::default() });
    let found = [COMPOSED, DECOMPOSED].map(|name| fs::metadata(lab.path(name)).expect("a file").ino());
    assert_eq!(found, inodes);
    fs::remove_file(lab.path(COMPOSED)).expect("a removal");
    assert_eq!(listed(&lab), names([DECOMPOSED]));
    // Now its spelling is the only one, and the other finds it.
    assert_eq!(fs::metadata(lab.path(COMPOSED)).expect("the file that is left").ino(), inodes[1]);
}

#[test]
fn a_mount_that_takes_names_exactly_keeps_them_apart() {
    let Some(lab) = lab("a_mount_that_takes_names_exactly_keeps_them_apart", Names::Exact) else { return };
    fs::write(lab.path(COMPOSED), "c").expect("a file");
    assert!(fs::metadata(lab.path(DECOMPOSED)).is_err());
    fs::write(lab.path(DECOMPOSED), "d").expect("another file");
    assert_eq!(listed(&lab), names([COMPOSED, DECOMPOSED]));
}
