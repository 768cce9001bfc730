//! Extended attributes in the terms of the system that asks; what they come to on the volume stands in [`crate::xattr`].

use bytes::Bytes;
use proxyfs_core::fs::{Caller, FileSystem, XattrMode};
use proxyfs_core::types::Ino;
use proxyfs_core::{Error, ErrorKind, Result};
use tokio::sync::Mutex;

use crate::convert;
use crate::system::System;
use crate::xattr::{self, Setting};

/// The file in the root of a volume that the Finder shows as its icon.
const ICON_FILE: &[u8] = b".VolumeIcon.icns";

/// The extended attributes of one mount.
#[derive(Debug)]
pub(super) struct Xattrs {
    system: System,
    /// Held while a part of a resource fork is put into the whole, which is a read and a write.
    writing: Mutex<()>,
}

impl Xattrs {
    /// For a mount that `system` looks at.
    pub(super) fn new(system: System) -> Self {
        Self { system, writing: Mutex::new(()) }
    }

    /// Sets an attribute, or a part of it.
    pub(super) async fn set<F: FileSystem>(
        &self,
        fs: &F,
        (caller, ino): (Caller, Ino),
        name: &[u8],
        (value, position): (&[u8], u32),
        flags: i32,
    ) -> Result<()> {
        let mode = convert::xattr_mode(self.system, flags)?;
        let stored = xattr::stored(self.system, name);
        match xattr::setting(self.system, name, value, position)? {
            Setting::Whole => fs.setxattr(caller, ino, &stored, value, mode).await,
            Setting::Nothing => match fs.removexattr(caller, ino, &stored).await {
                Err(e) if e.kind() == ErrorKind::NoAttribute && mode != XattrMode::Replace => Ok(()),
                done => done,
            },
            Setting::Part => {
                let _writing = self.writing.lock().await;
                let old = match fs.getxattr(ino, &stored).await {
                    Err(e) if e.kind() == ErrorKind::NoAttribute => Bytes::new(),
                    old => old?,
                };
                fs.setxattr(caller, ino, &stored, &xattr::spliced(&old, value, position)?, mode).await
            }
        }
    }

    /// Value of an attribute. The root of a volume with an icon file says so in its finder info.
    pub(super) async fn get<F: FileSystem>(&self, fs: &F, ino: Ino, name: &[u8]) -> Result<Bytes> {
        let value = fs.getxattr(ino, &xattr::stored(self.system, name)).await;
        if self.system == System::Linux || ino != Ino::ROOT || name != xattr::FINDER_INFO {
            return value;
        }
        let info = match value {
            Err(e) if e.kind() == ErrorKind::NoAttribute => None,
            value => Some(value?),
        };
        match fs.lookup(Ino::ROOT, ICON_FILE).await {
            Ok(_) => Ok(xattr::with_icon(info.as_deref()).into()),
            Err(_) => info.ok_or_else(|| Error::new(ErrorKind::NoAttribute, "the root has no finder info")),
        }
    }

    /// Names of the attributes that are shown.
    pub(super) async fn list<F: FileSystem>(&self, fs: &F, ino: Ino) -> Result<Vec<Bytes>> {
        let stored = fs.listxattr(ino).await?;
        let shown = stored.iter().filter_map(|name| Some(name.slice_ref(xattr::shown(self.system, name)?)));
        Ok(shown.collect())
    }

    /// Removes an attribute.
    pub(super) async fn remove<F: FileSystem>(&self, fs: &F, (caller, ino): (Caller, Ino), name: &[u8]) -> Result<()> {
        fs.removexattr(caller, ino, &xattr::stored(self.system, name)).await
    }
}

#[cfg(test)]
mod tests {
    use proxyfs_harness::model::Model;

    use super::*;

    const US: Caller = Caller { uid: 0, gid: 0, pid: 1 };
    const FORK: &[u8] = b"com.apple.ResourceFork";
    const LINUX_FLAG_CREATE: i32 = 1;
    const MAC_FLAG_CREATE: i32 = 2;

    async fn file(model: &Model, name: &[u8]) -> Ino {
        let node = proxyfs_core::fs::NewNode { kind: proxyfs_core::fs::FileKind::File, perm: 0o644, umask: 0, rdev: 0 };
        model.mknod(US, Ino::ROOT, name, node).await.expect("a file").ino
    }

