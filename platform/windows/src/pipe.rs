//! Named pipes that only their user, the system and administrators can open, and only on this computer.
//!
//! Anybody may make a pipe of any name. So the first instance insists on being the first, and whoever connects looks who owns
//! the pipe ([`server_is_trusted`]) before it says anything.

use std::ffi::OsStr;
use std::io;
use std::os::windows::io::AsRawHandle;
use std::ptr::{NonNull, null_mut};

use tokio::net::windows::named_pipe::{NamedPipeClient, NamedPipeServer, ServerOptions};
use windows_sys::Win32::Foundation::ERROR_SUCCESS;
use windows_sys::Win32::Security::Authorization::{GetSecurityInfo, SE_KERNEL_OBJECT};
use windows_sys::Win32::Security::{DACL_SECURITY_INFORMATION, OWNER_SECURITY_INFORMATION};

use crate::descriptor::Descriptor;
use crate::identity::{ADMINISTRATORS, SYSTEM, own_sid, sid_text};

/// Where an instance stands among those of its pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instance {
    /// The first: an error if the pipe exists.
    First,
    /// Another one.
    Further,
}

/// Makes an instance of the pipe `\\.\pipe\NAME`. Needs a runtime of tokio around it.
///
/// # Errors
/// `PermissionDenied` for a first instance of a pipe that exists; else as Windows gives them.
pub fn create(name: impl AsRef<OsStr>, instance: Instance, who: &Descriptor) -> io::Result<NamedPipeServer> {
    let mut attributes = who.attributes();
    let mut options = ServerOptions::new();
    options.first_pipe_instance(instance == Instance::First).reject_remote_clients(true);
    // SAFETY: the attributes are valid and point into `who`; both outlive the call, which keeps neither.
    unsafe { options.create_with_security_attributes_raw(name, (&raw mut attributes).cast()) }
}

/// Whether the pipe belongs to this process's own user, the system or administrators: others could have made it to listen.
///
/// # Errors
/// As Windows gives them.
pub fn server_is_trusted(pipe: &NamedPipeClient) -> io::Result<bool> {
    let (owner, _) = security(pipe)?;
    Ok(owner == SYSTEM || owner == ADMINISTRATORS || owner == own_sid()?)
}

/// The owner of a pipe, as `S-1-...`, and its descriptor.
///
/// # Errors
/// As Windows gives them.
pub fn security(pipe: &NamedPipeClient) -> io::Result<(String, Descriptor)> {
    let (mut owner, mut descriptor) = (null_mut(), null_mut());
    // SAFETY: the handle is open for as long as `pipe` lives; what is not asked for is null; the rest outlives the call.
    let code = unsafe {
        GetSecurityInfo(
            pipe.as_raw_handle(),
            SE_KERNEL_OBJECT,
            OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION,
            &raw mut owner,
            null_mut(),
            null_mut(),
            null_mut(),
            &raw mut descriptor,
        )
    };
    if code != ERROR_SUCCESS {
        return Err(io::Error::from_raw_os_error(i32::try_from(code).unwrap_or(i32::MAX)));
    }
    let (Some(descriptor), false) = (NonNull::new(descriptor), owner.is_null()) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    // SAFETY: the call succeeded, so it is a valid descriptor that is ours to free.
    let descriptor = unsafe { Descriptor::own(descriptor) };
    // SAFETY: `owner` points into the descriptor, which is alive.
    let owner = unsafe { sid_text(owner) }?;
    Ok((owner, descriptor))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::windows::named_pipe::ClientOptions;

    use super::*;

    fn name(test: &str) -> String {
        format!(r"\\.\pipe\proxyfs-test-{test}-{}", std::process::id())
    }

    #[tokio::test]
    async fn a_pipe_is_private_and_known_by_its_owner() {
        let name = name("private");
        let mut server = create(&name, Instance::First, &Descriptor::private().unwrap()).unwrap();
        let mut client = ClientOptions::new().open(&name).unwrap();
        server.connect().await.unwrap();
        assert!(server_is_trusted(&client).unwrap());
        let (owner, descriptor) = security(&client).unwrap();
        assert_eq!(owner, own_sid().unwrap());
        let sddl = descriptor.to_sddl().unwrap();
        assert!(sddl.contains("(D;") && sddl.contains(";;;SY)") && sddl.contains(";;;BA)"), "{sddl}");
        assert!(!sddl.contains(";;;WD)") && !sddl.contains(";;;AN)"), "neither everyone nor anonymous: {sddl}");
        client.write_all(b"ask").await.unwrap();
        let mut asked = [0; 3];
        server.read_exact(&mut asked).await.unwrap();
        server.write_all(b"answer").await.unwrap();
        drop(server);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!((&asked, answer.as_slice()), (b"ask", b"answer".as_slice()));
    }

    #[tokio::test]
    async fn a_name_in_use_is_not_shared() {
        let (name, who) = (name("first"), Descriptor::private().unwrap());
        let first = create(&name, Instance::First, &who).unwrap();
        match create(&name, Instance::First, &who) {
            Ok(_) if std::env::var_os("PROXYFS_TEST_WINE").is_some() => {
                eprintln!("SKIP: this Wine gives a pipe's first instance out twice");
                return;
            }
            second => assert_eq!(second.unwrap_err().kind(), io::ErrorKind::PermissionDenied),
        }
        drop(create(&name, Instance::Further, &who).unwrap());
        drop(first);
        drop(create(&name, Instance::First, &who).unwrap());
    }
}
