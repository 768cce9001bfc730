//! What a mount is asked to be, and where.
//!
//! Owns the options, their defaults and what can be checked without Windows. How each becomes a parameter of WinFsp stands in `host`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use proxyfs_core::types::Timestamp;
use proxyfs_core::{Error, ErrorKind, Result};

use crate::security::Identity;

/// Longest server and share together in UTF-16 units, as WinFsp passes them (192, with two backslashes and a NUL).
const PREFIX_UNITS_MAX: usize = 189;
/// Longest name of a kind of file system in UTF-16 units, as WinFsp passes it (16, with a NUL).
const FILE_SYSTEM_NAME_UNITS_MAX: usize = 15;

/// Where a volume is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountPoint {
    /// At this drive letter.
    Drive(char),
    /// At the last free drive letter, from Z: down.
    NextFree,
    /// As a directory, which must not be there yet and whose parent must be. Windows lets only a local disk be shown so.
    Directory(PathBuf),
    /// As `\\server\share` alone, without a letter.
    Unc {
        /// The name of a server that there need not be.
        server: String,
        /// The name of the share.
        share: String,
    },
}

impl FromStr for MountPoint {
    type Err = Error;

    /// Understands `X:`, `*` (the last free letter), `\\server\share`, and anything else as a directory.
    fn from_str(text: &str) -> Result<Self> {
        let mut chars = text.trim_end_matches(['\\', '/']).chars();
        match (chars.next(), chars.next(), chars.next()) {
            (Some('*'), None | Some(':'), None) => return Ok(Self::NextFree),
            (Some(letter), Some(':'), None) if letter.is_ascii_alphabetic() => {
                return Ok(Self::Drive(letter.to_ascii_uppercase()));
            }
            _ => {}
        }
        let Some(unc) = text.strip_prefix(r"\\").filter(|rest| !rest.starts_with(['?', '.'])) else {
            let bad = text.is_empty() || text.contains('\0');
            return if bad { Err(invalid(text)) } else { Ok(Self::Directory(PathBuf::from(text))) };
        };
        match unc.trim_end_matches('\\').split('\\').collect::<Vec<_>>()[..] {
            [server, share] if is_part(server) && is_part(share) => {
                Ok(Self::Unc { server: server.to_owned(), share: share.to_owned() })
            }
            _ => Err(invalid(text)),
        }
    }
}

fn is_part(text: &str) -> bool {
    !text.is_empty() && !text.contains(['/', ':', '*', '?', '"', '<', '>', '|', '\0'])
}

fn invalid(text: &str) -> Error {
    let why = r"name a drive letter (X:), * for the last free one, a directory, or \\server\share";
    Error::new(ErrorKind::InvalidArgument, format!("{text:?} is no place to mount a volume on Windows: {why}"))
}

impl fmt::Display for MountPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drive(letter) => write!(f, "{letter}:"),
            Self::NextFree => f.write_str("*"),
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::Unc { server, share } => write!(f, r"\\{server}\{share}"),
        }
    }
}

/// As what Windows takes the volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presentation {
    /// A network drive: Explorer shows it as one, does not put a recycle bin or an index on it, and expects it to be slow at times.
    #[default]
    Network,
    /// A local disk: for programs that refuse network drives, and for directories.
    LocalDisk,
}

/// What the driver may remember, and for how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CachePolicy {
    /// Nobody changes the volume without this adapter's being told.
    #[default]
    SoleWriter,
    /// Somebody else writes: what is remembered is at most `ttl` old.
    Follower {
        /// How old information may be.
        ttl: Duration,
    },
}

/// How long information about files and listings is kept under [`CachePolicy::SoleWriter`]. The driver forgets what is changed through it
/// and what it is told of; this bounds what neither says, such as the times of a file that changed by another name.
const SOLE_WRITER_TTL: Duration = Duration::from_secs(5);
/// How long size and label of the volume are kept.
const VOLUME_TTL: Duration = Duration::from_secs(10);

impl CachePolicy {
    /// How long information about files, and listings, may be used without asking again.
    #[must_use]
    pub fn ttl(self) -> Duration {
        match self {
            Self::SoleWriter => SOLE_WRITER_TTL,
            Self::Follower { ttl } => ttl.min(SOLE_WRITER_TTL),
        }
    }

