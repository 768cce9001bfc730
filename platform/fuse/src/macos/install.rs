//! Whether macFUSE is there, and which one.

use std::fs;
use std::path::{Path, PathBuf};

use proxyfs_core::{Error, ErrorKind, Result};

/// Where macFUSE is installed.
const BUNDLE: &str = "Library/Filesystems/macfuse.fs/Contents";
/// The program that mounts, inside the bundle.
const TOOL: &str = "Resources/mount_macfuse";
/// The file with the version, inside the bundle.
const VERSION_FILE: &str = "Info.plist";
/// The key of the version in it.
const VERSION_KEY: &str = "<key>CFBundleShortVersionString</key>";
/// The oldest version that works. Earlier ones send a rename in another form than they were asked for (macFUSE issue 839), so that it
/// would reach us without its names.
const VERSION_MIN: u32 = 5;
/// What to do without it.
const ADVICE: &str = "install macFUSE from https://macfuse.github.io, allow its system extension in System Settings > Privacy & \
                      Security, restart if asked to, and try again";

/// An installed macFUSE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Installation {
    /// The program that mounts.
    pub(crate) tool: PathBuf,
}

/// Looks for macFUSE below `root`, which is `/` outside of tests. A version that cannot be read is let through.
///
/// # Errors
/// `Config`, with what to do, when it is missing or too old.
pub(crate) fn find(root: &Path) -> Result<Installation> {
    let bundle = root.join(BUNDLE);
    let tool = bundle.join(TOOL);
    if !tool.is_file() {
        return Err(Error::new(ErrorKind::Config, format!("macFUSE is not installed; {ADVICE}")));
    }
    let version = fs::read_to_string(bundle.join(VERSION_FILE)).ok().and_then(|plist| version(&plist));
    match version {
        Some(text) if major(&text).is_some_and(|major| major < VERSION_MIN) => Err(Error::new(
            ErrorKind::Config,
            format!("macFUSE {text} is too old: version {VERSION_MIN} or later is needed; {ADVICE}"),
        )),
        _ => Ok(Installation { tool }),
    }
}

/// The version in the text of a property list.
fn version(plist: &str) -> Option<String> {
    let (_, after) = plist.split_once(VERSION_KEY)?;
    let text = after.trim_start().strip_prefix("<string>")?;
    Some(text.split_once("</string>")?.0.trim().to_owned())
}

/// The first number of a version.
fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(version: Option<&str>) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a temporary directory");
        let bundle = root.path().join(BUNDLE);
        fs::create_dir_all(bundle.join("Resources")).expect("the bundle");
        fs::write(bundle.join(TOOL), b"").expect("the tool");
        if let Some(version) = version {
            let plist = format!(
                "<dict>\n\t<key>CFBundleName</key>\n\t<string>macFUSE</string>\n\t{VERSION_KEY}\n\t<string>{version}</string>\n</dict>"
            );
            fs::write(bundle.join(VERSION_FILE), plist).expect("the version");
        }
        root
    }

    #[test]
    fn without_macfuse_the_message_says_where_to_get_it() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let error = find(root.path()).expect_err("there is none");
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("https://macfuse.github.io"), "{error}");
    }

    #[test]
    fn a_version_that_is_too_old_is_refused_and_an_unknown_one_is_not() {
        for (version, fine) in
            [(Some("4.10.2"), false), (Some("5.0.3"), true), (Some("10.1"), true), (Some("odd"), true), (None, true)]
        {
            let root = installed(version);
            let found = find(root.path());
            assert_eq!(found.is_ok(), fine, "{version:?}");
            match found {
                Ok(found) => assert!(found.tool.is_file()),
                Err(error) => assert!(error.to_string().contains("macFUSE 4.10.2 is too old"), "{error}"),
            }
        }
    }
}
