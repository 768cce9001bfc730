//! The drive over the reference model: names, dispositions, attributes, streams, deletes and renames as Windows asks for them.

use std::future::Future;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use proxyfs_core::format::CaseRule;
use proxyfs_core::fs::RenameMode;
use proxyfs_core::local_only::LocalOnly;
use proxyfs_harness::model::Model;

use super::*;
use crate::drive::create::Cleanup;
use crate::ea::Ea;

fn now<T>(future: impl Future<Output = T>) -> T {
    match std::pin::pin!(future).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the model never waits"),
    }
}

fn units(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

fn path(text: &str) -> Path {
    Path::parse(&units(text)).unwrap()
}

fn text(units: &[u16]) -> String {
    String::from_utf16_lossy(units)
}

struct World<F: FileSystem = Model> {
    drive: Drive<F>,
}

impl World {
    fn new() -> Self {
        Self::over(Model::default())
    }
}

impl<F: FileSystem> World<F> {
    fn over(fs: F) -> Self {
        let options = DriveOptions {
            who: Identity { uid: 1000, gid: 100, ..DriveOptions::default().who },
            ..DriveOptions::default()
        };
        Self { drive: Drive::new(Arc::new(fs), options) }
    }

    fn create(&self, at: &str, wish: &CreateWish) -> Answer<Opened> {
        now(self.drive.create(&path(at), wish))
    }

    fn make(&self, at: &str, content: &str) {
        let made = self.create(at, &CreateWish::default()).unwrap();
        self.write(&made.open, 0, content);
        now(self.drive.close(&made.open));
    }

    fn mkdir(&self, at: &str) {
        let made = self.create(at, &CreateWish { directory: true, ..CreateWish::default() }).unwrap();
        now(self.drive.close(&made.open));
    }

    fn open(&self, at: &str) -> Answer<Opened> {
        now(self.drive.open(&path(at), true))
    }

    fn info(&self, at: &str) -> Answer<Info> {
        let opened = self.open(at)?;
        now(self.drive.close(&opened.open));
        Ok(opened.info)
    }

    fn read(&self, open: &Open) -> String {
        let pieces = now(self.drive.read(open, 0, 1 << 20)).unwrap_or_default();
        pieces.iter().map(|p| String::from_utf8_lossy(p).into_owned()).collect()
    }

    fn content(&self, at: &str) -> Answer<String> {
        let opened = self.open(at)?;
        let content = self.read(&opened.open);
        now(self.drive.close(&opened.open));
        Ok(content)
    }

    fn write(&self, open: &Open, at: u64, content: &str) -> Info {
        let data = Bytes::copy_from_slice(content.as_bytes());
        now(self.drive.write(open, WriteAt::Offset(at), false, data)).unwrap().1
    }

    fn rename(&self, from: &str, to: &str, replace: bool) -> Answer<()> {
        let replace = if replace { Replace::Yes } else { Replace::No };
        let opened = self.open(from)?;
        let done = now(self.drive.rename(&opened.open, &path(from), &path(to), replace));
        now(self.drive.close(&opened.open));
        done
    }

    fn names(&self, at: &str) -> Vec<String> {
        let opened = self.open(at).unwrap();
        let mut names: Vec<String> = Vec::new();
        loop {
            let marker = names.last().map(|n| units(n));
            let page = now(self.drive.list(&opened.open, marker.as_deref())).unwrap();
            if page.is_empty() {
                now(self.drive.close(&opened.open));
                return names;
            }
            names.extend(page.iter().map(|e| text(&e.name)));
        }
    }
}

const DELETE: Cleanup =
    Cleanup { delete: true, set_archive: false, set_access_time: false, set_write_time: false, set_change_time: false };

#[test]
fn paths_that_do_not_lead_anywhere_say_where_they_end() {
    let world = World::new();
    world.mkdir("\\dir");
    world.make("\\file", "x");
    for (at, expected) in [
        ("\\missing", Status::OBJECT_NAME_NOT_FOUND),
        ("\\dir\\missing", Status::OBJECT_NAME_NOT_FOUND),
        ("\\missing\\below", Status::OBJECT_PATH_NOT_FOUND),
        ("\\file\\below", Status::OBJECT_PATH_NOT_FOUND),
        ("\\file:stream", Status::OBJECT_NAME_NOT_FOUND),
    ] {
        assert_eq!(world.open(at).map(|o| o.info), Err(expected), "{at}");
    }
    for (at, expected) in [
        ("\\missing\\new", Status::OBJECT_PATH_NOT_FOUND),
        ("\\file\\new", Status::OBJECT_PATH_NOT_FOUND),
        ("\\file", Status::OBJECT_NAME_COLLISION),
        ("\\dir", Status::OBJECT_NAME_COLLISION),
        ("\\", Status::ACCESS_DENIED),
    ] {
        assert_eq!(world.create(at, &CreateWish::default()).map(|o| o.info), Err(expected), "{at}");
    }
}

#[test]
fn the_save_dance_of_an_office_program_keeps_both_files_whole() {
    let world = World::new();
    world.make("\\report.docx", "old");
    let reader = world.open("\\report.docx").unwrap();
    // A new version beside it, then the old one out of the way, then the new one in its place, then the old one deleted.
    world.make("\\~WRD0001.tmp", "new");
    world.rename("\\report.docx", "\\~WRL0002.tmp", false).unwrap();
    world.rename("\\~WRD0001.tmp", "\\report.docx", false).unwrap();
    let old = world.open("\\~WRL0002.tmp").unwrap();
    now(world.drive.can_delete(&old.open, false)).unwrap();
    now(world.drive.cleanup(&old.open, Some(&path("\\~WRL0002.tmp")), DELETE));
    now(world.drive.close(&old.open));
    assert_eq!(world.content("\\report.docx").unwrap(), "new");
    assert_eq!(world.read(&reader.open), "old", "who has it open keeps it");
    assert_eq!(world.names("\\"), ["report.docx"]);
    now(world.drive.close(&reader.open));
}

#[test]
fn a_rename_onto_an_open_file_replaces_it_and_its_readers_keep_the_old_one() {
    let world = World::new();
    world.make("\\a", "one");
    world.make("\\b", "two");
    let reader = world.open("\\b").unwrap();
    assert_eq!(world.rename("\\a", "\\b", false), Err(Status::OBJECT_NAME_COLLISION));
    world.rename("\\a", "\\b", true).unwrap();
    assert_eq!(world.content("\\b").unwrap(), "one");
    assert_eq!(world.read(&reader.open), "two");
    now(world.drive.close(&reader.open));
    world.mkdir("\\dir");
    world.mkdir("\\other");
    assert_eq!(world.rename("\\b", "\\dir", true), Err(Status::ACCESS_DENIED));
    assert_eq!(world.rename("\\dir", "\\b", true), Err(Status::ACCESS_DENIED));
    assert_eq!(world.rename("\\dir", "\\other", true), Err(Status::ACCESS_DENIED));
    assert_eq!(world.rename("\\dir", "\\dir\\inside", false), Err(Status::INVALID_PARAMETER));
    world.rename("\\b", "\\dir\\b", false).unwrap();
    assert_eq!(world.names("\\dir"), [".", "..", "b"]);
}

#[test]
fn two_hard_links_of_one_file_renamed_onto_each_other_leave_one() {
    let world = World::new();
    world.make("\\a", "x");
    let fs = world.drive.file_system();
    let ino = now(fs.lookup(Ino::ROOT, b"a")).unwrap().ino;
    now(fs.link(Caller::default(), ino, Ino::ROOT, b"b")).unwrap();
    world.rename("\\a", "\\b", true).unwrap();
    assert_eq!(world.names("\\"), ["b"]);
}

#[test]
fn read_only_files_and_full_directories_are_not_deleted() {
    let world = World::new();
    world.create("\\ro", &CreateWish { attributes: fa::READONLY, ..CreateWish::default() }).unwrap();
    world.mkdir("\\dir");
    world.make("\\dir\\inside", "");
    for (at, expected) in [
        ("\\ro", Err(Status::CANNOT_DELETE)),
        ("\\dir", Err(Status::DIRECTORY_NOT_EMPTY)),
        ("\\dir\\inside", Ok(())),
        ("\\", Err(Status::CANNOT_DELETE)),
    ] {
        let opened = world.open(at).unwrap();
        assert_eq!(now(world.drive.can_delete(&opened.open, false)), expected, "{at}");
        now(world.drive.close(&opened.open));
    }
    world.make("\\x", "");
    assert_eq!(world.rename("\\x", "\\ro", true), Err(Status::ACCESS_DENIED));
}

#[test]
fn a_deleted_name_that_is_another_files_by_now_stays() {
    let world = World::new();
    world.make("\\a", "first");
    let first = world.open("\\a").unwrap();
    world.rename("\\a", "\\moved", false).unwrap();
    world.make("\\a", "second");
    now(world.drive.cleanup(&first.open, Some(&path("\\a")), DELETE));
    assert_eq!(world.content("\\a").unwrap(), "second");
    now(world.drive.cleanup(&first.open, Some(&path("\\moved")), DELETE));
    assert_eq!(world.names("\\"), ["a"]);
    assert_eq!(world.read(&first.open), "first");
    now(world.drive.close(&first.open));
}

#[test]
fn attributes_are_kept_and_those_that_say_nothing_cost_nothing() {
    let world = World::new();
    let plain = world.create("\\plain", &CreateWish { attributes: fa::NORMAL, ..CreateWish::default() }).unwrap();
    assert_eq!(plain.info.attributes, fa::ARCHIVE);
    let ino = plain.open.target().ino;
    assert!(now(world.drive.file_system().listxattr(ino)).unwrap().is_empty());
    let set = |attributes| {
        now(world.drive.set_basic(&plain.open, Basic { attributes: Some(attributes), ..Basic::default() }))
            .map(|info| info.attributes)
    };
    let all = fa::READONLY | fa::HIDDEN | fa::SYSTEM | fa::ARCHIVE | fa::NOT_CONTENT_INDEXED;
    assert_eq!(set(all), Ok(all));
    assert_eq!(set(fa::NORMAL), Ok(fa::NORMAL));
    assert_eq!(set(fa::DIRECTORY), Err(Status::INVALID_PARAMETER));
    let archive = Cleanup { set_archive: true, ..Cleanup::default() };
    now(world.drive.cleanup(&plain.open, None, archive));
    assert_eq!(now(world.drive.info(&plain.open)).unwrap().attributes, fa::ARCHIVE);
    // Hidden by its name if made elsewhere; made by Windows it is as Windows wanted it.
    world.make("\\.here", "");
    assert_eq!(world.info("\\.here").unwrap().attributes, fa::ARCHIVE);
    let fs = world.drive.file_system();
    now(fs.mkdir(Caller::default(), Ino::ROOT, b".elsewhere", 0o755, 0)).unwrap();
    assert_eq!(world.info("\\.elsewhere").unwrap().attributes, fa::DIRECTORY | fa::HIDDEN);
    assert_eq!(world.info("\\").unwrap().attributes, fa::DIRECTORY);
}

#[test]
fn overwriting_takes_content_streams_and_eas_and_merges_or_replaces_attributes() {
    let world = World::new();
    world.make("\\f", "content");
    world.make("\\f:s", "stream");
    let f = world.open("\\f").unwrap();
    now(world.drive.set_eas(&f.open, &[ea("A", "1")])).unwrap();
    now(world.drive.set_basic(&f.open, Basic { attributes: Some(fa::HIDDEN), ..Basic::default() })).unwrap();
    let info = now(world.drive.overwrite(&f.open, fa::SYSTEM, false, &[ea("B", "2")])).unwrap();
    assert_eq!((info.attributes, info.file_size), (fa::HIDDEN | fa::SYSTEM | fa::ARCHIVE, 0));
    assert_eq!(now(world.drive.eas(&f.open)).unwrap(), [ea("B", "2")]);
    assert_eq!(world.open("\\f:s").map(|o| o.info), Err(Status::OBJECT_NAME_NOT_FOUND));
    let info = now(world.drive.overwrite(&f.open, fa::SYSTEM, true, &[])).unwrap();
    assert_eq!(info.attributes, fa::SYSTEM | fa::ARCHIVE);
}

fn ea(name: &str, value: &str) -> Ea {
    Ea { flags: 0, name: name.into(), value: value.into() }
}

#[test]
fn eas_are_found_in_any_case_and_removed_by_an_empty_value() {
    let world = World::new();
    let f = world.create("\\f", &CreateWish { eas: vec![ea("Author", "a")], ..CreateWish::default() }).unwrap();
    assert_eq!(f.info.ea_size, 16);
    now(world.drive.set_eas(&f.open, &[ea("AUTHOR", "bb"), ea("Other", "c")])).unwrap();
    assert_eq!(now(world.drive.eas(&f.open)).unwrap(), [ea("Author", "bb"), ea("Other", "c")]);
    let info = now(world.drive.set_eas(&f.open, &[ea("author", ""), ea("gone", "")])).unwrap();
    assert_eq!(now(world.drive.eas(&f.open)).unwrap(), [ea("Other", "c")]);
    assert_eq!(info.ea_size, 16);
    let refused = now(world.drive.set_eas(&f.open, &[ea("DosStream.x:$DATA", "c")]));
    assert_eq!(refused, Err(Status::INVALID_EA_NAME));
}

#[test]
fn streams_are_made_listed_grown_cut_and_deleted() {
    let world = World::new();
    world.make("\\f", "main");
    world.make("\\f:Zone.Identifier", "[ZoneTransfer]");
    let stream = world.open("\\f:zone.identifier:$DATA").unwrap();
    assert_eq!((stream.info.file_size, stream.info.attributes), (14, fa::ARCHIVE));
    assert_eq!(world.write(&stream.open, 20, "end").file_size, 23);
    assert_eq!(world.read(&stream.open), "[ZoneTransfer]\0\0\0\0\0\0end");
    assert_eq!(now(world.drive.set_size(&stream.open, 4, false)).unwrap().file_size, 4);
    assert_eq!(now(world.drive.set_size(&stream.open, 9, true)).unwrap().file_size, 4);
    assert_eq!(world.read(&stream.open), "[Zon");
    let too_far = now(world.drive.write(&stream.open, WriteAt::Offset(70_000), false, Bytes::from_static(b"x")));
    assert_eq!(too_far.map(|w| w.0), Err(Status::FILE_TOO_LARGE));
    let f = world.open("\\f").unwrap();
    let listed = now(world.drive.streams(&f.open)).unwrap();
    let listed: Vec<(String, u64)> = listed.iter().map(|s| (text(&s.name), s.len)).collect();
    assert_eq!(listed, [(String::new(), 4), ("Zone.Identifier".to_owned(), 4)]);
    assert_eq!(
        world.create("\\f:ZONE.identifier", &CreateWish::default()).map(|o| o.info),
        Err(Status::OBJECT_NAME_COLLISION)
    );
    now(world.drive.cleanup(&stream.open, Some(&path("\\f:Zone.Identifier")), DELETE));
    assert_eq!(now(world.drive.streams(&f.open)).unwrap().len(), 1);
    assert_eq!(world.content("\\f").unwrap(), "main");

    // With the file, and on a directory.
    world.make("\\new:s", "both");
    assert_eq!(world.content("\\new").unwrap(), "");
    world.mkdir("\\dir");
    world.make("\\dir:s", "of a directory");
    assert_eq!(world.content("\\dir:s").unwrap(), "of a directory");
    let dir = world.open("\\dir:s").unwrap();
    assert!(!dir.open.is_dir() && dir.info.attributes == fa::NORMAL);
    let directory = CreateWish { directory: true, ..CreateWish::default() };
    assert_eq!(world.create("\\f:d", &directory).map(|o| o.info), Err(Status::NOT_A_DIRECTORY));
}

#[test]
fn writes_go_to_the_end_or_stop_there_as_asked() {
    let world = World::new();
    let f = world.create("\\f", &CreateWish::default()).unwrap().open;
    let write = |at, constrained, data: &'static str| {
        let (written, info) = now(world.drive.write(&f, at, constrained, Bytes::from_static(data.as_bytes()))).unwrap();
        (written, info.file_size)
    };
    assert_eq!(write(WriteAt::End, false, "abc"), (3, 3));
    assert_eq!(write(WriteAt::End, false, "def"), (3, 6));
    assert_eq!(write(WriteAt::Offset(4), true, "XYZ"), (2, 6));
    assert_eq!(write(WriteAt::Offset(6), true, "no"), (0, 6));
    assert_eq!(write(WriteAt::Offset(8), false, "i"), (1, 9));
    assert_eq!(world.read(&f), "abcdXY\0\0i");
    assert_eq!(now(world.drive.read(&f, 9, 1)), Err(Status::END_OF_FILE));
    assert_eq!(now(world.drive.read(&f, 9, 0)).unwrap().len(), 0);
    assert_eq!(now(world.drive.set_size(&f, 3, true)).unwrap().file_size, 3);
    assert_eq!(now(world.drive.set_size(&f, 1 << 20, true)).unwrap().file_size, 3);
    assert_eq!(now(world.drive.set_size(&f, 5, false)).unwrap().file_size, 5);
    let dir = world.open("\\").unwrap().open;
    assert_eq!(now(world.drive.read(&dir, 0, 1)).map(|p| p.len()), Err(Status::INVALID_HANDLE));
    assert_eq!(now(world.drive.set_size(&dir, 0, false)), Err(Status::INVALID_PARAMETER));
}