    /// How long size and label of the volume may be used without asking again.
    #[must_use]
    pub fn volume_ttl(self) -> Duration {
        self.ttl().max(VOLUME_TTL)
    }
}

/// Options of a mount. `MountOptions::default()` is a writable network drive of the one who mounts.
#[derive(Clone, Debug)]
pub struct MountOptions {
    /// The volume's name: its label as long as none is set, and the share of a network drive. Default `proxyfs`.
    pub name: String,
    /// As what Windows takes it. A directory is a local disk in any case.
    pub presentation: Presentation,
    /// The kind of file system that programs are told. Default `NTFS`: Windows starts programs with raised rights only from
    /// file systems that it knows, and installers ask for this one by name.
    pub file_system_name: String,
    /// Refuse every change, in the driver. Default false.
    pub read_only: bool,
    /// Names are found in any case, as the volume's own choice says. Default true.
    pub case_insensitive: bool,
    /// The volume's serial number. Default 0: made of the name.
    pub serial_number: u32,
    /// When the volume was made; without it, when its root was.
    pub created: Option<Timestamp>,
    /// What the driver may remember.
    pub cache: CachePolicy,
    /// Threads that take requests from the driver, at least 2. A request that waits for the store does not keep one. Default 8.
    pub threads: u32,
    /// A file to which the WinFsp library writes each request and answer, names included; it is created anew. For finding errors only.
    pub debug_log: Option<PathBuf>,
    /// Who uses the volume. Default: the user of this process is whoever owns the volume's root.
    pub who: Option<Identity>,
    /// Show names that begin with a full stop as hidden, as long as nobody has set their attributes. Default true.
    pub hide_dot_names: bool,
}

impl Default for MountOptions {
    fn default() -> Self {
        Self {
            name: "proxyfs".to_owned(),
            presentation: Presentation::default(),
            file_system_name: "NTFS".to_owned(),
            read_only: false,
            case_insensitive: true,
            serial_number: 0,
            created: None,
            cache: CachePolicy::default(),
            threads: 8,
            debug_log: None,
            who: None,
            hide_dot_names: true,
        }
    }
}

impl MountOptions {
    /// As what a volume is shown at `point`.
    #[must_use]
    pub fn presentation_at(&self, point: &MountPoint) -> Presentation {
        match point {
            MountPoint::Directory(_) => Presentation::LocalDisk,
            MountPoint::Unc { .. } => Presentation::Network,
            MountPoint::Drive(_) | MountPoint::NextFree => self.presentation,
        }
    }

    /// The name under which the network's redirector knows a volume at `point`: `\server\share`, or `None` for a local disk.
    #[must_use]
    pub fn prefix_at(&self, point: &MountPoint) -> Option<String> {
        match (self.presentation_at(point), point) {
            (Presentation::LocalDisk, _) => None,
            (Presentation::Network, MountPoint::Unc { server, share }) => Some(format!(r"\{server}\{share}")),
            (Presentation::Network, _) => {
                let share: String =
                    self.name.chars().map(|c| if is_part(&c.to_string()) && c != '\\' { c } else { '_' }).collect();
                Some(format!(r"\proxyfs\{}", if share.is_empty() { "volume" } else { &share }))
            }
        }
    }

    /// The serial number to show.
    #[must_use]
    pub fn shown_serial_number(&self) -> u32 {
        match self.serial_number {
            // FNV-1a: any number will do that stays the same.
            0 => self.name.bytes().fold(0x811c_9dc5, |hash: u32, b| (hash ^ u32::from(b)).wrapping_mul(0x0100_0193)),
            given => given,
        }
    }

