//! Handing over what a writer that lost its epoch had not published: as a folder in the volume's root, beside what others wrote.
//!
//! Owns the rebuilding of the lost line (its last head, then its log, as far as it is whole), the choice of what is handed over
//! (every file that was made or written since that head, whole; what was removed, renamed or given other attributes is only
//! listed), and the copy into a folder. Nothing that is in the volume is changed or replaced. Each file appears under its name when
//! it is complete, and the folder carries the line's id: so a hand-over that was cut short goes on, without doubles. The files of the
//! lost line are removed when a head covers the folder.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use crate::env::LocalFile;
use crate::error::{Error, ErrorKind, Result};
use crate::format::keys::{dirent_key, segment_location_key};
use crate::format::{DataRef, Dirent, InodeRecord, Key, KeyWrite, LogFileHeader, Record};
use crate::fs::{
    Attr, Caller, FileKind, FileSystem, Handle, NewNode, OpenFlags, SetAttr, SetTime, WriteFlags, XattrMode,
};
use crate::kv::KvRead;
use crate::limits::HANDOVER_CHUNK_BYTES;
use crate::ops::{self, Source};
use crate::tree::{PageLimits, PinSet, Tree};
use crate::types::{Ino, SegmentId};
use crate::volume::Volume;
use crate::volume::fenced::Remains;
use crate::volume::recover::read_overlay;

/// Attribute of the folder that names the line it came from.
const MARK_XATTR: &[u8] = b"user.proxyfs.recovered";
/// First words of the folder's name.
const FOLDER_PREFIX: &str = "Recovered from";
/// Name of the listing inside the folder.
const LISTING: &str = "What was recovered.txt";
/// Most bytes of a host's name in the folder's name.
const HOST_BYTES_MAX: usize = 100;

/// A lost line, rebuilt.
struct OldLine {
    /// The line's last known head.
    base: Tree,
    /// Everything after it applied.
    tree: Tree,
    staged: HashMap<SegmentId, Staged>,
    /// Inodes whose record or attributes were written, and whether their content was.
    inodes: BTreeMap<Ino, bool>,
    /// Names that were written: directory and key name.
    names: BTreeSet<(Ino, Vec<u8>)>,
    /// Why the log was not read to its end.
    cut_short: Option<String>,
}

/// A staging file of a lost line.
struct Staged {
    file: Arc<dyn LocalFile>,
    /// Length and place in the file, by logical position.
    runs: BTreeMap<u64, (u64, u64)>,
}

impl Staged {
    fn read(&self, position: u64, len: u64) -> Result<Vec<u8>> {
        let mut out = vec![0; to_usize(len)];
        let mut at = position;
        while at < position + len {
            let run = self.runs.range(..=at).next_back().filter(|(start, (run, _))| at < *start + run);
            let Some((start, (run, place))) = run else {
                return Err(Error::new(ErrorKind::Corrupt, format!("position {at} of a staging file holds nothing")));
            };
            let part = (start + run - at).min(position + len - at);
            let target = &mut out[to_usize(at - position)..to_usize(at - position + part)];
            self.file
                .read_exact_at(target, place + (at - start))
                .map_err(|e| Error::with_source(ErrorKind::Io, "cannot read a staging file of a lost term", e))?;
            at += part;
        }
        Ok(out)
    }
}

fn to_usize(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// Bytes with their offset in the file.
type Pieces = Vec<(u64, Vec<u8>)>;

/// What became of a hand-over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Name of the folder in the root; `None` when nothing of the lost line was missing in the volume.
    pub folder: Option<Vec<u8>>,
    /// Files, symlinks and special files in it, the listing left out.
    pub files: usize,
}

/// Lines of the listing.
#[derive(Default)]
struct Listing {
    recovered: Vec<String>,
    incomplete: Vec<String>,
    same: Vec<String>,
    removed: Vec<String>,
    renamed: Vec<String>,
    attributes: Vec<String>,
}

impl Listing {
    fn text(&self, host: &str, cut_short: Option<&str>) -> String {
        let mut out = format!(
            "Changes that were made on {host} and could not be brought into this volume, because another computer had taken it over.\n\
             The files in this folder are whole copies. Nothing else in the volume was changed.\n"
        );
        let parts = [
            ("Recovered in this folder:", &self.recovered),
            (
                "Recovered in part, as older content of theirs is gone from the store (missing bytes are zeros):",
                &self.incomplete,
            ),
            ("Changed there, and the same in the volume (not copied):", &self.same),
            ("Removed there (not removed here):", &self.removed),
            ("Renamed there (not renamed here):", &self.renamed),
            ("Given other permissions, owners or attributes there (not changed here):", &self.attributes),
        ];
        for (title, lines) in parts.iter().filter(|(_, lines)| !lines.is_empty()) {
            out.push_str(&format!("\n{title}\n"));
            lines.iter().for_each(|line| out.push_str(&format!("  {line}\n")));
        }
        if let Some(why) = cut_short {
            out.push_str(&format!("\nWhat came after that could not be read: {why}\n"));
        }
        out
    }