#[test]
fn a_time_that_was_set_stays_while_the_file_is_written_through_the_same_handle() {
    let world = World::new();
    let f = world.create("\\f", &CreateWish::default()).unwrap().open;
    let times = [1_000_000_007, 2_000_000_007, 3_000_000_007, 4_000_000_007];
    let [creation, access, write, change] = times.map(|t| crate::time::from_windows(t + 116_444_736_000_000_000));
    let info = now(world.drive.set_basic(&f, Basic { attributes: None, creation, access, write, change })).unwrap();
    let shown = [info.creation_time, info.last_access_time, info.last_write_time, info.change_time];
    assert_eq!(shown, times.map(|t| t + 116_444_736_000_000_000));
    let after = world.write(&f, 0, "later");
    assert_eq!(after.last_write_time, info.last_write_time);
    let other = world.open("\\f").unwrap().open;
    assert_ne!(world.write(&other, 0, "other").last_write_time, info.last_write_time);
}

#[test]
fn markers_of_any_kind_go_on_where_they_should() {
    let world = World::new();
    world.mkdir("\\d");
    for n in 0..700 {
        world.make(&format!("\\d\\f{n:03}"), "");
    }
    let names = world.names("\\d");
    assert_eq!((names.len(), names[0].as_str(), names[1].as_str(), names[2].as_str()), (702, ".", "..", "f000"));
    let dir = world.open("\\d").unwrap().open;
    let after = |marker: &str| text(&now(world.drive.list(&dir, Some(&units(marker)))).unwrap()[0].name);
    assert_eq!(after("."), "..");
    assert_eq!(after(".."), "f000");
    assert_eq!(after("f350x"), "f351");
    assert_eq!(now(world.drive.list(&dir, Some(&units("f699")))).unwrap(), []);
    let one = now(world.drive.list_one(&dir, &units("f123"))).unwrap();
    assert_eq!(text(&one.name), "f123");
    assert_eq!(now(world.drive.list_one(&dir, &units("f9"))), Err(Status::OBJECT_NAME_NOT_FOUND));
    assert_eq!(world.names("\\")[0], "d", "the root has no dots");
}

