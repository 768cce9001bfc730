//! The simulated disk behind the engine's traits.

use std::io;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use proxyfs_core::env::{LocalDir, LocalFile, OpenMode};

use super::bytes::FileBytes;
use super::calls::{CallCounter, Verdict, crash_error};
use super::disk::{Crash, Disk, File, parent};

/// Free bytes of a disk without limit.
const UNLIMITED_BYTES: u64 = 1 << 50;

/// A simulated directory tree. The fault model stands in the module's header.
#[derive(Debug)]
pub struct SimDir {
    disk: Arc<Mutex<Disk>>,
    calls: Arc<CallCounter>,
}

impl Default for SimDir {
    fn default() -> Self {
        Self::new()
    }
}

impl SimDir {
    /// An empty disk without limit.
    #[must_use]
    pub fn new() -> Self {
        Self { disk: Arc::default(), calls: Arc::default() }
    }

    /// The counter of this disk's calls; plan faults there. Another device may share it.
    #[must_use]
    pub fn calls(&self) -> &Arc<CallCounter> {
        &self.calls
    }

    /// Sets how many bytes fit on the disk; `None` is no limit. Writes that need more fail with `StorageFull`.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.disk.lock().capacity = bytes;
    }

    /// Sets how many more bytes fit than are there now; `None` is no limit.
    pub fn set_room(&self, bytes: Option<u64>) {
        let mut disk = self.disk.lock();
        disk.capacity = bytes.map(|bytes| disk.used_bytes() + bytes);
    }

    /// The disk after a crash, apart from this one, which whoever still runs may go on using without effect. No faults are planned
    /// on it and its counter starts anew.
    #[must_use]
    pub fn crash(&self, crash: Crash) -> Self {
        let disk = self.disk.lock().after(crash);
        Self { disk: Arc::new(Mutex::new(disk)), calls: Arc::default() }
    }

    fn check_room(&self, needed: u64) -> io::Result<()> {
        check_room(&self.disk.lock(), needed)
    }
}

impl LocalDir for SimDir {
    fn open(&self, path: &str, mode: OpenMode) -> io::Result<Arc<dyn LocalFile>> {
        self.calls.enter()?;
        let mut disk = self.disk.lock();
        let file = match (mode, disk.get(path)) {
            (OpenMode::CreateNew, Some(_)) => return Err(error(io::ErrorKind::AlreadyExists, path)),
            (OpenMode::CreateNew, None) => disk.create(path, FileBytes::default()),
            (OpenMode::Read | OpenMode::ReadWrite, Some(file)) => file,
            (OpenMode::Read | OpenMode::ReadWrite, None) => return Err(error(io::ErrorKind::NotFound, path)),
        };
        let (disk, calls) = (Arc::clone(&self.disk), Arc::clone(&self.calls));
        Ok(Arc::new(SimFile { file, disk, calls, writable: mode != OpenMode::Read }))
    }

    fn replace(&self, path: &str, content: &[u8]) -> io::Result<()> {
        self.calls.enter()?;
        self.check_room(content.len() as u64)?;
        let mut disk = self.disk.lock();
        disk.create(path, FileBytes::durable(content));
        disk.sync_dir(parent(path));
        Ok(())
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.calls.enter()?;
        let file = self.disk.lock().get(path).ok_or_else(|| error(io::ErrorKind::NotFound, path))?;
        let file = file.lock();
        let mut content = vec![0; file.len() as usize];
        file.read(0, &mut content);
        Ok(content)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.calls.enter()?;
        self.disk.lock().remove(path);
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.calls.enter()?;
        if self.disk.lock().rename(from, to) { Ok(()) } else { Err(error(io::ErrorKind::NotFound, from)) }
    }

    fn list(&self, path: &str) -> io::Result<Vec<(String, u64)>> {
        self.calls.enter()?;
        Ok(self.disk.lock().list(path))
    }

    fn sync_dir(&self, path: &str) -> BoxFuture<'static, io::Result<()>> {
        let (disk, calls, path) = (Arc::clone(&self.disk), Arc::clone(&self.calls), path.to_owned());
        Box::pin(async move {
            tokio::task::yield_now().await;
            calls.enter()?;
            disk.lock().sync_dir(&path);
            Ok(())
        })
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.calls.enter()?;
        let disk = self.disk.lock();
        Ok(disk.capacity.map_or(UNLIMITED_BYTES, |capacity| capacity.saturating_sub(disk.used_bytes())))
    }
}

/// An open file of a simulated disk.
#[derive(Debug)]
struct SimFile {
    file: File,
    disk: Arc<Mutex<Disk>>,
    calls: Arc<CallCounter>,
    writable: bool,
}

impl SimFile {
    fn check_writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(error(io::ErrorKind::PermissionDenied, "opened for reading")) }
    }
}

