//! How mounts begin, end, and survive what happens in between: busy users, slow operations, panics, killed servers.
#![cfg(target_os = "linux")]
#![allow(missing_docs, reason = "a test program")]

mod common;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use common::hooked::Hooked;
use common::{HANG, Lab, PATIENCE, again, can_mount, in_namespace, is_in_namespace, is_root, mount_line};
use proxyfs_core::ErrorKind;
use proxyfs_core::fs::{Caller, FileKind, FileSystem, NewNode, OpenFlags, SetAttr, WriteFlags};
use proxyfs_core::types::Ino;
use proxyfs_fuse::{CachePolicy, LockScope, MountOptions, UnmountKind, mount};
use proxyfs_harness::model::Model;
use rustix::process::{Pid, Signal, kill_process};

/// Names the mount point to the server role; everything else about it has defaults.
const SERVE_ON: &str = "PROXYFS_TEST_SERVE_ON";
/// Names the file to the lock role.
const LOCK_FILE: &str = "PROXYFS_TEST_LOCK_FILE";
/// What a role says when it is ready.
const READY: &str = "ready-for-test";
/// What the lock role says when it holds the lock.
const LOCKED: &str = "locked-for-test";

/// A user without rights; every Debian has it.
const NOBODY: u32 = 65534;

#[test]
fn a_mount_shows_its_name_and_type_and_is_gone_after_unmount() {
    if !can_mount("a_mount_shows_its_name_and_type_and_is_gone_after_unmount") {
        return;
    }
    let lab = Lab::mount(Model::default(), MountOptions { fs_name: "photos".to_owned(), ..MountOptions::default() });
    let line = mount_line(lab.root()).expect("it is mounted");
    assert!(line.contains(" - fuse.proxyfs photos "), "{line}");
    assert!(line.contains("nosuid,nodev"), "{line}");
    fs::write(lab.path("file"), b"bytes").expect("a write");
    assert_eq!(fs::read(lab.path("file")).expect("a read"), b"bytes");
    assert_eq!(lab.unmount(PATIENCE), UnmountKind::Clean);
    assert!(mount_line(lab.root()).is_none());
    assert_eq!(lab.unmount(PATIENCE), UnmountKind::Clean, "a second time is fine");
}

#[test]
fn a_mount_ends_when_it_is_unmounted_from_outside() {
    if !can_mount("a_mount_ends_when_it_is_unmounted_from_outside")
        || !is_root("a_mount_ends_when_it_is_unmounted_from_outside")
    {
        return;
    }
    for program in [&["umount"][..], &["fusermount3", "-u"][..]] {
        let lab = Lab::mount(Model::default(), MountOptions::default());
        fs::write(lab.path("file"), b"bytes").expect("a write");
        let status = Command::new(program[0]).args(&program[1..]).arg(lab.root()).status().expect("it runs");
        assert!(status.success(), "{program:?}");
        lab.wait_ended();
        assert!(lab.mounted().has_ended());
    }
}

#[test]
fn a_mount_in_use_is_detached_and_serves_until_it_is_closed() {
    if !can_mount("a_mount_in_use_is_detached_and_serves_until_it_is_closed") {
        return;
    }
    let lab = Lab::mount(Model::default(), MountOptions::default());
    fs::write(lab.path("file"), b"bytes").expect("a write");
    let mut open = File::open(lab.path("file")).expect("an open file");
    assert_eq!(lab.unmount(Duration::ZERO), UnmountKind::Detached);
    assert!(mount_line(lab.root()).is_none());
    assert!(!lab.mounted().has_ended());
    let mut bytes = Vec::new();
    open.read_to_end(&mut bytes).expect("a read through the open file");
    assert_eq!(bytes, b"bytes");
    drop(open);
    lab.wait_ended();
}