    #[tokio::test]
    async fn what_a_mac_sets_lies_in_the_user_namespace_and_only_that_is_shown_to_it() {
        let (model, mac, linux) = (Model::default(), Xattrs::new(System::MacOs), Xattrs::new(System::Linux));
        let ino = file(&model, b"f").await;
        mac.set(&model, (US, ino), b"com.apple.quarantine", (b"q", 0), MAC_FLAG_CREATE).await.expect("an attribute");
        linux.set(&model, (US, ino), b"user.x", (b"1", 0), LINUX_FLAG_CREATE).await.expect("an attribute");
        linux.set(&model, (US, ino), b"trusted.y", (b"2", 0), 0).await.expect("an attribute");
        assert_eq!(mac.list(&model, ino).await.expect("names"), [&b"com.apple.quarantine"[..], b"x"]);
        assert_eq!(mac.get(&model, ino, b"x").await.expect("a value").as_ref(), b"1");
        assert_eq!(linux.get(&model, ino, b"user.com.apple.quarantine").await.expect("a value").as_ref(), b"q");
        let again = mac.set(&model, (US, ino), b"x", (b"3", 0), MAC_FLAG_CREATE).await;
        assert_eq!(again.map_err(|e| e.kind()), Err(ErrorKind::AlreadyExists));
        mac.remove(&model, (US, ino), b"x").await.expect("a removal");
        assert_eq!(linux.get(&model, ino, b"user.x").await.map_err(|e| e.kind()), Err(ErrorKind::NoAttribute));
    }

    #[tokio::test]
    async fn a_resource_fork_is_written_in_parts() {
        let (model, mac) = (Model::default(), Xattrs::new(System::MacOs));
        let ino = file(&model, b"f").await;
        for (part, position) in [(&b"head"[..], 0), (b"tail", 6), (b"--", 4)] {
            mac.set(&model, (US, ino), FORK, (part, position), 0).await.expect("a part");
        }
        assert_eq!(mac.get(&model, ino, FORK).await.expect("the fork").as_ref(), b"head--tail");
        let elsewhere = mac.set(&model, (US, ino), b"com.apple.x", (b"y", 1), 0).await;
        assert_eq!(elsewhere.map_err(|e| e.kind()), Err(ErrorKind::InvalidArgument));
    }

    #[tokio::test]
    async fn parts_written_at_once_are_all_kept() {
        let (model, mac) = (Model::default(), Xattrs::new(System::MacOs));
        let ino = file(&model, b"f").await;
        let parts = (0..64_u32).map(|n| {
            let (model, mac) = (&model, &mac);
            async move { mac.set(model, (US, ino), FORK, (&[n as u8 + 1], n), 0).await }
        });
        futures_util::future::try_join_all(parts).await.expect("all parts");
        let fork = mac.get(&model, ino, FORK).await.expect("the fork");
        assert_eq!(fork.to_vec(), (1..=64).collect::<Vec<u8>>());
    }

    #[tokio::test]
    async fn finder_info_of_zeros_is_none() {
        let (model, mac) = (Model::default(), Xattrs::new(System::MacOs));
        let ino = file(&model, b"f").await;
        let mut info = [0; xattr::FINDER_INFO_BYTES];
        mac.set(&model, (US, ino), xattr::FINDER_INFO, (&info, 0), 0).await.expect("nothing to do");
        info[0] = b'T';
        mac.set(&model, (US, ino), xattr::FINDER_INFO, (&info, 0), 0).await.expect("an attribute");
        assert_eq!(mac.get(&model, ino, xattr::FINDER_INFO).await.expect("a value").as_ref(), info);
        mac.set(&model, (US, ino), xattr::FINDER_INFO, (&[0; 32], 0), 0).await.expect("a removal");
        assert_eq!(mac.list(&model, ino).await.expect("names"), Vec::<Bytes>::new());
    }

    #[tokio::test]
    async fn a_volume_has_an_icon_when_the_file_for_it_is_there() {
        let (model, mac) = (Model::default(), Xattrs::new(System::MacOs));
        let none = mac.get(&model, Ino::ROOT, xattr::FINDER_INFO).await;
        assert_eq!(none.map_err(|e| e.kind()), Err(ErrorKind::NoAttribute));
        let icon = file(&model, ICON_FILE).await;
        assert_eq!(mac.get(&model, Ino::ROOT, xattr::FINDER_INFO).await.expect("marked").get(8), Some(&4));
        let other = mac.get(&model, icon, xattr::FINDER_INFO).await;
        assert_eq!(other.map_err(|e| e.kind()), Err(ErrorKind::NoAttribute));
        let linux = Xattrs::new(System::Linux).get(&model, Ino::ROOT, b"user.com.apple.FinderInfo").await;
        assert_eq!(linux.map_err(|e| e.kind()), Err(ErrorKind::NoAttribute));
    }
}
