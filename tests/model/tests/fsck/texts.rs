//! What a person reads when the store holds something else than a volume of this program.

use bytes::Bytes;
use proxyfs_core::ErrorKind;
use proxyfs_core::format::Tier;
use proxyfs_core::format::layout::volume_json_key;
use proxyfs_core::fsck::{FsckOptions, check_volume};
use proxyfs_core::store::{ObjectKey, ObjectStore};

use crate::machine::{Machine, runtime};

/// The volume's description with one text replaced by another.
async fn with(from: &str, to: &str) -> Machine {
    let machine = Machine::create(21, Tier::Disk).await;
    let dump = machine.store.dump();
    let (key, content) = dump.into_iter().find(|(key, _)| *key == volume_json_key()).expect("a description");
    let text = String::from_utf8(content.to_vec()).expect("text");
    assert!(text.contains(from), "{from} in {text}");
    machine.damage(&key, text.replace(from, to).into_bytes());
    machine
}

#[test]
fn a_description_that_cannot_be_used_says_why_and_what_to_do() {
    let table = [
        ("\"format\": 1,", "\"format\": 2, \"wings\": 1,", ErrorKind::UnknownFormat, "upgrade"),
        ("\"cipher\": null", "\"cipher\": {\"kind\": \"x\"}", ErrorKind::UnknownFormat, "upgrade"),
        ("\"format\": 1,", "\"format\": 1, \"wings\": 1,", ErrorKind::Corrupt, "wings"),
        ("{", "hello {", ErrorKind::Corrupt, "volume.json"),
        ("\"tier\": \"disk\"", "\"tier\": \"moon\"", ErrorKind::Corrupt, "moon"),
    ];
    for (from, to, kind, says) in table {
        runtime().block_on(async {
            let machine = with(from, to).await;
            let error = machine.open().await.expect_err(to);
            assert_eq!(error.kind(), kind, "{to}: {error}");
            let text = error.to_string();
            assert!(text.contains(says) && text.contains("volume.json at mem:"), "{to}: {text}");
            match check_volume(&machine.dyn_store(), &FsckOptions::default()).await {
                Ok(report) => assert!(kind == ErrorKind::Corrupt && !report.clean() && !report.complete, "{to}"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::UnknownFormat, "{to}: {error}"),
            }
        });
    }
}

#[test]
fn an_empty_store_is_no_volume_and_a_volume_without_heads_is_damaged() {
    runtime().block_on(async {
        let machine = Machine::create(22, Tier::Disk).await;
        let all: Vec<ObjectKey> = machine.store.dump().into_iter().map(|(key, _)| key).collect();
        let (heads, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|key| key.path.starts_with("head/"));
        machine.store.delete(&heads).await.expect("memory");
        let error = machine.open().await.expect_err("no head");
        assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains("head/"), "{error}");
        assert!(!machine.fsck().await.clean());
        machine.store.delete(&rest).await.expect("memory");
        let error = machine.open().await.expect_err("no volume");
        assert!(error.kind() == ErrorKind::NotFound && error.to_string().contains("proxyfs volume create"), "{error}");
        let error = check_volume(&machine.dyn_store(), &FsckOptions::default()).await.expect_err("no volume");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_newer_head_asks_for_an_upgrade_and_is_not_passed_over() {
    runtime().block_on(async {
        let machine = Machine::create(23, Tier::Disk).await;
        let volume = machine.open().await.expect("open");
        machine.close(volume).await;
        let heads = machine.store.dump().into_iter().filter(|(key, _)| key.path.starts_with("head/"));
        let (key, content) = heads.last().expect("a head");
        let mut newer = content.to_vec();
        newer[4] = 2;
        machine.store.overwrite(key.clone(), Bytes::from(newer));
        let error = machine.open().await.expect_err("newer");
        assert_eq!(error.kind(), ErrorKind::UnknownFormat);
        assert!(error.to_string().contains("upgrade") && error.to_string().contains(&key.path), "{error}");
    });
}
