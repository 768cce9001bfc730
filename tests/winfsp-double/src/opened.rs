//! What programs can do with the volume and with open files, as requests of the driver.

use std::sync::Arc;
use std::time::Duration;

use winfsp_sys as sys;

use crate::device::{Answer, Device, Pending};
use crate::nodes::{Node, Sharing};
use crate::request::{Create, Request, kind, option, text};
use crate::status::{self, Status};

/// Reparse points that are followed one after the other.
const REPARSE_MAX: usize = 31;
const IO_REPARSE: u32 = 0;
const TAG_SYMLINK: u32 = 0xa000_000c;
const SYMLINK_RELATIVE: u32 = 1;
const SUPERSEDED: u32 = 0;
const OVERWRITTEN: u32 = 3;
const READ_ONLY: u32 = 0x1;
const DIRECTORY: u32 = 0x10;
const COLON: u16 = b':' as u16;
const ENTRY_HEADER: usize = size_of::<sys::FSP_FSCTL_DIR_INFO>();
const STREAM_HEADER: usize = size_of::<sys::FSP_FSCTL_STREAM_INFO>();

const FSCTL_SET_REPARSE_POINT: u32 = 0x0009_00a4;
const FSCTL_GET_REPARSE_POINT: u32 = 0x0009_00a8;
const FSCTL_DELETE_REPARSE_POINT: u32 = 0x0009_00ac;

/// Classes of information ([MS-FSCC] 2.4).
mod class {
    pub(super) const BASIC: u32 = 4;
    pub(super) const RENAME: u32 = 10;
    pub(super) const DISPOSITION: u32 = 13;
    pub(super) const ALLOCATION: u32 = 19;
    pub(super) const END_OF_FILE: u32 = 20;
    pub(super) const DISPOSITION_EX: u32 = 64;
    pub(super) const RENAME_EX: u32 = 65;
    pub(super) const LABEL: u32 = 2;
}

/// Flags of FileDispositionInformationEx.
const DISPOSITION_DELETE: u32 = 0x1;
const DISPOSITION_POSIX: u32 = 0x2;
/// Flags of FileRenameInformationEx.
const RENAME_REPLACE: u32 = 0x1;
const RENAME_POSIX: u32 = 0x2;

/// Times to set; 0 leaves one alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Creation.
    pub creation: u64,
    /// Last access.
    pub access: u64,
    /// Last change of content.
    pub write: u64,
    /// Last change of anything.
    pub change: u64,
}

/// An entry of a listing.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// How it is.
    pub info: sys::FSP_FSCTL_FILE_INFO,
}

/// An open file, directory or stream.
#[derive(Debug)]
pub struct Opened {
    device: Arc<Device>,
    node: Arc<Node>,
    sharing: Sharing,
    context: [u64; 2],
    /// How it was when it was opened.
    pub info: sys::FSP_FSCTL_FILE_INFO,
    /// Rights that were granted.
    pub granted: u32,
    /// What was done: FILE_OPENED and so on.
    pub information: u32,
    delete_on_close: bool,
    posix_delete: std::cell::Cell<bool>,
    modified: std::cell::Cell<bool>,
}

macro_rules! of_file {
    ($file:expr, $kind:expr, $field:ident) => {{
        let mut request = Request::new($kind, None);
        request.head.Req.$field.UserContext = $file.context[0];
        request.head.Req.$field.UserContext2 = $file.context[1];
        request
    }};
}

impl Device {
    /// Opens or makes a file, following what the library resolves.
    ///
    /// # Errors
    /// The library's status, or the driver's own.
    pub fn create(self: &Arc<Self>, name: &str, how: &Create) -> Result<Opened, Status> {
        let mut name = name.to_owned();
        for _ in 0..REPARSE_MAX {
            let answer = self.call(self.create_request(&name, how))?;
            if answer.status() != status::REPARSE {
                return self.opened(&name, how, &answer);
            }
            // SAFETY: an answer of this status has this field.
            let target = answer.part(unsafe { answer.get().Rsp.Create.Reparse.Buffer });
            name = resolved(answer.information(), &target).ok_or(status::REPARSE)?;
        }
        Err(status::STOPPED_ON_SYMLINK)
    }

