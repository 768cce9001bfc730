//! A store that is slow: nothing that waits for it keeps the library's threads, and everything is answered in the end.

use std::sync::Arc;
use std::time::Duration;

use proxyfs_winfsp::{MountOptions, Mounted, Status};
use proxyfs_winfsp_double::{Create, Device, disposition, option};

use crate::hooked::{Gate, Hooked};
use crate::world::{PATIENCE, mount_fs, options, runtime, status};

/// Longer than an answer that waits for nothing takes.
const SHORTLY: Duration = Duration::from_millis(300);
const THREADS: u32 = 4;

struct Slow {
    fs: Arc<Hooked>,
    mounted: Mounted,
    device: Arc<Device>,
}

impl Slow {
    fn new() -> Self {
        let fs = Arc::new(Hooked::default());
        let own = MountOptions { threads: THREADS, ..options(false) };
        let who = own.who.clone().expect("given");
        let root = proxyfs_core::fs::SetAttr { uid: Some(who.uid), gid: Some(who.gid), ..Default::default() };
        let chown =
            proxyfs_core::fs::FileSystem::setattr(&*fs, Default::default(), proxyfs_core::types::Ino::ROOT, root);
        runtime().block_on(chown).expect("chown");
        let (mounted, device) = mount_fs(Arc::clone(&fs), own);
        let slow = Self { fs, mounted, device };
        slow.make("\\f", b"content");
        slow
    }

    fn make(&self, name: &str, content: &[u8]) {
        let how = Create { disposition: disposition::CREATE, options: option::NON_DIRECTORY, ..Create::default() };
        let file = self.device.create(name, &how).expect("made");
        file.write(0, content).expect("written");
        file.close().expect("closed");
    }

    fn open(&self, name: &str) -> proxyfs_winfsp_double::Opened {
        self.device.create(name, &Create::default()).unwrap_or_else(|s| panic!("{name}: {}", Status(s)))
    }

    fn arrival(gate: &Gate) {
        runtime().block_on(async { tokio::time::timeout(PATIENCE, gate.arrival()).await }).expect("it arrives");
    }

    fn end(self) {
        let unmounted = runtime().block_on(self.mounted.unmount(PATIENCE)).expect("unmounted");
        assert_eq!(unmounted, proxyfs_winfsp::UnmountKind::Clean);
    }
}

#[test]
fn a_read_that_waits_is_answered_later() {
    let slow = Slow::new();
    let file = slow.open("\\f");
    let gate = slow.fs.hold("read");
    let reading = file.begin_read(0, 100);
    Slow::arrival(&gate);
    assert_eq!(status(reading.wait_for(SHORTLY)), Status::IO_TIMEOUT, "there is nothing yet");
    gate.open();
    assert_eq!(reading.wait(), Ok(b"content".to_vec()));
    file.close().unwrap();
    slow.end();
}

#[test]
fn far_more_reads_than_threads_wait_and_other_requests_go_on() {
    let slow = Slow::new();
    let file = slow.open("\\f");
    let gate = slow.fs.hold("read");
    let readings: Vec<_> = (0..50).map(|n| file.begin_read(n % 7, 1)).collect();
    for _ in 0..50 {
        Slow::arrival(&gate);
    }
    // All of these need a thread of the library.
    let other = slow.open("\\f");
    assert_eq!(other.query().unwrap().FileSize, 7);
    other.write(7, b"!").unwrap();
    other.close().unwrap();
    slow.make("\\g", b"made meanwhile");
    gate.open();
    for (n, reading) in readings.into_iter().enumerate() {
        assert_eq!(reading.wait(), Ok(vec![b"content"[n % 7]]));
    }
    file.close().unwrap();
    slow.end();
}

#[test]
fn writes_that_wait_are_answered_later_with_how_the_file_is() {
    let slow = Slow::new();
    let file = slow.open("\\f");
    let gate = slow.fs.hold("write");
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            slow.device.create("\\f", &Create::default()).map(|other| {
                let info = other.write(7, b" and more");
                other.close().expect("closed");
                info.map(|info| info.FileSize)
            })
        });
        Slow::arrival(&gate);
        assert_eq!(file.read(0, 100), Ok(b"content".to_vec()));
        gate.open();
        assert_eq!(writer.join().unwrap(), Ok(Ok(16)));
    });
    file.close().unwrap();
    slow.end();
}

#[test]
fn listings_that_wait_are_answered_later() {
    let slow = Slow::new();
    let root = slow.open("\\");
    let gate = slow.fs.hold("entries_after");
    let listing = root.begin_list(None, None, 4096);
    Slow::arrival(&gate);
    let file = slow.open("\\f");
    assert_eq!(file.read(0, 7), Ok(b"content".to_vec()));
    file.close().unwrap();
    gate.open();
    assert_eq!(listing.wait().unwrap().len(), 112 + 2);
    root.close().unwrap();
    slow.end();
}

#[test]
fn opens_that_wait_leave_threads_for_others() {
    let slow = Slow::new();
    slow.make("\\g", b"other");
    let file = slow.open("\\g");
    let gate = slow.fs.hold("open");
    std::thread::scope(|scope| {
        let opens: Vec<_> =
            (0..3 * THREADS).map(|_| scope.spawn(|| slow.device.create("\\f", &Create::default()))).collect();
        for _ in 0..3 * THREADS {
            Slow::arrival(&gate);
        }
        for _ in 0..10 {
            assert_eq!(file.read(0, 5), Ok(b"other".to_vec()));
            assert_eq!(file.query().unwrap().FileSize, 5);
            slow.device.volume().unwrap();
        }
        gate.open();
        for open in opens {
            let opened = open.join().unwrap().unwrap_or_else(|s| panic!("{}", Status(s)));
            assert_eq!(opened.read(0, 100), Ok(b"content".to_vec()));
            opened.close().unwrap();
        }
    });
    file.close().unwrap();
    slow.end();
}

