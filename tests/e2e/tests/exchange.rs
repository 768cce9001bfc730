//! One volume on Linux and on Windows by turns: what either makes and changes, the other sees, byte for byte and time for time.
//!
//! Linux uses the program and a real mount; Windows' turns (`platform/winfsp/tests/driver/exchange.rs`) are run by a script that
//! `PROXYFS_TEST_WINDOWS_TURN` names, and which `cargo xtask windows test` writes.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use proxyfs_e2e::{Home, output_within};
use rustix::fs::{XattrFlags, lgetxattr, llistxattr, setxattr};
use serde_json::{Value, json};

/// Bound of one turn of Windows.
const TURN_LIMIT: Duration = Duration::from_secs(120);
const STREAM: (&str, &str) = ("user.DosStream.", ":$DATA");
const ATTRIBUTES: &str = "trusted.win.attributes";
/// Read-only, hidden, system, archive, temporary, not indexed: what is kept of file attributes ([MS-FSCC] 2.6).
const STORED: u32 = 0x2127;
/// Seconds from 1601 to 1970.
const EPOCH: u64 = 11_644_473_600;

type Picture = BTreeMap<String, Value>;

#[test]
fn one_volume_is_the_same_on_both_systems_by_turns() {
    let (Some(program), Some(windows)) = (Home::find_program(), std::env::var_os("PROXYFS_TEST_WINDOWS_TURN")) else {
        eprintln!("SKIP: `cargo xtask windows test` runs this, which has a Windows for the other side");
        return;
    };
    let dir = tempfile::tempdir().expect("a directory");
    let meeting = Meeting { dir: dir.path().to_owned(), windows: windows.into() };
    meeting.run(&program).unwrap_or_else(|e| panic!("{e:#}"));
}

struct Meeting {
    dir: PathBuf,
    windows: PathBuf,
}

impl Meeting {
    fn run(&self, program: &Path) -> Result<()> {
        let home = Home::new(&self.dir.join("home"), program)?;
        fs::create_dir(self.dir.join("store"))?;
        let store = format!("file://{}", self.dir.join("store").display());
        home.create_volume("shared", &store, &["--case", "insensitive"])?;

        let mount = home.mount("shared", &self.dir.join("mnt"), &[])?;
        begin(mount.dir())?;
        self.describe(1, &picture(mount.dir())?)?;
        mount.unmount()?;
        self.windows("what_linux_left_is_seen_and_added_to")?;

        let mount = home.mount("shared", &self.dir.join("mnt"), &[])?;
        compare(&self.read(2)?, &picture(mount.dir())?)?;
        change(mount.dir())?;
        self.describe(3, &picture(mount.dir())?)?;
        mount.unmount()?;
        self.windows("what_linux_changed_is_seen_and_the_rest_is_as_it_was")?;

        let mount = home.mount("shared", &self.dir.join("mnt"), &[])?;
        compare(&self.read(4)?, &picture(mount.dir())?)?;
        mount.unmount()?;
        home.run(&["fsck", "shared", "--data"]).map(drop)
    }

    fn windows(&self, turn: &str) -> Result<()> {
        let mut command = Command::new(&self.windows);
        command.arg(turn).env("PROXYFS_EXCHANGE_DIR", &self.dir);
        let said = output_within(&mut command, TURN_LIMIT).with_context(|| format!("Windows' turn {turn}"))?;
        ensure!(said.contains("1 passed"), "Windows' turn {turn} was not run: {said}");
        Ok(())
    }

    fn describe(&self, number: u32, picture: &Picture) -> Result<()> {
        Ok(fs::write(self.description(number), serde_json::to_string_pretty(picture)?)?)
    }

    fn read(&self, number: u32) -> Result<Picture> {
        Ok(serde_json::from_slice(&fs::read(self.description(number))?)?)
    }

    fn description(&self, number: u32) -> PathBuf {
        self.dir.join(format!("{number}.json"))
    }
}

fn begin(root: &Path) -> Result<()> {
    fs::create_dir_all(root.join("Docs/Deep/er"))?;
    let plan = root.join("Docs/Plan.txt");
    fs::write(&plan, "a plan\n")?;
    let bytes: Vec<u8> = (0..3_000_007_u32).map(|n| (n % 251) as u8).collect();
    fs::write(root.join("Docs/big.bin"), bytes)?;
    fs::write(root.join("Docs/Deep/er/x"), "")?;
    fs::write(root.join("Docs/gone.txt"), "will go")?;
    // What Windows cannot show as it is, and what it can.
    for name in ["a:b?.txt", "end.", "CON", "nul.txt", "Übung – 文.txt", "back\\slash"] {
        fs::write(root.join(name), name)?;
    }
    symlink("Docs/Plan.txt", root.join("link"))?;
    symlink("nowhere", root.join("dangling"))?;
    fs::set_permissions(root.join("Docs/Deep/er/x"), Permissions::from_mode(0o444))?;
    setxattr(&plan, "user.Author", b"me", XattrFlags::empty())?;
    setxattr(&plan, stream("zone"), b"[ZoneTransfer]\0", XattrFlags::empty())?;
    let written = SystemTime::UNIX_EPOCH + Duration::new(986_000_000, 123_456_700);
    File::options()
        .write(true)
        .open(&plan)?
        .set_times(FileTimes::new().set_modified(written).set_accessed(written + Duration::from_secs(60)))?;
    Ok(())
}