    fn create_request(&self, name: &str, how: &Create) -> Request {
        let mut request = Request::new(kind::CREATE, Some(name));
        let security = if how.security.is_empty() { Default::default() } else { request.push(&how.security) };
        let extra = if how.extra.is_empty() { Default::default() } else { request.push(&how.extra) };
        let colon = name.encode_utf16().position(|unit| unit == COLON).unwrap_or(0);
        // SAFETY: a request of this kind has these fields.
        let create = unsafe { &mut request.head.Req.Create };
        create.CreateOptions = how.disposition << 24 | how.options;
        let directory = how.options & option::DIRECTORY != 0;
        create.FileAttributes = if directory { how.attributes & !0x80 | DIRECTORY } else { how.attributes };
        create.SecurityDescriptor = security;
        create.Ea = extra;
        create.AccessToken = self.token();
        create.DesiredAccess = how.access;
        create.ShareAccess = how.share;
        create.NamedStream = u16::try_from(colon * 2).expect("a short name");
        create.set_UserMode(1);
        create.set_HasTraversePrivilege(1);
        create.set_EaIsReparsePoint(u32::from(how.extra_is_reparse_point));
        request
    }

    fn opened(self: &Arc<Self>, name: &str, how: &Create, answer: &Answer) -> Result<Opened, Status> {
        // SAFETY: an answer of success has this field.
        let opened = unsafe { answer.get().Rsp.Create.Opened };
        let spelt = from_utf16(&answer.part(opened.FileName));
        let name = if spelt.is_empty() { name } else { &spelt };
        let context = [opened.UserContext, opened.UserContext2];
        let sharing = Sharing::new(opened.GrantedAccess, how.share);
        let node = match self.nodes.open(name, sharing) {
            Ok(node) => node,
            Err(status) => {
                close(self, context)?;
                return Err(status);
            }
        };
        let mut file = Opened {
            device: Arc::clone(self),
            node,
            sharing,
            context,
            info: opened.FileInfo,
            granted: opened.GrantedAccess,
            information: answer.information(),
            delete_on_close: how.options & option::DELETE_ON_CLOSE != 0,
            posix_delete: std::cell::Cell::new(false),
            modified: std::cell::Cell::new(false),
        };
        if matches!(file.information, SUPERSEDED | OVERWRITTEN) {
            file.overwrite(how)?;
        }
        Ok(file)
    }

    /// Size, room and label of the volume.
    ///
    /// # Errors
    /// The library's status.
    pub fn volume(self: &Arc<Self>) -> Result<(u64, u64, String), Status> {
        let answer = self.call(Request::new(kind::QUERY_VOLUME, None))?;
        // SAFETY: an answer to this kind has this field.
        Ok(volume_info(&unsafe { answer.get().Rsp.QueryVolumeInformation.VolumeInfo }))
    }

    /// Sets the label.
    ///
    /// # Errors
    /// The library's status.
    pub fn set_label(self: &Arc<Self>, label: &str) -> Result<(u64, u64, String), Status> {
        let mut request = Request::new(kind::SET_VOLUME, None);
        let part = request.push(&text(label));
        request.head.Req.SetVolumeInformation.FsInformationClass = class::LABEL;
        request.head.Req.SetVolumeInformation.Info.Label.VolumeLabel = part;
        let answer = self.call(request)?;
        // SAFETY: an answer to this kind has this field.
        Ok(volume_info(&unsafe { answer.get().Rsp.SetVolumeInformation.VolumeInfo }))
    }

    /// Flushes the whole volume.
    ///
    /// # Errors
    /// The library's status.
    pub fn flush(self: &Arc<Self>) -> Result<(), Status> {
        self.call(Request::new(kind::FLUSH, None)).map(drop)
    }
}

/// The path on this volume that the library has resolved reparse points to, as a name (IO_REPARSE) or as a relative symlink from the
/// volume's root; `None` for what leads elsewhere or is of a tag that somebody else has to understand.
fn resolved(tag: u32, buffer: &[u8]) -> Option<String> {
    match tag {
        IO_REPARSE => Some(from_utf16(buffer)),
        TAG_SYMLINK => {
            let flags = u32::from_le_bytes(*buffer.get(16..)?.first_chunk()?);
            let len = usize::from(u16::from_le_bytes(*buffer.get(10..)?.first_chunk()?));
            (flags & SYMLINK_RELATIVE != 0).then(|| buffer.get(20..20 + len).map(from_utf16)).flatten()
        }
        _ => None,
    }
}