#[test]
fn a_later_mount_of_somebody_else_on_the_same_directory_is_left_alone() {
    if !can_mount("a_later_mount_of_somebody_else_on_the_same_directory_is_left_alone")
        || !is_root("a_later_mount_of_somebody_else_on_the_same_directory_is_left_alone")
    {
        return;
    }
    let lab = Lab::mount(Model::default(), MountOptions::default());
    let open = File::open(lab.root()).expect("the root stays in use");
    rustix::mount::unmount(lab.root(), rustix::mount::UnmountFlags::DETACH).expect("a detach");
    rustix::mount::mount("other", lab.root(), "tmpfs", rustix::mount::MountFlags::empty(), None).expect("a tmpfs");
    drop(open);
    lab.wait_ended();
    assert_eq!(lab.unmount(PATIENCE), UnmountKind::Clean);
    assert!(mount_line(lab.root()).is_some_and(|line| line.contains(" - tmpfs other ")));
    rustix::mount::unmount(lab.root(), rustix::mount::UnmountFlags::DETACH).expect("the tmpfs goes");
}

#[test]
fn mounting_twice_on_one_directory_is_refused_with_advice() {
    if !can_mount("mounting_twice_on_one_directory_is_refused_with_advice") {
        return;
    }
    let lab = Lab::mount(Model::default(), MountOptions::default());
    let again = mount(Arc::new(Model::default()), lab.root(), MountOptions::default(), lab.runtime.handle());
    let error = again.expect_err("it is in use");
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().contains("unmount it first"), "{error}");
}

#[test]
fn a_read_only_mount_refuses_changes() {
    if !can_mount("a_read_only_mount_refuses_changes") {
        return;
    }
    let lab = Lab::mount(Model::default(), MountOptions { read_only: true, ..MountOptions::default() });
    let error = fs::write(lab.path("file"), b"").expect_err("read-only");
    assert_eq!(error.raw_os_error(), Some(libc::EROFS));
}

#[test]
fn a_slow_read_does_not_keep_others_from_being_answered() {
    if !can_mount("a_slow_read_does_not_keep_others_from_being_answered") {
        return;
    }
    // One FUSE thread: if the read held it, the rest of this test would hang.
    let lab = Lab::mount(Hooked::default(), MountOptions { threads: 1, ..MountOptions::default() });
    fs::write(lab.path("slow"), b"late").expect("a write");
    // Written pages are in the kernel's cache; only an invalidated file is read from the file system.
    let slow = Ino(fs::metadata(lab.path("slow")).expect("attributes").ino());
    lab.mounted().invalidator().inode(slow).expect("an invalidation");
    let gate = lab.fs.hold("read");
    let path = lab.path("slow");
    let reader = thread::spawn(move || fs::read(path));
    lab.runtime.block_on(gate.arrival());
    fs::create_dir(lab.path("dir")).expect("a directory meanwhile");
    assert_eq!(fs::read_dir(lab.root()).expect("a listing meanwhile").count(), 2);
    assert!(!reader.is_finished());
    gate.open();
    assert_eq!(reader.join().expect("the reader").expect("a read"), b"late");
}

#[test]
fn a_panic_is_eio_and_changes_are_refused_afterwards() {
    if !can_mount("a_panic_is_eio_and_changes_are_refused_afterwards") {
        return;
    }
    let lab = Lab::mount(Hooked::default(), MountOptions::default());
    fs::write(lab.path("file"), b"bytes").expect("a write");
    lab.fs.panic_in("mkdir");
    let error = fs::create_dir(lab.path("dir")).expect_err("it panics");
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    assert!(lab.mounted().is_poisoned());
    let error = fs::write(lab.path("other"), b"").expect_err("changes are refused");
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    assert_eq!(fs::read(lab.path("file")).expect("reading goes on"), b"bytes");
}

#[test]
fn an_operation_under_way_at_the_end_is_dropped_after_the_patience() {
    if !can_mount("an_operation_under_way_at_the_end_is_dropped_after_the_patience")
        || !is_root("an_operation_under_way_at_the_end_is_dropped_after_the_patience")
    {
        return;
    }
    let lab = Lab::mount(Hooked::default(), MountOptions::default());
    let gate = lab.fs.hold("mkdir");
    let path = lab.path("dir");
    let maker = thread::spawn(move || fs::create_dir(path));
    lab.runtime.block_on(gate.arrival());
    // What a forced unmount does: the kernel gives up on all that it has asked.
    rustix::mount::unmount(lab.root(), rustix::mount::UnmountFlags::FORCE | rustix::mount::UnmountFlags::DETACH)
        .expect("a forced unmount");
    maker.join().expect("the maker").expect_err("the mount has gone");
    lab.wait_ended();
    lab.runtime.block_on(lab.mounted().finish(Duration::ZERO));
    gate.open();
    assert_eq!(lab.fs.model.inode_count(), 1, "it was dropped before it did anything");
}

