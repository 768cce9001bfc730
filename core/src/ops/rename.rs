//! Moving names: replacing, refusing to replace, exchanging.
//!
//! Each step loads and stores the records it changes through the transaction, so that it does not matter which of the up to
//! four inodes involved are the same one.

use crate::error::{Error, ErrorKind};
use crate::format::Dirent;
use crate::fs::{FileKind, RenameMode};
use crate::kv::{KvRead, OpResult, Txn};
use crate::types::Ino;

use super::link::{self, Removed};
use super::{OpCx, dir, inode, name};

/// Longest chain of parents that is followed. Only a cycle, which is damage, gets there.
pub(crate) const DEPTH_MAX: usize = 1 << 20;

/// What a rename did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Renamed {
    /// The inode that was moved; `None` if nothing changed, as both names are links to it.
    pub moved: Option<Ino>,
    /// The inode that lost the new name to it.
    pub removed: Option<Removed>,
    /// The inode that got the old name, with [`RenameMode::Exchange`].
    pub exchanged: Option<Ino>,
}

/// One end of a rename.
#[derive(Clone, Copy, Debug)]
struct End<'n> {
    dir: Ino,
    name: &'n [u8],
}

/// Moves a name. On a case-insensitive volume the new name may differ from the old in case only.
///
/// # Errors
/// `NotFound`, `AlreadyExists` (NoReplace), `InvalidArgument` (a directory into itself or below), `NotEmpty`, `NotADirectory`,
/// `IsADirectory`, `Stale`, errors of the names.
pub fn rename(
    tx: &mut Txn<'_>,
    cx: &OpCx,
    parent: Ino,
    name: &[u8],
    new_parent: Ino,
    new_name: &[u8],
    mode: RenameMode,
) -> OpResult<Renamed> {
    inode::load_dir(tx, parent)?;
    let new_dir = inode::load_dir(tx, new_parent)?;
    name::check_entry(name)?;
    let (from, to) = (End { dir: parent, name }, End { dir: new_parent, name: new_name });
    let source = dir::get(tx, cx, parent, name)?;
    name::check_new(new_name)?;
    name::check_entry(new_name)?;
    if is_same_entry(cx, &from, &to) {
        return rename_case(tx, cx, &from, &to, &source, mode);
    }
    let target = dir::find(tx, cx, new_parent, new_name)?;
    match (mode, &target) {
        (RenameMode::NoReplace, Some(_)) => {
            return Err(Error::new(ErrorKind::AlreadyExists, format!("entry exists in directory {new_parent}")).into());
        }
        (RenameMode::Exchange, None) => {
            return Err(
                Error::new(ErrorKind::NotFound, format!("no entry to exchange in directory {new_parent}")).into()
            );
        }
        _ => {}
    }
    check_loops(tx, &from, &to, &source, target.as_ref(), mode)?;
    if target.as_ref().is_some_and(|target| target.ino == source.ino) {
        return Ok(Renamed::default());
    }
    inode::check_live(new_parent, &new_dir)?;
    match target {
        Some(target) if mode == RenameMode::Exchange => exchange(tx, cx, (&from, &source), (&to, &target)),
        target => replace(tx, cx, &from, &to, &source, target.as_ref()),
    }
}

/// Whether both ends are the one entry, perhaps spelled in two cases.
fn is_same_entry(cx: &OpCx, from: &End<'_>, to: &End<'_>) -> bool {
    from.dir == to.dir && name::key_name(cx, from.name) == name::key_name(cx, to.name)
}

/// Renames an entry to another spelling of itself.
fn rename_case(
    tx: &mut Txn<'_>,
    cx: &OpCx,
    from: &End<'_>,
    to: &End<'_>,
    source: &Dirent,
    mode: RenameMode,
) -> OpResult<Renamed> {
    let key_name = name::key_name(cx, to.name);
    if source.name(&key_name) == to.name {
        return match mode {
            RenameMode::NoReplace => Err(ErrorKind::AlreadyExists.into()),
            RenameMode::Replace | RenameMode::Exchange => Ok(Renamed::default()),
        };
    }
    if mode == RenameMode::Exchange {
        return Ok(Renamed::default());
    }
    dir::replace(tx, cx, from.dir, to.name, (source.ino, source.kind));
    let mut record = inode::load_dir(tx, from.dir)?;
    inode::touch_content(&mut record, cx.now);
    inode::store(tx, from.dir, &record);
    set_parent(tx, cx, from.dir, source)?;
    Ok(Renamed { moved: Some(source.ino), ..Renamed::default() })
}

