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

#[cfg(test)]
mod tests {
    use proxyfs_core::fs::{Caller, FileKind, NewNode};
    use proxyfs_harness::model::Model;

    use super::*;

    const COMPOSED: &[u8] = "caf\u{e9}".as_bytes();
    const DECOMPOSED: &[u8] = "cafe\u{301}".as_bytes();

    async fn file(model: &Model, name: &[u8]) {
        let node = NewNode { kind: FileKind::File, perm: 0o644, umask: 0, rdev: 0 };
        model.mknod(Caller { uid: 0, gid: 0, pid: 1 }, Ino::ROOT, name, node).await.expect("a file");
    }

    #[tokio::test]
    async fn a_rename_onto_another_spelling_means_the_entry_that_is_there() {
        let model = Model::default();
        file(&model, b"new").await;
        file(&model, COMPOSED).await;
        let (source, target) = ((Ino::ROOT, &b"new"[..]), (Ino::ROOT, DECOMPOSED));
        let (name, new_name) = Names::Equivalent.renamed(&model, source, target).await;
        assert_eq!((&*name, &*new_name), (&b"new"[..], COMPOSED));
        let (_, exact) = Names::Exact.renamed(&model, source, target).await;
        assert_eq!(&*exact, DECOMPOSED);
    }

    #[tokio::test]
    async fn a_rename_of_a_name_to_its_other_spelling_respells_it() {
        let model = Model::default();
        file(&model, COMPOSED).await;
        for given in [COMPOSED, DECOMPOSED] {
            let (name, new_name) = Names::Equivalent.renamed(&model, (Ino::ROOT, given), (Ino::ROOT, DECOMPOSED)).await;
            assert_eq!((&*name, &*new_name), (COMPOSED, DECOMPOSED), "{given:?}");
        }
    }

    #[test]
    fn only_a_name_with_one_spelling_may_be_remembered() {
        let ttl = Duration::from_secs(5);
        assert_eq!(Names::Equivalent.ttl(b"plain", ttl), ttl);
        assert_eq!((Names::Equivalent.ttl(COMPOSED, ttl), Names::Exact.ttl(COMPOSED, ttl)), (Duration::ZERO, ttl));
        assert!(!Names::Equivalent.remembers_absence());
    }
}
