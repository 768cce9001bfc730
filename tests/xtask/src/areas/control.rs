//! The management interface: its own tests, then requests made from its OpenAPI document by schemathesis.
//!
//! The requests go to a daemon without an engine, which answers everything, and to a real one with a mounted volume, which is confined
//! to a network and mounts of its own: who makes requests up may name any store and any path. Streams that never end are left to the
//! crate's tests.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{RustTests, minutes, suite};
use crate::prerequisites as pre;
use crate::session::Session;
use crate::tally::Tally;

const PACKAGE: &str = "proxyfs-control";
/// The daemon without an engine.
const DAEMON: &str = "fake_daemon";
const TOKEN: &str = "token-of-the-test-run-0123456789";

/// Runs the real daemon and the requests to it.
const CONFINED: &str = include_str!("control/confined.sh");
/// Where that daemon listens, in a network of its own.
const PORT: &str = "7878";

/// Seconds of made-up requests, to each of the two.
const SECONDS: u32 = 40;
const SECONDS_QUICK: u32 = 15;
const SECONDS_LONG: u32 = 600;
/// What it may take beyond that: start, and the operation under way at the end.
const GRACE: Duration = Duration::from_secs(120);
/// So that a run can be repeated.
const SEED: &str = "1";

/// Paths whose answers may never end.
const STREAMS: &[&str] = &["/v1/events", "/v1/logs"];

/// Runs the area.
pub(crate) fn run(session: &Session) -> Result<Tally> {
    let mut tally = suite::run(session, &RustTests::of(PACKAGE))?;
    if tally.failures.is_empty() {
        match pre::python_program(session, pre::SCHEMATHESIS) {
            Ok(program) => {
                tally.add(from_document(session, &program)?);
                tally.add(to_a_real_daemon(session, &program)?);
            }
            Err(why) => tally.add(skip(why)),
        }
    }
    Ok(tally)
}

fn skip(why: String) -> Tally {
    println!("SKIP: {why}");
    Tally::skip(why)
}

fn seconds(session: &Session) -> u32 {
    match session.extent {
        extent if extent.long => SECONDS_LONG,
        extent if extent.quick => SECONDS_QUICK,
        _ => SECONDS,
    }
}

fn to_a_real_daemon(session: &Session, schemathesis: &Path) -> Result<Tally> {
    if !pre::is_root() {
        return Ok(skip("a daemon that cannot reach the network and the disk takes root".into()));
    }
    if let Err(why) = pre::mounting().and_then(|()| pre::system(pre::NAMESPACES)) {
        return Ok(skip(why));
    }
    let proxyfs = suite::programs(session)?.proxyfs;
    let world = session.scratch().join("confined");
    std::fs::create_dir(&world)?;
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", CONFINED, "confined"]);
    command.arg(&world).arg(proxyfs).arg(schemathesis).args([TOKEN, PORT, &seconds(session).to_string()]);
    let what = "requests made from the OpenAPI document to a real daemon";
    session.check(what, &mut command, GRACE + Duration::from_secs(u64::from(seconds(session))))
}

fn from_document(session: &Session, schemathesis: &Path) -> Result<Tally> {
    let mut build = session.cargo();
    build.args(["build", "--quiet", "--profile", "test", "-p", PACKAGE, "--features", "testing", "--example", DAEMON]);
    let built = session.check("building the daemon without an engine", &mut build, minutes(20))?;
    if !built.failures.is_empty() {
        return Ok(built);
    }
    let daemon = Daemon::start(&session.workspace.target.join("debug/examples").join(DAEMON))?;
    let mut command = Command::new(schemathesis);
    command.current_dir(session.scratch());
    command.args(["run", "--checks", "all", "--seed", SEED, "--no-color", "--warnings", "off"]);
    command.args(["--request-timeout", "10", "--max-time", &seconds(session).to_string()]);
    command.args(["--header", &format!("Authorization: Bearer {TOKEN}")]);
    for path in STREAMS {
        command.args(["--exclude-path", path]);
    }
    command.arg(format!("{}/v1/openapi.json", daemon.url));
    let what = "requests made from the OpenAPI document";
    session.check(what, &mut command, GRACE + Duration::from_secs(u64::from(seconds(session))))
}

/// A running daemon; it ends when its input does.
struct Daemon {
    child: Child,
    url: String,
}

impl Daemon {
    fn start(program: &Path) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["tcp", TOKEN]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("starting {}", program.display()))?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        let daemon = Self { child, url: line.trim().to_owned() };
        if daemon.url.is_empty() {
            bail!("{} does not say where it listens", program.display());
        }
        Ok(daemon)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It may have ended by itself; then there is nothing to kill.
        let _ended = self.child.kill().is_ok();
        let _reaped = self.child.wait().is_ok();
    }
}
