//! Operations on directories as a whole.
//!
//! Implementations may list in any order, so a stream that is read in pieces while the directory changes is judged by itself, when
//! its end is reached: an entry that was there throughout must have been seen exactly once, and nothing may be made up.

use std::collections::BTreeSet;

use proxyfs_core::Result;
use proxyfs_core::fs::{DirEntry, FileSystem, Handle, NamedEntry};
use proxyfs_core::types::Ino;

use super::super::outcome::{EntryView, Reply};
use super::super::slots::OpenDir;
use super::super::{Op, Target};
use super::{Run, caller};

impl<F: FileSystem> Run<'_, F> {
    pub(super) async fn listing_op(&mut self, op: &Op) -> Result<Reply> {
        match op {
            Op::List { target, with_attrs } => self.list(target, *with_attrs).await,
            Op::Opendir { target, slot } => self.opendir(target, *slot).await,
            Op::Readdir { slot, take } => self.readdir(*slot, *take).await,
            Op::Closedir { slot } => self.closedir(*slot).await,
            Op::Fsyncdir { slot } => match &self.slots.dirs[usize::from(*slot)] {
                Some(open) => self.fs.fsyncdir(open.handle).await.map(|()| Reply::Done),
                None => Ok(Reply::Skipped),
            },
            _ => Ok(Reply::Skipped),
        }
    }

    async fn list(&mut self, target: &Target, with_attrs: bool) -> Result<Reply> {
        let Some(ino) = self.find(target).await? else { return Ok(Reply::Skipped) };
        let mut entries = read_all(self.fs, ino, with_attrs).await?;
        let dots: Vec<&[u8]> = entries.iter().take(2).map(|e| e.name.as_ref()).collect();
        let dots_first = dots == [b".".as_ref(), b"..".as_ref()];
        if !dots_first || entries.iter().any(|e| e.cookie == 0) {
            return Ok(Reply::Checked(vec!["dots are not first, or a cookie is 0".to_owned()]));
        }
        if with_attrs {
            let wrong = self.compare_with_pages(ino, &entries[2..]).await?;
            if !wrong.is_empty() {
                return Ok(Reply::Checked(wrong));
            }
        }
        // Numbers for inodes are given out in the order of names, which is the same on both sides.
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let view = |entry: DirEntry| EntryView {
            name: entry.name.to_vec(),
            kind: entry.kind,
            attr: entry.attr.map(|attr| self.slots.view(&attr)),
        };
        Ok(Reply::Entries(entries.into_iter().map(view).collect()))
    }

    /// What is wrong with the pages of [`FileSystem::entries_after`], given what a stream lists.
    async fn compare_with_pages(&self, ino: Ino, listed: &[DirEntry]) -> Result<Vec<String>> {
        let mut paged: Vec<NamedEntry> = Vec::new();
        loop {
            let after = paged.last().map(|entry| entry.name.clone());
            let page = self.fs.entries_after(ino, after.as_deref()).await?;
            if page.is_empty() {
                break;
            }
            paged.extend(page);
        }
        let mut expected: Vec<(&[u8], Ino)> =
            listed.iter().filter_map(|e| Some((e.name.as_ref(), e.attr.as_ref()?.ino))).collect();
        expected.sort_unstable();
        let found: Vec<(&[u8], Ino)> = paged.iter().map(|e| (e.name.as_ref(), e.attr.ino)).collect();
        if found == expected { Ok(Vec::new()) } else { Ok(vec![format!("pages of {found:?}, listed {expected:?}")]) }
    }

    async fn opendir(&mut self, target: &Target, slot: u8) -> Result<Reply> {
        let Some(ino) = self.find(target).await? else { return Ok(Reply::Skipped) };
        let handle = self.fs.opendir(caller(0), ino).await?;
        self.closedir(slot).await?;
        let at_start = self.names(ino).await?;
        let open = OpenDir { handle, ino, cookie: 0, at_start, seen: Vec::new(), disturbed: BTreeSet::new() };
        self.slots.dirs[usize::from(slot)] = Some(open);
        Ok(Reply::Done)
    }

    /// Takes up to `take` entries; at the end judges what was seen and starts over.
    async fn readdir(&mut self, slot: u8, take: u8) -> Result<Reply> {
        let Some(mut open) = self.slots.dirs[usize::from(slot)].take() else { return Ok(Reply::Skipped) };
        let mut wrong = Vec::new();
        let entries = self.fs.readdir(open.handle, open.cookie, false).await;
        match entries.as_deref() {
            Ok([]) => {
                let at_end = self.names(open.ino).await.unwrap_or_default();
                wrong = judge(&open, &at_end);
                open = OpenDir { cookie: 0, at_start: at_end, seen: Vec::new(), disturbed: BTreeSet::new(), ..open };
            }
            Ok(entries) => {
                for entry in entries.iter().take(usize::from(take.max(1))) {
                    open.cookie = entry.cookie;
                    open.seen.push(entry.name.to_vec());
                }
            }
            Err(_) => {}
        }
        self.slots.dirs[usize::from(slot)] = Some(open);
        entries.map(|_| Reply::Checked(wrong))
    }

    pub(super) async fn closedir(&mut self, slot: u8) -> Result<Reply> {
        let Some(open) = self.slots.dirs[usize::from(slot)].take() else { return Ok(Reply::Skipped) };
        self.concerned.push(open.ino);
        self.fs.releasedir(open.handle).await?;
        Ok(Reply::Done)
    }

    async fn names(&self, ino: Ino) -> Result<BTreeSet<Vec<u8>>> {
        Ok(read_all(self.fs, ino, false).await?.iter().map(|entry| entry.name.to_vec()).collect())
    }
}

/// Reads a whole directory through a stream of its own.
pub(crate) async fn read_all<F: FileSystem>(fs: &F, ino: Ino, with_attrs: bool) -> Result<Vec<DirEntry>> {
    let handle = fs.opendir(caller(0), ino).await?;
    let entries = read_rest(fs, handle, with_attrs).await;
    fs.releasedir(handle).await?;
    entries
}

async fn read_rest<F: FileSystem>(fs: &F, handle: Handle, with_attrs: bool) -> Result<Vec<DirEntry>> {
    let mut entries: Vec<DirEntry> = Vec::new();
    loop {
        let cookie = entries.last().map_or(0, |entry| entry.cookie);
        let more = fs.readdir(handle, cookie, with_attrs).await?;
        if more.is_empty() {
            return Ok(entries);
        }
        entries.extend(more);
    }
}

/// What is wrong with a finished listing.
fn judge(open: &OpenDir, at_end: &BTreeSet<Vec<u8>>) -> Vec<String> {
    let mut wrong = Vec::new();
    for name in open.at_start.intersection(at_end).filter(|name| !open.disturbed.contains(*name)) {
        let times = open.seen.iter().filter(|seen| *seen == name).count();
        if times != 1 {
            wrong.push(format!("{:?} was there throughout and was seen {times} times", String::from_utf8_lossy(name)));
        }
    }
    for name in &open.seen {
        if !(open.at_start.contains(name) || at_end.contains(name) || open.disturbed.contains(name)) {
            wrong.push(format!("{:?} was never there", String::from_utf8_lossy(name)));
        }
    }
    wrong
}