#[test]
fn flushes_that_wait_leave_threads_for_others() {
    let slow = Slow::new();
    let file = slow.open("\\f");
    let gate = slow.fs.hold("fsync");
    std::thread::scope(|scope| {
        let flushes: Vec<_> = (0..2 * THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let own = slow.open("\\f");
                    let flushed = own.flush().map(|info| info.FileSize);
                    own.close().expect("closed");
                    flushed
                })
            })
            .collect();
        for _ in 0..2 * THREADS {
            Slow::arrival(&gate);
        }
        assert_eq!(file.read(0, 100), Ok(b"content".to_vec()));
        gate.open();
        for flush in flushes {
            assert_eq!(flush.join().unwrap(), Ok(7));
        }
    });
    file.close().unwrap();
    slow.end();
}

#[test]
fn writing_through_to_a_stream_is_answered_once_it_is_durable() {
    let slow = Slow::new();
    let gates = [slow.fs.hold("fsync"), slow.fs.hold("syncfs")];
    std::thread::scope(|scope| {
        let write = scope.spawn(|| {
            let options = option::NON_DIRECTORY | option::WRITE_THROUGH;
            let how = Create { disposition: disposition::OPEN_IF, options, ..Create::default() };
            let stream = slow.device.create("\\f:s", &how).expect("made");
            let written = stream.write(0, b"through").map(|info| info.FileSize);
            stream.close().expect("closed");
            written
        });
        let arrival = async {
            tokio::select! { () = gates[0].arrival() => {}, () = gates[1].arrival() => {} }
        };
        runtime().block_on(async { tokio::time::timeout(PATIENCE, arrival).await }).expect("it is made durable");
        assert!(!write.is_finished());
        gates.iter().for_each(|gate| gate.open());
        assert_eq!(write.join().unwrap(), Ok(7));
    });
    slow.end();
}

#[test]
fn a_request_that_no_thread_has_taken_is_cancelled_and_never_seen() {
    let slow = Slow::new();
    let file = slow.open("\\f");
    let gate = slow.fs.hold("read");
    slow.device.hold();
    // A thread may already wait inside the driver; it takes nothing while requests are held back.
    let reading = file.begin_read(0, 100);
    assert!(reading.cancel());
    slow.device.let_go();
    assert_eq!(status(reading.wait()), Status::CANCELLED);
    gate.open();
    assert_eq!(file.read(0, 100), Ok(b"content".to_vec()));
    file.close().unwrap();
    slow.end();
}

#[test]
fn a_request_under_way_is_not_cancelled() {
    let slow = Slow::new();
    let file = slow.open("\\f");
    let gate = slow.fs.hold("read");
    let reading = file.begin_read(0, 100);
    Slow::arrival(&gate);
    assert!(!reading.cancel());
    gate.open();
    assert_eq!(reading.wait(), Ok(b"content".to_vec()));
    file.close().unwrap();
    slow.end();
}

#[test]
fn unmounting_ends_what_still_waits() {
    let slow = Slow::new();
    let file = slow.open("\\f");
    let gate = slow.fs.hold("read");
    let reading = file.begin_read(0, 100);
    Slow::arrival(&gate);
    let unmounted = runtime().block_on(slow.mounted.unmount(Duration::ZERO)).unwrap();
    assert_eq!(unmounted, proxyfs_winfsp::UnmountKind::Detached);
    assert_eq!(status(reading.wait()), Status::CANCELLED);
    assert!(slow.device.is_stopped());
    assert_eq!(slow.mounted.open_files(), 0, "what was open is closed");
    drop(file);
    gate.open();
}

#[test]
fn a_panic_is_an_error_and_changes_are_refused_from_then_on() {
    let slow = Slow::new();
    let file = slow.open("\\f");
    slow.fs.panic_in("read");
    assert_eq!(status(file.read(0, 1)), Status::INTERNAL_ERROR);
    assert!(slow.mounted.is_poisoned());
    assert_eq!(status(file.write(0, b"x")), Status::MEDIA_WRITE_PROTECTED);
    assert_eq!(file.query().unwrap().FileSize, 7, "looking goes on");
    file.close().unwrap();
    slow.end();
}

#[test]
fn operations_are_noted_by_kind() {
    use proxyfs_core::fs::FileSystem;
    // The model has no meter of its own, so the engine's is looked at.
    let world = crate::world::World::engine();
    world.make("\\f", "x");
    let _content = world.content("\\f");
    let ops = world.unix(Meter).ops();
    for op in ["create", "write", "read", "release"] {
        assert!(ops.iter().any(|seen| seen.op == op && seen.ok > 0), "{op}");
    }
    crate::world::run(world, |_| ());

    struct Meter;

    impl crate::world::Unix<Arc<proxyfs_core::meter::Meter>> for Meter {
        fn on<F: FileSystem>(self, fs: &F) -> Arc<proxyfs_core::meter::Meter> {
            fs.meter()
        }
    }
}
