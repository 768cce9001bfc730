//! Named credentials for stores: where they lie, in which order they are looked for, and how they are kept.
//!
//! [`Sources`] is the way in. A name is looked for in this order: a file that systemd hands to a service, the environment, the
//! system's credential store, the user's file, the machine's file. Writing goes to the credential store or to the user's file.
//! Secrets are wiped from memory when dropped, and no type here shows or serialises one. What a store does with them, and what is
//! said to people, is not known here.

mod environment;
mod error;
mod file;
mod keyring;
mod name;
mod record;
mod sources;

pub use error::{Error, ErrorKind, Result};
pub use name::check_name;
pub use record::{Described, Record};
pub use sources::{Found, Listing, Place, Sources, Stored, Target};