impl LocalFile for SimFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.calls.enter()?;
        let file = self.file.lock();
        if file.read(offset, buf) {
            return Ok(());
        }
        let text = format!("{} bytes at {offset} of a file of {}", buf.len(), file.len());
        Err(error(io::ErrorKind::UnexpectedEof, &text))
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let verdict = self.calls.enter_divisible()?;
        self.check_writable()?;
        let disk = self.disk.lock();
        let growth = self.file.lock().growth(offset, data.len() as u64);
        check_room(&disk, growth)?;
        match verdict {
            Verdict::Go => {
                self.file.lock().write(offset, data);
                Ok(())
            }
            Verdict::StopHere => {
                self.file.lock().write(offset, &data[..data.len() / 2]);
                Err(crash_error())
            }
        }
    }

    fn len(&self) -> io::Result<u64> {
        self.calls.enter()?;
        Ok(self.file.lock().len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.calls.enter()?;
        self.check_writable()?;
        self.file.lock().set_len(len);
        Ok(())
    }

    fn sync_data(&self) -> BoxFuture<'static, io::Result<()>> {
        let (file, calls) = (Arc::clone(&self.file), Arc::clone(&self.calls));
        let sync = file.lock().begin_sync();
        Box::pin(async move {
            tokio::task::yield_now().await;
            calls.enter()?;
            file.lock().finish_sync(sync);
            Ok(())
        })
    }
}

/// That so many more bytes fit.
fn check_room(disk: &Disk, needed: u64) -> io::Result<()> {
    match disk.capacity {
        Some(capacity) if disk.used_bytes() + needed > capacity => {
            Err(error(io::ErrorKind::StorageFull, "the simulated disk is full"))
        }
        _ => Ok(()),
    }
}

