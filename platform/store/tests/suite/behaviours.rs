//! What every store must do.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use proxyfs_core::store::{
    ConditionalPut, GetRange, ListPage, ObjectKey, ObjectStore, PutMode, StoreErrorKind, StoreResult,
};

use crate::backends::{Backend, Create};

/// More than one page of any store.
const MANY: usize = 1_100;
/// Creates of one name at once.
const RACERS: usize = 8;

fn body(text: &str) -> Vec<Bytes> {
    vec![Bytes::copy_from_slice(text.as_bytes())]
}

async fn put(backend: &Backend, path: &str, text: &str) {
    backend.store.put(&ObjectKey::home(path), body(text), PutMode::Fresh).await.unwrap();
}

async fn get(backend: &Backend, path: &str, range: GetRange) -> StoreResult<Bytes> {
    backend.store.get(&ObjectKey::home(path), range).await
}

fn kind<T: std::fmt::Debug>(result: StoreResult<T>) -> StoreErrorKind {
    result.expect_err("must fail").kind
}

fn paths(page: &ListPage) -> Vec<&str> {
    page.objects.iter().map(|o| o.key.path.as_str()).collect()
}

/// All pages of a listing, with the number of pages.
async fn list_all(store: &dyn ObjectStore, prefix: &str) -> (Vec<(String, u64)>, usize) {
    let (mut all, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = store.list(0, prefix, after.as_deref()).await.unwrap();
        pages += 1;
        all.extend(page.objects.into_iter().map(|o| (o.key.path, o.len)));
        after = page.next;
        if after.is_none() {
            return (all, pages);
        }
    }
}

async fn put_many(backend: &Backend, keys: &[String]) {
    let puts = keys.iter().map(|path| put(backend, path, path));
    stream::iter(puts).buffer_unordered(32).collect::<Vec<()>>().await;
}

pub(crate) async fn objects_read_back_as_put(backend: &Backend) {
    let key = ObjectKey::home("data/3f/0000000000000001-000000000000002a");
    let chunks = vec![Bytes::from_static(b"0123"), Bytes::new(), Bytes::from_static(b"456789")];
    backend.store.put(&key, chunks, PutMode::Fresh).await.unwrap();
    for (range, expected) in [
        (GetRange::Full, "0123456789"),
        (GetRange::Bounded { offset: 0, len: 10 }, "0123456789"),
        (GetRange::Bounded { offset: 0, len: 1 }, "0"),
        (GetRange::Bounded { offset: 3, len: 4 }, "3456"),
        (GetRange::Bounded { offset: 9, len: 1 }, "9"),
        (GetRange::Suffix { len: 3 }, "789"),
        (GetRange::Suffix { len: 10 }, "0123456789"),
        (GetRange::Suffix { len: 4096 }, "0123456789"),
    ] {
        assert_eq!(backend.store.get(&key, range).await.unwrap(), expected, "{range:?}");
    }
    assert_eq!(backend.store.len(&key).await.unwrap(), 10);
}

pub(crate) async fn ranges_past_the_end_are_truncated(backend: &Backend) {
    put(backend, "data/k", "0123456789").await;
    for (offset, len) in [(0, 11), (9, 2), (10, 1), (1 << 40, 1)] {
        let result = get(backend, "data/k", GetRange::Bounded { offset, len }).await;
        assert_eq!(kind(result), StoreErrorKind::Truncated, "{offset}+{len}");
    }
    assert_eq!(kind(get(backend, "data/k", GetRange::Bounded { offset: 1, len: 0 }).await), StoreErrorKind::Invalid);
    assert_eq!(kind(get(backend, "data/k", GetRange::Suffix { len: 0 }).await), StoreErrorKind::Invalid);
}

pub(crate) async fn empty_objects_have_length_zero(backend: &Backend) {
    for (path, content) in [("data/a", Vec::new()), ("data/b", vec![Bytes::new()])] {
        let key = ObjectKey::home(path);
        backend.store.put(&key, content, PutMode::Fresh).await.unwrap();
        assert_eq!(backend.store.len(&key).await.unwrap(), 0);
        assert_eq!(backend.store.get(&key, GetRange::Full).await.unwrap(), "");
        assert_eq!(backend.store.get(&key, GetRange::Suffix { len: 100 }).await.unwrap(), "");
        assert_eq!(
            kind(backend.store.get(&key, GetRange::Bounded { offset: 0, len: 1 }).await),
            StoreErrorKind::Truncated
        );
    }
    assert_eq!(list_all(&*backend.store, "data/").await.0, [("data/a".to_owned(), 0), ("data/b".to_owned(), 0)]);
}