/// Moves an entry to a name that is free or names something that may be replaced.
fn replace(
    tx: &mut Txn<'_>,
    cx: &OpCx,
    from: &End<'_>,
    to: &End<'_>,
    source: &Dirent,
    target: Option<&Dirent>,
) -> OpResult<Renamed> {
    let mut removed = None;
    if let Some(target) = target {
        check_replaceable(tx, source, target)?;
        drop_entry(tx, cx, to, target)?;
        removed = Some(link::drop_link(tx, cx, to.dir, target.ino)?);
    }
    drop_entry(tx, cx, from, source)?;
    let mut record = inode::load_dir(tx, to.dir)?;
    dir::add(tx, cx, (to.dir, &mut record), to.name, (source.ino, source.kind))?;
    inode::touch_content(&mut record, cx.now);
    inode::store(tx, to.dir, &record);
    set_parent(tx, cx, to.dir, source)?;
    Ok(Renamed { moved: Some(source.ino), removed, exchanged: None })
}

fn exchange(
    tx: &mut Txn<'_>,
    cx: &OpCx,
    (from, source): (&End<'_>, &Dirent),
    (to, target): (&End<'_>, &Dirent),
) -> OpResult<Renamed> {
    swap_in(tx, cx, from, source, target)?;
    swap_in(tx, cx, to, target, source)?;
    Ok(Renamed { moved: Some(source.ino), removed: None, exchanged: Some(target.ino) })
}

/// Lets the entry at `end`, which names `old`, name `new`; it keeps its spelling.
fn swap_in(tx: &mut Txn<'_>, cx: &OpCx, end: &End<'_>, old: &Dirent, new: &Dirent) -> OpResult<()> {
    let key_name = name::key_name(cx, end.name);
    let mut record = inode::load_dir(tx, end.dir)?;
    dir::drop(tx, cx, (end.dir, &mut record), end.name, old.kind)?;
    dir::add(tx, cx, (end.dir, &mut record), old.name(&key_name), (new.ino, new.kind))?;
    inode::touch_content(&mut record, cx.now);
    inode::store(tx, end.dir, &record);
    set_parent(tx, cx, end.dir, new)
}

fn drop_entry(tx: &mut Txn<'_>, cx: &OpCx, end: &End<'_>, entry: &Dirent) -> OpResult<()> {
    let mut record = inode::load_dir(tx, end.dir)?;
    dir::drop(tx, cx, (end.dir, &mut record), end.name, entry.kind)?;
    inode::touch_content(&mut record, cx.now);
    inode::store(tx, end.dir, &record);
    Ok(())
}

/// Notes in a moved inode who names it now, and that it was moved.
fn set_parent(tx: &mut Txn<'_>, cx: &OpCx, dir: Ino, moved: &Dirent) -> OpResult<()> {
    let mut record = dir::target(tx, dir, moved)?;
    record.parent = dir;
    record.ctime = cx.now;
    inode::store(tx, moved.ino, &record);
    Ok(())
}

/// Fails unless `target` may give way to `source`: a directory to a directory if it is empty, anything else to anything else.
fn check_replaceable(kv: &dyn KvRead, source: &Dirent, target: &Dirent) -> OpResult<()> {
    match (source.kind == FileKind::Dir, target.kind == FileKind::Dir) {
        (true, false) => {
            Err(Error::new(ErrorKind::NotADirectory, format!("inode {} is not a directory", target.ino)).into())
        }
        (false, true) => {
            Err(Error::new(ErrorKind::IsADirectory, format!("inode {} is a directory", target.ino)).into())
        }
        (true, true) => link::check_empty(kv, target.ino),
        (false, false) => Ok(()),
    }
}

/// Fails if the source would move into itself or below, or if the target holds the source.
fn check_loops(
    kv: &dyn KvRead,
    from: &End<'_>,
    to: &End<'_>,
    source: &Dirent,
    target: Option<&Dirent>,
    mode: RenameMode,
) -> OpResult<()> {
    if from.dir == to.dir {
        return Ok(());
    }
    if source.kind == FileKind::Dir && is_on_chain(kv, source.ino, to.dir)? {
        let context = format!("directory {} would move below itself", source.ino);
        return Err(Error::new(ErrorKind::InvalidArgument, context).into());
    }
    let Some(target) = target.filter(|target| target.kind == FileKind::Dir) else { return Ok(()) };
    if is_on_chain(kv, target.ino, from.dir)? {
        let kind = if mode == RenameMode::Exchange { ErrorKind::InvalidArgument } else { ErrorKind::NotEmpty };
        return Err(Error::new(kind, format!("directory {} holds what is moved", target.ino)).into());
    }
    Ok(())
}

/// Whether `wanted` is `dir` or one of the directories above it. Above a removed directory there may be nothing any more.
fn is_on_chain(kv: &dyn KvRead, wanted: Ino, dir: Ino) -> OpResult<bool> {
    let mut at = dir;
    for _ in 0..DEPTH_MAX {
        if at == wanted {
            return Ok(true);
        }
        if at == Ino::ROOT {
            return Ok(false);
        }
        match inode::try_load(kv, at)? {
            Some(record) => at = record.parent,
            None => return Ok(false),
        }
    }
    Err(Error::new(ErrorKind::Corrupt, format!("the parents of directory {dir} do not lead to the root")).into())
}