fn volume_info(info: &sys::FSP_FSCTL_VOLUME_INFO) -> (u64, u64, String) {
    let label = &info.VolumeLabel[..usize::from(info.VolumeLabelLength) / 2];
    (info.TotalSize, info.FreeSize, String::from_utf16_lossy(label))
}

fn close(device: &Arc<Device>, context: [u64; 2]) -> Result<(), Status> {
    let mut request = Request::new(kind::CLOSE, None);
    request.head.Req.Close.UserContext = context[0];
    request.head.Req.Close.UserContext2 = context[1];
    device.call(request).map(drop)
}

fn from_utf16(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
    String::from_utf16_lossy(&units.take_while(|unit| *unit != 0).collect::<Vec<_>>())
}

/// A read or listing that is on its way, with the memory that its answer fills.
#[derive(Debug)]
pub struct Reading {
    pending: Pending,
    /// Given up rather than freed when no answer came, as one might still come.
    buffer: std::mem::ManuallyDrop<Vec<u64>>,
}

impl Reading {
    fn begin(device: &Arc<Device>, len: usize, request: impl FnOnce(u64) -> Request) -> Self {
        let mut buffer = std::mem::ManuallyDrop::new(vec![0u64; len.div_ceil(8)]);
        let address = buffer.as_mut_ptr() as u64;
        Self { pending: device.post(request(address)), buffer }
    }

    /// Whether the answer is there within a time.
    ///
    /// # Errors
    /// The answer's status; `TIMED_OUT` when it is not there.
    pub fn wait_for(&self, patience: Duration) -> Result<Vec<u8>, Status> {
        let answer = self.pending.wait_for(patience)?;
        let all: Vec<u8> = self.buffer.iter().flat_map(|word| word.to_le_bytes()).collect();
        Ok(all[..answer.information() as usize].to_vec())
    }

    /// Waits for what was read.
    ///
    /// # Errors
    /// The answer's status.
    pub fn wait(mut self) -> Result<Vec<u8>, Status> {
        let read = self.wait_for(Duration::from_secs(60));
        if read != Err(status::TIMED_OUT) {
            // SAFETY: the request is answered, so nobody writes to it any more, and it is not used again.
            unsafe { std::mem::ManuallyDrop::drop(&mut self.buffer) };
        }
        read
    }

    /// Takes the request back, if no thread of the library has it yet.
    pub fn cancel(&self) -> bool {
        self.pending.cancel()
    }
}

impl Opened {
    /// Its name at present.
    #[must_use]
    pub fn name(&self) -> String {
        self.node.name()
    }

    fn overwrite(&mut self, how: &Create) -> Result<(), Status> {
        let mut request = of_file!(self, kind::OVERWRITE, Overwrite);
        let extra = if how.extra.is_empty() { Default::default() } else { request.push(&how.extra) };
        // SAFETY: a request of this kind has these fields.
        let overwrite = unsafe { &mut request.head.Req.Overwrite };
        overwrite.FileAttributes = how.attributes;
        overwrite.Ea = extra;
        overwrite.set_Supersede(u32::from(self.information == SUPERSEDED));
        match self.device.call(request) {
            Ok(answer) => {
                // SAFETY: an answer to this kind has this field.
                self.info = unsafe { answer.get().Rsp.Overwrite.FileInfo };
                self.modified.set(true);
                Ok(())
            }
            Err(status) => {
                // The library has closed it.
                self.device.nodes.close(&self.node, self.sharing, false);
                Err(status)
            }
        }
    }

    /// Begins to read.
    #[must_use]
    pub fn begin_read(&self, offset: u64, len: u32) -> Reading {
        Reading::begin(&self.device, len as usize, |address| {
            let mut request = of_file!(self, kind::READ, Read);
            request.head.Req.Read.Address = address;
            request.head.Req.Read.Offset = offset;
            request.head.Req.Read.Length = len;
            request
        })
    }

