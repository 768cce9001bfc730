//! Mounts the in-memory reference model, for running file-system suites against model and adapter.
//!
//! `modelfs DIR [--allow-other] [--read-only] [--file-system-locks] [--threads N]`: serves until it is unmounted or gets SIGINT or
//! SIGTERM. Says `mounted` on standard output when ready. `RUST_LOG` chooses what is logged.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use proxyfs_fuse::{LockScope, MountOptions, mount};
use proxyfs_harness::model::Model;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};

/// How long a mount in use is waited for at the end.
const PATIENCE: Duration = Duration::from_secs(2);

fn arguments() -> Result<(PathBuf, MountOptions), String> {
    let mut options = MountOptions { fs_name: "model".to_owned(), allow_non_empty: false, ..MountOptions::default() };
    let mut dir = None;
    let mut words = std::env::args_os().skip(1);
    while let Some(word) = words.next() {
        match word.to_str() {
            Some("--allow-other") => options.allow_other = true,
            Some("--read-only") => options.read_only = true,
            Some("--file-system-locks") => options.locks = LockScope::FileSystem,
            Some("--threads") => {
                let count = words.next().and_then(|count| count.to_str()?.parse().ok());
                options.threads = count.ok_or("--threads needs a number")?;
            }
            _ if dir.is_none() => dir = Some(PathBuf::from(word)),
            _ => return Err(format!("unknown argument {}", word.display())),
        }
    }
    Ok((dir.ok_or("which directory?")?, options))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let (dir, options) = arguments()?;
    let runtime = Handle::current();
    let mounted =
        tokio::task::spawn_blocking(move || mount(Arc::new(Model::default()), &dir, options, &runtime)).await??;
    writeln!(std::io::stdout(), "mounted")?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        () = mounted.ended() => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    mounted.unmount(PATIENCE).await?;
    mounted.finish(PATIENCE).await;
    Ok(())
}