pub(crate) async fn large_chunked_bodies_read_back(backend: &Backend) {
    // 17 MiB in chunks of odd sizes, each byte telling its place.
    let whole: Bytes = (0u32..17 << 18).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let mut chunks = Vec::new();
    let mut at = 0;
    for size in [1, 4095, 128 << 10, 131_073, 700_001].into_iter().cycle() {
        if at == whole.len() {
            break;
        }
        let end = whole.len().min(at + size);
        chunks.push(whole.slice(at..end));
        at = end;
    }
    let key = ObjectKey::home("data/00/large");
    let mode = if backend.create.is_honoured() { PutMode::CreateNew } else { PutMode::Fresh };
    backend.store.put(&key, chunks, mode).await.unwrap();
    assert_eq!(backend.store.len(&key).await.unwrap(), whole.len() as u64);
    assert!(backend.store.get(&key, GetRange::Full).await.unwrap() == whole);
    let range = GetRange::Bounded { offset: 5_000_001, len: 3_000_000 };
    assert!(backend.store.get(&key, range).await.unwrap() == whole.slice(5_000_001..8_000_001));
    let tail = backend.store.get(&key, GetRange::Suffix { len: 65_536 }).await.unwrap();
    assert!(tail == whole.slice(whole.len() - 65_536..));
}

pub(crate) async fn missing_objects_are_not_found(backend: &Backend) {
    put(backend, "data/3f/there", "x").await;
    for path in ["data/3f/missing", "nowhere/at/all", "data/3f", "data/3f/there-too"] {
        for range in [GetRange::Full, GetRange::Bounded { offset: 0, len: 1 }, GetRange::Suffix { len: 1 }] {
            assert_eq!(kind(get(backend, path, range).await), StoreErrorKind::NotFound, "{path} {range:?}");
        }
        assert_eq!(kind(backend.store.len(&ObjectKey::home(path)).await), StoreErrorKind::NotFound, "{path}");
    }
}

pub(crate) async fn a_fresh_put_may_be_repeated(backend: &Backend) {
    put(backend, "data/k", "same").await;
    put(backend, "data/k", "same").await;
    assert_eq!(get(backend, "data/k", GetRange::Full).await.unwrap(), "same");
    assert_eq!(list_all(&*backend.store, "").await.0, [("data/k".to_owned(), 4)]);
}

pub(crate) async fn listings_are_in_byte_order_over_all_pages(backend: &Backend) {
    let mut keys: Vec<String> = (0..MANY).map(|i| format!("data/{:02x}/{i:016x}", i * 37 % 256)).collect();
    keys.extend(["head/0", "volume.json", "Upper"].map(str::to_owned));
    put_many(backend, &keys).await;
    keys.sort_unstable();
    let expected: Vec<(String, u64)> = keys.iter().map(|k| (k.clone(), k.len() as u64)).collect();
    let (listed, _) = list_all(&*backend.store, "").await;
    assert!(listed == expected, "{} listed, {} expected", listed.len(), expected.len());
    let (shard, _) = list_all(&*backend.store, "data/25/").await;
    let in_shard: Vec<_> = expected.iter().filter(|(k, _)| k.starts_with("data/25/")).cloned().collect();
    assert_eq!(shard, in_shard);
}

pub(crate) async fn listings_begin_after_any_name(backend: &Backend) {
    for path in ["head/01", "head/02", "head/03", "log/1/a", "log/2/b"] {
        put(backend, path, "x").await;
    }
    for (prefix, after, expected) in [
        ("", None, vec!["head/01", "head/02", "head/03", "log/1/a", "log/2/b"]),
        ("head/", Some("head/02"), vec!["head/03"]),
        ("head/", Some("head/015"), vec!["head/02", "head/03"]),
        ("head/", Some("head/03"), vec![]),
        ("", Some("head/03"), vec!["log/1/a", "log/2/b"]),
        ("head/0", None, vec!["head/01", "head/02", "head/03"]),
        ("log/", Some("aaa"), vec!["log/1/a", "log/2/b"]),
        ("log/", Some("zzz"), vec![]),
        ("none/", None, vec![]),
    ] {
        let page = backend.store.list(0, prefix, after).await.unwrap();
        assert_eq!(paths(&page), expected, "{prefix:?} after {after:?}");
        assert_eq!(page.next, None);
    }
}

/// SeaweedFS compares name by name, so this holds there for listings of one page. No two of the engine's names differ in this way.
pub(crate) async fn listings_compare_whole_paths(backend: &Backend) {
    for path in ["data/x", "data-old/x", "data.x", "data0"] {
        put(backend, path, "x").await;
    }
    let page = backend.store.list(0, "data", None).await.unwrap();
    assert_eq!(paths(&page), ["data-old/x", "data.x", "data/x", "data0"]);
}

pub(crate) async fn a_listing_may_begin_after_what_others_lie_below(backend: &Backend) {
    put(backend, "log/1/a", "x").await;
    put(backend, "log/2/b", "x").await;
    let page = backend.store.list(0, "log/", Some("log/1")).await.unwrap();
    assert_eq!(paths(&page), ["log/1/a", "log/2/b"]);
}

