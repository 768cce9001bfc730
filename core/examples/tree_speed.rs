//! Measures the B+Tree in memory: nanoseconds per operation over a million pairs. Run it with `--release`.

#![expect(clippy::print_stdout, reason = "the output is what this program is for")]

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use proxyfs_core::kv::{KvRead, PageAddr};
use proxyfs_core::tree::{PageCache, PageLimits, PageOut, Tree, decode_page};
use proxyfs_core::types::{Epoch, Nonce, ObjectId};

/// Pairs in the tree.
const COUNT: u64 = 1_000_000;
const TAG: u32 = 0;

/// Runs `op` for each number and prints the time that one took.
fn measure(what: &str, numbers: impl Iterator<Item = u64>, mut op: impl FnMut(u64)) {
    let (start, mut count) = (Instant::now(), 0_u64);
    for n in numbers {
        op(n);
        count += 1;
    }
    println!("{what:<28} {:>6} ns", start.elapsed().as_nanos() / u128::from(count.max(1)));
}

/// The key of an extent: 16 to an inode, one each 128 KiB.
fn key(n: u64) -> [u8; 18] {
    let mut key = [0; 18];
    key[0] = 1;
    key[1..9].copy_from_slice(&(n / 16).to_be_bytes());
    key[9] = 0x30;
    key[10..].copy_from_slice(&((n % 16) << 17).to_be_bytes());
    key
}

fn scattered() -> impl Iterator<Item = u64> {
    (0..COUNT).map(|n| n.wrapping_mul(0x9e37_79b1) % COUNT)
}

/// Freezes, writes and settles; returns the pages.
fn checkpoint(tree: &mut Tree) -> HashMap<PageAddr, PageOut> {
    let mut store = HashMap::new();
    let start = Instant::now();
    let mut writer = tree.freeze().writer();
    println!("freeze                       {:>6} ns", start.elapsed().as_nanos());
    let start = Instant::now();
    while let Some(page) = writer.next_page() {
        let object = ObjectId { epoch: Epoch(1), nonce: Nonce(store.len() as u64) };
        let addr =
            PageAddr { object, offset: 0, len: 48 + u32::try_from(page.payload.len()).expect("a page is small") };
        store.insert(addr, page);
        writer.place(addr);
    }
    let bytes: usize = store.values().map(|page| page.payload.len()).sum();
    println!("encode {} pages, {} KiB   {:>6} us", store.len(), bytes >> 10, start.elapsed().as_micros());
    let published = writer.finish();
    let start = Instant::now();
    tree.settle(published);
    println!("settle                       {:>6} us", start.elapsed().as_micros());
    store
}

fn main() {
    let cache = Arc::new(PageCache::new(1 << 30));
    let value = [7_u8; 20];
    let mut tree = Tree::empty(Arc::clone(&cache), TAG, PageLimits::default());
    measure("insert ascending", 0..COUNT, |n| drop(tree.insert(&key(n), &value).expect("dirty")));
    let mut tree = Tree::empty(Arc::clone(&cache), TAG, PageLimits::default());
    measure("insert scattered", scattered(), |n| drop(tree.insert(&key(n), &value).expect("dirty")));
    println!("dirty memory                 {:>6} MiB", tree.dirty_bytes() >> 20);
    measure("get dirty, scattered", scattered(), |n| assert!(tree.get(&key(n)).expect("dirty").is_some()));
    let store = checkpoint(&mut tree);
    println!("cached memory                {:>6} MiB", cache.used_bytes() >> 20);
    measure("get cached, scattered", scattered(), |n| assert!(tree.get(&key(n)).expect("cached").is_some()));
    let mut seen = 0;
    measure("scan all, each pair", 0..1, |_| {
        let count = &mut seen;
        tree.scan(&[], &[0xff], &mut |_, _| {
            *count += 1;
            ControlFlow::Continue(())
        })
        .expect("cached");
    });
    println!("pairs seen                   {seen}");
    measure("decode a page", 0..1, |_| {
        for page in store.values() {
            decode_page(page.level, &page.payload).expect("what was encoded");
        }
    });
    measure("overwrite cached, scattered", scattered(), |n| drop(tree.insert(&key(n), &value).expect("cached")));
    measure("remove scattered", scattered(), |n| drop(tree.remove(&key(n)).expect("resident")));
    assert!(tree.last(&[], &[0xff]).expect("empty").is_none());
}
