//! This program as `mount.proxyfs`: what mount(8) runs for the file-system type `proxyfs`, from fstab, systemd or by hand.
//!
//! `mount.proxyfs SPEC DIR [-sfnv] [-N NAMESPACE] [-t TYPE] [-o OPTION,...]` becomes `proxyfs mount --daemon --alone ...`: a process of its
//! own for each mount, whether or not the daemon runs. Options meant for mount(8), systemd or people are dropped; one that
//! nobody knows is an error, not a typo that goes unnoticed.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::failure::{Blame, Failure, Outcome};

/// The name that mount(8) looks for.
const NAME: &str = "mount.proxyfs";
/// What may stand before the volume, as with other FUSE file systems.
const PREFIX: &str = "proxyfs#";
/// The option that names credentials.
const CREDENTIALS: &str = "credentials";
/// Exit codes of mount(8).
const EXIT_USAGE: u8 = 1;
const EXIT_FAILED: u8 = 32;

/// Options for mount(8) and systemd, and those that hold for every mount of ours or change nothing here.
const OF_OTHERS: &[&str] = &[
    "defaults",
    "auto",
    "noauto",
    "nofail",
    "fail",
    "_netdev",
    "user",
    "nouser",
    "users",
    "nousers",
    "owner",
    "noowner",
    "group",
    "nogroup",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "async",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "lazytime",
    "nolazytime",
    "silent",
    "loud",
    "iversion",
    "noiversion",
    "nomand",
];
/// Beginnings of such options.
const BEGIN_OF_OTHERS: &[&str] = &["x-", "X-", "comment=", "user=", "uhelper=", "helper="];
/// What would promise more than is done here.
const REFUSED: &[(&str, &str)] = &[
    ("remount", "unmount it, then mount it with the options that you want"),
    ("bind", "mount the volume first, then bind its directory"),
    ("sync", "have programs sync what matters (fsync), or use a volume of tier `store`"),
    ("dirsync", "do without it: a change of names is in the log before its reply"),
    ("mand", "do without it"),
];

/// What this run is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// What people type: the command line, with the program's name.
    Command(Vec<OsString>),
    /// The same, by mount(8).
    Mount(Vec<OsString>),
    /// mount(8) only wants to know that the helper is there.
    Nothing,
}

/// Reads the command line.
///
/// # Errors
/// When mount(8)'s makes no sense.
pub(crate) fn asked(arguments: impl Iterator<Item = OsString>) -> Outcome<Asked> {
    let arguments: Vec<OsString> = arguments.collect();
    if arguments.first().is_some_and(|program| is_helper(program)) {
        translate(&arguments[1..])
    } else {
        Ok(Asked::Command(arguments))
    }
}

/// Whether the program was started under the helper's name.
pub(crate) fn is_helper(program: &OsStr) -> bool {
    Path::new(program).file_name().is_some_and(|name| name == NAME)
}

/// The exit code that mount(8) expects.
pub(crate) fn exit_code(failure: &Failure) -> u8 {
    match failure.blame {
        Blame::Usage => EXIT_USAGE,
        Blame::Work => EXIT_FAILED,
    }
}

fn translate(arguments: &[OsString]) -> Outcome<Asked> {
    let (mut places, mut options, mut fake) = (Vec::new(), Vec::new(), false);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.to_str() {
            Some("-o") => options.push(value_of("-o", rest.next())?),
            // The type is ours, or a subtype that says nothing; namespaces are entered by mount(8) itself.
            Some("-t" | "-N") => drop(value_of("a switch of mount(8)", rest.next())?),
            Some(switches) if switches.len() > 1 && switches.starts_with('-') => {
                if let Some(unknown) = switches[1..].chars().find(|c| !"sfnvrw".contains(*c)) {
                    return Err(wrong(&format!("-{unknown} is unknown"), "look at man mount"));
                }
                fake |= switches.contains('f');
                options.extend(switches.chars().any(|c| c == 'r').then(|| "ro".to_owned()));
            }
            _ => places.push(argument.clone()),
        }
    }
    let Ok([volume, dir]) = <[OsString; 2]>::try_from(places) else {
        return Err(wrong("it takes a volume and a directory", "type mount -t proxyfs NAME DIR [-o OPTION,...]"));
    };
    let (given, credentials) = ours(options.iter().flat_map(|o| o.split(',')))?;
    if fake {
        return Ok(Asked::Nothing);
    }
    let mut command: Vec<OsString> = ["proxyfs", "mount", "--daemon", "--alone"].map(OsString::from).to_vec();
    if !given.is_empty() {
        command.extend(["-o".into(), given.join(",").into()]);
    }
    if let Some(name) = credentials {
        command.extend(["--credentials".into(), name.into()]);
    }
    let volume = volume.to_str().and_then(|v| v.strip_prefix(PREFIX)).map_or_else(|| volume.clone(), OsString::from);
    command.extend(["--".into(), volume, dir]);
    Ok(Asked::Mount(command))
}

