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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testkit::World;

    fn mv(world: &mut World, from: (Ino, &str), to: (Ino, &str), mode: RenameMode) -> Result<Renamed, ErrorKind> {
        let answer = world.run(|tx, cx, _| rename(tx, cx, from.0, from.1.as_bytes(), to.0, to.1.as_bytes(), mode));
        world.check();
        answer
    }

    const REPLACE: RenameMode = RenameMode::Replace;
    const ROOT: Ino = Ino::ROOT;

    #[test]
    fn a_moved_directory_takes_its_link_and_its_parent_along() {
        let mut world = World::new(false);
        let (a, b) = (world.mkdir(ROOT, "a"), world.mkdir(ROOT, "b"));
        let sub = world.mkdir(a, "sub");
        let mtime = world.attr(sub).mtime;
        let done = mv(&mut world, (a, "sub"), (b, "moved"), REPLACE).expect("moves");
        assert_eq!(done, Renamed { moved: Some(sub), ..Renamed::default() });
        assert_eq!((world.attr(a).nlink, world.attr(b).nlink, world.record(sub).parent), (2, 3, b));
        assert_eq!((world.attr(sub).ctime, world.attr(sub).mtime), (world.now(), mtime));
        for dir in [a, b] {
            assert_eq!((world.attr(dir).mtime, world.attr(dir).ctime), (world.now(), world.now()));
        }
    }

    #[test]
    fn what_is_replaced_loses_its_name() {
        let mut world = World::new(false);
        let (a, b) = (world.mkfile(ROOT, "a"), world.mkfile(ROOT, "b"));
        let done = mv(&mut world, (ROOT, "a"), (ROOT, "b"), REPLACE).expect("moves");
        assert_eq!(done.removed, Some(Removed { ino: b, kind: FileKind::File, orphaned: true }));
        assert_eq!((world.find(ROOT, "a"), world.find(ROOT, "b")), (None, Some(a)));
        assert_eq!(world.attr(b).ctime, world.now());
        let (c, d) = (world.mkdir(ROOT, "c"), world.mkdir(ROOT, "d"));
        let done = mv(&mut world, (ROOT, "c"), (ROOT, "d"), REPLACE).expect("moves");
        assert_eq!(done.removed.map(|r| (r.ino, r.orphaned)), Some((d, true)));
        assert_eq!((world.find(ROOT, "d"), world.attr(ROOT).nlink), (Some(c), 3));
    }

    #[test]
    fn kinds_must_match_and_directories_be_empty() {
        let mut world = World::new(false);
        let (full, empty) = (world.mkdir(ROOT, "full"), world.mkdir(ROOT, "empty"));
        world.mkfile(full, "x");
        world.mkfile(ROOT, "f");
        for (from, to, kind) in [
            ("f", "empty", ErrorKind::IsADirectory),
            ("empty", "f", ErrorKind::NotADirectory),
            ("empty", "full", ErrorKind::NotEmpty),
            ("none", "f", ErrorKind::NotFound),
            ("f", "..", ErrorKind::InvalidArgument),
            (".", "f", ErrorKind::InvalidArgument),
        ] {
            assert_eq!(mv(&mut world, (ROOT, from), (ROOT, to), REPLACE), Err(kind), "{from} to {to}");
        }
        mv(&mut world, (ROOT, "full"), (ROOT, "empty"), REPLACE).expect("replaces an empty directory");
        assert_eq!(world.attr(empty).nlink, 0);
    }

    #[test]
    fn a_directory_does_not_move_below_itself() {
        let mut world = World::new(false);
        let a = world.mkdir(ROOT, "a");
        let b = world.mkdir(a, "b");
        let c = world.mkdir(b, "c");
        for into in [a, b, c] {
            let answer = mv(&mut world, (ROOT, "a"), (into, "x"), REPLACE);
            assert_eq!(answer, Err(ErrorKind::InvalidArgument), "into {into}");
        }
        assert_eq!(mv(&mut world, (b, "c"), (ROOT, "a"), REPLACE), Err(ErrorKind::NotEmpty));
        assert_eq!(mv(&mut world, (b, "c"), (ROOT, "a"), RenameMode::Exchange), Err(ErrorKind::InvalidArgument));
        mv(&mut world, (b, "c"), (ROOT, "c"), REPLACE).expect("up is fine");
    }

    #[test]
    fn two_names_of_one_inode_both_stay() {
        let mut world = World::new(false);
        let file = world.mkfile(ROOT, "a");
        world.ok(|tx, cx, _| crate::ops::link(tx, cx, file, ROOT, b"b"));
        let ctime = world.attr(file).ctime;
        for mode in [REPLACE, RenameMode::Exchange] {
            assert_eq!(mv(&mut world, (ROOT, "a"), (ROOT, "b"), mode), Ok(Renamed::default()));
            assert_eq!(mv(&mut world, (ROOT, "a"), (ROOT, "a"), mode), Ok(Renamed::default()));
        }
        assert_eq!((world.attr(file).nlink, world.attr(file).ctime), (2, ctime));
    }

    #[test]
    fn no_replace_refuses_and_exchange_needs_both() {
        let mut world = World::new(false);
        let (a, dir) = (world.mkfile(ROOT, "a"), world.mkdir(ROOT, "dir"));
        let sub = world.mkdir(dir, "sub");
        assert_eq!(mv(&mut world, (ROOT, "a"), (ROOT, "dir"), RenameMode::NoReplace), Err(ErrorKind::AlreadyExists));
        assert_eq!(mv(&mut world, (ROOT, "a"), (ROOT, "none"), RenameMode::Exchange), Err(ErrorKind::NotFound));
        let done = mv(&mut world, (ROOT, "a"), (dir, "sub"), RenameMode::Exchange).expect("both exist");
        assert_eq!(done, Renamed { moved: Some(a), removed: None, exchanged: Some(sub) });
        assert_eq!((world.find(ROOT, "a"), world.find(dir, "sub")), (Some(sub), Some(a)));
        assert_eq!((world.attr(ROOT).nlink, world.attr(dir).nlink, world.record(sub).parent), (4, 2, ROOT));
        mv(&mut world, (dir, "sub"), (ROOT, "b"), RenameMode::NoReplace).expect("free");
    }

    #[test]
    fn nothing_moves_into_a_removed_directory() {
        let mut world = World::new(false);
        world.mkfile(ROOT, "a");
        let gone = world.mkdir(ROOT, "gone");
        world.ok(|tx, cx, _| crate::ops::rmdir(tx, cx, ROOT, b"gone"));
        assert_eq!(mv(&mut world, (ROOT, "a"), (gone, "a"), REPLACE), Err(ErrorKind::NotFound));
    }

    #[test]
    fn a_spelling_can_be_changed() {
        let mut world = World::new(true);
        let file = world.mkfile(ROOT, "readme");
        let done = mv(&mut world, (ROOT, "README"), (ROOT, "ReadMe"), RenameMode::NoReplace).expect("same entry");
        assert_eq!(done.moved, Some(file));
        assert_eq!((world.names(ROOT).as_str(), world.attr(file).ctime), ("ReadMe", world.now()));
        assert_eq!(mv(&mut world, (ROOT, "readme"), (ROOT, "ReadMe"), REPLACE), Ok(Renamed::default()));
        world.mkfile(ROOT, "Other");
        mv(&mut world, (ROOT, "OTHER"), (ROOT, "README"), RenameMode::Exchange).expect("both exist");
        assert_eq!(world.names(ROOT), "Other ReadMe", "spellings stay with the names");
        mv(&mut world, (ROOT, "other"), (ROOT, "README"), REPLACE).expect("replaces");
        assert_eq!(world.names(ROOT), "README");
    }
}
