//! File attributes, times, security, Windows' extended attributes, and the volume's label and size.

use bytes::Bytes;
use proxyfs_core::fs::{Attr, FileKind, FileSystem, SetAttr, SetTime};
use proxyfs_core::types::{Ino, Timestamp};

use super::{Answer, Drive, Info, Open};
use crate::ea::Ea;
use crate::meta::{self as kept, StoredSecurity, file_attribute as fa};
use crate::security;
use crate::status::Status;

/// Longest label in UTF-16 units, as WinFsp passes it.
pub(crate) const LABEL_UNITS_MAX: usize = 32;

/// What is to be changed of a file's basic information; `None` leaves it alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Basic {
    /// File attributes.
    pub attributes: Option<u32>,
    /// Creation.
    pub creation: Option<Timestamp>,
    /// Last access.
    pub access: Option<Timestamp>,
    /// Last change of content.
    pub write: Option<Timestamp>,
    /// Last change of anything.
    pub change: Option<Timestamp>,
}

/// Size and label of the volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeInfo {
    /// Bytes in all.
    pub total_bytes: u64,
    /// Bytes left.
    pub free_bytes: u64,
    /// The label.
    pub label: String,
}

impl<F: FileSystem> Drive<F> {
    /// The file attributes that are kept, or those that stand for none.
    pub(super) async fn chosen_attributes(&self, attr: &Attr, hidden_dot: bool) -> Answer<u32> {
        let value = self.kept_value(attr.ino, kept::ATTRIBUTES).await?;
        let stored = value.and_then(|v| kept::decode_attributes(&v));
        Ok(stored.unwrap_or_else(|| kept::default_attributes(attr, hidden_dot)))
    }

    /// Keeps file attributes; those that stand for none are not kept.
    pub(super) async fn keep_attributes(&self, attr: &Attr, hidden_dot: bool, attributes: u32) -> Answer<()> {
        let wanted = attributes & fa::STORED;
        let default = kept::default_attributes(attr, hidden_dot);
        let value = self.kept_value(attr.ino, kept::ATTRIBUTES).await?;
        let before = value.as_ref().and_then(|v| kept::decode_attributes(v));
        // Of a symlink, whether it is one to a directory.
        let direction = before.unwrap_or(0) & fa::DIRECTORY;
        if before.unwrap_or(default) == wanted | direction {
            return Ok(());
        }
        if wanted | direction == default {
            return self.keep_no_longer(attr.ino, kept::ATTRIBUTES).await;
        }
        self.keep(attr.ino, kept::ATTRIBUTES, &kept::encode_attributes(wanted | direction)).await
    }

    /// Changes attributes and times.
    pub async fn set_basic(&self, open: &Open, basic: Basic) -> Answer<Info> {
        let ino = open.target().ino;
        if let Some(attributes) = basic.attributes {
            let attr = self.fs.getattr(ino).await?;
            let is_dir = attr.kind == FileKind::Dir;
            if attributes & fa::DIRECTORY != 0 && !is_dir && open.stream.is_none() {
                let info = self.info(open).await?;
                if info.attributes & fa::DIRECTORY == 0 {
                    return Err(Status::INVALID_PARAMETER);
                }
            }
            self.keep_attributes(&attr, open.hidden_dot, attributes).await?;
        }
        let set = SetAttr {
            btime: basic.creation,
            atime: basic.access.map(SetTime::At),
            mtime: basic.write.map(SetTime::At),
            ctime: basic.change,
            ..SetAttr::default()
        };
        if set != SetAttr::default() {
            self.fs.setattr(self.caller(), ino, set).await?;
        }
        if basic.write.is_some() {
            *open.pinned_mtime.lock() = basic.write;
        }
        self.info(open).await
    }

    /// The security descriptor of an inode: the one that was set, as long as permissions and owners are those that it was set with, or
    /// one made of them.
    pub async fn security_of(&self, attr: &Attr) -> Answer<Vec<u8>> {
        let value = self.kept_value(attr.ino, kept::SECURITY).await?;
        let stored = value.and_then(|v| StoredSecurity::decode(&v)).filter(|stored| stored.holds_for(attr));
        let whole = stored.map(|s| s.descriptor).filter(|descriptor| security::check(descriptor).is_ok());
        Ok(whole.unwrap_or_else(|| security::derive(attr, &self.options.who)))
    }

