//! Golden fixtures of the stored format: byte-exact both ways, and what damage to them does.
//!
//! `PROXYFS_BLESS=1` creates fixtures that are missing. It never overwrites one: the bytes of a released format do not change.

#[path = "fixtures/mod.rs"]
mod fixtures;

use std::path::Path;

use bytes::Bytes;
use fixtures::{Fixture, Guard};
use proxyfs_core::dump::dump_object;

/// Reads a fixture's file, having created it if that is asked for.
fn stored(fixture: &Fixture) -> Bytes {
    let bin = fixtures::folder().join(format!("{}.bin", fixture.name));
    if std::env::var_os("PROXYFS_BLESS").is_some() {
        create_if_missing(&bin, &fixture.encoded);
        create_if_missing(&bin.with_extension("txt"), fixture.text.as_bytes());
    }
    let missing = |e| panic!("{}: {e} (PROXYFS_BLESS=1 creates missing fixtures)", bin.display());
    std::fs::read(&bin).unwrap_or_else(missing).into()
}

fn create_if_missing(path: &Path, content: &[u8]) {
    if !path.exists() {
        std::fs::write(path, content).expect("write a fixture");
    }
}

#[test]
fn every_structure_encodes_to_its_fixture() {
    for fixture in fixtures::all() {
        let bytes = stored(&fixture);
        if fixture.guard != Guard::Compressed {
            assert_eq!(fixture.encoded, bytes, "{}", fixture.name);
        }
    }
}

#[test]
fn every_fixture_decodes_to_its_value() {
    for fixture in fixtures::all() {
        assert_eq!((fixture.decode)(&stored(&fixture)), Ok(true), "{}", fixture.name);
    }
}

#[test]
fn every_file_in_the_folder_belongs_to_a_fixture() {
    let names: Vec<String> = fixtures::all().into_iter().map(|f| f.name).collect();
    for entry in std::fs::read_dir(fixtures::folder()).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(names.contains(&stem), "{} has no test", path.display());
        assert!(path.with_extension("txt").exists() && path.with_extension("bin").exists(), "{stem} lacks a file");
    }
}

/// Checks what `damaged` bytes of a fixture decode to. Only a log may decode to less, and only bare values to something else.
fn check_damaged(fixture: &Fixture, damaged: &Bytes, damage: &str) {
    let decoded = (fixture.decode)(damaged);
    match fixture.guard {
        Guard::Checksum | Guard::Compressed => assert!(decoded.is_err(), "{}: {damage} went unseen", fixture.name),
        Guard::Bare | Guard::Log => drop(decoded),
    }
    // Nothing that a person might look at may bring the viewer down.
    drop(dump_object(&fixture.name, damaged));
}

#[test]
fn a_fixture_with_any_byte_changed_is_refused_or_at_least_harmless() {
    for fixture in fixtures::all() {
        let bytes = stored(&fixture);
        for at in 0..bytes.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = bytes.to_vec();
                damaged[at] ^= flip;
                check_damaged(&fixture, &damaged.into(), &format!("byte {at} changed by {flip:02x}"));
            }
        }
    }
}

#[test]
fn a_fixture_cut_anywhere_or_with_bytes_behind_it_is_refused_or_at_least_harmless() {
    for fixture in fixtures::all() {
        let bytes = stored(&fixture);
        for len in 0..bytes.len() {
            check_damaged(&fixture, &bytes.slice(..len), &format!("cut to {len}"));
        }
        check_damaged(&fixture, &[&bytes[..], &[0]].concat().into(), "one byte more");
    }
}

/// The records of a log file, or `None` if its header does not hold.
fn records(file: &Bytes) -> Option<Vec<proxyfs_core::format::Record>> {
    let (header, records) = proxyfs_core::format::LogFileHeader::decode_file(file).ok()?;
    Some(header.scan(&records).collect())
}

#[test]
fn a_damaged_log_yields_a_prefix_of_its_records() {
    let log = fixtures::all().into_iter().find(|f| f.guard == Guard::Log).unwrap();
    let bytes = stored(&log);
    let whole = records(&bytes).unwrap();
    assert_eq!(whole.len(), 2);
    let flips = (0..bytes.len()).map(|at| {
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 0x10;
        damaged.into()
    });
    let cuts = (0..bytes.len()).map(|len| bytes.slice(..len));
    for damaged in flips.chain(cuts) {
        if let Some(found) = records(&damaged) {
            assert!(whole.starts_with(&found));
        }
    }
}

#[test]
fn every_whole_object_can_be_dumped() {
    for fixture in fixtures::all() {
        let whole = !matches!(fixture.guard, Guard::Bare) || fixture.name == "volume";
        if whole {
            let dump = dump_object(&fixture.name, &stored(&fixture)).unwrap();
            assert!(!dump.to_string().contains("\"error\""), "{dump:#}");
        }
    }
}

#[test]
fn a_dump_shows_keys_and_values_in_words() {
    let pack = fixtures::all().into_iter().find(|f| f.name == "pack-meta").unwrap();
    let dump = dump_object("meta/00/x", &stored(&pack)).unwrap();
    let page = &dump["content"]["frames"][0]["frame"]["content"];
    assert_eq!(page["shown"][1]["key"], "inode 1 dirent name");
    assert_eq!(page["shown"][1]["value"]["ino"], 5);
    assert_eq!(page["shown"][4]["key"], "inode 5 extent 8192");
    assert_eq!(page["shown"][4]["value"]["segment"], "0000000000000003-0000000000001234");
}
