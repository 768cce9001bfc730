//! Ceph: a monitor, a manager, one storage daemon in memory, and the object gateway, without authentication among them.
//!
//! What is stored lives as long as the storage daemon; halting the store halts the gateway alone.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use super::daemon::{Daemon, free_ports};
use super::{RealStore, StoreKind, s3_parameters, s3_variables};
use crate::wait::{output_within, wait_until};

const ACCESS_KEY: &str = "testkey";
const SECRET_KEY: &str = "testsecrettestsecret";
const CLUSTER: &str = "5a3ad0c7-6b0d-4f30-8d5e-3d9a50f1c001";
const STORAGE_DAEMON: &str = "5a3ad0c7-6b0d-4f30-8d5e-3d9a50f1c002";
const COMMAND_LIMIT: Duration = Duration::from_secs(120);
const DAEMON_LIMIT: Duration = Duration::from_secs(120);

pub(super) fn start(dir: &Path) -> Result<RealStore> {
    for part in ["mon", "mgr", "osd", "rgw", "out"] {
        fs::create_dir_all(dir.join(part))?;
    }
    let [rgw, mon_v1, mon_v2] = free_ports()?;
    let config = dir.join("ceph.conf");
    let monitors = format!("[v2:127.0.0.1:{mon_v2},v1:127.0.0.1:{mon_v1}]");
    fs::write(&config, configuration(dir, &monitors, rgw))?;
    fs::write(dir.join("keyring"), "")?;
    let config = config.to_string_lossy().into_owned();
    let run = |program: &str, args: &[&str]| {
        output_within(Command::new(program).args(["-c", &config]).args(args), COMMAND_LIMIT)
    };
    let map = dir.join("monmap").to_string_lossy().into_owned();
    let mut make_map = Command::new("monmaptool");
    make_map.args(["--create", "--clobber", "--fsid", CLUSTER, "--addv", "a", &monitors, &map]);
    output_within(&mut make_map, COMMAND_LIMIT)?;
    run("ceph-mon", &["-i", "a", "--mkfs", "--monmap", &map])?;
    let daemon = |program: &str, id: &[&str]| {
        let args = ["-c", config.as_str()].into_iter().chain(id.iter().copied()).chain(["-f"]);
        let args: Vec<&str> = args.chain(["--setuser", "root", "--setgroup", "root"]).collect();
        Daemon::spawn(Path::new(program), args, &[], &dir.join(format!("{program}.out")))
    };
    let mut daemons = vec![daemon("ceph-mon", &["-i", "a"])?, daemon("ceph-mgr", &["-i", "x"])?];
    run("ceph", &["osd", "new", STORAGE_DAEMON])?;
    run("ceph-osd", &["-i", "0", "--mkfs", "--osd-uuid", STORAGE_DAEMON])?;
    daemons.push(daemon("ceph-osd", &["-i", "0"])?);
    if !wait_until(DAEMON_LIMIT, || run("ceph", &["osd", "stat"]).is_ok_and(|said| said.contains("1 up"))) {
        bail!("the storage daemon did not come up\n{}", daemons.last().map(Daemon::tail).unwrap_or_default());
    }
    daemons.push(daemon("radosgw", &["-n", "client.rgw"])?);
    let store = RealStore {
        kind: StoreKind::Ceph,
        daemons,
        parameters: s3_parameters(rgw),
        variables: s3_variables(ACCESS_KEY, SECRET_KEY),
        port: rgw,
        health: ("/", 200),
    };
    // The gateway makes its pools at its first start; users come after.
    store.wait_ready()?;
    let keys = [format!("--access-key={ACCESS_KEY}"), format!("--secret-key={SECRET_KEY}")];
    run("radosgw-admin", &["user", "create", "--uid=test", "--display-name=test", &keys[0], &keys[1]])?;
    Ok(store)
}

fn configuration(dir: &Path, monitors: &str, rgw: u16) -> String {
    let dir = dir.display();
    format!(
        "[global]
fsid = {CLUSTER}
mon host = {monitors}
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
auth allow insecure global id reclaim = true
osd pool default size = 1
osd pool default min size = 1
mon allow pool size one = true
mon warn on pool no redundancy = false
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon max pg per osd = 2000
run dir = {dir}/out
admin socket = {dir}/out/$name.asok
pid file = {dir}/out/$name.pid
log file = {dir}/out/$name.log
mon data = {dir}/mon
mgr data = {dir}/mgr
osd data = {dir}/osd
keyring = {dir}/keyring
mon data avail crit = 1
mon data avail warn = 2
ms bind ipv6 = false
ms mon client mode = crc secure
[osd]
osd objectstore = memstore
memstore device bytes = 6442450944
osd max object name len = 1024
[mgr]
mgr initial modules =
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{rgw} tcp_nodelay=1
rgw data = {dir}/rgw
rgw enable usage log = false
rgw thread pool size = 64
"
    )
}