    /// Checks what needs no Windows.
    ///
    /// # Errors
    /// `InvalidArgument` for names that WinFsp cannot pass on.
    pub fn validate(&self, point: &MountPoint) -> Result<()> {
        let too_long = |what: &str, text: &str, max: usize| {
            let why =
                format!("{what} {text:?} is longer than the {max} characters that WinFsp takes: choose a shorter one");
            Error::new(ErrorKind::InvalidArgument, why)
        };
        if let Some(prefix) = self.prefix_at(point).filter(|p| p.encode_utf16().count() > PREFIX_UNITS_MAX) {
            return Err(too_long("the network name", &prefix, PREFIX_UNITS_MAX));
        }
        let name = &self.file_system_name;
        if name.encode_utf16().count() > FILE_SYSTEM_NAME_UNITS_MAX {
            return Err(too_long("the file system's name", name, FILE_SYSTEM_NAME_UNITS_MAX));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_written() {
        let dir = |path: &str| MountPoint::Directory(PathBuf::from(path));
        let unc = |server: &str, share: &str| MountPoint::Unc { server: server.to_owned(), share: share.to_owned() };
        for (text, expected) in [
            ("x:", MountPoint::Drive('X')),
            (r"X:\", MountPoint::Drive('X')),
            ("*", MountPoint::NextFree),
            ("*:", MountPoint::NextFree),
            (r"C:\mnt\data", dir(r"C:\mnt\data")),
            ("relative", dir("relative")),
            (r"\\nas\photos", unc("nas", "photos")),
            (r"\\nas\photos\", unc("nas", "photos")),
            (r"\\?\C:\long", dir(r"\\?\C:\long")),
        ] {
            assert_eq!(text.parse::<MountPoint>().unwrap(), expected, "{text}");
        }
        for text in ["", r"\\nas", r"\\nas\a\b", r"\\nas\", "a\0b", r"\\a?\b"] {
            let error = text.parse::<MountPoint>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{text}");
            assert!(error.to_string().contains("drive letter"), "{error}");
        }
        assert_eq!(unc("nas", "photos").to_string(), r"\\nas\photos");
        assert_eq!(MountPoint::Drive('Q').to_string(), "Q:");
    }

    #[test]
    fn network_names_are_made_of_the_volumes() {
        let named = |name: &str| MountOptions { name: name.to_owned(), ..MountOptions::default() };
        let prefix = |name: &str, point: &MountPoint| named(name).prefix_at(point);
        assert_eq!(prefix("photos", &MountPoint::NextFree).as_deref(), Some(r"\proxyfs\photos"));
        assert_eq!(prefix(r"a\b:c/d", &MountPoint::Drive('X')).as_deref(), Some(r"\proxyfs\a_b_c_d"));
        assert_eq!(prefix("", &MountPoint::Drive('X')).as_deref(), Some(r"\proxyfs\volume"));
        assert_eq!(prefix("photos", &MountPoint::Directory("d".into())), None);
        let unc = MountPoint::Unc { server: "nas".to_owned(), share: "p".to_owned() };
        assert_eq!(prefix("photos", &unc).as_deref(), Some(r"\nas\p"));
        let local = MountOptions { presentation: Presentation::LocalDisk, ..named("photos") };
        assert_eq!(local.prefix_at(&MountPoint::Drive('X')), None);
        assert_eq!(local.prefix_at(&unc).as_deref(), Some(r"\nas\p"));
    }

    #[test]
    fn what_winfsp_cannot_pass_on_is_refused() {
        let drive = MountPoint::Drive('X');
        let options = MountOptions::default();
        options.validate(&drive).unwrap();
        let long = MountOptions { name: "n".repeat(200), ..options.clone() };
        assert_eq!(long.validate(&drive).unwrap_err().kind(), ErrorKind::InvalidArgument);
        MountOptions { presentation: Presentation::LocalDisk, ..long }.validate(&drive).unwrap();
        let named = |name: &str| MountOptions { file_system_name: name.to_owned(), ..options.clone() };
        named("123456789012345").validate(&drive).unwrap();
        assert!(named("1234567890123456").validate(&drive).is_err());
    }

    #[test]
    fn serial_numbers_stay_the_same_for_a_name() {
        let named = |name: &str| MountOptions { name: name.to_owned(), ..MountOptions::default() };
        assert_eq!(named("a").shown_serial_number(), 0xe40c_292c);
        assert_ne!(named("a").shown_serial_number(), named("b").shown_serial_number());
        assert_eq!(MountOptions { serial_number: 7, ..named("a") }.shown_serial_number(), 7);
    }

    #[test]
    fn what_is_remembered_is_never_older_than_a_follower_allows() {
        let follower = |secs| CachePolicy::Follower { ttl: Duration::from_secs(secs) };
        assert_eq!(follower(2).ttl(), Duration::from_secs(2));
        assert_eq!(follower(100).ttl(), SOLE_WRITER_TTL);
        assert_eq!(CachePolicy::SoleWriter.volume_ttl(), VOLUME_TTL);
    }
}
