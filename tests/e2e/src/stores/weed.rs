//! SeaweedFS: master, volume server, filer and S3 in one process.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::daemon::{Daemon, free_ports};
use super::{RealStore, StoreKind, s3_parameters, s3_variables};

const ACCESS_KEY: &str = "testkey";
const SECRET_KEY: &str = "testsecrettestsecret";

pub(super) fn start(program: &Path, dir: &Path) -> Result<RealStore> {
    let data = dir.join("data");
    fs::create_dir_all(&data)?;
    let config = dir.join("s3.json");
    fs::write(&config, identities())?;
    let ports: [u16; 10] = free_ports()?;
    let [s3, s3_rpc, master, master_rpc, volume, volume_rpc, filer, filer_rpc, iceberg, lance] = ports;
    let args = [
        "server".to_owned(),
        "-ip=127.0.0.1".to_owned(),
        "-ip.bind=127.0.0.1".to_owned(),
        format!("-dir={}", data.display()),
        format!("-master.port={master}"),
        format!("-master.port.grpc={master_rpc}"),
        "-master.volumeSizeLimitMB=1024".to_owned(),
        format!("-volume.port={volume}"),
        format!("-volume.port.grpc={volume_rpc}"),
        "-volume.max=200".to_owned(),
        "-filer".to_owned(),
        format!("-filer.port={filer}"),
        format!("-filer.port.grpc={filer_rpc}"),
        "-s3".to_owned(),
        format!("-s3.port={s3}"),
        format!("-s3.port.grpc={s3_rpc}"),
        format!("-s3.port.iceberg={iceberg}"),
        format!("-s3.port.lance={lance}"),
        format!("-s3.config={}", config.display()),
        "-metricsPort=0".to_owned(),
    ];
    // One volume at a time is grown, so that a small disk suffices.
    let variables = [("WEED_MASTER_VOLUME_GROWTH_COPY_1", "1")];
    let server = Daemon::spawn(program, args, &variables, &dir.join("weed.log"))?;
    Ok(RealStore {
        kind: StoreKind::Seaweed,
        daemons: vec![server],
        parameters: s3_parameters(s3),
        variables: s3_variables(ACCESS_KEY, SECRET_KEY),
        port: s3,
        // Answered only once the filer behind it answers.
        health: ("/", 403),
    })
}

fn identities() -> String {
    format!(
        r#"{{"identities":[{{"name":"test","credentials":[{{"accessKey":"{ACCESS_KEY}","secretKey":"{SECRET_KEY}"}}],
"actions":["Admin","Read","Write","List","Tagging"]}}]}}"#
    )
}
