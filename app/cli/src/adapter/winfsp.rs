//! Shows volumes with WinFsp: at a drive letter, in a directory, or as `\\server\share`.

use std::path::Path;
use std::sync::Arc;

use proxyfs_core::format::volume::CaseRule;
use proxyfs_core::volume::Volume;
use proxyfs_core::{Error, ErrorKind, Result};
use proxyfs_winfsp::{CachePolicy, MountOptions, MountPoint, Presentation};
pub(crate) use proxyfs_winfsp::{Mounted, UnmountKind};
use tokio::runtime::Handle;

use super::FOLLOWER_TTL;
use crate::local_only::Shown;
use crate::options::Settings;

/// Checks that a mount is possible; blocks shortly.
pub(crate) fn check(mount_point: &Path, settings: &Settings) -> Result<()> {
    proxyfs_winfsp::check(&place(mount_point)?, &options("proxyfs", settings))
}

/// Mounts, with the volume's local-only files if it has such; blocks shortly.
pub(crate) fn mount(
    volume: &Volume,
    local: Option<&Arc<Shown>>,
    label: &str,
    mount_point: &Path,
    settings: &Settings,
    runtime: &Handle,
) -> Result<Mounted> {
    let mut options = options(settings.volume_name.as_deref().unwrap_or(label), settings);
    options.case_insensitive = volume.meta().case == CaseRule::Insensitive;
    // One that has no name of its own is known by its store's URL, which says too much for a label.
    if settings.volume_name.is_none() && label.contains("://") {
        options.name = "ProxyFS".to_owned();
    }
    let place = place(mount_point)?;
    match local {
        Some(shown) => proxyfs_winfsp::mount(Arc::clone(shown), &place, options, runtime),
        None => proxyfs_winfsp::mount(Arc::new(volume.clone()), &place, options, runtime),
    }
}

fn place(mount_point: &Path) -> Result<MountPoint> {
    let text = mount_point.to_str().ok_or_else(|| {
        let why = format!("{} is no valid Unicode: choose another place", mount_point.display());
        Error::new(ErrorKind::InvalidArgument, why)
    })?;
    text.parse()
}

fn options(name: &str, settings: &Settings) -> MountOptions {
    let read_only = settings.volume.read_only;
    MountOptions {
        name: name.to_owned(),
        presentation: if settings.local { Presentation::LocalDisk } else { Presentation::Network },
        read_only,
        cache: if read_only { CachePolicy::Follower { ttl: FOLLOWER_TTL } } else { CachePolicy::SoleWriter },
        ..MountOptions::default()
    }
}