#[test]
fn names_that_windows_cannot_show_are_listed_and_opened_by_what_they_are_shown_as() {
    let world = World::new();
    let fs = world.drive.file_system();
    let linux: [&[u8]; 4] = [b"a:b", b"con.txt", b"ends.", b"\xff\xfe"];
    for name in linux {
        let flags = OpenFlags { write: true, exclusive: true, ..OpenFlags::default() };
        let (_, handle) = now(fs.create(Caller::default(), Ino::ROOT, name, 0o644, 0, flags)).unwrap();
        now(fs.write(handle, 0, Bytes::copy_from_slice(name), Default::default())).unwrap();
    }
    let names = world.names("\\");
    assert_eq!(names.len(), 4);
    for name in names {
        let opened = world.open(&format!("\\{name}")).unwrap();
        let pieces = now(world.drive.read(&opened.open, 0, 100)).unwrap();
        assert!(linux.contains(&pieces[0].as_ref()), "{name}");
    }
}

#[test]
fn symlinks_are_reparse_points_both_ways() {
    let world = World::new();
    world.mkdir("\\dir");
    world.make("\\dir\\f", "in dir");
    let fs = world.drive.file_system();
    for (name, target) in [("to_file", "dir/f"), ("to_dir", "/dir"), ("chain", "to_dir"), ("nowhere", "gone")] {
        now(fs.symlink(Caller::default(), Ino::ROOT, name.as_bytes(), target.as_bytes())).unwrap();
    }
    for (at, dir) in [("\\to_file", false), ("\\to_dir", true), ("\\chain", true), ("\\nowhere", false)] {
        let info = world.info(at).unwrap();
        assert_eq!(info.attributes & fa::DIRECTORY != 0, dir, "{at}");
        assert_eq!((info.attributes & fa::REPARSE_POINT, info.reparse_tag), (fa::REPARSE_POINT, buffers::TAG_SYMLINK));
    }
    assert_eq!(now(world.drive.walk(&path("\\to_dir\\f"))).map(|_| ()), Err(Status::REPARSE));
    assert_eq!(now(world.drive.walk(&path("\\to_dir\\f\\x"))).map(|_| ()), Err(Status::REPARSE));

    // Made by Windows: an empty file, then its reparse data.
    for (at, directory, target) in [("\\new", false, "dir/f"), ("\\newdir", true, "missing/dir")] {
        let made = world.create(at, &CreateWish { directory, ..CreateWish::default() }).unwrap();
        now(world.drive.set_reparse(&made.open, &path(at), &buffers::of_symlink(target.as_bytes()))).unwrap();
        let info = now(world.drive.info(&made.open)).unwrap();
        let expected = fa::REPARSE_POINT | if directory { fa::DIRECTORY } else { 0 };
        assert_eq!(info.attributes, expected, "{at}");
        let ino = now(fs.lookup(Ino::ROOT, &at.as_bytes()[1..])).unwrap();
        assert_eq!(ino.kind, FileKind::Symlink);
        assert_eq!(now(fs.readlink(ino.ino)).unwrap(), target.as_bytes());
        assert_eq!(now(world.drive.reparse(&made.open)).unwrap(), buffers::of_symlink(target.as_bytes()));

        let other = [0x03, 0, 0, 0xa0, 0, 0, 0, 0];
        let refused = now(world.drive.delete_reparse(&made.open, &path(at), &other));
        assert_eq!(refused, Err(Status::IO_REPARSE_TAG_MISMATCH));
        now(world.drive.delete_reparse(&made.open, &path(at), &buffers::of_symlink(b"x")[..8])).unwrap();
        let plain = now(fs.lookup(Ino::ROOT, &at.as_bytes()[1..])).unwrap();
        assert_eq!(plain.kind, if directory { FileKind::Dir } else { FileKind::File });
        assert_eq!(now(world.drive.reparse(&made.open)), Err(Status::NOT_A_REPARSE_POINT));
    }
    assert!(!world.names("\\").iter().any(|n| n.starts_with(".proxyfs")), "nothing is left aside");
}