    fn is_empty(&self) -> bool {
        [&self.recovered, &self.incomplete, &self.removed, &self.renamed, &self.attributes].iter().all(|l| l.is_empty())
    }
}

impl Volume {
    /// Hands over what this host had not published when it lost an earlier term: see the module. A volume that is open for writing does so
    /// by itself after its mount; this waits for it. On return a head covers what was handed over.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`], [`ErrorKind::NoSpace`]: the rest is done next time. [`ErrorKind::Corrupt`] when the lost line's last
    /// head is gone from the store: its files stay in the state directory. The volume's halt.
    pub async fn recover_fenced(&self) -> Result<Vec<Recovered>> {
        self.shared.check_writable()?;
        let _one = self.shared.handing_over.lock().await;
        let mut done = Vec::new();
        for remains in Remains::list(&*self.shared.env.dir)? {
            let mut recovered = None;
            if !remains.is_done() {
                recovered = Some(self.hand_over(&remains).await?);
                self.checkpoint().await?;
            }
            if let Some(Recovered { folder: Some(folder), files }) = &recovered {
                self.shared.note_handed_over(folder, *files);
            }
            remains.remove(&*self.shared.env.dir).await?;
            done.extend(recovered);
        }
        Ok(done)
    }

    async fn hand_over(&self, remains: &Remains) -> Result<Recovered> {
        let line = self.rebuild(remains).await?;
        let mut listing = Listing::default();
        self.list_names(&line, &mut listing).await?;
        let mut files = Vec::new();
        for (&ino, &content) in &line.inodes {
            let load = |tree| self.shared.view_tree(tree, move |kv| ops::inode::try_load(kv, ino));
            let (old, Some(new)) = (load(&line.base).await?, load(&line.tree).await?) else { continue };
            if new.nlink == 0 {
                continue;
            }
            let is_new = old.is_none();
            let written = content || old.as_ref().is_some_and(|old| old.size != new.size);
            let path = self.old_path(&line.tree, ino).await?;
            let there = self.resolve(&path).await?;
            if is_new || (new.kind == FileKind::File && written) {
                if !self.has_same(&line, ino, &new, there).await? {
                    files.push((path, ino, new));
                } else if new.kind != FileKind::Dir {
                    listing.same.push(show(&path));
                }
            } else if old.is_some_and(|old| rights(&old) != rights(&new))
                && there.is_some_and(|attr| (attr.perm, attr.uid, attr.gid) != rights(&new))
            {
                listing.attributes.push(show(&path));
            }
        }
        // By paths, so that directories come before what is in them.
        files.sort_by(|a, b| a.0.cmp(&b.0));
        if files.is_empty() && listing.is_empty() && line.cut_short.is_none() {
            return Ok(Recovered { folder: None, files: 0 });
        }
        let host = host_name(&remains.head.owner);
        let (folder, name) = self.folder(remains, &host).await?;
        let top: BTreeSet<Vec<u8>> =
            files.iter().filter_map(|(path, _, _)| names(path).next().map(<[u8]>::to_vec)).collect();
        for (path, ino, record) in &files {
            let whole = self.hand_over_one(&line, folder, path, *ino, record).await?;
            if record.kind != FileKind::Dir {
                if whole { &mut listing.recovered } else { &mut listing.incomplete }.push(show(path));
            }
        }
        let text = listing.text(&host, line.cut_short.as_deref());
        let list_name = (1..).map(|n| numbered(LISTING, n)).find(|n| !top.contains(n)).unwrap_or_default();
        self.put_listing(folder, &list_name, text).await?;
        let files = listing.recovered.len() + listing.incomplete.len();
        tracing::warn!(volume = %self.shared.meta.name, "{files} files of a lost term are in {:?}", String::from_utf8_lossy(&name));
        Ok(Recovered { folder: Some(name), files })
    }

