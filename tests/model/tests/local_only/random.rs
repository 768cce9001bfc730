//! Random sequences: a volume with a companion is the model for ordinary names, and a simple tree of its own for all names.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use proxyfs_core::ErrorKind;
use proxyfs_core::format::Tier;
use proxyfs_core::fs::{FileKind, FileSystem, OpenFlags, RenameMode, WriteFlags};
use proxyfs_core::local_only::is_local_only;
use proxyfs_core::store::ObjectStore;
use proxyfs_core::types::Ino;
use proxyfs_harness::diff::{SequenceCheck, Subject, check_sequences};
use proxyfs_harness::ops::{Mask, Profile};
use proxyfs_model::Setup;
use proxyfs_model::local_only::LocalOnlySubject;
use proxyfs_store::MemStore;

use crate::world::{READ_WRITE, ROOT, US};

/// Sequences of each test when nothing else is said.
const CASES: u32 = 500;

/// `PROXYFS_MODEL_CASES` makes a run shorter or longer.
fn cases() -> u32 {
    std::env::var("PROXYFS_MODEL_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(CASES)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("runtime")
}

fn stores() -> [Arc<dyn ObjectStore>; 2] {
    [(); 2].map(|()| Arc::new(MemStore::new()) as Arc<dyn ObjectStore>)
}

#[test]
fn ordinary_names_are_as_without_a_companion() {
    for (seed, setup) in [(11, Setup::new(Tier::Disk)), (12, Setup::tiny(Tier::Disk))] {
        let check = SequenceCheck { cases: cases(), ops_max: 150, seed, profile: Profile::FULL, mask: Mask::default() };
        let runtime = runtime();
        check_sequences(&check, &runtime, |clock| {
            let subject = LocalOnlySubject::create(seed, Some(clock as _), stores(), setup.clone());
            runtime.block_on(subject).expect("fresh volumes")
        });
    }
}

/// Names of both kinds; the first two are mostly directories.
const NAMES: [&str; 6] = ["a", "._b", "c", "._d", "Thumbs.db", "e"];

/// A name in a directory two levels down at most.
type Place = Vec<usize>;

#[derive(Clone, Debug)]
enum Op {
    Write(Place, u8),
    Mkdir(Place),
    Unlink(Place),
    Rmdir(Place),
    Rename(Place, Place, RenameMode),
    Checkpoint,
    Remount,
    Kill,
}

/// What should be: names to files with their content, and to directories.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    File(u8),
    Dir(BTreeMap<String, Node>),
}

type Expected = Result<(), ErrorKind>;

impl Node {
    fn is_dir(&self) -> bool {
        matches!(self, Self::Dir(_))
    }

    /// The directory of a place, if it is one.
    fn parent(&mut self, place: &[usize]) -> Result<&mut BTreeMap<String, Self>, ErrorKind> {
        let mut at = self;
        for step in &place[..place.len() - 1] {
            let Self::Dir(entries) = at else { return Err(ErrorKind::NotADirectory) };
            at = entries.get_mut(NAMES[*step]).ok_or(ErrorKind::NotFound)?;
        }
        match at {
            Self::Dir(entries) => Ok(entries),
            Self::File(_) => Err(ErrorKind::NotADirectory),
        }
    }

    fn get(&mut self, place: &[usize]) -> Result<Option<Self>, ErrorKind> {
        Ok(self.parent(place)?.get(name(place)).cloned())
    }

    fn run(&mut self, op: &Op) -> Expected {
        match op {
            Op::Write(place, content) => {
                let entries = self.parent(place)?;
                if entries.get(name(place)).is_some_and(Self::is_dir) {
                    return Err(ErrorKind::IsADirectory);
                }
                entries.insert(name(place).to_owned(), Self::File(*content));
            }
            Op::Mkdir(place) => {
                let entries = self.parent(place)?;
                if entries.contains_key(name(place)) {
                    return Err(ErrorKind::AlreadyExists);
                }
                entries.insert(name(place).to_owned(), Self::Dir(BTreeMap::new()));
            }
            Op::Unlink(place) => {
                let entries = self.parent(place)?;
                match entries.get(name(place)) {
                    None => return Err(ErrorKind::NotFound),
                    Some(Self::Dir(_)) => return Err(ErrorKind::IsADirectory),
                    Some(Self::File(_)) => entries.remove(name(place)),
                };
            }
            Op::Rmdir(place) => {
                let entries = self.parent(place)?;
                check_gone(entries.get(name(place)).ok_or(ErrorKind::NotFound)?)?;
                entries.remove(name(place));
            }
            Op::Rename(from, to, mode) => self.rename(from, to, *mode)?,
            Op::Checkpoint | Op::Remount | Op::Kill => {}
        }
        Ok(())
    }