#[test]
fn other_reparse_points_are_kept_as_they_are() {
    let world = World::new();
    world.mkdir("\\junction");
    let junction = [&[0x03, 0, 0, 0xa0, 4, 0, 0, 0][..], b"data"].concat();
    let open = world.open("\\junction").unwrap().open;
    now(world.drive.set_reparse(&open, &path("\\junction"), &junction)).unwrap();
    let info = world.info("\\junction").unwrap();
    assert_eq!((info.attributes, info.reparse_tag), (fa::DIRECTORY | fa::REPARSE_POINT, 0xa000_0003));
    assert_eq!(now(world.drive.reparse(&open)).unwrap(), junction);
    assert_eq!(now(world.drive.walk(&path("\\junction\\x"))).map(|_| ()), Err(Status::REPARSE));
    assert_eq!(world.create("\\junction\\x", &CreateWish::default()).map(|_| ()), Err(Status::REPARSE));
    let symlink = now(world.drive.set_reparse(&open, &path("\\junction"), &buffers::of_symlink(b"x")));
    assert_eq!(symlink, Err(Status::IO_REPARSE_TAG_MISMATCH));
    now(world.drive.delete_reparse(&open, &path("\\junction"), &junction[..8])).unwrap();
    assert_eq!(world.info("\\junction").unwrap().attributes, fa::DIRECTORY);
    world.make("\\junction\\x", "");
    let full = now(world.drive.set_reparse(&open, &path("\\junction"), &junction));
    assert_eq!(full, Err(Status::DIRECTORY_NOT_EMPTY));
}