fn value_of(switch: &str, value: Option<&OsString>) -> Outcome<String> {
    let value = value.ok_or_else(|| wrong(&format!("{switch} needs a value"), "look at man mount"))?;
    value.to_str().map(str::to_owned).ok_or_else(|| wrong(&format!("{switch} is not UTF-8"), "correct it"))
}

/// The options for us, and the name of credentials.
fn ours<'a>(words: impl Iterator<Item = &'a str>) -> Outcome<(Vec<String>, Option<String>)> {
    let (mut given, mut credentials) = (Vec::new(), None);
    for word in words.map(str::trim).filter(|w| !w.is_empty()) {
        if let Some((name, advice)) = REFUSED.iter().find(|(name, _)| *name == word) {
            return Err(Failure::usage("use", format!("option {name}"), "it is not offered here", *advice));
        }
        if OF_OTHERS.contains(&word) || BEGIN_OF_OTHERS.iter().any(|begin| word.starts_with(begin)) {
            continue;
        }
        match word.split_once('=') {
            Some((CREDENTIALS, name)) => credentials = Some(name.to_owned()),
            _ if word == "noexec" => given.push("exec=no".to_owned()),
            _ => given.push(word.to_owned()),
        }
    }
    crate::options::parse_given(&given)?;
    Ok((given, credentials))
}

fn wrong(why: &str, advice: &str) -> Failure {
    Failure::usage("understand", "the command line of mount.proxyfs", why, advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_by_mount(line: &str) -> Outcome<Asked> {
        asked(format!("/sbin/mount.proxyfs {line}").split(' ').map(OsString::from))
    }

    fn becomes(line: &str) -> String {
        match asked_by_mount(line).unwrap() {
            Asked::Mount(command) => command.join(OsStr::new(" ")).into_string().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_line_of_fstab_becomes_a_mount_in_the_background() {
        let line = "proxyfs#photos /srv/p -o rw,noauto,_netdev,nofail,x-systemd.automount,comment=x,allow_other,noexec";
        assert_eq!(becomes(line), "proxyfs mount --daemon --alone -o rw,allow_other,exec=no -- photos /srv/p");
    }

    #[test]
    fn switches_may_stand_anywhere_and_urls_stay_whole() {
        assert_eq!(
            becomes("-n s3://b/p?region=x&profile=y /m -v -t fuse.proxyfs -o ro,credentials=lab -o max_flush_time=2s"),
            "proxyfs mount --daemon --alone -o ro,max_flush_time=2s --credentials lab -- s3://b/p?region=x&profile=y /m"
        );
        assert_eq!(becomes("-r a /m"), "proxyfs mount --daemon --alone -o ro -- a /m");
    }

    #[test]
    fn a_rehearsal_mounts_nothing_but_finds_mistakes() {
        assert_eq!(asked_by_mount("a /m -f").unwrap(), Asked::Nothing);
        assert!(asked_by_mount("a /m -f -o max_flush_tine=2s").unwrap_err().advice.contains("max_flush_time"));
    }

    #[test]
    fn what_makes_no_sense_is_explained() {
        for (line, part) in [
            ("a", "a volume and a directory"),
            ("a /m extra", "a volume and a directory"),
            ("a /m -o", "-o needs a value"),
            ("a /m -z", "-z is unknown"),
            ("a /m -o remount,ro", "not offered"),
            ("a /m -o sync", "not offered"),
            ("a /m -o nofial", "no such key"),
        ] {
            let failure = asked_by_mount(line).unwrap_err();
            assert!(failure.why.contains(part), "{line}: {failure}");
            assert_eq!(exit_code(&failure), EXIT_USAGE);
        }
        assert_eq!(exit_code(&Failure::new("a", "b", "c", "d")), EXIT_FAILED);
    }

    #[test]
    fn under_its_own_name_the_program_takes_the_line_as_it_is() {
        let line = ["proxyfs", "mount", "-o", "_netdev"].map(OsString::from);
        assert_eq!(asked(line.clone().into_iter()).unwrap(), Asked::Command(line.to_vec()));
    }
}
