//! Garage: one node that holds everything.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::daemon::{Daemon, free_ports};
use super::{RealStore, StoreKind, s3_parameters, s3_variables};
use crate::wait::{output_within, wait_until};

const ACCESS_KEY: &str = "GK0123456789abcdef01234567";
const SECRET_KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const COMMAND_LIMIT: Duration = Duration::from_secs(30);
const NODE_LIMIT: Duration = Duration::from_secs(60);

pub(super) fn start(program: &Path, dir: &Path) -> Result<RealStore> {
    for part in ["meta", "data"] {
        fs::create_dir_all(dir.join(part))?;
    }
    let [s3, rpc, admin] = free_ports()?;
    let config = dir.join("garage.toml");
    fs::write(&config, configuration(dir, s3, rpc, admin))?;
    let config = config.to_string_lossy().into_owned();
    let args = ["-c", config.as_str(), "server"];
    let server = Daemon::spawn(program, args, &[("RUST_LOG", "garage=warn")], &dir.join("garage.log"))?;
    let ask = |args: &[&str]| output_within(Command::new(program).args(["-c", &config]).args(args), COMMAND_LIMIT);
    if !wait_until(NODE_LIMIT, || ask(&["status"]).is_ok()) {
        bail!("the node did not answer within {NODE_LIMIT:?}\n{}", server.tail());
    }
    let node = ask(&["node", "id", "-q"])?;
    let node = node.trim().split('@').next().context("the node gave no id")?.to_owned();
    ask(&["layout", "assign", "-z", "one", "-c", "40G", &node])?;
    ask(&["layout", "apply", "--version", "1"])?;
    ask(&["key", "import", "--yes", "-n", "test", ACCESS_KEY, SECRET_KEY])?;
    ask(&["key", "allow", "--create-bucket", "test"])?;
    Ok(RealStore {
        kind: StoreKind::Garage,
        daemons: vec![server],
        parameters: s3_parameters(s3),
        variables: s3_variables(ACCESS_KEY, SECRET_KEY),
        port: s3,
        health: ("/", 403),
    })
}

fn configuration(dir: &Path, s3: u16, rpc: u16, admin: u16) -> String {
    let dir = dir.display();
    let rpc_secret = SECRET_KEY;
    format!(
        r#"metadata_dir = "{dir}/meta"
data_dir = "{dir}/data"
db_engine = "lmdb"
replication_factor = 1
rpc_bind_addr = "127.0.0.1:{rpc}"
rpc_public_addr = "127.0.0.1:{rpc}"
rpc_secret = "{rpc_secret}"
[s3_api]
s3_region = "us-east-1"
api_bind_addr = "127.0.0.1:{s3}"
[admin]
api_bind_addr = "127.0.0.1:{admin}"
"#
    )
}