#[test]
fn a_descriptor_holds_until_permissions_change_elsewhere() {
    use crate::security::{derive, part};
    let world = World::new();
    let who = &world.drive.options.who;
    let of = |perm| {
        let attr = now(world.drive.fs.getattr(Ino::ROOT)).unwrap();
        derive(&Attr { perm, kind: FileKind::File, ..attr }, who)
    };
    let wish = CreateWish { security: Some(of(0o640)), ..CreateWish::default() };
    let f = world.create("\\f", &wish).unwrap().open;
    let perm = || now(world.drive.fs.getattr(f.target().ino)).unwrap().perm;
    assert_eq!(now(world.drive.security(&f)).unwrap(), of(0o640));
    assert_eq!(perm(), 0o640);
    let chmod = proxyfs_core::fs::SetAttr { perm: Some(0o751), ..Default::default() };
    now(world.drive.file_system().setattr(Caller::default(), f.target().ino, chmod)).unwrap();
    assert_ne!(now(world.drive.security(&f)).unwrap(), of(0o640));
    now(world.drive.set_security(&f, part::OWNER | part::GROUP | part::DACL, &of(0o600))).unwrap();
    assert_eq!(perm(), 0o711, "execution is not Windows' to decide");
    let changed = now(world.drive.security(&f)).unwrap();
    now(world.drive.close(&f));
    let again = world.open("\\f").unwrap().open;
    assert_eq!(now(world.drive.security(&again)).unwrap(), changed);
    assert_eq!(now(world.drive.set_security(&again, part::DACL, b"nonsense")), Err(Status::INVALID_SECURITY_DESCR));
}

