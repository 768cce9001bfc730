//! OpenStack Swift: account, container, object and proxy servers with one replica, its own accounts, and S3 beside the native protocol.
//!
//! Each server is a single process, so that ending it ends all of it. Halting the store halts the proxy alone.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::daemon::{Daemon, free_ports};
use super::{RealStore, StoreKind, owned, s3_parameters, s3_variables};
use crate::wait::output_within;

const USER: &str = "test:tester";
const KEY: &str = "testing";
/// The system's interpreter: the servers are packages of the system.
const PYTHON: &str = "/usr/bin/python3";
/// Runs a program of Swift with the `swift.conf` of a folder of ours; by itself each reads the system's.
const WITH_FOLDER: &str = "import runpy, sys
from swift.common import utils
folder, program = sys.argv[1:3]
utils.set_swift_dir(folder)
sys.argv = sys.argv[2:]
runpy.run_path(program, run_name='__main__')";
const COMMAND_LIMIT: Duration = Duration::from_secs(60);

pub(super) fn start(kind: StoreKind, dir: &Path) -> Result<RealStore> {
    let etc = dir.join("etc");
    for part in ["etc", "cache", "devices/d1"] {
        fs::create_dir_all(dir.join(part))?;
    }
    fs::write(etc.join("swift.conf"), SWIFT_CONF)?;
    let [proxy, cache, account, container, object] = free_ports()?;
    let log = |name: &str| dir.join(format!("{name}.log"));
    let memcached = ["-l", "127.0.0.1", "-p", &cache.to_string(), "-u", "root", "-m", "64"].map(str::to_owned);
    let mut daemons = vec![Daemon::spawn(Path::new("memcached"), memcached, &[], &log("memcached"))?];
    for (name, port) in [("account", account), ("container", container), ("object", object)] {
        make_ring(&etc, name, port)?;
        fs::write(etc.join(format!("{name}.conf")), storage_server(dir, name, port))?;
    }
    fs::write(etc.join("proxy.conf"), proxy_server(dir, proxy, cache))?;
    for name in ["account", "container", "object", "proxy"] {
        let config = etc.join(format!("{name}.conf")).display().to_string();
        let args = swift_program(&etc, &format!("/usr/bin/swift-{name}-server"), &[&config]);
        daemons.push(Daemon::spawn(Path::new(PYTHON), args, &[], &log(name))?);
    }
    let (parameters, variables) = match kind {
        StoreKind::SwiftS3 => (s3_parameters(proxy), s3_variables(USER, KEY)),
        _ => (
            format!("auth=http://127.0.0.1:{proxy}/auth/v1.0"),
            [("ST_USER", USER), ("ST_KEY", KEY)].map(owned).to_vec(),
        ),
    };
    Ok(RealStore { kind, daemons, parameters, variables, port: proxy, health: ("/healthcheck", 200) })
}

/// A ring of one device, in the folder of the configuration.
fn make_ring(etc: &Path, name: &str, port: u16) -> Result<()> {
    let builder = format!("{name}.builder");
    let device = format!("r1z1-127.0.0.1:{port}/d1");
    for args in [vec!["create", "6", "1", "1"], vec!["add", &device, "1"], vec!["rebalance"]] {
        let args: Vec<&str> = std::iter::once(builder.as_str()).chain(args).collect();
        let mut command = Command::new(PYTHON);
        command.args(swift_program(etc, "/usr/bin/swift-ring-builder", &args));
        output_within(command.current_dir(etc), COMMAND_LIMIT)?;
    }
    Ok(())
}

/// Arguments of the interpreter for a program of Swift.
fn swift_program(etc: &Path, program: &str, args: &[&str]) -> Vec<String> {
    let folder = etc.display().to_string();
    let all = ["-c", WITH_FOLDER, &folder, program].into_iter().chain(args.iter().copied());
    all.map(str::to_owned).collect()
}

const SWIFT_CONF: &str = "[swift-hash]
swift_hash_path_prefix = test
swift_hash_path_suffix = test
[storage-policy:0]
name = one
default = yes
";

fn common(dir: &Path, port: u16) -> String {
    let dir = dir.display();
    format!(
        "[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
user = root
swift_dir = {dir}/etc
workers = 0
log_level = WARNING
log_udp_host = 127.0.0.1
log_udp_port = 9
backlog = 1024
"
    )
}

fn storage_server(dir: &Path, name: &str, port: u16) -> String {
    let common = common(dir, port);
    let dir = dir.display();
    format!(
        "{common}devices = {dir}/devices
mount_check = false
fallocate_reserve = 0
recon_cache_path = {dir}/cache
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
"
    )
}

fn proxy_server(dir: &Path, port: u16, cache: u16) -> String {
    let common = common(dir, port);
    format!(
        "{common}[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache listing_formats bulk s3api tempauth copy slo dlo versioned_writes symlink proxy-server
[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = {KEY} .admin
storage_url_scheme = default
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{cache}
[filter:s3api]
use = egg:swift#s3api
s3_acl = no
check_bucket_owner = no
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_versioned_writes = true
[filter:symlink]
use = egg:swift#symlink
"
    )
}