    fn rename(&mut self, from: &[usize], to: &[usize], mode: RenameMode) -> Expected {
        self.parent(from)?;
        self.parent(to)?;
        let source = self.get(from)?.ok_or(ErrorKind::NotFound)?;
        let target = self.get(to)?;
        match (mode, &target) {
            (RenameMode::NoReplace, Some(_)) => return Err(ErrorKind::AlreadyExists),
            (RenameMode::Exchange, None) => return Err(ErrorKind::NotFound),
            _ => {}
        }
        let local = |node: &Self, place: &[usize]| !node.is_dir() && is_local_only(name(place).as_bytes());
        let was_local = local(&source, from);
        let mixes = match &target {
            Some(target) => local(target, to) != was_local,
            None => local(&source, to) != was_local,
        };
        match &target {
            Some(_) if mode == RenameMode::Exchange && mixes => return Err(ErrorKind::CrossDevice),
            Some(_) if mode == RenameMode::Exchange => {}
            Some(target) if source.is_dir() && !target.is_dir() => return Err(ErrorKind::NotADirectory),
            Some(target) if !source.is_dir() && target.is_dir() => return Err(ErrorKind::IsADirectory),
            Some(target) if source.is_dir() => {
                if from == to {
                    return Ok(());
                }
                check_gone(target)?;
            }
            _ if mixes => return Err(ErrorKind::CrossDevice),
            _ => {}
        }
        self.parent(from)?.remove(name(from));
        if let (RenameMode::Exchange, Some(target)) = (mode, target) {
            self.parent(from)?.insert(name(from).to_owned(), target);
        }
        self.parent(to)?.insert(name(to).to_owned(), source);
        Ok(())
    }
}

fn name(place: &[usize]) -> &'static str {
    NAMES[place[place.len() - 1]]
}

/// Whether a directory may go: with local-only files in it, too.
fn check_gone(node: &Node) -> Expected {
    match node {
        Node::File(_) => Err(ErrorKind::NotADirectory),
        Node::Dir(entries) if entries.iter().any(|(n, e)| e.is_dir() || !is_local_only(n.as_bytes())) => {
            Err(ErrorKind::NotEmpty)
        }
        Node::Dir(_) => Ok(()),
    }
}

/// Neither end lies below the other, and none is moved into what it would replace: POSIX has rules of its own for that, which the
/// model's tests cover. Nor is a directory exchanged with a file, one of which might get a name of the other class.
fn is_plain(tree: &mut Node, op: &Op) -> bool {
    let Op::Rename(from, to, mode) = op else { return true };
    let below = |a: &Place, b: &Place| a.len() < b.len() && b.starts_with(a);
    if below(from, to) || below(to, from) {
        return false;
    }
    let kinds = [from, to].map(|place| tree.get(place).ok().flatten().map(|node| node.is_dir()));
    *mode != RenameMode::Exchange || kinds[0] == kinds[1]
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let dirs = || prop::collection::vec(0..2usize, 0..3);
    let place = move || {
        (dirs(), 0..NAMES.len()).prop_map(|(mut dirs, name)| {
            dirs.push(name);
            dirs
        })
    };
    let dir = move || {
        (dirs(), 0..2usize).prop_map(|(mut dirs, name)| {
            dirs.push(name);
            dirs
        })
    };
    let mode = || prop_oneof![4 => Just(RenameMode::Replace), 1 => Just(RenameMode::NoReplace), 1 => Just(RenameMode::Exchange)];
    let op = prop_oneof![
        8 => (place(), any::<u8>()).prop_map(|(place, content)| Op::Write(place, content)),
        4 => dir().prop_map(Op::Mkdir),
        4 => place().prop_map(Op::Unlink),
        4 => dir().prop_map(Op::Rmdir),
        6 => (place(), place(), mode()).prop_map(|(from, to, mode)| Op::Rename(from, to, mode)),
        2 => (dir(), dir(), mode()).prop_map(|(from, to, mode)| Op::Rename(from, to, mode)),
        1 => Just(Op::Checkpoint),
        1 => Just(Op::Remount),
        1 => Just(Op::Kill),
    ];
    prop::collection::vec(op, 1..=80)
}

async fn parent<F: FileSystem>(fs: &F, place: &[usize]) -> Result<Ino, ErrorKind> {
    let mut at = ROOT;
    for step in &place[..place.len() - 1] {
        at = fs.lookup(at, NAMES[*step].as_bytes()).await.map_err(|e| e.kind())?.ino;
    }
    match fs.getattr(at).await.map_err(|e| e.kind())?.kind {
        FileKind::Dir => Ok(at),
        _ => Err(ErrorKind::NotADirectory),
    }
}