#[test]
fn the_label_is_kept_and_has_a_limit() {
    let world = World::new();
    assert_eq!(now(world.drive.volume()).unwrap().label, "ProxyFS");
    assert_eq!(now(world.drive.set_label("Fotos \u{e4}")).unwrap().label, "Fotos \u{e4}");
    assert_eq!(now(world.drive.set_label(&"x".repeat(33))), Err(Status::INVALID_PARAMETER));
    let volume = now(world.drive.volume()).unwrap();
    assert!(volume.free_bytes > 0 && volume.free_bytes <= volume.total_bytes && volume.label.starts_with("Fotos"));
}

#[test]
fn an_exchange_elsewhere_does_not_confuse_an_open_file() {
    let world = World::new();
    world.make("\\a", "one");
    world.make("\\b", "two");
    let a = world.open("\\a").unwrap().open;
    let swap = RenameMode::Exchange;
    now(world.drive.file_system().rename(Caller::default(), Ino::ROOT, b"a", Ino::ROOT, b"b", swap)).unwrap();
    assert_eq!((world.read(&a), world.content("\\a").unwrap()), ("one".to_owned(), "two".to_owned()));
}

#[test]
fn changes_elsewhere_are_told_by_path() {
    use proxyfs_core::changes::{Change, Changes};
    let world = World::new();
    world.mkdir("\\dir");
    world.mkdir("\\dir\\sub");
    world.make("\\dir\\sub\\a:b".replace(':', "\u{f03a}").as_str(), "x");
    let ino = |at: &str| now(world.drive.walk(&path(at))).unwrap().entry.attr.ino;
    let (sub, file) = (ino("\\dir\\sub"), ino("\\dir\\sub\\a\u{f03a}b"));
    let open_at = move |ino: Ino| if ino == file { vec![units("\\open\\here")] } else { Vec::new() };
    let entry = |parent, name: &str| Change::Entry { parent, name: Bytes::copy_from_slice(name.as_bytes()) };
    let told = |changes: &Changes| -> Vec<(String, Happened)> {
        let notices = now(world.drive.notices(changes, &open_at));
        notices.into_iter().map(|notice| (text(&notice.path), notice.happened)).collect()
    };
    let listed = Changes::Listed(vec![
        entry(sub, "a:b"),
        entry(sub, "gone"),
        entry(Ino::ROOT, "dir"),
        Change::Content(file),
        Change::Attributes(sub),
    ]);
    let at = |path: &str, happened| (path.to_owned(), happened);
    assert_eq!(
        told(&listed),
        [
            at("\\dir\\sub\\a\u{f03a}b", Happened::FileAdded),
            at("\\dir\\sub\\gone", Happened::Removed),
            at("\\dir", Happened::DirAdded),
            at("\\open\\here", Happened::Changed),
        ]
    );
    let everything = Changes::Everything { names: vec![Bytes::from_static(b"dir")], open: vec![file] };
    let expected =
        [at("\\", Happened::Changed), at("\\dir", Happened::DirAdded), at("\\open\\here", Happened::Changed)];
    assert_eq!(told(&everything), expected);
}

