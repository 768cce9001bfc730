//! The one store of the machines of a [`Network`], and a look at its objects behind the program's back.
//!
//! Either the harness's S3 server, whose objects are files, or SeaweedFS, whose filer lists and gives them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::S3Process;
use crate::network::{Network, STORE_ADDRESS, in_network};
use crate::wait::{output_within, wait_until};

/// Names SeaweedFS's program; then it is the store.
pub const WEED_VARIABLE: &str = "PROXYFS_WEED";
const BUCKET: &str = "bucket";
const PREFIX: &str = "p";
const WEED_KEYS: [&str; 2] = ["testkey", "testsecrettestsecret"];
const WEED_S3_PORT: u16 = 8333;
const WEED_FILER_PORT: u16 = 8888;
const READY_LIMIT: Duration = Duration::from_secs(60);
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Entries of one answer of the filer.
const PAGE: usize = 1000;

/// A store that runs on the store's machine.
#[derive(Debug)]
pub enum SharedStore {
    /// The harness's server.
    Harness {
        /// The server.
        server: S3Process,
        /// Where its objects are.
        objects: PathBuf,
    },
    /// SeaweedFS.
    Weed {
        /// Master, volume server, filer and S3 in one.
        server: Child,
        /// The store's machine.
        machine: PathBuf,
        /// Where a fetched object is put.
        scratch: PathBuf,
    },
}

