//! `proxyfs volume create`; with `--mount`, the daemon mounts the volume from then on.

use std::path::Path;

use proxyfs_control::client::quietly;
use proxyfs_control::types::volume::Mount;
use proxyfs_core::env::{OsClock, OsRng};
use proxyfs_core::format::{CaseRule, CompressChoice, Tier};
use proxyfs_core::volume::{VolumeSpec, create_volume};
use proxyfs_store::StoreUrl;
use serde_json::json;

use super::Context;
use crate::cli::Create;
use crate::credentials::named;
use crate::failure::{Failure, Outcome};
use crate::options::{Given, Settings, parse_given};
use crate::paths::{Paths, make_mount_point};
use crate::registry::{Entry, KeptMount, Registry, check_name, taken};
use crate::serve::ask;
use crate::session::check_place;
use crate::target::{connect, parse_url};
use crate::units::parse_size;

/// A volume to create.
#[derive(Debug)]
pub(crate) struct NewVolume {
    /// Its name on this computer.
    pub(crate) name: String,
    /// Where it lies.
    pub(crate) url: StoreUrl,
    /// What it is.
    pub(crate) spec: VolumeSpec,
    /// Named credentials.
    pub(crate) credentials: Option<String>,
    /// Options of every mount.
    pub(crate) options: Given,
    /// Where the daemon mounts it whenever it runs.
    pub(crate) mount: Option<KeptMount>,
}

/// Creates a volume in its store, then registers its name.
pub(crate) async fn create(paths: &Paths, new: NewVolume) -> Outcome<Entry> {
    let NewVolume { name, url, spec, credentials, options, mount } = new;
    check_name(&name)?;
    let mut settings = Settings::with(&options)?;
    let registry = Registry::new(paths.registry());
    if registry.load()?.contains_key(&name) {
        return Err(taken(&name));
    }
    let subject = format!("volume {name} at {url}");
    // A directory of this computer costs nothing and needs nobody's leave.
    settings.store.create_containers |= matches!(url, StoreUrl::File(_));
    if let Some(name) = &credentials {
        settings.store.credentials = Some(named(paths, name).await?.record.credentials);
    }
    let store = connect(&url, &settings.store, "create", &subject).await?;
    let (settle, timeout) = (settings.volume.settle, settings.volume.operation_timeout);
    let meta = create_volume(&store, spec, &OsClock, &OsRng, settle, timeout)
        .await
        .map_err(|e| Failure::engine("create", &subject, &e))?;
    let entry = Entry { credentials, options, mount, ..Entry::new(meta.uuid.to_string(), url.to_string()) };
    registry.add(&name, &entry)?;
    Ok(entry)
}

/// Creates what the command line names.
pub(crate) async fn run(cx: &Context, args: &Create) -> Outcome {
    check_name(&args.name)?;
    let options = parse_given(&args.options)?;
    let (url, spec) = (parse_url(&args.store)?, spec(args)?);
    let mount = match &args.mount {
        Some(dir) => Some(prepare(&args.name, dir, &options).await?),
        None => None,
    };
    let credentials = args.credentials.clone();
    let new = NewVolume { name: args.name.clone(), url, spec, credentials, options, mount: mount.clone() };
    let entry = create(&cx.paths, new).await?;
    let mounted = match &mount {
        Some(kept) => mount_now(cx, &args.name, kept).await?,
        None => false,
    };
    let place = mount.map(|kept| kept.mount_point);
    let done = json!({
        "name": args.name, "uuid": entry.uuid, "store": entry.store, "tier": args.tier, "mount_point": place, "mounted": mounted
    });
    cx.style.show(&done, || {
        format!(
            "Created volume {} at {}.\n{}",
            args.name,
            entry.store,
            next(&args.name, place.as_deref(), mounted, &cx.paths)
        )
    });
    Ok(())
}

/// Makes the mount point and checks that a mount is possible there: no volume is made for a drive that cannot be.
async fn prepare(name: &str, dir: &Path, options: &Given) -> Outcome<KeptMount> {
    let subject = format!("volume {name}");
    let mount_point = crate::sys::absolute_place(dir).map_err(|e| Failure::io("mount", &subject, &e))?;
    make_mount_point(&mount_point)?;
    check_place(&subject, &mount_point, &Settings::with(options)?).await?;
    Ok(KeptMount { mount_point, read_only: false, options: Given::new() })
}

/// Has the daemon mount it, if one runs. The volume stays created, and its mount wanted, whatever comes of that.
async fn mount_now(cx: &Context, name: &str, kept: &KeptMount) -> Outcome<bool> {
    let Some((daemon, known)) = ask::daemon_with(&cx.paths, name, |_| true).await else { return Ok(false) };
    let place = kept.mount_point.display().to_string();
    let mount = Mount { mount_point: Some(place.clone()), read_only: false, take_over: false, options: Given::new() };
    daemon.mount(&known, &mount, quietly).await.map_err(|e| {
        let failure = ask::failure("mount", &format!("volume {name}"), &e);
        let advice = format!("{}; the volume is created: then proxyfs mount {name} {place}", failure.advice);
        Failure { advice, ..failure }
    })?;
    Ok(true)
}

/// What to do next.
fn next(name: &str, place: Option<&Path>, mounted: bool, paths: &Paths) -> String {
    let Some(place) = place.map(Path::display) else { return format!("Mount it: proxyfs mount {name} DIR") };
    if mounted {
        return format!("It is mounted on {place}, and will be whenever the daemon runs.");
    }
    let user = if paths.are_machines() { "" } else { " --user" };
    format!("The daemon will mount it on {place}. Have it run, now and after each start: proxyfs service install{user}")
}

fn spec(args: &Create) -> Outcome<VolumeSpec> {
    let mut spec = VolumeSpec::new(&args.name);
    spec.tier = if args.tier == "store" { Tier::Store } else { Tier::Disk };
    spec.case = if args.case == "insensitive" { CaseRule::Insensitive } else { CaseRule::Sensitive };
    spec.compress = match args.compress.as_str() {
        "none" => CompressChoice::None,
        "zstd" => CompressChoice::Zstd,
        _ => CompressChoice::Lz4,
    };
    if let Some(size) = &args.frame_size {
        let wrong = |why: String| Failure::usage("use", "--frame-size", why, "write a power of two from 4KiB to 1MiB");
        let bytes = parse_size(size).map_err(wrong)?;
        spec.frame_size = u32::try_from(bytes).map_err(|e| wrong(e.to_string()))?;
    }
    let layout = &mut spec.layout;
    layout.shards = args.shards.unwrap_or(layout.shards);
    layout.containers = args.containers.unwrap_or(layout.containers);
    layout.max_objects_per_container = args.max_objects_per_container.unwrap_or(layout.max_objects_per_container);
    Ok(spec)
}
