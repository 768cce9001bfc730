//! A mounted file system and what a test does with it, as Windows does it and as Unix does.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use proxyfs_core::config::{EngineOptions, VolumeOptions};
use proxyfs_core::engine::Engine;
use proxyfs_core::env::{Env, OsClock, OsDir, OsRng};
use proxyfs_core::format::volume::CaseRule;
use proxyfs_core::fs::{Attr, Caller, FileSystem, SetAttr};
use proxyfs_core::store::ObjectStore;
use proxyfs_core::types::Ino;
use proxyfs_core::volume::{Volume, VolumeSpec, create_volume};
use proxyfs_harness::model::Model;
use proxyfs_store::local::LocalStore;
use proxyfs_winfsp::{Identity, MountOptions, MountPoint, Mounted, Status, UnmountKind, mount};
use proxyfs_winfsp_double::{Create, Device, Entry, Opened, disposition, install, option, right};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// How long a case waits for what it closed to be closed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
const STORE_TIMEOUT: Duration = Duration::from_secs(30);
/// Owner of what is made here, on the volume.
pub(crate) const UID: u32 = 1000;
pub(crate) const GID: u32 = 100;

/// One runtime for all tests.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).enable_all().build().expect("a runtime")
    })
}

/// A volume on a local directory.
pub(crate) struct OnDisk {
    pub(crate) dir: TempDir,
}

impl OnDisk {
    pub(crate) fn new(case: CaseRule) -> Self {
        let on_disk = Self { dir: TempDir::new().expect("a directory") };
        let (store, env) = (on_disk.store(), on_disk.env());
        let spec = VolumeSpec { case, ..VolumeSpec::new("test") };
        let creating = create_volume(&store, spec, &*env.clock, &*env.rng, None, STORE_TIMEOUT);
        runtime().block_on(creating).expect("created");
        on_disk
    }

    fn store(&self) -> Arc<dyn ObjectStore> {
        let store = self.dir.path().join("store");
        std::fs::create_dir_all(&store).expect("a store directory");
        Self::store_at(&store)
    }

    fn store_at(dir: &Path) -> Arc<dyn ObjectStore> {
        Arc::new(LocalStore::new(dir.to_owned(), true))
    }

    fn env(&self) -> Env {
        let state = self.dir.path().join("state");
        std::fs::create_dir_all(&state).expect("a state directory");
        Env {
            clock: Arc::new(OsClock),
            rng: Arc::new(OsRng),
            dir: Arc::new(OsDir::open_locked(&state).expect("locked")),
        }
    }

    /// Opens the volume.
    pub(crate) fn open(&self) -> Volume {
        self.open_on(self.store())
    }

    /// Opens a volume that somebody else made, with this directory for its state.
    pub(crate) fn open_with(&self, store: &Path) -> Volume {
        self.open_on(Self::store_at(store))
    }

    fn open_on(&self, store: Arc<dyn ObjectStore>) -> Volume {
        let _context = runtime().enter();
        let engine = Engine::new(&EngineOptions { memory_budget: 64 << 20 });
        let opening = Volume::open(engine, self.env(), store, VolumeOptions::default());
        runtime().block_on(opening).expect("opened")
    }

    /// Closes it.
    pub(crate) fn close(volume: Volume) {
        let report = runtime().block_on(volume.close(Duration::from_secs(60)));
        report.expect("closed");
    }
}

enum Backend {
    Model(Arc<Model>),
    Engine(Volume, OnDisk),
}

/// A mounted file system.
pub(crate) struct World {
    pub(crate) device: Arc<Device>,
    pub(crate) mounted: Mounted,
    backend: Backend,
    pub(crate) case_insensitive: bool,
}

/// Mounts something, and gives the device that the library opened for it.
pub(crate) fn mount_fs<F: FileSystem>(fs: Arc<F>, options: MountOptions) -> (Mounted, Arc<Device>) {
    install();
    let mounted = mount(fs, &MountPoint::Drive('X'), options, runtime().handle()).expect("mounted");
    (mounted, Device::last_of_this_thread().expect("a device was opened"))
}

/// Who uses the volume in tests: whoever runs them, so that the library's access checks let them.
pub(crate) fn who() -> Identity {
    install();
    proxyfs_winfsp::process_identity(UID, GID).expect("a user")
}

pub(crate) fn options(case_insensitive: bool) -> MountOptions {
    MountOptions { case_insensitive, who: Some(who()), name: "test".to_owned(), ..MountOptions::default() }
}

impl World {
    pub(crate) fn model() -> Self {
        let model = Arc::new(Model::default());
        own_root(&*model);
        let (mounted, device) = mount_fs(Arc::clone(&model), options(false));
        Self { device, mounted, backend: Backend::Model(model), case_insensitive: false }
    }

    pub(crate) fn engine() -> Self {
        let on_disk = OnDisk::new(CaseRule::Insensitive);
        let volume = on_disk.open();
        own_root(&volume);
        let (mounted, device) = mount_fs(Arc::new(volume.clone()), options(true));
        Self { device, mounted, backend: Backend::Engine(volume, on_disk), case_insensitive: true }
    }
}