#[test]
fn handles_that_the_kernel_did_not_release_are_released_at_the_end() {
    const NAME: &str = "handles_that_the_kernel_did_not_release_are_released_at_the_end";
    if !can_mount(NAME) || !is_root(NAME) {
        return;
    }
    let lab = Lab::mount(Model::default(), MountOptions::default());
    let open = File::create(lab.path("file")).expect("a file");
    fs::remove_file(lab.path("file")).expect("a removal");
    assert_eq!(lab.fs.inode_count(), 2, "the open file lives on");
    rustix::mount::unmount(lab.root(), rustix::mount::UnmountFlags::FORCE | rustix::mount::UnmountFlags::DETACH)
        .expect("a forced unmount");
    lab.wait_ended();
    lab.runtime.block_on(lab.mounted().finish(PATIENCE));
    assert_eq!(lab.fs.inode_count(), 1, "it is gone, though the kernel could not say so");
    drop(open);
}

#[test]
fn invalidation_shows_changes_made_behind_the_kernel() {
    if !can_mount("invalidation_shows_changes_made_behind_the_kernel") {
        return;
    }
    let lab = Lab::mount(Model::default(), MountOptions::default());
    let (caller, invalidator) = (Caller::default(), lab.mounted().invalidator());
    assert!(!lab.path("new").exists());
    let node = NewNode { kind: FileKind::File, perm: 0o644, umask: 0, rdev: 0 };
    let attr = lab.runtime.block_on(lab.fs.mknod(caller, Ino::ROOT, b"new", node)).expect("a file");
    assert!(!lab.path("new").exists(), "its absence is remembered");
    invalidator.entry(Ino::ROOT, b"new").expect("an invalidation");
    assert_eq!(fs::metadata(lab.path("new")).expect("there now").len(), 0);

    let set = SetAttr { size: Some(4096), ..SetAttr::default() };
    lab.runtime.block_on(lab.fs.setattr(caller, attr.ino, set)).expect("a new size");
    assert_eq!(fs::metadata(lab.path("new")).expect("attributes").len(), 0, "they are remembered");
    invalidator.attributes(attr.ino).expect("an invalidation");
    assert_eq!(fs::metadata(lab.path("new")).expect("attributes").len(), 4096);

    lab.runtime.block_on(lab.fs.unlink(caller, Ino::ROOT, b"new")).expect("gone");
    invalidator.entry(Ino::ROOT, b"new").expect("an invalidation");
    assert!(!lab.path("new").exists());
    invalidator.entry(Ino::ROOT, b"never").expect("what is not remembered is no error");
    invalidator.inode(Ino(12345)).expect("what is not remembered is no error");
}

#[test]
fn a_follower_sees_changes_without_being_told() {
    if !can_mount("a_follower_sees_changes_without_being_told") {
        return;
    }
    let options = MountOptions {
        cache: CachePolicy::Follower { ttl: Duration::ZERO },
        read_only: true,
        ..MountOptions::default()
    };
    let lab = Lab::mount(Model::default(), options);
    let caller = Caller::default();
    assert!(!lab.path("file").exists());
    let flags = OpenFlags { write: true, ..OpenFlags::default() };
    let change = |bytes: &'static [u8]| {
        lab.runtime.block_on(async {
            let (_, handle) = lab.fs.create(caller, Ino::ROOT, b"file", 0o644, 0, flags).await?;
            lab.fs.write(handle, 0, bytes.into(), WriteFlags::default()).await?;
            lab.fs.release(handle, None).await
        })
    };
    for bytes in [&b"first"[..], &b"other"[..], &b"longer than before"[..]] {
        change(bytes).expect("a change behind the kernel");
        assert_eq!(fs::read(lab.path("file")).expect("a read"), bytes);
    }
}

