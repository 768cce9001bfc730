//! A picture of a whole tree, and a readable account of how two pictures differ.
//!
//! Pictures hold everything that must survive a crash, a remount, or a way through a store: kinds, attributes, times, contents by
//! hash, symlink targets, extended attributes, and which names share an inode. Inode numbers are not in them.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hasher};

use proxyfs_core::fs::{Attr, Caller, FileKind, FileSystem, Handle, OpenFlags, SeekWhence};
use proxyfs_core::types::{Ino, Timestamp};
use proxyfs_core::{ErrorKind, Result};

use crate::ops::read_all;

/// Bytes asked for in one read.
const READ_BYTES: u64 = 1 << 20;
/// Unit in which runs of zeros are left out of a content hash, so that a hole and written zeros are the same.
const HASH_BLOCK_BYTES: usize = 4096;

/// A picture of a tree: nodes by path, the root as `/`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TreeSnapshot {
    /// All names.
    pub nodes: BTreeMap<Vec<u8>, Node>,
}

/// One name and the inode behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "most fields are those of fs::Attr")]
pub struct Node {
    pub kind: FileKind,
    pub perm: u16,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    pub rdev: u32,
    /// 0 for directories.
    pub size: u64,
    pub atime: Timestamp,
    pub mtime: Timestamp,
    pub ctime: Timestamp,
    pub btime: Timestamp,
    /// Of a regular file.
    pub content_hash: u64,
    /// Of a symlink.
    pub symlink_target: Option<Vec<u8>>,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first path, in order of the walk, that leads to the same inode; its own if there is no other.
    pub first_link: Vec<u8>,
}

/// Takes a picture. Reading sets access times; the picture holds those from before.
///
/// # Errors
/// The first error of the file system, with the path.
pub async fn snapshot<F: FileSystem>(fs: &F) -> Result<TreeSnapshot> {
    let mut walk = Walk { fs, snapshot: TreeSnapshot::default(), first_links: BTreeMap::new(), files: Vec::new() };
    let mut to_visit = vec![(b"/".to_vec(), Ino::ROOT)];
    while let Some((path, ino)) = to_visit.pop() {
        let children = walk.visit(&path, ino).await.map_err(|e| in_path(e, &path))?;
        to_visit.extend(children.into_iter().rev());
    }
    for (path, ino, size) in std::mem::take(&mut walk.files) {
        let hash = content_hash(fs, ino, size).await.map_err(|e| in_path(e, &path))?;
        if let Some(node) = walk.snapshot.nodes.get_mut(&path) {
            node.content_hash = hash;
        }
    }
    Ok(walk.snapshot)
}

/// How two pictures differ, a line for each difference; empty if they do not.
#[must_use]
pub fn diff(left: &TreeSnapshot, right: &TreeSnapshot) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, node) in &left.nodes {
        match right.nodes.get(path) {
            None => lines.push(format!("only left: {}", show(path))),
            Some(other) => lines.extend(diff_nodes(node, other).iter().map(|d| format!("{}: {d}", show(path)))),
        }
    }
    let only_right = right.nodes.keys().filter(|path| !left.nodes.contains_key(*path));
    lines.extend(only_right.map(|path| format!("only right: {}", show(path))));
    lines
}

impl TreeSnapshot {
    /// The same without access and creation times, where an implementation may be lazy about them.
    #[must_use]
    pub fn without_lazy_times(mut self) -> Self {
        for node in self.nodes.values_mut() {
            node.atime = Timestamp::default();
            node.btime = Timestamp::default();
        }
        self
    }

    /// The same without any times.
    #[must_use]
    pub fn without_times(self) -> Self {
        let mut bare = self.without_lazy_times();
        for node in bare.nodes.values_mut() {
            node.mtime = Timestamp::default();
            node.ctime = Timestamp::default();
        }
        bare
    }
}

impl fmt::Display for TreeSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (path, node) in &self.nodes {
            writeln!(f, "{} {:?} {:o} nlink {} size {}", show(path), node.kind, node.perm, node.nlink, node.size)?;
        }
        Ok(())
    }
}

/// A walk under way.
struct Walk<'a, F> {
    fs: &'a F,
    snapshot: TreeSnapshot,
    first_links: BTreeMap<Ino, Vec<u8>>,
    files: Vec<(Vec<u8>, Ino, u64)>,
}

