//! Listings: streams with cookies, the volume's entries first; and by name, both in one order.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::iter::Peekable;

use super::companion::if_there;
use super::{LOCAL_BIT, LocalOnly, Marked as _, Side, shown};
use crate::error::{ErrorKind, Result};
use crate::format::CaseRule;
use crate::fs::{Caller, DirEntry, FileSystem, Handle, NamedEntry};
use crate::ops::OpCx;
use crate::ops::name::key_name;
use crate::types::Ino;

/// Open streams of directories, by the volume's handle.
#[derive(Debug, Default)]
pub(super) struct Streams(HashMap<Handle, Stream>);

/// One of them.
#[derive(Clone, Copy, Debug)]
struct Stream {
    dir: Ino,
    /// The companion's stream, from when the volume's entries first came to an end.
    local: Option<Handle>,
}

impl<F: FileSystem, L: FileSystem> LocalOnly<F, L> {
    pub(super) async fn open_stream(&self, caller: Caller, ino: Ino) -> Result<Handle> {
        let ino = match Side::of(ino) {
            Side::Volume(ino) => ino,
            Side::Local(ino) => return self.local.opendir(caller, ino).await.map(Handle::shown),
        };
        let handle = self.volume.opendir(caller, ino).await?;
        self.streams.lock().0.insert(handle, Stream { dir: ino, local: None });
        Ok(handle)
    }

    pub(super) async fn close_stream(&self, handle: Handle) -> Result<()> {
        let handle = match Side::of(handle) {
            Side::Volume(handle) => handle,
            Side::Local(handle) => return self.local.releasedir(handle).await,
        };
        let local = self.streams.lock().0.remove(&handle).and_then(|stream| stream.local);
        let closed = self.volume.releasedir(handle).await;
        match local {
            Some(local) => closed.and(self.local.releasedir(local).await),
            None => closed,
        }
    }

    pub(super) async fn read_stream(&self, handle: Handle, cookie: u64, with_attrs: bool) -> Result<Vec<DirEntry>> {
        if cookie & LOCAL_BIT != 0 {
            return self.read_local(handle, cookie & !LOCAL_BIT, with_attrs).await;
        }
        let entries = self.volume.readdir(handle, cookie, with_attrs).await?;
        if entries.is_empty() { self.read_local(handle, 0, with_attrs).await } else { Ok(entries) }
    }

    async fn read_local(&self, handle: Handle, mut cookie: u64, with_attrs: bool) -> Result<Vec<DirEntry>> {
        let Some((dir, local)) = self.local_stream(handle).await? else { return Ok(Vec::new()) };
        loop {
            let page = self.local.readdir(local, cookie, with_attrs).await?;
            let Some(last) = page.last() else { return Ok(Vec::new()) };
            cookie = last.cookie;
            let mut entries = Vec::with_capacity(page.len());
            for entry in page {
                if !matches!(entry.name.as_ref(), b"." | b"..") && !self.is_hidden(dir, &entry.name).await? {
                    let (ino, cookie) = (entry.ino.shown(), entry.cookie | LOCAL_BIT);
                    entries.push(DirEntry { ino, cookie, attr: entry.attr.map(shown), ..entry });
                }
            }
            if !entries.is_empty() {
                return Ok(entries);
            }
        }
    }

    /// Whether the volume has the name of a file of the companion.
    async fn is_hidden(&self, dir: Ino, name: &[u8]) -> Result<bool> {
        Ok(if_there(self.volume.lookup(dir, name).await)?.is_some())
    }