#[test]
fn the_dead_mount_of_a_killed_server_is_replaced() {
    if !can_mount("the_dead_mount_of_a_killed_server_is_replaced") {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut server = Role::start(again("serve_as_told").env(SERVE_ON, dir.path()));
    server.wait_for(READY);
    server.kill();
    let error = fs::metadata(dir.path()).expect_err("its server is dead");
    assert_eq!(error.raw_os_error(), Some(libc::ENOTCONN));

    let mut server = Role::start(again("serve_as_told").env(SERVE_ON, dir.path()));
    server.wait_for(READY);
    fs::write(dir.path().join("file"), b"bytes").expect("it works again");
    // The kernel remembers this, and goes on saying it when the server is dead.
    fs::metadata(dir.path()).expect("attributes");
    server.kill();

    let mut server = Role::start(again("serve_as_told").env(SERVE_ON, dir.path()));
    server.wait_for(READY);
    fs::write(dir.path().join("file"), b"bytes").expect("it works again");
    server.terminate();
    assert!(mount_line(dir.path()).is_none(), "a server that is told to end unmounts");
}

#[test]
fn an_ordinary_user_mounts_through_fusermount3() {
    const NAME: &str = "an_ordinary_user_mounts_through_fusermount3";
    if !is_in_namespace() {
        return in_namespace(NAME, 0);
    }
    let place = tempfile::tempdir().expect("a temporary directory");
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).expect("open to all");
    let program = place.path().join("program");
    fs::copy(std::env::current_exe().expect("this program"), &program).expect("a copy that all may run");
    let dir = place.path().join("mount");
    fs::create_dir(&dir).expect("a mount point");
    std::os::unix::fs::chown(&dir, Some(NOBODY), Some(NOBODY)).expect("of the user");

    let mut command = as_nobody();
    command.arg(&program).args(["--exact", "serve_as_told", "--ignored", "--nocapture"]).env(SERVE_ON, &dir);
    let mut server = Role::start(&mut command);
    server.wait_for(READY);
    let line = mount_line(&dir).expect("it is mounted");
    assert!(line.contains(" - fuse.proxyfs "), "{line}");
    assert!(line.contains(&format!("user_id={NOBODY}")), "{line}");
    let file = dir.join("file");
    let status = as_nobody().arg("cp").arg("/etc/hostname").arg(&file).status().expect("cp runs");
    assert!(status.success());
    assert!(fs::read(&file).is_err(), "without allow_other not even root looks in");
    server.terminate();
    assert!(mount_line(&dir).is_none(), "the user's server has unmounted");
}

