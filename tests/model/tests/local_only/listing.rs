//! Listings: every entry once, from wherever they are gone on with.

use proxyfs_core::ErrorKind;
use proxyfs_core::fs::FileSystem;

use crate::world::{ROOT, US, World, on_both, refused};

on_both!(
    a_stream_can_be_gone_on_with_at_any_cookie,
    a_stream_sees_what_comes_and_goes_as_any_stream_does,
    listing_by_name_merges_both,
    streams_end,
);

async fn a_stream_can_be_gone_on_with_at_any_cookie<F: FileSystem, L: FileSystem>(w: &World<F, L>) {
    let dir = w.mkdir(ROOT, "d").await;
    for n in 0..20 {
        w.write(dir, &format!("f{n}"), "").await;
        w.write(dir, &format!("._f{n}"), "").await;
    }
    w.write_elsewhere(dir, "._f7").await;
    let handle = w.fs.opendir(US, dir).await.expect("opens");
    let mut all = Vec::new();
    while let Some(next) =
        w.fs.readdir(handle, all.last().map_or(0, |e: &proxyfs_core::fs::DirEntry| e.cookie), false)
            .await
            .expect("lists")
            .first()
    {
        all.push(next.clone());
    }
    let mut names: Vec<_> = all.iter().map(|e| e.name.clone()).collect();
    assert_eq!(names.len(), 42, "{names:?}");
    assert_eq!((names[0].as_ref(), names[1].as_ref()), (&b"."[..], &b".."[..]));
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 42, "each once");
    for (at, entry) in all.iter().enumerate().rev() {
        let rest = w.fs.readdir(handle, entry.cookie, true).await.expect("lists");
        assert_eq!(rest.first().map(|e| &e.name), all.get(at + 1).map(|e| &e.name), "after {:?}", entry.name);
        for found in rest.into_iter().filter(|e| e.name != ".."[..]) {
            let attr = found.attr.expect("asked for");
            assert_eq!((attr.ino, attr), (found.ino, w.fs.getattr(found.ino).await.expect("there")));
        }
    }
    let again = w.fs.readdir(handle, 0, false).await.expect("lists");
    assert_eq!(again[0].name, all[0].name, "a rewind starts afresh");
    w.fs.releasedir(handle).await.expect("closed");
}

async fn a_stream_sees_what_comes_and_goes_as_any_stream_does<F: FileSystem, L: FileSystem>(w: &World<F, L>) {
    let dir = w.mkdir(ROOT, "d").await;
    w.write(dir, "a", "").await;
    let handle = w.fs.opendir(US, dir).await.expect("opens");
    let first = w.fs.readdir(handle, 0, false).await.expect("lists");
    let end = first.last().expect("some").cookie;
    assert!(w.fs.readdir(handle, end, false).await.expect("lists").is_empty());
    // The first of its kind comes while the stream is open.
    w.write(dir, "._late", "").await;
    w.write(dir, "._later", "").await;
    let late = w.fs.readdir(handle, end, false).await.expect("lists");
    assert_eq!(late.iter().map(|e| e.name.as_ref()).collect::<Vec<_>>(), [&b"._late"[..], b"._later"]);
    w.unlink(dir, "._late").await.expect("removed");
    let rest = w.fs.readdir(handle, late[0].cookie, false).await.expect("lists");
    assert_eq!(rest.iter().map(|e| e.name.as_ref()).collect::<Vec<_>>(), [b"._later"]);
    w.unlink(dir, "a").await.expect("removed");
    w.rmdir(ROOT, "d").await.expect("removed");
    assert!(w.fs.readdir(handle, 0, false).await.expect("lists").is_empty());
    assert!(w.fs.readdir(handle, rest[0].cookie, false).await.expect("lists").is_empty());
    w.fs.releasedir(handle).await.expect("closed");
}

async fn listing_by_name_merges_both<F: FileSystem, L: FileSystem>(w: &World<F, L>) {
    let dir = w.mkdir(ROOT, "d").await;
    let mut expected = Vec::new();
    // Names of the volume on both sides of the others, and more than a page of each.
    for n in 0..700 {
        for name in [format!("!{n:03}"), format!("._{n:03}"), format!("x{n:03}"), format!("~$b{n:03}")] {
            w.write(dir, &name, "").await;
            expected.push(name);
        }
    }
    for name in ["._500", "~$b001"] {
        w.write_elsewhere(dir, name).await;
    }
    expected.sort();
    assert_eq!(w.ordered(dir).await, expected);
    let mut streamed = w.names(dir).await;
    streamed.sort();
    assert_eq!(streamed, expected);
    // A marker need not be there.
    let page = w.fs.entries_after(dir, Some(b"._699x")).await.expect("lists");
    assert_eq!(page[0].name, "x000");
    let page = w.fs.entries_after(dir, Some(b"x699")).await.expect("lists");
    assert_eq!(page[0].name, "~$b000");
    for entry in page {
        assert_eq!(w.fs.lookup(dir, &entry.name).await.expect("there"), entry.attr);
    }
}

async fn streams_end<F: FileSystem, L: FileSystem>(w: &World<F, L>) {
    w.write(ROOT, "._a", "").await;
    let handle = w.fs.opendir(US, ROOT).await.expect("opens");
    w.fs.fsyncdir(handle).await.expect("synced");
    w.fs.releasedir(handle).await.expect("closed");
    assert_eq!(refused(w.fs.readdir(handle, 0, false).await), ErrorKind::BadHandle);
    assert_eq!(refused(w.fs.releasedir(handle).await), ErrorKind::BadHandle);
}