pub(crate) async fn deleted_objects_are_gone(backend: &Backend) {
    let keys: Vec<String> = (0..MANY).map(|i| format!("data/{:02x}/{i:04x}", i % 16)).collect();
    put_many(backend, &keys).await;
    put(backend, "data/kept", "x").await;
    let mut doomed: Vec<ObjectKey> = keys.into_iter().map(ObjectKey::home).collect();
    doomed.push(ObjectKey::home("data/never-there"));
    assert!(backend.store.delete(&doomed).await.unwrap().is_empty());
    assert_eq!(list_all(&*backend.store, "data/").await.0, [("data/kept".to_owned(), 1)]);
    assert_eq!(kind(backend.store.len(&doomed[0]).await), StoreErrorKind::NotFound);
    assert!(backend.store.delete(&doomed[..1]).await.unwrap().is_empty());
    assert!(backend.store.delete(&[]).await.unwrap().is_empty());
}

pub(crate) async fn create_new_treats_a_taken_name_as_promised(backend: &Backend) {
    let key = ObjectKey::home("head/0000000000000001");
    let create = |text| backend.store.put(&key, body(text), PutMode::CreateNew);
    let read = || backend.store.get(&key, GetRange::Full);
    match backend.create {
        Create::Atomic | Create::InSequence => {
            create("mine").await.unwrap();
            assert_eq!(kind(create("else").await), StoreErrorKind::AlreadyExists);
            assert_eq!(kind(create("mine too").await), StoreErrorKind::AlreadyExists);
            // As a retry after a lost reply would.
            create("mine").await.unwrap();
            assert_eq!(read().await.unwrap(), "mine");
        }
        Create::Ignored => {
            create("mine").await.unwrap();
            create("else").await.unwrap();
            assert_eq!(read().await.unwrap(), "else");
        }
        Create::Refused => {
            assert_eq!(kind(create("mine").await), StoreErrorKind::Unsupported);
            assert_eq!(kind(read().await), StoreErrorKind::NotFound);
        }
    }
}

/// A store that lets several win must not say that it does not, and what it holds afterwards is one winner's.
pub(crate) async fn racing_creates_have_as_many_winners_as_promised(backend: &Backend) {
    if backend.create != Create::Atomic {
        assert_ne!(backend.store.conditional_put(), ConditionalPut::Atomic);
    }
    for round in 0..10 {
        let key = ObjectKey::home(format!("head/{round:016x}"));
        let winners = race(backend, &key).await;
        let fits = match backend.create {
            Create::Atomic => winners.len() == 1,
            Create::InSequence => !winners.is_empty(),
            Create::Ignored => winners.len() == RACERS,
            Create::Refused => winners.is_empty(),
        };
        assert!(fits, "round {round}: {winners:?}");
        match backend.store.get(&key, GetRange::Full).await {
            Ok(content) => assert!(winners.iter().any(|w| *w == content), "{content:?} of {winners:?}"),
            Err(e) => assert!(winners.is_empty() && e.kind == StoreErrorKind::NotFound, "{e}"),
        }
    }
}

/// Creates one name several times at once, each with its own content; those that succeeded.
async fn race(backend: &Backend, key: &ObjectKey) -> Vec<String> {
    let racers: Vec<_> = (0..RACERS)
        .map(|racer| {
            let (store, key) = (Arc::clone(&backend.store), key.clone());
            tokio::spawn(async move {
                let text = format!("racer {racer}");
                (store.put(&key, body(&text), PutMode::CreateNew).await, text)
            })
        })
        .collect();
    let refusal =
        if backend.create == Create::Refused { StoreErrorKind::Unsupported } else { StoreErrorKind::AlreadyExists };
    let mut winners = Vec::new();
    for racer in racers {
        match racer.await.unwrap() {
            (Ok(()), text) => winners.push(text),
            (Err(e), _) => assert_eq!(e.kind, refusal, "{e}"),
        }
    }
    winners
}

pub(crate) async fn containers_are_apart(backend: &Backend) {
    if !backend.creates_containers {
        println!("skipped: no containers are made on this backend");
        return;
    }
    let far = ObjectKey { container: 1, path: "data/k".into() };
    put(backend, "data/k", "home").await;
    backend.store.put(&far, body("far"), PutMode::Fresh).await.unwrap();
    assert_eq!(backend.store.get(&far, GetRange::Full).await.unwrap(), "far");
    assert_eq!(get(backend, "data/k", GetRange::Full).await.unwrap(), "home");
    let listed = backend.store.list(1, "", None).await.unwrap();
    assert_eq!((listed.objects.len(), &listed.objects[0].key), (1, &far));
    assert!(backend.store.delete(&[far.clone(), ObjectKey::home("data/k")]).await.unwrap().is_empty());
    assert_eq!(kind(backend.store.len(&far).await), StoreErrorKind::NotFound);
}

pub(crate) async fn paths_that_no_store_could_keep_are_refused(backend: &Backend) {
    for path in ["", "/x", "a//b", "../x", "a/./b", "a b"] {
        let result = backend.store.put(&ObjectKey::home(path), body("x"), PutMode::Fresh).await;
        assert_eq!(kind(result), StoreErrorKind::Invalid, "{path:?}");
    }
}
