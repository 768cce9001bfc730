//! The daemon as a systemd service: the unit, and what systemd says of it.
//!
//! The units are those of `installer/systemd`, with this program's own path in them; [`manager`] asks systemd through `systemctl`, [`link`]
//! lets mount(8) know the type. Nothing here touches volumes, configuration or data.

pub(crate) mod link;
pub(crate) mod manager;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Name of the unit.
pub(crate) const UNIT: &str = "proxyfs.service";
/// First line of a unit that this program wrote and may replace or remove.
const MARK: &str = "# Written by `proxyfs service install`; changes go into `systemctl edit proxyfs`.";
/// The line after it, if [`link`] made a link that goes with the unit.
const LINK_MARK: &str = "# So was the link /sbin/mount.proxyfs.";
/// What the units of packages start.
const PACKAGED: &str = "ExecStart=/usr/bin/proxyfs serve";
const SYSTEM_UNIT: &str = include_str!("../../../installer/systemd/system/proxyfs.service");
const USER_UNIT: &str = include_str!("../../../installer/systemd/user/proxyfs.service");
/// Where an administrator's units lie (systemd.unit(5)).
const SYSTEM_DIR: &str = "/etc/systemd/system";

/// Whose service it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The machine's: runs as root from boot to shutdown.
    System,
    /// One user's: runs while that user is logged in, or lingers.
    User,
}

impl Scope {
    /// Its unit, starting `program`. `linked`: mount(8)'s helper was made with it.
    pub(crate) fn unit(self, program: &Path, linked: bool) -> String {
        let packaged = match self {
            Self::System => SYSTEM_UNIT,
            Self::User => USER_UNIT,
        };
        let start = format!("ExecStart={} serve", quoted(program.as_os_str()));
        let link = if linked { format!("{LINK_MARK}\n") } else { String::new() };
        format!("{MARK}\n{link}{}", packaged.replacen(PACKAGED, &start, 1))
    }

    /// Where its unit lies. `config_home`: the parent of this user's configuration directories.
    pub(crate) fn place(self, config_home: &Path) -> PathBuf {
        let dir = match self {
            Self::System => PathBuf::from(SYSTEM_DIR),
            Self::User => config_home.join("systemd/user"),
        };
        dir.join(UNIT)
    }
}

/// Whether a unit of this program notes that mount(8)'s helper came with it.
pub(crate) fn notes_link(unit: &str) -> bool {
    unit.lines().nth(1) == Some(LINK_MARK)
}

/// Whether a unit is one that this program wrote.
pub(crate) fn is_own(unit: &str) -> bool {
    unit.lines().next() == Some(MARK)
}

/// A path as one word of a command line in a unit (systemd.service(5), "Command lines"; systemd.unit(5), "Specifiers").
fn quoted(path: &OsStr) -> String {
    let mut word = String::from("\"");
    for c in path.to_string_lossy().chars() {
        match c {
            '"' | '\\' => word.extend(['\\', c]),
            '%' | '$' => word.extend([c, c]),
            _ => word.push(c),
        }
    }
    word.push('"');
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_starts_this_very_program() {
        for scope in [Scope::System, Scope::User] {
            let unit = scope.unit(Path::new("/opt/my \"100%\" $x/proxyfs"), false);
            let start: Vec<_> = unit.lines().filter(|l| l.starts_with("ExecStart=")).collect();
            assert_eq!(start, [r#"ExecStart="/opt/my \"100%%\" $$x/proxyfs" serve"#]);
        }
    }

    #[test]
    fn the_units_give_the_daemon_no_mount_namespace_of_its_own() {
        const NAMESPACED: [&str; 16] = [
            "ProtectSystem",
            "ProtectHome",
            "ProtectKernel",
            "ProtectControlGroups",
            "ProtectProc",
            "ProcSubset",
            "Private",
            "ReadOnlyPaths",
            "ReadWritePaths",
            "InaccessiblePaths",
            "BindPaths",
            "BindReadOnlyPaths",
            "TemporaryFileSystem",
            "RootDirectory",
            "MountFlags",
            "DynamicUser",
        ];
        for unit in [SYSTEM_UNIT, USER_UNIT] {
            for line in unit.lines() {
                assert!(
                    !NAMESPACED.iter().any(|key| line.starts_with(key)),
                    "mounts would be seen by nobody else: {line}"
                );
            }
        }
    }

    #[test]
    fn a_user_without_root_can_still_mount() {
        // Each of these implies NoNewPrivileges= in a user's service, and fusermount3 needs new privileges.
        for line in USER_UNIT.lines() {
            assert!(
                !["NoNew", "SystemCall", "Restrict", "Lock", "MemoryDeny"]
                    .iter()
                    .any(|k| { line.starts_with(k) && !["Restart"].iter().any(|fine| line.starts_with(fine)) }),
                "{line}"
            );
        }
    }

    #[test]
    fn only_units_of_this_program_are_taken_for_its_own() {
        let (plain, linked) = (Scope::User.unit(Path::new("/x"), false), Scope::System.unit(Path::new("/x"), true));
        assert!(is_own(&plain) && is_own(&linked) && !is_own(USER_UNIT) && !is_own(""));
        assert!(!notes_link(&plain) && notes_link(&linked));
    }
}