    /// The directory of a stream and the companion's stream, if there is a companion.
    async fn local_stream(&self, handle: Handle) -> Result<Option<(Ino, Handle)>> {
        let stream = self.streams.lock().0.get(&handle).copied().ok_or(ErrorKind::BadHandle)?;
        if let Some(local) = stream.local {
            return Ok(Some((stream.dir, local)));
        }
        let Some(fresh) = self.open_companion(stream.dir).await? else { return Ok(None) };
        let kept = self.streams.lock().0.get_mut(&handle).map(|stream| *stream.local.get_or_insert(fresh));
        if kept != Some(fresh) {
            // Somebody else was faster, or has closed it.
            self.local.releasedir(fresh).await?;
        }
        Ok(Some((stream.dir, kept.ok_or(ErrorKind::BadHandle)?)))
    }

    pub(super) async fn named_after(&self, dir: Ino, after: Option<&[u8]>) -> Result<Vec<NamedEntry>> {
        let dir = match Side::of(dir) {
            Side::Volume(dir) => dir,
            Side::Local(ino) => return self.local.entries_after(ino, after).await,
        };
        let of_volume = self.volume.entries_after(dir, after).await?;
        let Some(companion) = self.companion_of(dir).await? else { return Ok(of_volume) };
        let of_local = if_there(self.local.entries_after(companion, after).await)?.unwrap_or_default();
        let of_local = of_local.into_iter().map(|e| NamedEntry { attr: shown(e.attr), ..e }).collect();
        let cx = OpCx { case_insensitive: self.case == CaseRule::Insensitive, ..OpCx::default() };
        Ok(merge(of_volume, of_local, |entry| key_name(&cx, &entry.name).into_owned()))
    }
}

/// Two pages that begin after the same name as one, in the order of `key`; of equal ones the first page's. It ends where the first of
/// them ends: what follows there in the other may be preceded by what is on the next page of this one. An empty page has none after it.
fn merge(first: Vec<NamedEntry>, second: Vec<NamedEntry>, key: impl Fn(&NamedEntry) -> Vec<u8>) -> Vec<NamedEntry> {
    let end = match (first.last(), second.last()) {
        (None, _) => return second,
        (_, None) => return first,
        (Some(a), Some(b)) => key(a).min(key(b)),
    };
    let mut merged = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (keyed(first, &key), keyed(second, &key));
    loop {
        let order = match (first.peek(), second.peek()) {
            (Some((a, _)), Some((b, _))) => a.cmp(b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return merged,
        };
        let next = if order == Ordering::Greater { second.next() } else { first.next() };
        if order == Ordering::Equal {
            second.next();
        }
        match next {
            Some((key, entry)) if key <= end => merged.push(entry),
            _ => return merged,
        }
    }
}

fn keyed<'k>(
    page: Vec<NamedEntry>,
    key: &'k impl Fn(&NamedEntry) -> Vec<u8>,
) -> Peekable<impl Iterator<Item = (Vec<u8>, NamedEntry)> + 'k> {
    page.into_iter().map(|entry| (key(&entry), entry)).peekable()
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;
    use crate::fs::FileKind;

    fn page(names: &str, ino: u64) -> Vec<NamedEntry> {
        let attr = example(ino, FileKind::File);
        names.split_whitespace().map(|name| NamedEntry { name: name.to_owned().into(), attr }).collect()
    }

    #[test]
    fn pages_are_merged_up_to_where_the_first_of_them_ends() {
        for (first, second, expected) in [
            ("", "", ""),
            ("a b", "", "a1 b1"),
            ("", "a b", "a2 b2"),
            ("a c e", "b d", "a1 b2 c1 d2"),
            ("a z", "b c", "a1 b2 c2"),
            ("a b", "x y z", "a1 b1"),
            ("x y", "a b", "a2 b2"),
            ("a b c", "b", "a1 b1"),
            ("b", "a b c", "a2 b1"),
            ("a", "a", "a1"),
        ] {
            let merged = merge(page(first, 1), page(second, 2), |e| e.name.to_vec());
            let shown: Vec<String> =
                merged.iter().map(|e| format!("{}{}", String::from_utf8_lossy(&e.name), e.attr.ino)).collect();
            assert_eq!(shown.join(" "), expected, "{first} | {second}");
        }
    }
}