    /// Reads.
    ///
    /// # Errors
    /// The library's status.
    pub fn read(&self, offset: u64, len: u32) -> Result<Vec<u8>, Status> {
        self.begin_read(offset, len).wait()
    }

    /// Reads all of it.
    ///
    /// # Errors
    /// The library's status.
    pub fn read_all(&self) -> Result<Vec<u8>, Status> {
        let mut all = Vec::new();
        loop {
            match self.read(all.len() as u64, 1 << 20) {
                Ok(part) => all.extend(part),
                Err(0xc000_0011) => return Ok(all),
                Err(status) => return Err(status),
            }
        }
    }

    /// Writes; at the end for an offset of `u64::MAX`. `constrained`: the file is not to grow. Gives how much, and how it is now.
    ///
    /// # Errors
    /// The library's status.
    pub fn write_as(
        &self,
        offset: u64,
        data: &[u8],
        constrained: bool,
    ) -> Result<(u32, sys::FSP_FSCTL_FILE_INFO), Status> {
        let mut request = of_file!(self, kind::WRITE, Write);
        request.head.Req.Write.Address = data.as_ptr() as u64;
        request.head.Req.Write.Offset = offset;
        request.head.Req.Write.Length = u32::try_from(data.len()).expect("a small write");
        // SAFETY: a request of this kind has these fields.
        unsafe { request.head.Req.Write.set_ConstrainedIo(u32::from(constrained)) };
        let answer = self.device.call(request)?;
        self.modified.set(true);
        // SAFETY: an answer to this kind has this field.
        Ok((answer.information(), unsafe { answer.get().Rsp.Write.FileInfo }))
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// The library's status.
    pub fn write(&self, offset: u64, data: &[u8]) -> Result<sys::FSP_FSCTL_FILE_INFO, Status> {
        self.write_as(offset, data, false).map(|(_, info)| info)
    }

    /// How it is.
    ///
    /// # Errors
    /// The library's status.
    pub fn query(&self) -> Result<sys::FSP_FSCTL_FILE_INFO, Status> {
        let answer = self.device.call(of_file!(self, kind::QUERY_INFORMATION, QueryInformation))?;
        // SAFETY: an answer to this kind has this field.
        Ok(unsafe { answer.get().Rsp.QueryInformation.FileInfo })
    }

    fn set(&self, name: Option<&str>, class: u32, fill: impl FnOnce(&mut Request)) -> Result<Answer, Status> {
        let mut request = Request::new(kind::SET_INFORMATION, name);
        request.head.Req.SetInformation.UserContext = self.context[0];
        request.head.Req.SetInformation.UserContext2 = self.context[1];
        request.head.Req.SetInformation.FileInformationClass = class;
        fill(&mut request);
        self.device.call(request)
    }

    fn set_info(&self, class: u32, fill: impl FnOnce(&mut Request)) -> Result<sys::FSP_FSCTL_FILE_INFO, Status> {
        let answer = self.set(None, class, fill)?;
        // SAFETY: an answer to these classes has this field.
        Ok(unsafe { answer.get().Rsp.SetInformation.FileInfo })
    }

    /// Sets attributes (`None`: leaves them) and times.
    ///
    /// # Errors
    /// The library's status.
    pub fn set_basic(&self, attributes: Option<u32>, times: Times) -> Result<sys::FSP_FSCTL_FILE_INFO, Status> {
        self.set_info(class::BASIC, |request| {
            // SAFETY: a request of this kind and class has these fields.
            let basic = unsafe { &mut request.head.Req.SetInformation.Info.Basic };
            basic.FileAttributes = attributes.unwrap_or(u32::MAX);
            basic.CreationTime = times.creation;
            basic.LastAccessTime = times.access;
            basic.LastWriteTime = times.write;
            basic.ChangeTime = times.change;
        })
    }

    /// Sets the length.
    ///
    /// # Errors
    /// The library's status.
    pub fn set_size(&self, size: u64) -> Result<sys::FSP_FSCTL_FILE_INFO, Status> {
        self.modified.set(true);
        self.set_info(class::END_OF_FILE, |request| {
            request.head.Req.SetInformation.Info.EndOfFile.FileSize = size;
        })
    }

    /// Sets what is allocated.
    ///
    /// # Errors
    /// The library's status.
    pub fn set_allocation(&self, size: u64) -> Result<sys::FSP_FSCTL_FILE_INFO, Status> {
        self.set_info(class::ALLOCATION, |request| {
            request.head.Req.SetInformation.Info.Allocation.AllocationSize = size;
        })
    }

    /// Marks it for deletion when it is closed, or takes that back. The file system is asked only about directories and read-only files.
    ///
    /// # Errors
    /// The library's status.
    pub fn set_delete(&self, delete: bool) -> Result<(), Status> {
        let attributes = self.query()?.FileAttributes;
        let needed = attributes & (READ_ONLY | DIRECTORY) != 0;
        if needed || self.device.params().PostDispositionWhenNecessaryOnly() == 0 {
            self.set(Some(&self.name()), class::DISPOSITION, |request| {
                // SAFETY: a request of this kind and class has these fields.
                unsafe { request.head.Req.SetInformation.Info.Disposition.set_Delete(u32::from(delete)) };
            })?;
        }
        self.node.set_delete_pending(delete);
        Ok(())
    }

    /// FileDispositionInformationEx.
    ///
    /// # Errors
    /// The library's status.
    pub fn set_delete_ex(&self, flags: u32) -> Result<(), Status> {
        self.set(Some(&self.name()), class::DISPOSITION_EX, |request| {
            request.head.Req.SetInformation.Info.DispositionEx.Flags = flags;
        })?;
        let delete = flags & DISPOSITION_DELETE != 0;
        self.node.set_delete_pending(delete);
        self.posix_delete.set(delete && flags & DISPOSITION_POSIX != 0);
        Ok(())
    }

    /// Renames it.
    ///
    /// # Errors
    /// The library's status, or the driver's own.
    pub fn rename(&self, to: &str, replace: bool) -> Result<(), Status> {
        let from = self.name();
        self.device.nodes.may_rename(&from, to, false)?;
        self.set(Some(&from), class::RENAME, |request| {
            let name = request.push(&text(to));
            // SAFETY: a request of this kind and class has these fields.
            let rename = unsafe { &mut request.head.Req.SetInformation.Info.Rename };
            rename.NewFileName = name;
            rename.AccessToken = if replace { self.device.token() } else { 0 };
        })?;
        self.device.nodes.renamed(&from, to);
        Ok(())
    }

    /// FileRenameInformationEx.
    ///
    /// # Errors
    /// The library's status, or the driver's own.
    pub fn rename_ex(&self, to: &str, flags: u32) -> Result<(), Status> {
        let from = self.name();
        self.device.nodes.may_rename(&from, to, flags & RENAME_POSIX != 0)?;
        self.set(Some(&from), class::RENAME_EX, |request| {
            let name = request.push(&text(to));
            // SAFETY: a request of this kind and class has these fields.
            let rename = unsafe { &mut request.head.Req.SetInformation.Info.RenameEx };
            rename.NewFileName = name;
            rename.AccessToken = if flags & RENAME_REPLACE != 0 { self.device.token() } else { 0 };
            rename.Flags = flags;
        })?;
        self.device.nodes.renamed(&from, to);
        Ok(())
    }

    /// Flushes it.
    ///
    /// # Errors
    /// The library's status.
    pub fn flush(&self) -> Result<sys::FSP_FSCTL_FILE_INFO, Status> {
        let answer = self.device.call(of_file!(self, kind::FLUSH, FlushBuffers))?;
        // SAFETY: an answer to this kind has this field.
        Ok(unsafe { answer.get().Rsp.FlushBuffers.FileInfo })
    }

    /// Its security descriptor.
    ///
    /// # Errors
    /// The library's status.
    pub fn security(&self) -> Result<Vec<u8>, Status> {
        let answer = self.device.call(of_file!(self, kind::QUERY_SECURITY, QuerySecurity))?;
        // SAFETY: an answer to this kind has this field.
        Ok(answer.part(unsafe { answer.get().Rsp.QuerySecurity.SecurityDescriptor }))
    }

    /// Changes parts of its security descriptor.
    ///
    /// # Errors
    /// The library's status.
    pub fn set_security(&self, parts: u32, change: &[u8]) -> Result<(), Status> {
        let mut request = of_file!(self, kind::SET_SECURITY, SetSecurity);
        let part = request.push(change);
        request.head.Req.SetSecurity.SecurityInformation = parts;
        request.head.Req.SetSecurity.SecurityDescriptor = part;
        self.device.call(request).map(drop)
    }

    /// The list of its extended attributes.
    ///
    /// # Errors
    /// The library's status.
    pub fn eas(&self) -> Result<Vec<u8>, Status> {
        let answer = self.device.call(of_file!(self, kind::QUERY_EA, QueryEa))?;
        // SAFETY: an answer to this kind has this field.
        Ok(answer.part(unsafe { answer.get().Rsp.QueryEa.Ea }))
    }

    /// Sets extended attributes.
    ///
    /// # Errors
    /// The library's status.
    pub fn set_eas(&self, list: &[u8]) -> Result<(), Status> {
        let mut request = of_file!(self, kind::SET_EA, SetEa);
        let part = request.push(list);
        request.head.Req.SetEa.Ea = part;
        self.device.call(request).map(drop)
    }

    /// Names and lengths of its streams.
    ///
    /// # Errors
    /// The library's status.
    pub fn streams(&self) -> Result<Vec<(String, u64)>, Status> {
        let answer = self.device.call(of_file!(self, kind::QUERY_STREAMS, QueryStreamInformation))?;
        // SAFETY: an answer to this kind has this field.
        let list = answer.part(unsafe { answer.get().Rsp.QueryStreamInformation.Buffer });
        let mut found = Vec::new();
        let mut rest = &list[..];
        while let Some([s0, s1]) = rest.first_chunk::<2>() {
            let size = usize::from(u16::from_le_bytes([*s0, *s1]));
            let Some(one) = rest.get(..size).filter(|_| size >= STREAM_HEADER) else { break };
            let len = u64::from_le_bytes(*one[8..].first_chunk().expect("a header"));
            found.push((from_utf16(&one[STREAM_HEADER..]), len));
            rest = rest.get(size.next_multiple_of(8)..).unwrap_or_default();
        }
        Ok(found)
    }

    fn control(&self, code: u32, data: &[u8]) -> Result<Answer, Status> {
        let mut request = Request::new(kind::FILE_SYSTEM_CONTROL, Some(&self.name()));
        let part = request.push(data);
        // SAFETY: a request of this kind has these fields.
        let control = unsafe { &mut request.head.Req.FileSystemControl };
        control.UserContext = self.context[0];
        control.UserContext2 = self.context[1];
        control.FsControlCode = code;
        control.Buffer = part;
        self.device.call(request)
    }

    /// Its reparse data.
    ///
    /// # Errors
    /// The library's status.
    pub fn reparse_point(&self) -> Result<Vec<u8>, Status> {
        let answer = self.control(FSCTL_GET_REPARSE_POINT, &[])?;
        // SAFETY: an answer to this kind has this field.
        Ok(answer.part(unsafe { answer.get().Rsp.FileSystemControl.Buffer }))
    }

    /// Sets reparse data.
    ///
    /// # Errors
    /// The library's status.
    pub fn set_reparse_point(&self, data: &[u8]) -> Result<(), Status> {
        self.control(FSCTL_SET_REPARSE_POINT, data).map(drop)
    }

    /// Removes reparse data.
    ///
    /// # Errors
    /// The library's status.
    pub fn delete_reparse_point(&self, data: &[u8]) -> Result<(), Status> {
        self.control(FSCTL_DELETE_REPARSE_POINT, data).map(drop)
    }

    /// Begins to list a part of a directory into so many bytes.
    #[must_use]
    pub fn begin_list(&self, marker: Option<&str>, pattern: Option<&str>, len: u32) -> Reading {
        Reading::begin(&self.device, len as usize, |address| {
            let mut request = of_file!(self, kind::QUERY_DIRECTORY, QueryDirectory);
            let marker = marker.map(|marker| request.push(&text(marker))).unwrap_or_default();
            let by_name = pattern.map(|pattern| request.push(&text(pattern)));
            // SAFETY: a request of this kind has these fields.
            let query = unsafe { &mut request.head.Req.QueryDirectory };
            query.Address = address;
            query.Length = len;
            query.Marker = marker;
            query.Pattern = by_name.unwrap_or_default();
            query.set_PatternIsFileName(u32::from(by_name.is_some()));
            request
        })
    }

    /// Lists all of a directory, so many bytes at a time.
    ///
    /// # Errors
    /// The library's status.
    pub fn list(&self, len: u32) -> Result<Vec<Entry>, Status> {
        let mut all: Vec<Entry> = Vec::new();
        loop {
            let marker = all.last().map(|entry| entry.name.clone());
            let (page, end) = entries(&self.begin_list(marker.as_deref(), None, len).wait()?);
            if end || page.is_empty() {
                all.extend(page);
                return Ok(all);
            }
            all.extend(page);
        }
    }

    /// Entries that a pattern with `*` and `?` matches, as FindFirstFile gives them: one that is a plain name is asked for by it.
    ///
    /// # Errors
    /// The library's status; `NO_SUCH_FILE` when nothing matches.
    pub fn find(&self, pattern: &str) -> Result<Vec<Entry>, Status> {
        let found = if pattern.contains(['*', '?']) {
            let pattern: Vec<char> = pattern.to_uppercase().chars().collect();
            let matching = |entry: &Entry| matches(&pattern, &entry.name.to_uppercase().chars().collect::<Vec<_>>());
            self.list(4096)?.into_iter().filter(matching).collect()
        } else {
            let listed = self.begin_list(None, Some(pattern), 4096).wait();
            entries(&listed?).0
        };
        if found.is_empty() { Err(status::NO_SUCH_FILE) } else { Ok(found) }
    }

    /// The last handle is closed: Cleanup, if there is something for it to do, then Close.
    ///
    /// # Errors
    /// The library's status.
    pub fn close(self) -> Result<(), Status> {
        if self.delete_on_close {
            self.node.set_delete_pending(true);
        }
        let due = self.device.nodes.close(&self.node, self.sharing, self.posix_delete.get());
        if due.delete || self.modified.get() || self.device.params().PostCleanupWhenModifiedOnly() == 0 {
            let mut request = Request::new(kind::CLEANUP, due.delete.then_some(due.name.as_str()));
            // SAFETY: a request of this kind has these fields.
            let cleanup = unsafe { &mut request.head.Req.Cleanup };
            cleanup.UserContext = self.context[0];
            cleanup.UserContext2 = self.context[1];
            cleanup.set_Delete(u32::from(due.delete));
            let modified = u32::from(self.modified.get());
            cleanup.set_SetArchiveBit(modified);
            cleanup.set_SetLastWriteTime(modified);
            cleanup.set_SetChangeTime(modified);
            self.device.call(request)?;
        }
        close(&self.device, self.context)
    }
}

/// Entries of a listing, and whether it says that it is the last part.
fn entries(list: &[u8]) -> (Vec<Entry>, bool) {
    let mut found = Vec::new();
    let mut rest = list;
    while let Some([s0, s1]) = rest.first_chunk::<2>() {
        let size = usize::from(u16::from_le_bytes([*s0, *s1]));
        if size == 0 {
            return (found, true);
        }
        let Some(one) = rest.get(..size).filter(|_| size >= ENTRY_HEADER) else { break };
        // SAFETY: the entry has more bytes than its header, and any bytes are such a structure.
        let info = unsafe { one.as_ptr().add(8).cast::<sys::FSP_FSCTL_FILE_INFO>().read_unaligned() };
        found.push(Entry { name: from_utf16(&one[ENTRY_HEADER..]), info });
        rest = rest.get(size.next_multiple_of(8)..).unwrap_or_default();
    }
    (found, list.is_empty())
}

fn matches(pattern: &[char], name: &[char]) -> bool {
    match (pattern.first(), name.first()) {
        (None, None) => true,
        (Some('*'), _) => matches(&pattern[1..], name) || !name.is_empty() && matches(pattern, &name[1..]),
        (Some('?'), Some(_)) => matches(&pattern[1..], &name[1..]),
        (Some(p), Some(n)) if p == n => matches(&pattern[1..], &name[1..]),
        _ => false,
    }
}