fn error(kind: io::ErrorKind, context: &str) -> io::Error {
    io::Error::new(kind, context)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use proxyfs_core::env::{LocalDir, OpenMode};

    use super::super::calls::{Faults, is_simulated_crash};
    use super::*;

    /// Runs a future that needs no waker to finish.
    fn finish<T>(future: impl Future<Output = T>) -> T {
        let mut future = Box::pin(future);
        for _ in 0..10 {
            if let Some(value) = future.as_mut().now_or_never() {
                return value;
            }
        }
        panic!("a simulated call did not finish");
    }

    fn create(dir: &SimDir, path: &str, content: &[u8]) -> Arc<dyn LocalFile> {
        let file = dir.open(path, OpenMode::CreateNew).expect("create");
        file.write_all_at(content, 0).expect("write");
        file
    }

    fn after_losses(dir: &SimDir, path: &str) -> Vec<Option<Vec<u8>>> {
        (0..64).map(|seed| dir.crash(Crash::PowerLoss { seed }).read(path).ok()).collect()
    }

    #[test]
    fn synced_data_under_a_synced_name_survives_power_loss() {
        let dir = SimDir::new();
        let file = create(&dir, "d/f", b"hello");
        finish(file.sync_data()).expect("sync");
        finish(dir.sync_dir("d")).expect("sync dir");
        assert!(after_losses(&dir, "d/f").iter().all(|content| content.as_deref() == Some(b"hello")));
    }

    #[test]
    fn a_name_that_was_not_synced_may_go() {
        let dir = SimDir::new();
        let file = create(&dir, "d/f", b"hello");
        finish(file.sync_data()).expect("sync");
        let outcomes = after_losses(&dir, "d/f");
        assert!(outcomes.iter().any(Option::is_none));
        assert!(outcomes.iter().flatten().all(|content| content == b"hello"));
        assert!(outcomes.iter().any(Option::is_some));
    }

    #[test]
    fn unsynced_data_survives_whole_in_part_or_not_at_all() {
        let dir = SimDir::new();
        let file = create(&dir, "f", &[1; 4096]);
        finish(file.sync_data()).expect("sync");
        finish(dir.sync_dir("")).expect("sync dir");
        file.write_all_at(&[2; 4096], 0).expect("write");
        let outcomes: Vec<Vec<u8>> = after_losses(&dir, "f").into_iter().map(|c| c.expect("there")).collect();
        let twos = |content: &Vec<u8>| content.iter().filter(|byte| **byte == 2).count();
        assert!(outcomes.iter().any(|c| twos(c) == 0));
        assert!(outcomes.iter().any(|c| twos(c) == 4096));
        let torn: Vec<usize> = outcomes.iter().map(twos).filter(|n| *n != 0 && *n != 4096).collect();
        assert!(!torn.is_empty() && torn.iter().all(|n| n.is_multiple_of(512)), "{torn:?}");
    }

    #[test]
    fn what_was_written_after_the_call_to_sync_is_not_safe() {
        let dir = SimDir::new();
        let file = create(&dir, "f", b"old");
        finish(dir.sync_dir("")).expect("sync dir");
        let sync = file.sync_data();
        file.write_all_at(b"new", 0).expect("write");
        finish(sync).expect("sync");
        let outcomes = after_losses(&dir, "f");
        assert!(outcomes.contains(&Some(b"old".to_vec())));
        assert!(outcomes.contains(&Some(b"new".to_vec())));
    }

    #[test]
    fn a_sync_that_finishes_late_does_not_bring_back_older_bytes() {
        let dir = SimDir::new();
        let file = create(&dir, "f", b"old");
        finish(dir.sync_dir("")).expect("sync dir");
        let early = file.sync_data();
        file.write_all_at(b"new", 0).expect("write");
        finish(file.sync_data()).expect("second sync");
        finish(early).expect("first sync");
        assert!(after_losses(&dir, "f").iter().all(|content| content.as_deref() == Some(b"new")));
    }

    #[test]
    fn replace_is_atomic_and_durable() {
        let dir = SimDir::new();
        dir.replace("d/head", b"one").expect("replace");
        dir.replace("d/head", b"two").expect("replace");
        assert!(after_losses(&dir, "d/head").iter().all(|content| content.as_deref() == Some(b"two")));
    }

    #[test]
    fn a_rename_that_was_not_synced_shows_the_old_or_the_new_name() {
        let dir = SimDir::new();
        dir.replace("d/a", b"a").expect("replace");
        dir.rename("d/a", "d/b").expect("rename");
        for seed in 0..64 {
            let names = dir.crash(Crash::PowerLoss { seed }).list("d").expect("list");
            assert!(names == [("a".to_owned(), 1)] || names == [("b".to_owned(), 1)], "{names:?}");
        }
    }

    #[test]
    fn a_process_kill_keeps_everything_and_the_rest_of_the_sync_debt() {
        let dir = SimDir::new();
        create(&dir, "f", b"hello");
        let after = dir.crash(Crash::ProcessKill);
        assert_eq!(after.read("f").expect("read"), b"hello");
        assert!(after_losses(&after, "f").iter().any(Option::is_none));
    }

    #[test]
    fn the_same_seed_leaves_the_same_bytes() {
        let dir = SimDir::new();
        let file = create(&dir, "f", &[3; 100_000]);
        finish(dir.sync_dir("")).expect("sync dir");
        file.write_all_at(&[4; 50_000], 30_000).expect("write");
        assert_eq!(after_losses(&dir, "f"), after_losses(&dir, "f"));
    }

    #[test]
    fn the_disk_stops_at_the_planned_call_with_a_half_done_write() {
        let dir = SimDir::new();
        dir.calls().plan(Faults { stop_at: Some(2), ..Faults::default() });
        let file = dir.open("f", OpenMode::CreateNew).expect("call 1");
        let stopped = file.write_all_at(b"abcd", 0).expect_err("call 2");
        assert!(is_simulated_crash(&stopped) && dir.calls().stopped());
        assert!(is_simulated_crash(&file.len().expect_err("call 3")));
        assert_eq!(dir.crash(Crash::ProcessKill).read("f").expect("read"), b"ab");
    }

    #[test]
    fn calls_fail_once_or_for_good_as_planned() {
        let dir = SimDir::new();
        dir.calls().plan(Faults { fail_once: Some(2), fail_from: Some(4), ..Faults::default() });
        let results: Vec<bool> = (0..5).map(|_| dir.free_bytes().is_ok()).collect();
        assert_eq!(results, [true, false, true, false, false]);
        assert_eq!(dir.calls().count(), 5);
    }

    #[test]
    fn a_full_disk_refuses_new_blocks_but_takes_overwrites() {
        let dir = SimDir::new();
        let file = create(&dir, "f", &[1; 4096]);
        dir.set_capacity(Some(8192));
        file.write_all_at(&[2; 4096], 4096).expect("fits");
        let full = file.write_all_at(&[3; 4096], 8192).expect_err("does not fit");
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        file.write_all_at(&[4; 4096], 0).expect("no new block");
        assert_eq!(file.len().expect("len"), 8192);
        dir.remove("f").expect("remove");
        drop(file);
        finish(dir.sync_dir("")).expect("sync dir");
        assert_eq!(dir.free_bytes().expect("free"), 8192);
    }

    #[test]
    fn an_unsynced_cut_may_come_back_but_never_mixes_in_later_growth() {
        let dir = SimDir::new();
        let file = create(&dir, "f", &[7; 1000]);
        finish(file.sync_data()).expect("sync");
        finish(dir.sync_dir("")).expect("sync dir");
        file.set_len(10).expect("cut");
        file.set_len(20).expect("grow");
        let mut buf = [1; 20];
        file.read_exact_at(&mut buf, 0).expect("read");
        assert_eq!(&buf[..10], [7; 10]);
        assert_eq!(&buf[10..], [0; 10]);
    }
}