#[test]
fn allow_other_needs_a_line_in_fuse_conf_for_ordinary_users() {
    const NAME: &str = "allow_other_needs_a_line_in_fuse_conf_for_ordinary_users";
    if !is_in_namespace() {
        return in_namespace(NAME, NOBODY);
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let options = MountOptions { allow_other: true, ..MountOptions::default() };
    let error = mount(Arc::new(Model::default()), dir.path(), options, runtime.handle()).expect_err("not allowed");
    assert!(error.to_string().contains("user_allow_other"), "{error}");
}

#[test]
fn a_process_that_waits_for_a_lock_of_the_file_system_can_be_killed() {
    const NAME: &str = "a_process_that_waits_for_a_lock_of_the_file_system_can_be_killed";
    if !can_mount(NAME) {
        return;
    }
    let options = MountOptions { locks: LockScope::FileSystem, threads: 1, ..MountOptions::default() };
    let lab = Lab::mount(Hooked::default(), options);
    fs::write(lab.path("file"), b"").expect("a file");
    let role = || Role::start(again("lock_as_told").env(LOCK_FILE, lab.path("file")));
    let mut holder = role();
    holder.wait_for(LOCKED);

    // The second waits inside the file system, and does not hold the one FUSE thread.
    let gate = lab.fs.hold("setlk");
    gate.open();
    let mut waiter = role();
    lab.runtime.block_on(gate.arrival());
    fs::create_dir(lab.path("meanwhile")).expect("others are answered");
    waiter.kill();

    // A third gets the lock when the first dies.
    let mut third = role();
    lab.runtime.block_on(gate.arrival());
    holder.kill();
    third.wait_for(LOCKED);
    third.kill();
}

#[test]
fn locks_kept_by_the_kernel_exclude_each_other() {
    if !can_mount("locks_kept_by_the_kernel_exclude_each_other") {
        return;
    }
    let lab = Lab::mount(Model::default(), MountOptions::default());
    fs::write(lab.path("file"), b"").expect("a file");
    let (one, two) = (File::open(lab.path("file")).expect("open"), File::open(lab.path("file")).expect("open"));
    one.lock().expect("the first flock");
    assert!(matches!(two.try_lock(), Err(fs::TryLockError::WouldBlock)));
    drop(one);
    two.try_lock().expect("it is free now");
    let role = || Role::start(again("lock_as_told").env(LOCK_FILE, lab.path("file")));
    let mut holder = role();
    holder.wait_for(LOCKED);
    let mut waiter = role();
    waiter.wait_for(READY);
    holder.kill();
    waiter.wait_for(LOCKED);
    waiter.kill();
}

/// Not a test: the process that other tests start and kill.
#[test]
#[ignore = "a role that other tests start"]
fn serve_as_told() {
    let Some(dir) = std::env::var_os(SERVE_ON).map(PathBuf::from) else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let fs = Arc::new(Model::default());
    let open_to_all = SetAttr { perm: Some(0o777), ..SetAttr::default() };
    runtime.block_on(fs.setattr(Caller::default(), Ino::ROOT, open_to_all)).expect("the root of any user");
    let mounted =
        mount(fs, &dir, MountOptions::default(), runtime.handle()).unwrap_or_else(|e| panic!("cannot mount: {e}"));
    runtime.block_on(async {
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).expect("a signal handler");
        eprintln!("{READY}");
        tokio::select! {
            () = mounted.ended() => {}
            _ = terminate.recv() => {}
        }
        mounted.unmount(PATIENCE).await.expect("an unmount");
    });
}

/// Not a test: a process that waits for a lock and keeps it until it is killed.
#[test]
#[ignore = "a role that other tests start"]
fn lock_as_told() {
    let Some(path) = std::env::var_os(LOCK_FILE).map(PathBuf::from) else { return };
    let file = File::options().read(true).write(true).open(path).expect("the file");
    eprintln!("{READY}");
    rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::LockExclusive).expect("the lock");
    eprintln!("{LOCKED}");
    loop {
        thread::park();
    }
}

/// A command that runs as the user without rights.
fn as_nobody() -> Command {
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".to_owned()]);
    command.current_dir(Path::new("/"));
    command
}

/// A process in a role, whose standard error is read line by line.
struct Role {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Role {
    fn start(command: &mut Command) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("a process");
        let stderr = child.stderr.take().expect("a pipe");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }

    /// Waits until the process has said `word`.
    fn wait_for(&mut self, word: &str) {
        let mut said = String::new();
        loop {
            match self.lines.recv_timeout(HANG) {
                Ok(line) if line.ends_with(word) => return,
                Ok(line) => said.push_str(&line),
                Err(e) => panic!("the process did not say {word} ({e}): {said}"),
            }
        }
    }

    /// Kills it and waits until it is dead.
    fn kill(&mut self) {
        self.child.kill().expect("a kill");
        self.wait();
    }

    /// Asks it to end and waits until it has.
    fn terminate(&mut self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).expect("a signal");
        self.wait();
    }

    /// Waits for the end; a process that cannot be killed would hang here, so this is bounded.
    fn wait(&mut self) {
        let (sender, receiver) = mpsc::channel();
        thread::scope(|scope| {
            let child = &mut self.child;
            scope.spawn(move || sender.send(child.wait()));
            match receiver.recv_timeout(HANG) {
                Ok(status) => drop(status.expect("an exit status")),
                Err(_) => {
                    eprintln!("the process does not end");
                    std::process::abort();
                }
            }
        });
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        // Already dead is fine.
        let _dead = self.child.kill();
        let _status = self.child.wait();
    }
}