    /// The security descriptor of an open file.
    pub async fn security(&self, open: &Open) -> Answer<Vec<u8>> {
        let attr = self.fs.getattr(open.target().ino).await?;
        self.security_of(&attr).await
    }

    /// Changes the `parts` ([`security::part`]) of an open file's descriptor to those of `change`. Permissions follow.
    ///
    /// # Errors
    /// `INVALID_SECURITY_DESCR` and the like for a descriptor that is not whole.
    pub async fn set_security(&self, open: &Open, parts: u32, change: &[u8]) -> Answer<()> {
        let attr = self.fs.getattr(open.target().ino).await?;
        let merged = security::merge(&self.security_of(&attr).await?, parts, change)?;
        self.keep_security(&attr, merged).await
    }

    pub(super) async fn keep_security(&self, attr: &Attr, descriptor: Vec<u8>) -> Answer<()> {
        security::check(&descriptor)?;
        let perm = match attr.kind {
            FileKind::Symlink => attr.perm,
            kind => security::permissions(&descriptor, kind, attr.perm, &self.options.who)?,
        };
        let mut attr = *attr;
        if perm != attr.perm {
            let set = SetAttr { perm: Some(perm), ..SetAttr::default() };
            attr = self.fs.setattr(self.caller(), attr.ino, set).await?;
        }
        let stored = StoredSecurity { perm: attr.perm, uid: attr.uid, gid: attr.gid, descriptor };
        self.keep(attr.ino, kept::SECURITY, &stored.encode()).await
    }

    /// All of Windows' extended attributes of an open file.
    pub async fn eas(&self, open: &Open) -> Answer<Vec<Ea>> {
        let ino = open.target().ino;
        let attributes: Vec<Bytes> =
            self.fs.listxattr(ino).await?.into_iter().filter(|a| kept::ea_of(a).is_some()).collect();
        self.eas_named(ino, &attributes).await
    }

    pub(super) async fn eas_named(&self, ino: Ino, attributes: &[Bytes]) -> Answer<Vec<Ea>> {
        let mut found = Vec::with_capacity(attributes.len());
        for attribute in attributes {
            let value = self.kept_value(ino, attribute).await?;
            if let (Some(name), Some(value)) = (kept::ea_of(attribute), value) {
                found.push(Ea { flags: 0, name: name.to_vec(), value });
            }
        }
        Ok(found)
    }

    /// Sets some of them; an empty value removes one. Names are found in any case.
    pub async fn set_eas(&self, open: &Open, eas: &[Ea]) -> Answer<Info> {
        self.put_eas(open.target().ino, eas).await?;
        self.info(open).await
    }

    pub(super) async fn put_eas(&self, ino: Ino, eas: &[Ea]) -> Answer<()> {
        if eas.is_empty() {
            return Ok(());
        }
        let there = self.fs.listxattr(ino).await?;
        for ea in eas {
            let same = |a: &&Bytes| kept::ea_of(a).is_some_and(|name| name.eq_ignore_ascii_case(&ea.name));
            let attribute = there.iter().find(same).map_or_else(|| kept::ea_attribute(&ea.name), |a| a.to_vec());
            if kept::ea_of(&attribute).is_none() {
                return Err(Status::INVALID_EA_NAME);
            }
            if ea.value.is_empty() {
                self.keep_no_longer(ino, &attribute).await?;
            } else {
                self.keep(ino, &attribute, &ea.value).await?;
            }
        }
        Ok(())
    }

    /// Size and label of the volume.
    pub async fn volume(&self) -> Answer<VolumeInfo> {
        let size = self.fs.statfs().await?;
        let label = self.kept_value(Ino::ROOT, kept::LABEL).await?;
        let label = label.and_then(|l| String::from_utf8(l).ok()).unwrap_or_else(|| self.options.label.clone());
        let free_bytes = size.total_bytes.saturating_sub(size.used_bytes);
        Ok(VolumeInfo { total_bytes: size.total_bytes, free_bytes, label })
    }

    /// Sets the label.
    ///
    /// # Errors
    /// `INVALID_PARAMETER` for one of more than 32 UTF-16 units.
    pub async fn set_label(&self, label: &str) -> Answer<VolumeInfo> {
        if label.encode_utf16().count() > LABEL_UNITS_MAX {
            return Err(Status::INVALID_PARAMETER);
        }
        self.keep(Ino::ROOT, kept::LABEL, label.as_bytes()).await?;
        self.volume().await
    }
}