#[test]
fn read_only_files_are_replaced_and_deleted_when_that_is_to_be_ignored() {
    let world = World::new();
    for name in ["\\a", "\\b"] {
        world.make(name, name);
        let opened = world.open(name).unwrap();
        let basic = Basic { attributes: Some(fa::READONLY), ..Basic::default() };
        now(world.drive.set_basic(&opened.open, basic)).unwrap();
        now(world.drive.close(&opened.open));
    }
    let opened = world.open("\\a").unwrap();
    let rename = |replace| now(world.drive.rename(&opened.open, &path("\\a"), &path("\\b"), replace));
    assert_eq!(rename(Replace::Yes), Err(Status::ACCESS_DENIED));
    assert_eq!(rename(Replace::ReadOnlyToo), Ok(()));
    assert_eq!(now(world.drive.can_delete(&opened.open, false)), Err(Status::CANNOT_DELETE));
    assert_eq!(now(world.drive.can_delete(&opened.open, true)), Ok(()));
    now(world.drive.close(&opened.open));
    assert_eq!(world.content("\\b").unwrap(), "\\a");
}

#[test]
fn files_that_stay_on_this_computer_are_files_as_all_others() {
    let world = World::over(LocalOnly::new(Model::default(), Model::default(), CaseRule::Sensitive));
    world.mkdir("\\d");
    let wish = CreateWish { attributes: fa::HIDDEN | fa::SYSTEM, ..CreateWish::default() };
    now(world.drive.close(&world.create("\\d\\desktop.ini", &wish).unwrap().open));
    for name in ["Thumbs.db", "~$doc.docx", "doc.docx", "._a", "A"] {
        world.make(&format!("\\d\\{name}"), name);
    }
    assert_eq!(world.info("\\d\\desktop.ini").unwrap().attributes, fa::HIDDEN | fa::SYSTEM | fa::ARCHIVE);
    assert_eq!(world.names("\\d"), [".", "..", "._a", "A", "Thumbs.db", "desktop.ini", "doc.docx", "~$doc.docx"]);
    let dir = now(world.drive.file_system().volume().lookup(Ino::ROOT, b"d")).unwrap().ino;
    assert_eq!(now(world.drive.file_system().volume().entries_after(dir, None)).unwrap().len(), 2);
    world.make("\\d\\Thumbs.db:stream", "in a stream");
    assert_eq!(world.content("\\d\\Thumbs.db:stream").unwrap(), "in a stream");
    assert_eq!(world.rename("\\d\\doc.docx", "\\d\\~$x", false), Err(Status::NOT_SAME_DEVICE));
    assert_eq!(world.rename("\\d\\._a", "\\d\\a", false), Err(Status::NOT_SAME_DEVICE));
    world.rename("\\d\\._a", "\\d\\._b", false).unwrap();
    // A directory is emptied before it is removed, of these as well.
    let opened = world.open("\\d").unwrap();
    assert_eq!(now(world.drive.can_delete(&opened.open, false)), Err(Status::DIRECTORY_NOT_EMPTY));
    for name in ["._b", "A", "Thumbs.db", "desktop.ini", "doc.docx", "~$doc.docx"] {
        let at = format!("\\d\\{name}");
        let file = world.open(&at).unwrap();
        now(world.drive.cleanup(&file.open, Some(&path(&at)), DELETE));
        now(world.drive.close(&file.open));
    }
    assert_eq!(now(world.drive.can_delete(&opened.open, false)), Ok(()));
    now(world.drive.cleanup(&opened.open, Some(&path("\\d")), DELETE));
    assert_eq!(world.open("\\d").map(|o| o.info), Err(Status::OBJECT_NAME_NOT_FOUND));
}
