//! `mount.proxyfs`: a link to this program where mount(8) looks for what mounts a type.
//!
//! Installing the machine's service makes it, removing the service takes it away. Whatever else has that name, a package's link or
//! somebody's script, stays as it is: a link counts as ours only if the unit notes that this program made it, and it is still such a link.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The one directory that mount(8) looks into (mount(8), "External helpers").
pub(crate) const HELPERS: &str = "/sbin";
/// Its name there.
const NAME: &str = "mount.proxyfs";

/// What is there now.
#[derive(Debug)]
pub(crate) enum Linked {
    /// A link that this program made, now or before.
    Ours(PathBuf),
    /// Something that starts this program and was made by others.
    There(PathBuf),
    /// Something else, which was left alone.
    Foreign(PathBuf),
    /// Nothing: it could not be made.
    Refused(PathBuf, io::Error),
}

impl Linked {
    /// Where mount(8) finds this program, if it does.
    pub(crate) fn place(&self) -> Option<&Path> {
        match self {
            Self::Ours(place) | Self::There(place) => Some(place),
            Self::Foreign(_) | Self::Refused(..) => None,
        }
    }

    /// Whether it is taken away with the service.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self, Self::Ours(_))
    }
}

/// Links `program` in `helpers` unless something is there. `noted`: an earlier run made the link.
pub(crate) fn make(helpers: &Path, program: &Path, noted: bool) -> Linked {
    let place = helpers.join(NAME);
    if noted && is_stale(&place) && fs::remove_file(&place).is_err() {
        return Linked::Foreign(place);
    }
    match fs::symlink_metadata(&place) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => match symlink(program, &place) {
            Ok(()) => Linked::Ours(place),
            Err(e) => Linked::Refused(place, e),
        },
        Err(e) => Linked::Refused(place, e),
        Ok(_) if noted && points_to(&place, program) => Linked::Ours(place),
        Ok(_) if place.canonicalize().is_ok_and(|real| real == program) => Linked::There(place),
        Ok(_) => Linked::Foreign(place),
    }
}

/// Takes away the link that an earlier run made; gives its place if it was there.
///
/// # Errors
/// When it cannot be removed.
pub(crate) fn remove(helpers: &Path, program: &Path) -> io::Result<Option<PathBuf>> {
    let place = helpers.join(NAME);
    if !points_to(&place, program) && !is_stale(&place) {
        return Ok(None);
    }
    fs::remove_file(&place)?;
    Ok(Some(place))
}

/// Whether it is a link with exactly this target, as we make them.
fn points_to(place: &Path, program: &Path) -> bool {
    fs::read_link(place).is_ok_and(|target| target == program)
}

/// Whether it is a link to a program that has gone.
fn is_stale(place: &Path) -> bool {
    fs::read_link(place).is_ok() && !place.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        let (helpers, program) = (base.join("sbin"), base.join("proxyfs"));
        fs::create_dir(&helpers).unwrap();
        fs::write(&program, "").unwrap();
        (dir, helpers, program)
    }

    #[test]
    fn our_link_is_made_kept_renewed_and_removed() {
        let (_dir, helpers, program) = world();
        assert!(make(&helpers, &program, false).is_ours());
        assert_eq!(fs::read_link(helpers.join(NAME)).unwrap(), program);
        assert!(make(&helpers, &program, true).is_ours());
        // The program was moved.
        let moved = helpers.join("moved");
        fs::rename(&program, &moved).unwrap();
        assert!(make(&helpers, &moved, true).is_ours());
        assert_eq!(remove(&helpers, &moved).unwrap(), Some(helpers.join(NAME)));
        assert_eq!(remove(&helpers, &moved).unwrap(), None);
    }

    #[test]
    fn what_others_put_there_stays() {
        let (_dir, helpers, program) = world();
        let place = helpers.join(NAME);
        symlink("../proxyfs", &place).unwrap();
        assert!(matches!(make(&helpers, &program, false), Linked::There(_)));
        assert_eq!(remove(&helpers, &program).unwrap(), None);
        fs::remove_file(&place).unwrap();
        fs::write(&place, "#!/bin/sh\n").unwrap();
        for noted in [false, true] {
            assert!(matches!(make(&helpers, &program, noted), Linked::Foreign(_)));
        }
        assert_eq!(remove(&helpers, &program).unwrap(), None);
        assert_eq!(fs::read_to_string(&place).unwrap(), "#!/bin/sh\n");
    }

    #[test]
    fn a_directory_that_takes_no_link_is_no_failure() {
        let (_dir, helpers, program) = world();
        assert!(matches!(make(&helpers.join("none"), &program, false), Linked::Refused(..)));
    }
}