impl SharedStore {
    /// Starts SeaweedFS if `weed` is given, else the harness's `server`, with everything it keeps below `dir`.
    ///
    /// # Errors
    /// When it does not start or does not answer in time.
    pub fn start(network: &Network, server: &Path, weed: Option<&Path>, dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let Some(weed) = weed else {
            let objects = dir.join("objects");
            let server = S3Process::start_in(network, server, &objects)?;
            return Ok(Self::Harness { server, objects: objects.join(BUCKET).join(PREFIX) });
        };
        let [key, secret] = WEED_KEYS;
        let config = dir.join("s3.json");
        fs::write(
            &config,
            format!(
                r#"{{"identities":[{{"name":"test","credentials":[{{"accessKey":"{key}","secretKey":"{secret}"}}],
"actions":["Admin","Read","Write","List"]}}]}}"#
            ),
        )?;
        let log = fs::File::create(dir.join("weed.log"))?;
        // nsenter becomes the server, so that its id is the child's.
        let mut command = in_network(&network.store(), weed);
        command
            .args(["server", "-filer", "-s3", "-master.volumeSizeLimitMB=1024", "-volume.max=200", "-metricsPort=0"])
            .args([format!("-ip={STORE_ADDRESS}"), format!("-ip.bind={STORE_ADDRESS}")])
            .args([format!("-dir={}", dir.display()), format!("-s3.config={}", config.display())])
            .args([format!("-s3.port={WEED_S3_PORT}"), format!("-filer.port={WEED_FILER_PORT}")])
            .env("WEED_MASTER_VOLUME_GROWTH_COPY_1", "1")
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let server = command.spawn().context("starting SeaweedFS")?;
        let store = Self::Weed { server, machine: network.store(), scratch: dir.join("fetched") };
        let front = format!("http://{STORE_ADDRESS}:{WEED_S3_PORT}/");
        let serves = || store.curl(&["-o", "/dev/null", "-w", "%{http_code}", &front]).is_ok_and(|code| code == "403");
        ensure!(wait_until(READY_LIMIT, serves), "SeaweedFS did not answer within {READY_LIMIT:?}");
        // Its buckets are directories of the filer.
        let bucket = format!("http://{STORE_ADDRESS}:{WEED_FILER_PORT}/buckets/{BUCKET}/");
        store.curl(&["-f", "-X", "POST", &bucket])?;
        Ok(store)
    }

    /// The volume's place: URL, access key, secret key. Its bucket is there.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn place(&mut self) -> Result<(String, [String; 2])> {
        match self {
            Self::Harness { server, .. } => {
                let url = server.url(BUCKET, PREFIX)?;
                Ok((url, [server.access_key.clone(), server.secret_key.clone()]))
            }
            Self::Weed { .. } => {
                let endpoint = format!("http://{STORE_ADDRESS}:{WEED_S3_PORT}");
                let url = format!("s3://{BUCKET}/{PREFIX}?endpoint={endpoint}&region=us-east-1&path_style=true");
                Ok((url, WEED_KEYS.map(str::to_owned)))
            }
        }
    }

    /// Names of all objects of a kind, below the volume's prefix.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn names(&self, kind: &str) -> Result<BTreeSet<String>> {
        let mut found = BTreeSet::new();
        let mut left = vec![kind.to_owned()];
        while let Some(dir) = left.pop() {
            for (name, is_dir) in self.list(&dir)? {
                let name = format!("{dir}/{name}");
                if is_dir {
                    left.push(name);
                } else {
                    found.insert(name);
                }
            }
        }
        Ok(found)
    }

    /// Names in a directory of names, and whether they are directories; none if it is not there.
    fn list(&self, dir: &str) -> Result<Vec<(String, bool)>> {
        let Self::Harness { objects, .. } = self else { return self.list_filer(dir) };
        let Ok(entries) = fs::read_dir(objects.join(dir)) else { return Ok(Vec::new()) };
        let entry = |entry: std::io::Result<fs::DirEntry>| {
            let entry = entry?;
            Ok((entry.file_name().to_string_lossy().into_owned(), entry.file_type()?.is_dir()))
        };
        entries.map(entry).collect()
    }

    fn list_filer(&self, dir: &str) -> Result<Vec<(String, bool)>> {
        const IS_DIR: u64 = 1 << 31;
        let mut found: Vec<(String, bool)> = Vec::new();
        loop {
            let last = found.last().map_or("", |(name, _)| name);
            let url = format!("{}/?limit={PAGE}&lastFileName={last}", filer(dir));
            let text = self.curl(&["-H", "Accept: application/json", &url])?;
            // A directory that was never made is answered with nothing.
            let page: Value = if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? };
            let entries = page["Entries"].as_array().map_or(&[][..], Vec::as_slice);
            for entry in entries {
                let path = entry["FullPath"].as_str().context("an entry's path")?;
                let name = path.rsplit('/').next().unwrap_or_default().to_owned();
                found.push((name, entry["Mode"].as_u64().unwrap_or(0) & IS_DIR != 0));
            }
            if entries.len() < PAGE {
                return Ok(found);
            }
        }
    }

    /// An object as a file.
    ///
    /// # Errors
    /// When it is not there.
    pub fn file(&self, name: &str) -> Result<PathBuf> {
        match self {
            Self::Harness { objects, .. } => Ok(objects.join(name)),
            Self::Weed { scratch, .. } => {
                let file = scratch.join(name);
                fs::create_dir_all(file.parent().unwrap_or(scratch))?;
                self.curl(&["-f", "-o", &file.display().to_string(), &filer(name)])?;
                Ok(file)
            }
        }
    }

    /// Asks on the store's machine.
    fn curl(&self, args: &[&str]) -> Result<String> {
        let Self::Weed { machine, .. } = self else { return Ok(String::new()) };
        let mut command: Command = in_network(machine, "curl");
        output_within(command.args(["-sS", "--noproxy", "*"]).args(args), ANSWER_LIMIT)
    }
}

impl Drop for SharedStore {
    fn drop(&mut self) {
        if let Self::Weed { server, .. } = self {
            // Both fail only if it is gone.
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// Where the filer shows an object.
fn filer(name: &str) -> String {
    format!("http://{STORE_ADDRESS}:{WEED_FILER_PORT}/buckets/{BUCKET}/{PREFIX}/{name}")
}