async fn run(subject: &mut LocalOnlySubject, op: &Op) -> Expected {
    let fs = subject.fs();
    let done = match op {
        Op::Write(place, content) => {
            let dir = parent(fs, place).await?;
            let flags = OpenFlags { truncate: true, ..READ_WRITE };
            match fs.create(US, dir, name(place).as_bytes(), 0o644, 0, flags).await {
                Ok((_, handle)) => {
                    fs.write(handle, 0, vec![*content].into(), WriteFlags::default()).await.expect("written");
                    fs.release(handle, None).await
                }
                Err(e) => Err(e),
            }
        }
        Op::Mkdir(place) => fs.mkdir(US, parent(fs, place).await?, name(place).as_bytes(), 0o755, 0).await.map(drop),
        Op::Unlink(place) => fs.unlink(US, parent(fs, place).await?, name(place).as_bytes()).await,
        Op::Rmdir(place) => fs.rmdir(US, parent(fs, place).await?, name(place).as_bytes()).await,
        Op::Rename(from, to, mode) => {
            let (dir, new_dir) = (parent(fs, from).await?, parent(fs, to).await?);
            fs.rename(US, dir, name(from).as_bytes(), new_dir, name(to).as_bytes(), *mode).await
        }
        Op::Checkpoint => subject.checkpoint().await,
        Op::Remount => subject.remount().await,
        Op::Kill => subject.kill().await,
    };
    done.map_err(|e| e.kind())
}

async fn ordered<F: FileSystem>(fs: &F, dir: Ino) -> Vec<Bytes> {
    let mut names: Vec<Bytes> = Vec::new();
    loop {
        let page = fs.entries_after(dir, names.last().map(AsRef::as_ref)).await.expect("lists");
        if page.is_empty() {
            return names;
        }
        names.extend(page.into_iter().map(|e| e.name));
    }
}

/// The whole tree, by streams; listings by name must agree. No file with a local-only name is in the volume.
async fn picture(subject: &LocalOnlySubject, dir: Ino) -> Node {
    let fs = subject.fs();
    let handle = fs.opendir(US, dir).await.expect("opens");
    let mut entries = Vec::new();
    let mut cookie = 0;
    loop {
        let page = fs.readdir(handle, cookie, true).await.expect("lists");
        let Some(last) = page.last() else { break };
        cookie = last.cookie;
        entries.extend(page.into_iter().filter(|e| e.attr.is_some()));
    }
    fs.releasedir(handle).await.expect("closed");
    let mut names: Vec<_> = entries.iter().map(|e| e.name.clone()).collect();
    names.sort();
    assert_eq!(ordered(fs, dir).await, names);
    let mut tree = BTreeMap::new();
    for entry in entries {
        let node = if entry.kind == FileKind::Dir {
            Box::pin(picture(subject, entry.ino)).await
        } else {
            let handle = fs.open(US, entry.ino, READ_WRITE).await.expect("opens");
            let content = fs.read(handle, 0, 10).await.expect("read").concat();
            fs.release(handle, None).await.expect("closed");
            let in_volume = fs.volume().lookup(dir, &entry.name).await.is_ok();
            assert_ne!(in_volume, is_local_only(&entry.name), "{:?}", entry.name);
            Node::File(content[0])
        };
        tree.insert(String::from_utf8(entry.name.to_vec()).expect("text"), node);
    }
    Node::Dir(tree)
}

#[test]
fn all_names_together_are_one_tree() {
    let config = Config { cases: cases(), failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let outcome = TestRunner::new_with_rng(config, rng).run(&ops(), |ops| {
        let runtime = runtime();
        runtime.block_on(async {
            let setup = Setup::new(Tier::Disk);
            let mut subject = LocalOnlySubject::create(5, None, stores(), setup).await.expect("fresh volumes");
            let mut tree = Node::Dir(BTreeMap::new());
            for op in ops {
                if !is_plain(&mut tree, &op) {
                    continue;
                }
                let expected = tree.run(&op);
                let found = run(&mut subject, &op).await;
                prop_assert_eq!(found, expected, "{:?} on {:?}", op, tree);
                prop_assert_eq!(picture(&subject, ROOT).await, tree.clone(), "after {:?}", op);
            }
            subject.fs().prune().await.expect("pruned");
            prop_assert_eq!(picture(&subject, ROOT).await, tree);
            Ok(())
        })
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