    /// The lost line: its head, then its log.
    async fn rebuild(&self, remains: &Remains) -> Result<OldLine> {
        let shared = &self.shared;
        let open =
            || Tree::open(Arc::clone(&shared.engine.pages), shared.tag, PageLimits::default(), remains.head.root);
        let mut line = OldLine {
            base: open(),
            tree: open(),
            staged: HashMap::new(),
            inodes: BTreeMap::new(),
            names: BTreeSet::new(),
            cut_short: None,
        };
        let mut pins = PinSet::new(Arc::clone(&shared.engine.pages));
        if let Some(overlay) = read_overlay(&shared.storage, &remains.head).await? {
            for body in overlay.records {
                self.apply_old(&mut line.tree, &body.writes, &mut pins).await?;
            }
        }
        let mut next = remains.head.lsn.next();
        let mut logs = Vec::new();
        for bytes in remains.logs(&*shared.env.dir)? {
            match LogFileHeader::decode_file(&bytes) {
                Ok((header, records)) if remains.owns(&header) => logs.push((header, records)),
                // A file that was just made, or of another line: nothing in it was acknowledged on this one.
                _ => {}
            }
        }
        logs.sort_by_key(|(header, _)| header.first_lsn);
        'logs: for (header, records) in logs {
            for record in header.scan(&records) {
                if record.lsn < next {
                    continue;
                }
                if record.lsn > next || !self.stage_old(remains, &mut line, &record, &mut pins).await? {
                    line.cut_short =
                        Some(format!("the staged bytes or the log before change {} are not whole", record.lsn));
                    break 'logs;
                }
                self.apply_old(&mut line.tree, &record.writes, &mut pins).await?;
                record.writes.iter().for_each(|write| line.note(&write.key));
                next = record.lsn.next();
            }
        }
        Ok(line)
    }

    async fn apply_old(&self, tree: &mut Tree, writes: &[KeyWrite], pins: &mut PinSet) -> Result<()> {
        for write in writes {
            while let Err(miss) = tree.make_writable(&write.key) {
                self.shared.load(miss, pins).await?;
            }
        }
        for write in writes {
            let done = match &write.value {
                Some(value) => tree.insert(&write.key, value),
                None => tree.remove(&write.key),
            };
            done.map_err(|_| Error::new(ErrorKind::Internal, "a page that was made writable is missing"))?;
        }
        Ok(())
    }

    /// Takes in the staged bytes of a record. Whether all of them are there and true, or in the store.
    async fn stage_old(
        &self,
        remains: &Remains,
        line: &mut OldLine,
        record: &Record,
        pins: &mut PinSet,
    ) -> Result<bool> {
        for data in &record.data {
            let file = match line.staged.contains_key(&data.segment) {
                true => None,
                false => remains.stage_file(&*self.shared.env.dir, data.segment)?,
            };
            if let Some(file) = file {
                line.staged.insert(data.segment, Staged { file, runs: BTreeMap::new() });
            }
            if let Some(staged) = line.staged.get_mut(&data.segment) {
                if !is_true(&*staged.file, data) {
                    return Ok(false);
                }
                staged.runs.insert(data.position, (data.len, data.place));
            } else if !self.is_located(&line.tree, data.segment, pins).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn is_located(&self, tree: &Tree, segment: SegmentId, pins: &mut PinSet) -> Result<bool> {
        loop {
            match tree.get(&segment_location_key(segment, 0)) {
                Ok(found) => return Ok(found.is_some()),
                Err(miss) => self.shared.load(miss, pins).await?,
            }
        }
    }

    /// Lists names that are gone and names that moved.
    async fn list_names(&self, line: &OldLine, listing: &mut Listing) -> Result<()> {
        let mut gone: BTreeMap<Ino, Vec<u8>> = BTreeMap::new();
        let mut come: BTreeMap<Ino, Vec<u8>> = BTreeMap::new();
        for (dir, key_name) in &line.names {
            let key = dirent_key(*dir, key_name);
            let load = async |tree: &Tree| {
                let value = self.shared.view_tree(tree, |kv| Ok(kv.get(&key)?)).await?;
                value.map(|v| Dirent::decode(&v)).transpose().map_err(Error::from)
            };
            let (old, new) = (load(&line.base).await?, load(&line.tree).await?);
            if old.as_ref().map(|d| d.ino) == new.as_ref().map(|d| d.ino) {
                continue;
            }
            if let Some(old) = old {
                gone.insert(old.ino, self.joined(&line.base, *dir, old.name(key_name)).await?);
            }
            if let Some(new) = new {
                come.insert(new.ino, self.joined(&line.tree, *dir, new.name(key_name)).await?);
            }
        }
        for (ino, path) in gone {
            // What the volume has come to by itself needs no mention.
            let still_there = self.resolve(&path).await?.is_some();
            match come.get(&ino) {
                Some(to) if still_there || self.resolve(to).await?.is_none() => {
                    listing.renamed.push(format!("{} -> {}", show(&path), show(to)));
                }
                None if still_there => listing.removed.push(show(&path)),
                _ => {}
            }
        }
        Ok(())
    }

    /// What the volume has under a path.
    async fn resolve(&self, path: &[u8]) -> Result<Option<Attr>> {
        let mut at = self.getattr(Ino::ROOT).await?;
        for name in names(path) {
            match self.lookup(at.ino, name).await {
                Ok(attr) => at = attr,
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Some(at))
    }

    async fn joined(&self, tree: &Tree, dir: Ino, name: &[u8]) -> Result<Vec<u8>> {
        let mut path = self.old_path(tree, dir).await?;
        if path.last() != Some(&b'/') {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        Ok(path)
    }

    /// The path of an inode in a lost line; one without a name that is found gets one from its number.
    async fn old_path(&self, tree: &Tree, ino: Ino) -> Result<Vec<u8>> {
        let path = self.shared.view_tree(tree, |kv| ops::path::path_of(kv, ino)).await?;
        Ok(path.unwrap_or_else(|| format!("/inode {ino}").into_bytes()))
    }

    /// Whether `there`, which the volume has under the same path, is the same thing with the same content.
    async fn has_same(&self, line: &OldLine, ino: Ino, record: &InodeRecord, there: Option<Attr>) -> Result<bool> {
        let Some(attr) = there.filter(|attr| attr.kind == record.kind) else { return Ok(false) };
        match record.kind {
            FileKind::File if attr.size == record.size => {}
            FileKind::File => return Ok(false),
            FileKind::Symlink => return Ok(self.readlink(attr.ino).await? == record.target),
            _ => return Ok(attr.rdev == record.rdev),
        }
        let flags = OpenFlags { read: true, ..OpenFlags::default() };
        let handle = self.open(Caller::default(), attr.ino, flags).await?;
        let same = self.compare(line, ino, record.size, handle).await;
        self.release(handle, None).await?;
        same
    }

    async fn compare(&self, line: &OldLine, ino: Ino, size: u64, handle: Handle) -> Result<bool> {
        let mut at = 0;
        while at < size {
            let len = HANDOVER_CHUNK_BYTES.min(size - at);
            let (theirs, whole) = self.read_old(line, ino, at, len).await?;
            let mine = match self.read(handle, at, u32::try_from(len).unwrap_or(u32::MAX)).await {
                // What is damaged is not the same.
                Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(false),
                other => other?,
            };
            let mut expected = vec![0; to_usize(len)];
            for (offset, bytes) in theirs {
                expected[to_usize(offset - at)..to_usize(offset - at) + bytes.len()].copy_from_slice(&bytes);
            }
            if !whole || mine.concat() != expected {
                return Ok(false);
            }
            at += len;
        }
        Ok(true)
    }

    /// The data in a range of a file of a lost line, and whether all of it is there.
    async fn read_old(&self, line: &OldLine, ino: Ino, offset: u64, len: u64) -> Result<(Pieces, bool)> {
        let mapped = self.shared.view_tree(&line.tree, |kv| ops::map_range(kv, ino, offset, len)).await?;
        let mut out = Vec::new();
        let mut whole = true;
        for piece in mapped {
            let Source::Data { segment, position } = piece.source else { continue };
            let bytes = match line.staged.get(&segment) {
                Some(staged) => staged.read(position, piece.len),
                None => self.read_old_stored(line, segment, position, piece.len).await,
            };
            match bytes {
                Ok(bytes) => out.push((piece.file_offset, bytes)),
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    tracing::warn!("content of a lost term is gone: {error}");
                    whole = false;
                }
                Err(error) => return Err(error),
            }
        }
        Ok((out, whole))
    }

    async fn read_old_stored(&self, line: &OldLine, segment: SegmentId, position: u64, len: u64) -> Result<Vec<u8>> {
        let plan = |kv: &dyn KvRead| {
            let mut pieces = Vec::new();
            self.shared.plan_stored(kv, segment, position, len, &mut pieces)?;
            Ok(pieces)
        };
        let pieces = self.shared.view_tree(&line.tree, plan).await?;
        Ok(self.shared.collect_bytes(pieces).await?.concat())
    }

    /// The folder of a line, made if need be, and its name.
    async fn folder(&self, remains: &Remains, host: &str) -> Result<(Ino, Vec<u8>)> {
        let id = remains.id();
        let stem = format!("{FOLDER_PREFIX} {host} {}", date(remains.fenced_secs()));
        for number in 1.. {
            let name = numbered(&stem, number);
            match self.lookup(Ino::ROOT, &name).await {
                Ok(attr) if attr.kind == FileKind::Dir => match self.getxattr(attr.ino, MARK_XATTR).await {
                    Ok(mark) if mark == id => return Ok((attr.ino, name)),
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::NoAttribute => {}
                    Err(error) => return Err(error),
                },
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    let ino = self.make_folder(&name, &id).await?;
                    return Ok((ino, name));
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::new(ErrorKind::Internal, "numbers do not end"))
    }

    /// Makes the folder and its mark at once. Only the owner of the root may look into it: where its files were, others may not have
    /// been let in either.
    async fn make_folder(&self, name: &[u8], id: &[u8]) -> Result<Ino> {
        let root = self.getattr(Ino::ROOT).await?;
        let caller = Caller { uid: root.uid, gid: root.gid, pid: 0 };
        self.shared
            .transact(caller, &[], |tx, cx, new| {
                let attr = ops::mkdir(tx, cx, Ino::ROOT, name, 0o700, 0, new)?;
                ops::setxattr(tx, cx, attr.ino, MARK_XATTR, id, XattrMode::Set)?;
                Ok(attr.ino)
            })
            .await
    }

    /// Puts one inode of the line into the folder, unless it is there. Whether it is whole.
    async fn hand_over_one(
        &self,
        line: &OldLine,
        folder: Ino,
        path: &[u8],
        ino: Ino,
        record: &InodeRecord,
    ) -> Result<bool> {
        let mut dir = folder;
        let parts: Vec<&[u8]> = names(path).collect();
        let Some((name, parents)) = parts.split_last() else { return Ok(true) };
        for parent in parents {
            dir = self.directory(dir, parent).await?.ino;
        }
        let caller = Caller { uid: record.uid, gid: record.gid, pid: 0 };
        match record.kind {
            FileKind::Dir => self.directory(dir, name).await.map(|_| true),
            FileKind::File => self.hand_over_file(line, dir, name, ino, record).await,
            kind => {
                let made = match kind {
                    FileKind::Symlink => self.symlink(caller, dir, name, &record.target).await,
                    _ => {
                        self.mknod(caller, dir, name, NewNode { kind, perm: record.perm, umask: 0, rdev: record.rdev })
                            .await
                    }
                };
                match made {
                    Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
                    _ => Ok(true),
                }
            }
        }
    }

    /// A directory inside the folder, made if need be.
    async fn directory(&self, parent: Ino, name: &[u8]) -> Result<Attr> {
        let root = self.getattr(Ino::ROOT).await?;
        let caller = Caller { uid: root.uid, gid: root.gid, pid: 0 };
        match self.mkdir(caller, parent, name, 0o755, 0).await {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => self.lookup(parent, name).await,
            other => other,
        }
    }

    /// Writes a file without a name and names it once it is complete: what has the name is complete.
    async fn hand_over_file(
        &self,
        line: &OldLine,
        dir: Ino,
        name: &[u8],
        ino: Ino,
        record: &InodeRecord,
    ) -> Result<bool> {
        let partial = [name, b" (incomplete)"].concat();
        for (name, whole) in [(name, true), (partial.as_slice(), false)] {
            match self.lookup(dir, name).await {
                Ok(_) => return Ok(whole),
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NameTooLong) => {}
                Err(error) => return Err(error),
            }
        }
        let caller = Caller { uid: record.uid, gid: record.gid, pid: 0 };
        let flags = OpenFlags { read: true, write: true, ..OpenFlags::default() };
        let (attr, handle) = self.tmpfile(caller, dir, 0o600, 0, flags).await?;
        let filled = self.fill(line, ino, record, attr.ino, handle).await;
        let outcome = match filled {
            Ok(whole) => {
                // A name that would become too long stays as it is; the listing says so.
                let name = if whole || partial.len() > crate::fs::NAME_BYTES_MAX { name } else { &partial };
                self.link(caller, attr.ino, dir, name).await.map(|_| whole)
            }
            Err(error) => Err(error),
        };
        self.release(handle, None).await?;
        outcome
    }

    async fn fill(&self, line: &OldLine, from: Ino, record: &InodeRecord, to: Ino, handle: Handle) -> Result<bool> {
        let mut whole = true;
        let mut at = 0;
        while at < record.size {
            let len = HANDOVER_CHUNK_BYTES.min(record.size - at);
            let (pieces, all) = self.read_old(line, from, at, len).await?;
            whole &= all;
            for (offset, bytes) in pieces {
                self.write(handle, offset, Bytes::from(bytes), WriteFlags::default()).await?;
            }
            at += len;
        }
        let xattrs = self.shared.view_tree(&line.tree, |kv| ops::listxattr(kv, from)).await?;
        for name in xattrs {
            let value = self.shared.view_tree(&line.tree, |kv| ops::getxattr(kv, from, &name)).await?;
            self.setxattr(Caller::default(), to, &name, &value, XattrMode::Set).await?;
        }
        let set = SetAttr {
            size: Some(record.size),
            perm: Some(record.perm),
            mtime: Some(SetTime::At(record.mtime)),
            ..SetAttr::default()
        };
        self.setattr(Caller::default(), to, set).await?;
        Ok(whole)
    }

    async fn put_listing(&self, folder: Ino, name: &[u8], text: String) -> Result<()> {
        match self.lookup(folder, name).await {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let root = self.getattr(Ino::ROOT).await?;
        let caller = Caller { uid: root.uid, gid: root.gid, pid: 0 };
        let flags = OpenFlags { read: true, write: true, ..OpenFlags::default() };
        let (attr, handle) = self.tmpfile(caller, folder, 0o644, 0, flags).await?;
        let written = match self.write(handle, 0, Bytes::from(text), WriteFlags::default()).await {
            Ok(()) => self.link(caller, attr.ino, folder, name).await.map(drop),
            Err(error) => Err(error),
        };
        self.release(handle, None).await?;
        written
    }
}

impl OldLine {
    fn note(&mut self, key: &[u8]) {
        match Key::decode(key) {
            Ok(Key::Inode(ino) | Key::Xattr { ino, .. }) => drop(self.inodes.entry(ino).or_default()),
            Ok(Key::Extent { ino, .. }) => drop(self.inodes.insert(ino, true)),
            Ok(Key::Dirent { ino, name }) => drop(self.names.insert((ino, name))),
            _ => {}
        }
    }
}

/// Whether the staged bytes of a reference are there and true.
fn is_true(file: &dyn LocalFile, data: &DataRef) -> bool {
    let mut buf = vec![0; to_usize(data.len)];
    file.read_exact_at(&mut buf, data.place).is_ok() && crc32c::crc32c(&buf) == data.crc
}

fn rights(record: &InodeRecord) -> (u16, u32, u32) {
    (record.perm, record.uid, record.gid)
}

/// The names on a path.
fn names(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|b| *b == b'/').filter(|name| !name.is_empty())
}

fn show(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// `name`, `name (2)`, `name (3)`; the number goes before an extension.
fn numbered(name: &str, number: u64) -> Vec<u8> {
    match (number, name.strip_suffix(".txt")) {
        (1, _) => name.to_owned(),
        (_, Some(stem)) => format!("{stem} ({number}).txt"),
        (_, None) => format!("{name} ({number})"),
    }
    .into_bytes()
}

/// A host's name that can be part of a file's.
fn host_name(owner: &str) -> String {
    let mut host: String = owner.chars().map(|c| if c == '/' || c.is_control() { '_' } else { c }).collect();
    while host.len() > HOST_BYTES_MAX {
        host.pop();
    }
    if host.is_empty() { "unnamed".to_owned() } else { host }
}

/// The day of a second since 1970, in UTC. Howard Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
fn date(secs: i64) -> String {
    let days = secs.div_euclid(86_400) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_their_dates() {
        for (secs, day) in [
            (0, "1970-01-01"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_735_689_599, "2024-12-31"),
            (4_107_542_400, "2100-03-01"),
            (-1, "1969-12-31"),
        ] {
            assert_eq!(date(secs), day, "{secs}");
        }
    }

    #[test]
    fn hosts_and_numbers_make_names() {
        assert_eq!(host_name("a/b\n"), "a_b_");
        assert_eq!(host_name(""), "unnamed");
        assert!(host_name(&"ö".repeat(200)).len() <= HOST_BYTES_MAX);
        assert_eq!(numbered("folder", 1), b"folder");
        assert_eq!(numbered("folder", 2), b"folder (2)");
        assert_eq!(numbered("list.txt", 3), b"list (3).txt");
    }
}
