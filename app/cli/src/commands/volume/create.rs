//! `proxyfs volume create`.

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
use crate::paths::Paths;
use crate::registry::{Entry, Registry, check_name, taken};
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
}

/// Creates a volume in its store, then registers its name.
pub(crate) async fn create(paths: &Paths, new: NewVolume) -> Outcome<Entry> {
    let NewVolume { name, url, spec, credentials, options } = new;
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
    let entry = Entry { credentials, options, ..Entry::new(meta.uuid.to_string(), url.to_string()) };
    registry.add(&name, &entry)?;
    Ok(entry)
}

/// Creates what the command line names.
pub(crate) async fn run(cx: &Context, args: &Create) -> Outcome {
    check_name(&args.name)?;
    let options = parse_given(&args.options)?;
    let (url, spec) = (parse_url(&args.store)?, spec(args)?);
    let new = NewVolume { name: args.name.clone(), url, spec, credentials: args.credentials.clone(), options };
    let entry = create(&cx.paths, new).await?;
    let done = json!({ "name": args.name, "uuid": entry.uuid, "store": entry.store, "tier": args.tier });
    cx.style.show(&done, || {
        format!("Created volume {} at {}.\nMount it: proxyfs mount {} DIR", args.name, entry.store, args.name)
    });
    Ok(())
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
