//! Mounts with FUSE.

use std::path::Path;
use std::sync::Arc;

use proxyfs_core::Result;
use proxyfs_core::volume::Volume;
use proxyfs_fuse::{CachePolicy, MacOptions, MountOptions, Names};
pub(crate) use proxyfs_fuse::{Mounted, UnmountKind};
use tokio::runtime::Handle;

use super::FOLLOWER_TTL;
use crate::local_only::Shown;
use crate::options::{NameRule, Settings};

/// Checks that a mount is possible; blocks shortly.
pub(crate) fn check(mount_point: &Path, settings: &Settings) -> Result<()> {
    proxyfs_fuse::check(mount_point, &options(String::new(), settings))
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
    let options = options(format!("proxyfs:{label}"), settings);
    match local {
        Some(shown) => proxyfs_fuse::mount(Arc::clone(shown), mount_point, options, runtime),
        None => proxyfs_fuse::mount(Arc::new(volume.clone()), mount_point, options, runtime),
    }
}

fn options(fs_name: String, settings: &Settings) -> MountOptions {
    let read_only = settings.volume.read_only;
    MountOptions {
        fs_name,
        read_only,
        allow_other: settings.allow_other,
        exec: settings.exec,
        cache: if read_only { CachePolicy::Follower { ttl: FOLLOWER_TTL } } else { CachePolicy::SoleWriter },
        names: match settings.names {
            NameRule::Auto => Names::default(),
            NameRule::Exact => Names::Exact,
            NameRule::Equivalent => Names::Equivalent,
        },
        mac: MacOptions {
            volume_name: settings.volume_name.clone(),
            apple_double: settings.apple_double,
            local: settings.local,
        },
        ..MountOptions::default()
    }
}
