//! Mount options in macFUSE's words, and what they are made of. Pure functions only.
//!
//! Always there: `default_permissions` (the kernel checks modes), `native_xattr` (attributes are the volume's own; `auto_xattr`, with
//! which the kernel would put them into `._` files, is never used), `iosize`, `daemon_timeout`. Never there: `nosyncwrites` and
//! `negative_vncache`, which would acknowledge writes before they are known here, and remember absent names.

use crate::options::{CachePolicy, MountOptions};

/// Largest read and write request in bytes; a power of two. macFUSE takes it from here and not from the negotiation.
const IO_BYTES: u32 = 1024 * 1024;
/// Seconds that a request may take before macOS takes the volume for dead and offers to eject it. The engine answers each within its own
/// deadline, `operation_timeout`, which is a minute unless somebody set it higher; five times that leaves room.
const DAEMON_TIMEOUT_S: u32 = 300;

/// The options, as one argument for the mount tool. It knows no escapes, so no value has a comma in it.
pub(crate) fn words(options: &MountOptions) -> String {
    let mut words = vec![
        format!("fsname={}", plain(&options.fs_name)),
        format!("volname={}", volume_name(options)),
        format!("iosize={IO_BYTES}"),
        format!("daemon_timeout={DAEMON_TIMEOUT_S}"),
        "default_permissions".to_owned(),
        "native_xattr".to_owned(),
    ];
    let follows = matches!(options.cache, CachePolicy::Follower { .. });
    let switches = [
        (options.read_only, "ro"),
        (!options.mac.apple_double, "noappledouble"),
        (options.mac.local, "local"),
        (options.allow_other, "allow_other"),
        // Drops cached pages of a file whose size or time changed.
        (follows, "auto_cache"),
        (!options.exec, "noexec"),
        (!options.suid, "nosuid"),
        (!options.dev, "nodev"),
    ];
    words.extend(switches.iter().filter(|(on, _)| *on).map(|(_, word)| (*word).to_owned()));
    words.join(",")
}

/// The name that the Finder shows.
fn volume_name(options: &MountOptions) -> String {
    let given = options.mac.volume_name.as_deref();
    let name = given.or_else(|| Some(options.fs_name.split_once(':')?.1)).unwrap_or(&options.fs_name);
    let shown: String = plain(name).chars().map(|c| if matches!(c, '/' | ':') { '-' } else { c }).collect();
    if shown.is_empty() { "ProxyFS".to_owned() } else { shown }
}

/// A value without what the tool would take for something else.
fn plain(value: &str) -> String {
    value.trim().chars().map(|c| if c.is_control() || matches!(c, ',' | '\\') { '-' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::options::MacOptions;

    fn named(fs_name: &str, mac: MacOptions) -> MountOptions {
        MountOptions { fs_name: fs_name.to_owned(), mac, ..MountOptions::default() }
    }

    #[test]
    fn a_default_mount_keeps_attributes_native_and_litter_out() {
        assert_eq!(
            words(&named("proxyfs:photos", MacOptions::default())),
            "fsname=proxyfs:photos,volname=photos,iosize=1048576,daemon_timeout=300,default_permissions,native_xattr,\
             noappledouble,nosuid,nodev"
        );
    }

    #[test]
    fn each_option_is_its_word() {
        let mac = MacOptions { volume_name: Some("Our Photos".to_owned()), apple_double: true, local: true };
        let options = MountOptions {
            read_only: true,
            allow_other: true,
            suid: true,
            dev: true,
            exec: false,
            cache: CachePolicy::Follower { ttl: Duration::ZERO },
            ..named("proxyfs:photos", mac)
        };
        assert_eq!(
            words(&options),
            "fsname=proxyfs:photos,volname=Our Photos,iosize=1048576,daemon_timeout=300,default_permissions,native_xattr,\
             ro,local,allow_other,auto_cache,noexec"
        );
    }

    #[test]
    fn no_value_can_smuggle_an_option_in() {
        let mac = MacOptions { volume_name: Some("a,allow_other\\,b\n".to_owned()), ..MacOptions::default() };
        let words = words(&named("x,suid", mac));
        assert!(words.starts_with("fsname=x-suid,volname=a-allow_other--b,iosize="), "{words}");
    }

    #[test]
    fn a_volume_is_shown_under_a_name_that_the_finder_takes() {
        for (fs_name, given, shown) in [
            ("proxyfs:photos", None, "photos"),
            ("proxyfs:s3://bucket/a", None, "s3---bucket-a"),
            ("bare", None, "bare"),
            ("proxyfs:", None, "ProxyFS"),
            ("proxyfs:x", Some("Bilder: 2026"), "Bilder- 2026"),
            ("proxyfs:x", Some("  "), "ProxyFS"),
        ] {
            let mac = MacOptions { volume_name: given.map(str::to_owned), ..MacOptions::default() };
            assert_eq!(volume_name(&named(fs_name, mac)), shown, "{fs_name} {given:?}");
        }
    }
}
