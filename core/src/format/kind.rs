//! The byte that stands for an inode's type in inode records and dirents.

use super::error::{FormatError, FormatResult};
use crate::fs::FileKind;

/// The byte of a type.
#[must_use]
pub fn kind_to_byte(kind: FileKind) -> u8 {
    match kind {
        FileKind::File => 1,
        FileKind::Dir => 2,
        FileKind::Symlink => 3,
        FileKind::Fifo => 4,
        FileKind::Socket => 5,
        FileKind::CharDevice => 6,
        FileKind::BlockDevice => 7,
    }
}

/// The type of a byte; `what` names the structure.
///
/// # Errors
/// Invalid.
pub fn kind_from_byte(what: &'static str, byte: u8) -> FormatResult<FileKind> {
    Ok(match byte {
        1 => FileKind::File,
        2 => FileKind::Dir,
        3 => FileKind::Symlink,
        4 => FileKind::Fifo,
        5 => FileKind::Socket,
        6 => FileKind::CharDevice,
        7 => FileKind::BlockDevice,
        _ => return Err(FormatError::invalid(what, format!("inode kind is {byte}"))),
    })
}
