//! `proxyfs quickstart`: a drive at once, on a volume in a directory of this computer.

use proxyfs_core::ErrorKind;
use proxyfs_core::env::{OsClock, OsRng};
use proxyfs_core::format::volume::CaseRule;
use proxyfs_core::volume::{VolumeSpec, create_volume, read_volume_meta};
use proxyfs_store::StoreOptions;

use super::Context;
use crate::cli::Quickstart;
use crate::control::client;
use crate::failure::{Failure, Outcome};
use crate::options::{Given, Settings};
use crate::paths::make_mount_point;
use crate::registry::{Entry, Registry};
use crate::session::{Plan, Ready, check_place, run as serve};
use crate::sys::make_private_dir;
use crate::target::{Target, connect, parse_url};
use crate::units::about_size;

/// Name of the volume.
const NAME: &str = "default";

/// Creates the volume if need be, mounts it and serves it until stopped.
pub(crate) async fn run(cx: &Context, args: Quickstart) -> Outcome {
    let mount_point = match args.dir {
        Some(dir) => dir,
        None => cx.paths.default_drive()?,
    };
    if !Registry::new(cx.paths.registry()).load()?.contains_key(NAME) {
        // Nothing is made for a drive that cannot be.
        make_mount_point(&mount_point)?;
        check_place("your drive", &mount_point, &Settings::default()).await?;
    }
    let created = ensure_volume(cx).await?;
    let target = Target::registered(&cx.paths, NAME)?;
    if client::running(&target.state_dir(&cx.paths)).await.is_some() {
        return Err(target.in_use(&cx.paths, "start").await);
    }
    make_mount_point(&mount_point)?;
    let settings = target.settings(&Given::new())?;
    let plan = Plan { target, mount_point, settings };
    let ready = |ready: &Ready| {
        cx.style.show(ready, || welcome(ready, created));
        Ok(())
    };
    let ended = serve(&cx.paths, plan, cx.style, ready).await?;
    cx.style.say(&ended.text());
    Ok(())
}

/// Makes or finds the volume; true if it is new.
async fn ensure_volume(cx: &Context) -> Outcome<bool> {
    let registry = Registry::new(cx.paths.registry());
    if registry.load()?.contains_key(NAME) {
        return Ok(false);
    }
    let root = cx.paths.default_store();
    let subject = format!("the default store {}", root.display());
    make_private_dir(&root).map_err(|e| Failure::io("make", &subject, &e))?;
    let url = parse_url(&format!("file://{}", escape(&root.to_string_lossy())))?;
    let store = connect(&url, &StoreOptions::default(), "open", &subject).await?;
    let limits = Settings::default().volume;
    let timeout = limits.operation_timeout;
    let (meta, created) = match read_volume_meta(&store, timeout).await {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let made = create_volume(&store, spec(), &OsClock, &OsRng, None, timeout).await;
            (made.map_err(|e| Failure::engine("create a volume in", &subject, &e))?, true)
        }
        other => (other.map_err(|e| Failure::engine("read", &subject, &e))?, false),
    };
    let entry = Entry::new(meta.uuid.to_string(), url.to_string());
    registry.add(NAME, &entry)?;
    Ok(created)
}

/// The volume as this system's programs expect it.
fn spec() -> VolumeSpec {
    let case = if cfg!(windows) { CaseRule::Insensitive } else { CaseRule::Sensitive };
    VolumeSpec { case, ..VolumeSpec::new(NAME) }
}

/// The path in a URL: what has a meaning there is protected, and a drive of Windows stands behind a slash.
fn escape(path: &str) -> String {
    let path = if cfg!(windows) { format!("/{}", path.replace('\\', "/")) } else { path.to_owned() };
    path.replace('%', "%25").replace('?', "%3F").replace('#', "%23").replace('@', "%40")
}

fn welcome(ready: &Ready, created: bool) -> String {
    let greeting = match (created, ready.files) {
        (true, _) => "Made a new volume for you.".to_owned(),
        (false, 1) => format!("Found your volume again: 1 file or folder, {}.", about_size(ready.data_bytes)),
        (false, n) => format!("Found your volume again: {n} files and folders, {}.", about_size(ready.data_bytes)),
    };
    format!(
        "{greeting}\n\n  \
         Your drive:  {}\n  \
         Its data:    {}\n  \
         On the way:  {}\n\n\
         What you save in the drive is packed into objects in the store, a few seconds later.\n\
         Ctrl-C stops it cleanly; `proxyfs quickstart` brings your files back.",
        ready.mount_point.display(),
        ready.store,
        ready.state_dir.display(),
    )
}