impl<F: FileSystem> Walk<'_, F> {
    /// Adds one name; gives a directory's children, sorted.
    async fn visit(&mut self, path: &[u8], ino: Ino) -> Result<Vec<(Vec<u8>, Ino)>> {
        let attr = self.fs.getattr(ino).await?;
        let mut node = self.bare_node(path, &attr);
        node.xattrs = self.xattrs(ino).await?;
        let mut children = Vec::new();
        match attr.kind {
            // Read last: what is read depends on where holes are, and must not show in access times.
            FileKind::File => self.files.push((path.to_vec(), ino, attr.size)),
            FileKind::Symlink => node.symlink_target = Some(self.fs.readlink(ino).await?.to_vec()),
            FileKind::Dir => children = self.children(path, ino).await?,
            FileKind::Fifo | FileKind::Socket | FileKind::CharDevice | FileKind::BlockDevice => {}
        }
        self.snapshot.nodes.insert(path.to_vec(), node);
        Ok(children)
    }

    fn bare_node(&mut self, path: &[u8], attr: &Attr) -> Node {
        Node {
            kind: attr.kind,
            perm: attr.perm,
            nlink: attr.nlink,
            uid: attr.uid,
            gid: attr.gid,
            rdev: attr.rdev,
            size: if attr.kind == FileKind::Dir { 0 } else { attr.size },
            atime: attr.atime,
            mtime: attr.mtime,
            ctime: attr.ctime,
            btime: attr.btime,
            content_hash: 0,
            symlink_target: None,
            xattrs: BTreeMap::new(),
            first_link: self.first_links.entry(attr.ino).or_insert_with(|| path.to_vec()).clone(),
        }
    }

    async fn xattrs(&self, ino: Ino) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
        let mut xattrs = BTreeMap::new();
        for name in self.fs.listxattr(ino).await? {
            xattrs.insert(name.to_vec(), self.fs.getxattr(ino, &name).await?.to_vec());
        }
        Ok(xattrs)
    }

    async fn children(&self, path: &[u8], ino: Ino) -> Result<Vec<(Vec<u8>, Ino)>> {
        let mut children = Vec::new();
        for entry in read_all(self.fs, ino, false).await? {
            if entry.name != b"."[..] && entry.name != b".."[..] {
                let mut child = path.to_vec();
                if path != b"/" {
                    child.push(b'/');
                }
                child.extend_from_slice(&entry.name);
                children.push((child, entry.ino));
            }
        }
        children.sort();
        Ok(children)
    }
}

/// A hash of a file's bytes and their places; runs of zeros do not count, so holes are skipped.
///
/// # Errors
/// The first error of the file system.
pub async fn content_hash<F: FileSystem>(fs: &F, ino: Ino, size: u64) -> Result<u64> {
    let flags = OpenFlags { read: true, ..OpenFlags::default() };
    let handle = fs.open(Caller::default(), ino, flags).await?;
    let hash = hash_open(fs, handle, size).await;
    fs.release(handle, None).await?;
    hash
}

async fn hash_open<F: FileSystem>(fs: &F, handle: Handle, size: u64) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    let mut at = 0;
    while at < size {
        let data = match fs.lseek(handle, at, SeekWhence::Data).await {
            Ok(data) => data,
            Err(error) if error.kind() == ErrorKind::NoSuchOffset => break,
            Err(error) => return Err(error),
        };
        at = data - data % HASH_BLOCK_BYTES as u64;
        let chunks = fs.read(handle, at, READ_BYTES as u32).await?;
        let bytes: Vec<u8> = chunks.iter().flatten().copied().collect();
        if (bytes.len() as u64) != READ_BYTES.min(size - at) {
            let text = format!("read of {READ_BYTES} at {at} of {size} gave {}", bytes.len());
            return Err(proxyfs_core::Error::new(ErrorKind::Internal, text));
        }
        for (index, block) in bytes.chunks(HASH_BLOCK_BYTES).enumerate() {
            hash_block(&mut hasher, at + (index * HASH_BLOCK_BYTES) as u64, block);
        }
        at += READ_BYTES;
    }
    Ok(hasher.finish())
}

fn hash_block(hasher: &mut DefaultHasher, offset: u64, block: &[u8]) {
    if block.iter().any(|byte| *byte != 0) {
        hasher.write_u64(offset);
        hasher.write(block);
    }
}

fn diff_nodes(left: &Node, right: &Node) -> Vec<String> {
    let mut lines = Vec::new();
    let mut compare = |what: &str, left: &dyn fmt::Debug, right: &dyn fmt::Debug, same: bool| {
        if !same {
            let mut line = String::new();
            // Writing to a string cannot fail.
            let _ = write!(line, "{what} {left:?} != {right:?}");
            lines.push(line);
        }
    };
    macro_rules! fields {
        ($($field:ident),*) => {
            $(compare(stringify!($field), &left.$field, &right.$field, left.$field == right.$field);)*
        };
    }
    fields!(kind, perm, nlink, uid, gid, rdev, size, atime, mtime, ctime, btime, content_hash);
    fields!(symlink_target, xattrs, first_link);
    lines
}

fn show(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

fn in_path(error: proxyfs_core::Error, path: &[u8]) -> proxyfs_core::Error {
    error.context_prefix(&show(path))
}
