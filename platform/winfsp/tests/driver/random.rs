//! Random operations through the driver against the reference model.
//!
//! The sequences are those of the harness. Each operation that Windows has is carried out through the driver, and what it means on the
//! model directly; what Windows refuses though Unix allows it is decided here by [`Twin::refusal`]. Answers are compared at once, and both
//! trees after every sequence.

use std::collections::HashMap;

use proxyfs_core::ErrorKind;
use proxyfs_core::fs::{Attr, Caller, FileKind, FileSystem, Handle, OpenFlags, RenameMode, SetAttr, WriteFlags};
use proxyfs_core::types::Ino;
use proxyfs_harness::model::Model;
use proxyfs_harness::ops::{self, Op, Profile, Target};
use proxyfs_harness::tree::{TreeSnapshot, diff, snapshot};
use proxyfs_winfsp::Status;
use proxyfs_winfsp_double::{Create, Opened, disposition, option, right};

use crate::world::{GID, UID, World, run, runtime};

/// Operations of a sequence.
const OPS: usize = 150;
const ME: Caller = Caller { uid: UID, gid: GID, pid: 0 };
const DELETE_POSIX: u32 = 0x3;
const RENAME_REPLACE: u32 = 0x1;
const RENAME_POSIX: u32 = 0x2;

/// A file that is open on both sides.
struct Slot {
    windows: Opened,
    handle: Handle,
    ino: Ino,
}

struct Twin<'a> {
    world: &'a World,
    model: Model,
    slots: HashMap<u8, Slot>,
}

type Outcome = Result<Vec<u8>, ErrorKind>;

/// What was found by a path: its directory, and its attributes if the name is there.
struct Found {
    dir: Ino,
    name: Vec<u8>,
    attr: Result<Attr, ErrorKind>,
}

fn windows_path(path: &ops::Path) -> String {
    let names = path.dir.iter().chain([&path.name]).map(|name| String::from_utf8(name.bytes()).expect("letters"));
    names.map(|name| format!("\\{name}")).collect()
}

/// The kind of failure that a status stands for, as far as both sides can be compared by it.
fn kind(status: u32) -> ErrorKind {
    coarse(Status(status).counted_as().unwrap_or(ErrorKind::Internal))
}

/// Windows does not tell some failures apart, or tells them apart otherwise.
fn coarse(kind: ErrorKind) -> ErrorKind {
    match kind {
        ErrorKind::NotADirectory | ErrorKind::NameTooLong => ErrorKind::NotFound,
        ErrorKind::IsADirectory => ErrorKind::AlreadyExists,
        other => other,
    }
}

impl<'a> Twin<'a> {
    fn new(world: &'a World) -> Self {
        let model = Model::default();
        let set = SetAttr { uid: Some(UID), gid: Some(GID), ..SetAttr::default() };
        runtime().block_on(model.setattr(Caller::default(), Ino::ROOT, set)).expect("chown");
        Self { world, model, slots: HashMap::new() }
    }

    fn on_model<T>(&self, work: impl Future<Output = proxyfs_core::Result<T>>) -> Result<T, ErrorKind> {
        runtime().block_on(work).map_err(|e| coarse(e.kind()))
    }

    fn walk(&self, path: &ops::Path) -> Result<Found, ErrorKind> {
        let mut dir = Ino::ROOT;
        for name in &path.dir {
            dir = self.on_model(self.model.lookup(dir, &name.bytes()))?.ino;
        }
        let name = path.name.bytes();
        let attr = self.on_model(self.model.lookup(dir, &name));
        Ok(Found { dir, name, attr })
    }

    fn find(&self, path: &ops::Path) -> Result<Attr, ErrorKind> {
        self.walk(path)?.attr
    }

