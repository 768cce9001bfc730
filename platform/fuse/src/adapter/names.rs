//! Names as the mount's users spell them: passed on as they are, or resolved first by the rule of [`proxyfs_core::spelling`].
//!
//! The kernel remembers entries by name, each by itself. What happens to an entry under one of its spellings it does not apply to the
//! others; so a name that has several is given for one time only, and the absence of a name is not to be remembered at all.

use std::borrow::Cow;
use std::time::Duration;

use proxyfs_core::Result;
use proxyfs_core::fs::{Attr, FileSystem};
use proxyfs_core::spelling;
use proxyfs_core::types::Ino;

use crate::options::Names;
use crate::system::{HERE, System};

impl Names {
    /// Attributes of the entry that `name` means in `parent`.
    pub(super) async fn look_up<F: FileSystem>(self, fs: &F, parent: Ino, name: &[u8]) -> Result<Attr> {
        match self {
            Self::Exact => fs.lookup(parent, name).await,
            Self::Equivalent => spelling::find(fs, parent, name).await.map(|entry| entry.attr),
        }
    }

    /// How long `name` may be remembered, if `ttl` is how long names are.
    pub(super) fn ttl(self, name: &[u8], ttl: Duration) -> Duration {
        match self {
            Self::Equivalent if !spelling::others(name).is_empty() => Duration::ZERO,
            Self::Exact | Self::Equivalent => ttl,
        }
    }

    /// Whether the absence of a name may be remembered. macFUSE would not, and is told plainly.
    pub(super) fn remembers_absence(self) -> bool {
        HERE == System::Linux && self == Self::Exact
    }

    /// What to call `name` in `parent`.
    pub(super) async fn stored<'n, F: FileSystem>(self, fs: &F, parent: Ino, name: &'n [u8]) -> Cow<'n, [u8]> {
        match self {
            Self::Exact => Cow::Borrowed(name),
            Self::Equivalent => spelling::stored(fs, parent, name).await,
        }
    }

    /// What to call source and target of a rename.
    pub(super) async fn renamed<'n, F: FileSystem>(
        self,
        fs: &F,
        source: (Ino, &'n [u8]),
        target: (Ino, &'n [u8]),
    ) -> (Cow<'n, [u8]>, Cow<'n, [u8]>) {
        match self {
            Self::Exact => (Cow::Borrowed(source.1), Cow::Borrowed(target.1)),
            Self::Equivalent => spelling::renamed(fs, source, target).await,
        }
    }
}