fn change(root: &Path) -> Result<()> {
    fs::rename(root.join("Win/Report.docx"), root.join("Win/Final.docx"))?;
    setxattr(root.join("Win/Final.docx"), "user.Comment", b"by Linux", XattrFlags::empty())?;
    fs::set_permissions(root.join("Docs/big.bin"), Permissions::from_mode(0o600))?;
    fs::write(root.join("Docs/new.txt"), "new")?;
    fs::hard_link(root.join("Docs/new.txt"), root.join("Docs/second name.txt"))?;
    Ok(())
}

fn stream(name: &str) -> String {
    format!("{}{name}{}", STREAM.0, STREAM.1)
}

/// Everything is equal, but for what only Windows shows: creation times, and file attributes that are not stored.
fn compare(left: &Picture, found: &Picture) -> Result<()> {
    let names = |picture: &Picture| picture.keys().cloned().collect::<Vec<_>>();
    ensure!(names(left) == names(found), "left {:?}, found {:?}", names(left), names(found));
    for (path, entry) in left {
        let mut left = entry.clone();
        for key in ["attributes", "created"] {
            if found[path][key].is_null() {
                left[key] = Value::Null;
            }
        }
        ensure!(left == found[path], "{path}: left {left}, found {}", found[path]);
    }
    Ok(())
}

fn picture(root: &Path) -> Result<Picture> {
    let mut picture = Picture::new();
    look_into(root, "", &mut picture)?;
    Ok(picture)
}

fn look_into(dir: &Path, at: &str, picture: &mut Picture) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().into_string().map_err(|name| anyhow::anyhow!("{name:?} is not UTF-8"))?;
        let name = if at.is_empty() { name } else { format!("{at}/{name}") };
        picture.insert(name.clone(), look(&entry.path()).with_context(|| name.clone())?);
        if entry.file_type()?.is_dir() {
            look_into(&entry.path(), &name, picture)?;
        }
    }
    Ok(())
}

fn look(path: &Path) -> Result<Value> {
    let about = fs::symlink_metadata(path)?;
    let changed = Duration::new(u64::try_from(about.ctime())?, u32::try_from(about.ctime_nsec())?);
    let mut seen = json!({
        "created": null, "written": ticks(about.modified()?)?, "changed": steps(changed),
        "attributes": null,
    });
    if about.is_symlink() {
        seen["kind"] = "symlink".into();
        seen["target"] = fs::read_link(path)?.to_string_lossy().into();
    } else if about.is_dir() {
        seen["kind"] = "dir".into();
    } else {
        seen["kind"] = "file".into();
        seen["content"] = digest(&fs::read(path)?);
    }
    let mut names = vec![0; 1 << 16];
    let len = llistxattr(path, &mut names)?;
    for name in names[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = std::str::from_utf8(name)?;
        let mut value = vec![0; 1 << 16];
        let len = lgetxattr(path, name, &mut value)?;
        value.truncate(len);
        if name == ATTRIBUTES {
            let digits = std::str::from_utf8(&value)?.trim_start_matches("0x");
            seen["attributes"] = (u32::from_str_radix(digits, 16)? & STORED).into();
        } else if let Some(stream) = name.strip_prefix(STREAM.0).and_then(|rest| rest.strip_suffix(STREAM.1)) {
            ensure!(value.pop() == Some(0), "a stream ends with NUL, as Samba keeps it");
            seen["streams"][stream] = digest(&value);
        } else if let Some(ea) = name.strip_prefix("user.") {
            seen["eas"][ea] = digest(&value);
        }
    }
    Ok(seen)
}

fn ticks(time: SystemTime) -> Result<u64> {
    Ok(steps(time.duration_since(SystemTime::UNIX_EPOCH)?))
}

/// In steps of 100 ns since 1601, as Windows counts.
fn steps(since_1970: Duration) -> u64 {
    (since_1970.as_secs() + EPOCH) * 10_000_000 + u64::from(since_1970.subsec_nanos()) / 100
}

/// Length and FNV-1a.
fn digest(bytes: &[u8]) -> Value {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h: u64, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    format!("{} bytes, {hash:016x}", bytes.len()).into()
}
