//! What cargo says that it has built, line by line in JSON (`--message-format=json-render-diagnostics`).

use std::path::PathBuf;

use serde::Deserialize;

/// A program that was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Built {
    /// The folder of its package.
    pub(super) package: PathBuf,
    /// Its name: of a library or program for unit tests, of a file in `tests/` for others.
    pub(super) name: String,
    /// Whether it holds tests to run.
    pub(super) is_test: bool,
    /// The file.
    pub(super) program: PathBuf,
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// The program that a line tells of, if it tells of one.
pub(super) fn built(line: &str) -> Option<Built> {
    let message: Message = serde_json::from_str(line).ok()?;
    if message.reason != "compiler-artifact" {
        return None;
    }
    let package = message.manifest_path?.parent()?.to_owned();
    Some(Built { package, name: message.target?.name, is_test: message.profile?.test, program: message.executable? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_from_libraries_and_other_messages() {
        let artifact = |executable: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","package_id":"x","manifest_path":"/w/core/Cargo.toml","target":{{"kind":["lib"],"name":"proxyfs_core"}},"profile":{{"opt_level":"1","test":true}},"executable":{executable},"fresh":true}}"#
            )
        };
        let test = built(&artifact("\"/t/proxyfs_core-1.exe\"")).expect("a program");
        assert_eq!((test.name.as_str(), test.is_test), ("proxyfs_core", true));
        assert_eq!((test.package, test.program), ("/w/core".into(), "/t/proxyfs_core-1.exe".into()));
        for line in [artifact("null").as_str(), r#"{"reason":"build-finished","success":true}"#, "warning: x", ""] {
            assert_eq!(built(line), None, "{line}");
        }
    }
}
