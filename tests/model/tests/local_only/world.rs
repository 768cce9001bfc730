//! A volume with a companion, and the few words that the tests speak in.

use std::sync::Arc;

use bytes::Bytes;
use proxyfs_core::format::{CaseRule, Tier};
use proxyfs_core::fs::{Attr, Caller, FileSystem, Handle, OpenFlags, RenameMode, WriteFlags};
use proxyfs_core::local_only::{LOCAL_BIT, LocalOnly};
use proxyfs_core::store::ObjectStore;
use proxyfs_core::types::Ino;
use proxyfs_core::volume::Volume;
use proxyfs_core::{ErrorKind, Result};
use proxyfs_harness::diff::Subject as _;
use proxyfs_harness::model::Model;
use proxyfs_model::Setup;
use proxyfs_model::local_only::LocalOnlySubject;
use proxyfs_store::MemStore;

pub(crate) const US: Caller = Caller { uid: 1000, gid: 1000, pid: 1 };
pub(crate) const ROOT: Ino = Ino::ROOT;
pub(crate) const READ_WRITE: OpenFlags = OpenFlags {
    read: true,
    write: true,
    append: false,
    truncate: false,
    exclusive: false,
    sync: false,
    kill_suid_sgid: false,
};

/// Runs each test once over two models and once over two engines.
macro_rules! on_both {
    ($($test:ident),* $(,)?) => {
        mod over_the_model {
            $(#[tokio::test]
            async fn $test() {
                super::$test(&crate::world::World::of_models()).await;
            })*
        }
        mod over_the_engine {
            $(#[tokio::test(start_paused = true)]
            async fn $test() {
                super::$test(&*crate::world::World::of_engines().await).await;
            })*
        }
    };
}
pub(crate) use on_both;

/// What is tested.
#[derive(Debug)]
pub(crate) struct World<F: FileSystem, L: FileSystem> {
    pub(crate) fs: LocalOnly<F, L>,
}

/// Two engines, which live as long as this.
pub(crate) struct Engines {
    world: World<Volume, Volume>,
    _subject: LocalOnlySubject,
}

impl std::ops::Deref for Engines {
    type Target = World<Volume, Volume>;

    fn deref(&self) -> &Self::Target {
        &self.world
    }
}

impl World<Model, Model> {
    pub(crate) fn of_models() -> Self {
        Self { fs: LocalOnly::new(Model::default(), Model::default(), CaseRule::Sensitive) }
    }
}

impl World<Volume, Volume> {
    pub(crate) async fn of_engines() -> Engines {
        Self::of_engines_with(CaseRule::Sensitive).await
    }

    pub(crate) async fn of_engines_with(case: CaseRule) -> Engines {
        let mut setup = Setup::new(Tier::Disk);
        setup.spec.case = case;
        let stores = [(); 2].map(|()| Arc::new(MemStore::new()) as Arc<dyn ObjectStore>);
        let subject = LocalOnlySubject::create(1, None, stores, setup).await.expect("fresh volumes");
        let (volume, local) = (subject.fs().volume().clone(), subject.fs().local().clone());
        Engines { world: Self { fs: LocalOnly::new(volume, local, case) }, _subject: subject }
    }
}

/// Whether an inode is the companion's.
pub(crate) fn is_local(attr: &Attr) -> bool {
    attr.ino.0 & LOCAL_BIT != 0
}

/// The kind of an error.
pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T>) -> ErrorKind {
    answer.expect_err("it is refused").kind()
}

impl<F: FileSystem, L: FileSystem> World<F, L> {
    pub(crate) async fn mkdir(&self, parent: Ino, name: &str) -> Ino {
        self.fs.mkdir(US, parent, name.as_bytes(), 0o755, 0).await.expect("a directory").ino
    }

    /// Makes a file, or writes into the one that is there.
    pub(crate) async fn write(&self, parent: Ino, name: &str, content: &str) -> Attr {
        let (attr, handle) = self.fs.create(US, parent, name.as_bytes(), 0o644, 0, READ_WRITE).await.expect("a file");
        self.fill(handle, content).await;
        self.fs.release(handle, None).await.expect("closed");
        attr
    }

    pub(crate) async fn fill(&self, handle: Handle, content: &str) {
        let data = Bytes::copy_from_slice(content.as_bytes());
        self.fs.write(handle, 0, data, WriteFlags::default()).await.expect("written");
    }

    /// A file of the volume's own under any name, as another computer makes it.
    pub(crate) async fn write_elsewhere(&self, parent: Ino, name: &str) -> Attr {
        let made = self.fs.volume().create(US, parent, name.as_bytes(), 0o644, 0, READ_WRITE).await;
        let (attr, handle) = made.expect("a file");
        self.fs.volume().release(handle, None).await.expect("closed");
        attr
    }

    pub(crate) async fn lookup(&self, parent: Ino, name: &str) -> Result<Attr> {
        self.fs.lookup(parent, name.as_bytes()).await
    }

    pub(crate) async fn read(&self, parent: Ino, name: &str) -> String {
        let attr = self.lookup(parent, name).await.expect("it is there");
        let handle = self.fs.open(US, attr.ino, READ_WRITE).await.expect("opens");
        let text = self.read_open(handle).await;
        self.fs.release(handle, None).await.expect("closed");
        text
    }

    pub(crate) async fn read_open(&self, handle: Handle) -> String {
        let pieces = self.fs.read(handle, 0, 1 << 16).await.expect("read");
        String::from_utf8(pieces.concat()).expect("text")
    }

    pub(crate) async fn unlink(&self, parent: Ino, name: &str) -> Result<()> {
        self.fs.unlink(US, parent, name.as_bytes()).await
    }

    pub(crate) async fn rmdir(&self, parent: Ino, name: &str) -> Result<()> {
        self.fs.rmdir(US, parent, name.as_bytes()).await
    }

    pub(crate) async fn rename(&self, from: (Ino, &str), to: (Ino, &str), mode: RenameMode) -> Result<()> {
        self.fs.rename(US, from.0, from.1.as_bytes(), to.0, to.1.as_bytes(), mode).await
    }

    /// Names of a directory as a stream gives them, without `.` and `..`.
    pub(crate) async fn names(&self, dir: Ino) -> Vec<String> {
        let handle = self.fs.opendir(US, dir).await.expect("opens");
        let mut names = Vec::new();
        let mut cookie = 0;
        loop {
            let page = self.fs.readdir(handle, cookie, true).await.expect("lists");
            let Some(last) = page.last() else { break };
            cookie = last.cookie;
            names.extend(page.iter().map(|e| String::from_utf8_lossy(&e.name).into_owned()));
        }
        self.fs.releasedir(handle).await.expect("closed");
        names.split_off(names.len().min(2))
    }

    /// Names of a directory as they are listed by name.
    pub(crate) async fn ordered(&self, dir: Ino) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        loop {
            let after = names.last().map(String::as_bytes);
            let page = self.fs.entries_after(dir, after).await.expect("lists");
            if page.is_empty() {
                return names;
            }
            names.extend(page.iter().map(|e| String::from_utf8_lossy(&e.name).into_owned()));
        }
    }

    /// Directories that the companion keeps.
    pub(crate) async fn companion_dirs(&self) -> usize {
        self.fs.local().entries_after(ROOT, None).await.expect("lists").len()
    }
}