    /// Carries out an operation on both sides; `None` when Windows has no such operation, or it is not compared.
    fn step(&mut self, op: &Op) -> Option<(Outcome, Outcome)> {
        match op {
            Op::Create { path, slot, .. } => Some(self.create(path, *slot)),
            Op::Mkdir { path, .. } => {
                let how = Create { disposition: disposition::CREATE, options: option::DIRECTORY, ..Create::default() };
                let windows = self.open_and_close(&windows_path(path), &how);
                let model = self.walk(path).and_then(|found| {
                    self.on_model(self.model.mkdir(ME, found.dir, &found.name, 0o755, 0)).map(|_| Vec::new())
                });
                Some((windows, model))
            }
            Op::Open { target: Target::Path(path), slot, .. } => Some(self.open(path, *slot)),
            Op::Close { slot } => {
                self.close(*slot);
                None
            }
            Op::Read { slot, span } => {
                let slot = self.slots.get(slot)?;
                let len = span.len.max(1);
                let windows = match slot.windows.read(span.offset, len) {
                    Err(status) if Status(status) == Status::END_OF_FILE => Ok(Vec::new()),
                    read => read.map_err(kind),
                };
                let reading = self.model.read(slot.handle, span.offset, len);
                Some((windows, self.on_model(reading).map(|pieces| pieces.concat())))
            }
            Op::Write { slot, span, seed, .. } => {
                let slot = self.slots.get(slot)?;
                let data = vec![*seed; span.len as usize];
                let windows = slot.windows.write(span.offset, &data).map(|_| Vec::new()).map_err(kind);
                let writing = self.model.write(slot.handle, span.offset, data.into(), WriteFlags::default());
                Some((windows, self.on_model(writing).map(|()| Vec::new())))
            }
            Op::Truncate { target: Target::Slot(slot), size, .. } => {
                let slot = self.slots.get(slot)?;
                let windows = slot.windows.set_size(*size).map(|_| Vec::new()).map_err(kind);
                let set = SetAttr { size: Some(*size), ..SetAttr::default() };
                Some((windows, self.on_model(self.model.setattr(ME, slot.ino, set)).map(|_| Vec::new())))
            }
            Op::Unlink { path } | Op::Rmdir { path } => Some(self.remove(path)),
            Op::Rename { from, to, mode } if *mode != RenameMode::Exchange => Some(self.rename(from, to, *mode)),
            Op::Lookup { path } => {
                let how = Create { access: right::READ_ATTRIBUTES, ..Create::default() };
                let windows = self.open_and_close(&windows_path(path), &how);
                Some((windows, self.find(path).map(|_| Vec::new())))
            }
            Op::List { target: Target::Path(path), .. } => Some(self.list(path)),
            _ => None,
        }
    }

    fn open_and_close(&self, name: &str, how: &Create) -> Outcome {
        let opened = self.world.device.create(name, how).map_err(kind)?;
        opened.close().map_err(kind)?;
        Ok(Vec::new())
    }

    fn create(&mut self, path: &ops::Path, slot: u8) -> (Outcome, Outcome) {
        self.close(slot);
        let options = option::NON_DIRECTORY;
        let how = Create { disposition: disposition::CREATE, options, ..Create::default() };
        let windows = self.world.device.create(&windows_path(path), &how).map_err(kind);
        let flags = OpenFlags { read: true, write: true, exclusive: true, ..OpenFlags::default() };
        let model = self
            .walk(path)
            .and_then(|found| self.on_model(self.model.create(ME, found.dir, &found.name, 0o644, 0, flags)));
        self.keep(slot, windows, model.map(|(attr, handle)| (attr.ino, handle)))
    }

    fn open(&mut self, path: &ops::Path, slot: u8) -> (Outcome, Outcome) {
        self.close(slot);
        let how = Create { options: option::NON_DIRECTORY, ..Create::default() };
        let windows = self.world.device.create(&windows_path(path), &how).map_err(kind);
        let flags = OpenFlags { read: true, write: true, ..OpenFlags::default() };
        let model = self.find(path).and_then(|attr| match attr.kind {
            FileKind::Dir => Err(coarse(ErrorKind::IsADirectory)),
            _ => Ok((attr.ino, self.on_model(self.model.open(ME, attr.ino, flags))?)),
        });
        self.keep(slot, windows, model)
    }

    fn keep(
        &mut self,
        slot: u8,
        windows: Result<Opened, ErrorKind>,
        model: Result<(Ino, Handle), ErrorKind>,
    ) -> (Outcome, Outcome) {
        match (windows, model) {
            (Ok(windows), Ok((ino, handle))) => {
                self.slots.insert(slot, Slot { windows, handle, ino });
                (Ok(Vec::new()), Ok(Vec::new()))
            }
            (windows, model) => (windows.map(|_| Vec::new()), model.map(|_| Vec::new())),
        }
    }

    fn close(&mut self, slot: u8) {
        if let Some(slot) = self.slots.remove(&slot) {
            slot.windows.close().expect("closed");
            runtime().block_on(self.model.release(slot.handle, None)).expect("released");
        }
    }

    fn remove(&self, path: &ops::Path) -> (Outcome, Outcome) {
        let windows = self.world.device.create(&windows_path(path), &Create::default()).map_err(kind);
        let windows = windows.and_then(|file| {
            let marked = file.set_delete_ex(DELETE_POSIX).map_err(kind);
            file.close().map_err(kind)?;
            marked.map(|()| Vec::new())
        });
        let model = self.walk(path).and_then(|found| {
            let removed = match found.attr?.kind {
                FileKind::Dir => self.on_model(self.model.rmdir(ME, found.dir, &found.name)),
                _ => self.on_model(self.model.unlink(ME, found.dir, &found.name)),
            };
            removed.map(|()| Vec::new())
        });
        (windows, model)
    }