/// Gives the root to the tests' user.
fn own_root<F: FileSystem>(fs: &F) {
    let set = SetAttr { uid: Some(UID), gid: Some(GID), ..SetAttr::default() };
    runtime().block_on(fs.setattr(Caller::default(), Ino::ROOT, set)).expect("chown");
}

/// Runs a case, and checks that nothing is left behind.
pub(crate) fn run(world: World, case: fn(&World)) {
    case(&world);
    let World { mounted, backend, .. } = world;
    assert!(!mounted.is_poisoned(), "an operation panicked");
    let kind = runtime().block_on(mounted.unmount(PATIENCE)).expect("unmounted");
    assert_eq!(kind, UnmountKind::Clean, "files were left open");
    if let Backend::Engine(volume, on_disk) = backend {
        let faults = runtime().block_on(volume.check_metadata()).expect("checked");
        assert!(faults.is_empty(), "{faults:?}");
        OnDisk::close(volume);
        drop(on_disk);
    }
}

/// The status of a failure; 0 for success.
pub(crate) fn status<T>(result: Result<T, u32>) -> Status {
    Status(result.err().unwrap_or_default())
}

impl World {
    /// Opens for everything.
    pub(crate) fn open(&self, name: &str) -> Opened {
        self.try_open(name).unwrap_or_else(|status| panic!("opening {name}: {}", Status(status)))
    }

    pub(crate) fn try_open(&self, name: &str) -> Result<Opened, u32> {
        self.device.create(name, &Create::default())
    }

    pub(crate) fn create(&self, name: &str, how: Create) -> Result<Opened, u32> {
        self.device.create(name, &how)
    }

    /// Makes a new file and leaves it open.
    pub(crate) fn new_file(&self, name: &str) -> Opened {
        let how = Create { disposition: disposition::CREATE, options: option::NON_DIRECTORY, ..Create::default() };
        self.create(name, how).unwrap_or_else(|status| panic!("making {name}: {}", Status(status)))
    }

    /// Makes a file with content.
    pub(crate) fn make(&self, name: &str, content: &str) {
        let file = self.new_file(name);
        if !content.is_empty() {
            file.write(0, content.as_bytes()).expect("written");
        }
        file.close().expect("closed");
    }

    pub(crate) fn mkdir(&self, name: &str) {
        self.new_dir(name).close().expect("closed");
    }

    /// Makes a directory and leaves it open.
    pub(crate) fn new_dir(&self, name: &str) -> Opened {
        let how = Create { disposition: disposition::CREATE, options: option::DIRECTORY, ..Create::default() };
        self.create(name, how).unwrap_or_else(|status| panic!("making {name}: {}", Status(status)))
    }

    pub(crate) fn content(&self, name: &str) -> Result<String, u32> {
        let file = self.try_open(name)?;
        let content = file.read_all();
        file.close()?;
        content.map(|bytes| String::from_utf8(bytes).expect("text"))
    }

    /// How a file is.
    pub(crate) fn info(&self, name: &str) -> winfsp_info::Info {
        // A read-only file cannot be opened for writing.
        let how = Create { access: right::READ, ..Create::default() };
        let file = self.device.create(name, &how).unwrap_or_else(|status| panic!("{name}: {}", Status(status)));
        let info = file.query().expect("queried");
        file.close().expect("closed");
        winfsp_info::Info::of(&info)
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        match self.device.create(name, &Create { access: right::READ, ..Create::default() }) {
            Ok(file) => {
                file.close().expect("closed");
                true
            }
            Err(code) => {
                let missing = [Status::OBJECT_NAME_NOT_FOUND, Status::OBJECT_PATH_NOT_FOUND];
                assert!(missing.contains(&Status(code)), "{name}: {}", Status(code));
                false
            }
        }
    }

    pub(crate) fn list(&self, dir: &str) -> Vec<Entry> {
        let how = Create { options: option::DIRECTORY, ..Create::default() };
        let opened = self.create(dir, how).expect("a directory");
        let entries = opened.list(4096).expect("listed");
        opened.close().expect("closed");
        entries
    }

    /// Names in a directory without the dots.
    pub(crate) fn names(&self, dir: &str) -> Vec<String> {
        let dots = [".".to_owned(), "..".to_owned()];
        self.list(dir).into_iter().map(|entry| entry.name).filter(|name| !dots.contains(name)).collect()
    }

    /// Deletes as DeleteFile and RemoveDirectory did before Windows 10.
    pub(crate) fn delete(&self, name: &str) -> Result<(), u32> {
        let file = self.create(name, Create { options: option::OPEN_REPARSE_POINT, ..Create::default() })?;
        let marked = file.set_delete(true);
        file.close()?;
        marked
    }

