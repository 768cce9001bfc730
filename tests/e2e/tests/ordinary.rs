//! The program in the hands of an ordinary user, through `fusermount3`: it works, and where it cannot it says at once what to do.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use proxyfs_e2e::namespace::{self, is_inside, place};
use proxyfs_e2e::{Expected, Home, is_mounted, output_within};

/// A user without rights; every Debian has it.
const NOBODY: u32 = 65534;
/// A device that everybody may open, as on an ordinary machine, and no leave to let others in.
const PREPARE: &str = "mknod -m 666 \"$place/fuse\" c 10 229; mount --bind \"$place/fuse\" /dev/fuse;
    : > \"$place/conf\"; if [ -e /etc/fuse.conf ]; then mount --bind \"$place/conf\" /etc/fuse.conf; fi;";
const LIMIT: Duration = Duration::from_secs(60);

/// Runs `test` as root in the namespace, with a home of an ordinary user.
fn inside(name: &str, more: &str, test: impl FnOnce(&Home) -> Result<()>) {
    let Some(program) = Home::find_program() else {
        eprintln!("SKIP: the program is not built");
        return;
    };
    if !is_inside() {
        return namespace::enter(name, &format!("{PREPARE}{more}"));
    }
    let begin = || -> Result<Home> {
        let copy = place().join("proxyfs");
        fs::copy(&program, &copy)?;
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
        Home::new(&place().join("home"), &copy)?.of_user(NOBODY)
    };
    begin().and_then(|home| test(&home)).unwrap_or_else(|e| panic!("{e:#}"));
}

fn text(path: &Path) -> &str {
    path.to_str().expect("plain paths")
}

fn drive(home: &Home) -> PathBuf {
    home.dir().join("drive")
}

/// Runs a shell command as the user, in their drive.
fn as_user(home: &Home, script: &str) -> Result<String> {
    let mut command = home.plain_command("sh");
    output_within(command.args(["-ec", &format!("cd {}; {script}", drive(home).display())]), LIMIT)
}

fn quickstart(home: &Home) -> Result<()> {
    let mut child = home.command(["quickstart", text(&drive(home))]).spawn().context("starting")?;
    let mounted = proxyfs_e2e::wait_until(LIMIT, || is_mounted(&drive(home)));
    let used = if mounted { use_drive(home) } else { Err(anyhow::anyhow!("quickstart did not mount")) };
    if used.is_err() {
        child.kill()?;
    }
    let ended = child.wait()?;
    used?;
    ensure!(ended.success(), "quickstart ended with {ended}");
    ensure!(!is_mounted(&drive(home)), "it is still mounted");
    Ok(())
}

fn use_drive(home: &Home) -> Result<()> {
    as_user(home, "mkdir d; echo hello > d/f; cat d/f; ln -s f d/l; mv d e; cp -r e g; rm -r g; sync e/f")?;
    ensure!(as_user(home, "cat e/l; stat -c %u . e/f")? == format!("hello\n{NOBODY}\n{NOBODY}\n"), "the user's files");
    ensure!(fs::read_dir(drive(home)).is_err(), "without allow_other not even root looks in");
    home.run(&["unmount", text(&drive(home))]).map(drop)
}

#[test]
fn quickstart_gives_an_ordinary_user_a_drive_that_they_can_write_to() {
    inside("quickstart_gives_an_ordinary_user_a_drive_that_they_can_write_to", "", quickstart);
}

#[test]
fn an_ordinary_user_mounts_in_the_background_and_cleans_a_dead_mount() {
    inside("an_ordinary_user_mounts_in_the_background_and_cleans_a_dead_mount", "", |home| {
        as_parent(home, "mkdir drive")?;
        home.create_volume("v", &format!("file://{}/store", home.dir().display()), &[])?;
        let drive = drive(home);
        let mount = ["mount", "v", text(&drive), "--daemon", "--json"];
        let ready = home.run(&mount)?;
        // It answers now: no waiting.
        as_user(home, "echo one > f; sync f")?;
        let pid =
            ready.split("\"pid\":").nth(1).and_then(|t| t.trim_start().split(|c: char| !c.is_ascii_digit()).next());
        output_within(Command::new("kill").args(["-9", pid.context("no pid")?]), LIMIT)?;
        ensure!(
            proxyfs_e2e::wait_until(LIMIT, || as_user(home, "cat f").is_err()),
            "the mount answers without its server"
        );
        home.run(&mount)?;
        ensure!(as_user(home, "cat f")? == "one\n", "what was acknowledged");
        home.run(&["unmount", text(&drive)]).map(drop)
    });
}

/// Runs a shell command as the user, in their home.
fn as_parent(home: &Home, script: &str) -> Result<String> {
    let mut command = home.plain_command("sh");
    output_within(command.args(["-ec", &format!("cd {}; {script}", home.dir().display())]), LIMIT)
}

/// A mount and a quickstart that are refused before anything is written.
fn refused(home: &Home, option: &[&str], why: &str, advice: &str) -> Result<()> {
    as_parent(home, "mkdir drive")?;
    home.create_volume("v", &format!("file://{}/store", home.dir().display()), &[])?;
    let store = home.dir().join("store");
    let drive = drive(home);
    for background in [&[] as &[&str], &["--daemon"]] {
        let args = [&["mount", "v", text(&drive)][..], option, background].concat();
        home.refuses(&args, &[&store], Expected { code: 1, why: &["volume v", why], advice })?;
    }
    if option.is_empty() {
        let expected = Expected { code: 1, why: &["your drive", why], advice };
        home.refuses(&["quickstart", text(&drive)], &[&store], expected)?;
    }
    Ok(())
}

#[test]
fn a_missing_fusermount3_is_named_with_its_package() {
    let hide = "for f in /usr/bin /bin /usr/local/bin /usr/sbin; do
        if [ -f $f/fusermount3 ]; then mount --bind /dev/null $f/fusermount3; fi; done;";
    inside("a_missing_fusermount3_is_named_with_its_package", hide, |home| {
        refused(home, &[], "fusermount3 is not installed", "install the package `fuse3`")
    });
}

#[test]
fn a_device_that_the_user_may_not_open_is_said() {
    inside("a_device_that_the_user_may_not_open_is_said", "chmod 600 \"$place/fuse\";", |home| {
        refused(home, &[], "/dev/fuse may not be opened by this user", "chmod 666 /dev/fuse")
    });
}

#[test]
fn allow_other_names_the_line_that_is_missing() {
    inside("allow_other_names_the_line_that_is_missing", "", |home| {
        refused(home, &["--allow-other"], "`user_allow_other` in /etc/fuse.conf", "add it as root")
    });
}

#[test]
fn a_mount_point_of_somebody_else_is_refused() {
    inside("a_mount_point_of_somebody_else_is_refused", "", |home| {
        home.create_volume("v", &format!("file://{}/store", home.dir().display()), &[])?;
        let closed = place().join("closed");
        fs::create_dir(&closed)?;
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700))?;
        let below = closed.join("m");
        fs::create_dir(&below)?;
        for place in [&closed, &below] {
            let expected = Expected { code: 1, why: &["volume v", text(place)], advice: "" };
            home.refuses(&["mount", "v", text(place)], &[&home.dir().join("store")], expected)?;
        }
        Ok(())
    });
}