    fn rename(&self, from: &ops::Path, to: &ops::Path, mode: RenameMode) -> (Outcome, Outcome) {
        let flags = if mode == RenameMode::Replace { RENAME_POSIX | RENAME_REPLACE } else { RENAME_POSIX };
        let windows = self.world.device.create(&windows_path(from), &Create::default()).map_err(kind);
        let windows = windows.and_then(|file| {
            let renamed = file.rename_ex(&windows_path(to), flags).map_err(kind);
            file.close().map_err(kind)?;
            renamed.map(|()| Vec::new())
        });
        (windows, self.rename_on_model(from, to, mode))
    }

    fn rename_on_model(&self, from: &ops::Path, to: &ops::Path, mode: RenameMode) -> Outcome {
        let source = self.walk(from)?;
        let source_attr = source.attr?;
        let target = self.walk(to)?;
        let same = source.dir == target.dir && source.name == target.name;
        if let Ok(there) = &target.attr
            && !same
        {
            Self::refusal(source_attr.kind, there.kind, mode)?;
        }
        let mode = if same { RenameMode::Replace } else { mode };
        let renaming = self.model.rename(ME, source.dir, &source.name, target.dir, &target.name, mode);
        self.on_model(renaming).map(|()| Vec::new())
    }

    /// What Windows refuses when the name is taken.
    fn refusal(source: FileKind, there: FileKind, mode: RenameMode) -> Result<(), ErrorKind> {
        match (source, there) {
            _ if mode == RenameMode::NoReplace => Err(ErrorKind::AlreadyExists),
            (FileKind::Dir, _) | (_, FileKind::Dir) => Err(ErrorKind::AccessDenied),
            _ => Ok(()),
        }
    }

    fn list(&self, path: &ops::Path) -> (Outcome, Outcome) {
        let how = Create { options: option::DIRECTORY, access: right::READ, ..Create::default() };
        let windows = self.world.device.create(&windows_path(path), &how).map_err(kind).and_then(|dir| {
            let listed = dir.list(512).map_err(kind);
            dir.close().map_err(kind)?;
            let mut names: Vec<String> = listed?.into_iter().map(|entry| entry.name).collect();
            names.retain(|name| name != "." && name != "..");
            names.sort();
            Ok(names.join("/").into_bytes())
        });
        let model = self.find(path).and_then(|attr| {
            if attr.kind != FileKind::Dir {
                return Err(coarse(ErrorKind::NotADirectory));
            }
            let mut names: Vec<Vec<u8>> = Vec::new();
            loop {
                let after = names.last().cloned();
                let page = self.on_model(self.model.entries_after(attr.ino, after.as_deref()))?;
                if page.is_empty() {
                    return Ok(names.join(&b'/'));
                }
                names.extend(page.into_iter().map(|entry| entry.name.to_vec()));
            }
        });
        (windows, model)
    }

    /// Closes everything and compares the trees.
    fn compare(mut self) -> Vec<String> {
        let open: Vec<u8> = self.slots.keys().copied().collect();
        open.into_iter().for_each(|slot| self.close(slot));
        let model = runtime().block_on(snapshot(&self.model)).expect("a picture");
        diff(&bare(self.world.unix(Picture)), &bare(model))
    }
}

struct Picture;

impl crate::world::Unix<TreeSnapshot> for Picture {
    fn on<F: FileSystem>(self, fs: &F) -> TreeSnapshot {
        runtime().block_on(snapshot(fs)).expect("a picture")
    }
}

/// Without what Windows keeps besides, and without times, as there are two clocks.
fn bare(picture: TreeSnapshot) -> TreeSnapshot {
    let mut picture = picture.without_times();
    for node in picture.nodes.values_mut() {
        node.xattrs.clear();
        node.perm = 0;
    }
    picture
}

/// Runs sequences on worlds of one kind; each says what it did when it fails.
fn sequences(world: fn() -> World, seeds: std::ops::Range<u64>) {
    let (mut compared, mut succeeded) = (0, 0);
    for seed in seeds {
        let world = world();
        let mut twin = Twin::new(&world);
        for (at, op) in ops::seeded_ops(Profile::KERNEL, seed).take(OPS).enumerate() {
            let Some((windows, model)) = twin.step(&op) else { continue };
            assert_eq!(windows, model, "seed {seed}, operation {at}: {op:?}");
            compared += 1;
            succeeded += usize::from(model.is_ok());
        }
        let differences = twin.compare();
        assert!(differences.is_empty(), "seed {seed}: {differences:#?}");
        run(world, |_| ());
    }
    eprintln!("{compared} operations compared, {succeeded} of which succeeded");
    assert!(compared > 1000 && succeeded > 300, "the sequences do too little: {compared}, {succeeded}");
}

#[test]
fn random_operations_agree_with_the_model_over_the_model() {
    sequences(World::model, 0..60);
}

#[test]
fn random_operations_agree_with_the_model_over_the_engine() {
    sequences(World::engine, 1000..1030);
}