    pub(crate) fn rename(&self, from: &str, to: &str, replace: bool) -> Result<(), u32> {
        let file = self.create(from, Create { options: option::OPEN_REPARSE_POINT, ..Create::default() })?;
        let renamed = file.rename(to, replace);
        file.close()?;
        renamed
    }

    /// Does something behind Windows' back.
    pub(crate) fn unix<T>(&self, action: impl Unix<T>) -> T {
        match &self.backend {
            Backend::Model(model) => action.on(&**model),
            Backend::Engine(volume, _) => action.on(volume),
        }
    }

    /// Attributes as Unix has them.
    pub(crate) fn attr(&self, path: &str) -> Attr {
        self.unix(Look(path))
    }

    /// Changes permissions as Unix does.
    pub(crate) fn chmod(&self, path: &str, perm: u16) {
        self.unix(Chmod(path, perm));
    }

    /// An extended attribute as Unix has it.
    pub(crate) fn xattr(&self, path: &str, name: &str) -> Option<Vec<u8>> {
        self.unix(Xattr(path, name))
    }

    /// Makes a symlink as Unix does.
    pub(crate) fn symlink(&self, path: &str, target: &str) {
        self.unix(Symlink(path, target));
    }

    /// Makes a file with a name of any bytes as Unix does.
    pub(crate) fn unix_file(&self, name: &[u8]) {
        self.unix(MakeFile(name));
    }
}

/// Something that is done to a file system of any kind.
pub(crate) trait Unix<T> {
    fn on<F: FileSystem>(self, fs: &F) -> T;
}

async fn walk<F: FileSystem>(fs: &F, path: &str) -> Attr {
    let mut attr = fs.getattr(Ino::ROOT).await.expect("the root");
    for name in path.split('/').filter(|name| !name.is_empty()) {
        attr = fs.lookup(attr.ino, name.as_bytes()).await.unwrap_or_else(|e| panic!("{path}: {e}"));
    }
    attr
}

pub(crate) struct Look<'a>(&'a str);

impl Unix<Attr> for Look<'_> {
    fn on<F: FileSystem>(self, fs: &F) -> Attr {
        runtime().block_on(walk(fs, self.0))
    }
}

pub(crate) struct Chmod<'a>(&'a str, u16);

impl Unix<()> for Chmod<'_> {
    fn on<F: FileSystem>(self, fs: &F) {
        runtime().block_on(async {
            let set = SetAttr { perm: Some(self.1), ..SetAttr::default() };
            fs.setattr(Caller::default(), walk(fs, self.0).await.ino, set).await.expect("chmod");
        });
    }
}

pub(crate) struct Xattr<'a>(&'a str, &'a str);

impl Unix<Option<Vec<u8>>> for Xattr<'_> {
    fn on<F: FileSystem>(self, fs: &F) -> Option<Vec<u8>> {
        runtime().block_on(async {
            let ino = walk(fs, self.0).await.ino;
            fs.getxattr(ino, self.1.as_bytes()).await.ok().map(|value| value.to_vec())
        })
    }
}

pub(crate) struct Symlink<'a>(&'a str, &'a str);

impl Unix<()> for Symlink<'_> {
    fn on<F: FileSystem>(self, fs: &F) {
        runtime().block_on(async {
            let (dir, name) = self.0.rsplit_once('/').unwrap_or(("", self.0));
            let dir = walk(fs, dir).await.ino;
            fs.symlink(Caller::default(), dir, name.as_bytes(), self.1.as_bytes()).await.expect("symlink");
        });
    }
}

pub(crate) struct MakeFile<'a>(&'a [u8]);

impl Unix<()> for MakeFile<'_> {
    fn on<F: FileSystem>(self, fs: &F) {
        let flags = proxyfs_core::fs::OpenFlags { read: true, write: true, ..Default::default() };
        let who = Caller { uid: UID, gid: GID, pid: 0 };
        runtime().block_on(async {
            let (_, handle) = fs.create(who, Ino::ROOT, self.0, 0o644, 0, flags).await.expect("made");
            fs.release(handle, None).await.expect("released");
        });
    }
}

/// Information about a file, in a form that can be compared and printed.
pub(crate) mod winfsp_info {
    use winfsp_sys::FSP_FSCTL_FILE_INFO;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Info {
        pub(crate) attributes: u32,
        pub(crate) tag: u32,
        pub(crate) allocation: u64,
        pub(crate) size: u64,
        pub(crate) creation: u64,
        pub(crate) access: u64,
        pub(crate) write: u64,
        pub(crate) change: u64,
        pub(crate) index: u64,
        pub(crate) ea_size: u32,
    }

    impl Info {
        pub(crate) fn of(info: &FSP_FSCTL_FILE_INFO) -> Self {
            Self {
                attributes: info.FileAttributes,
                tag: info.ReparseTag,
                allocation: info.AllocationSize,
                size: info.FileSize,
                creation: info.CreationTime,
                access: info.LastAccessTime,
                write: info.LastWriteTime,
                change: info.ChangeTime,
                index: info.IndexNumber,
                ea_size: info.EaSize,
            }
        }
    }
}
