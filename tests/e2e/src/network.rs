//! Machines of a small network of their own: one with the store, two with a cable to it that can be pulled.
//!
//! Each machine is a network namespace; files and mounts are those of the caller. Made in a mount namespace of the test's own
//! ([`PREPARE`] for [`crate::namespace::enter`]), so that all of it ends with the test, however that ends.
//!
//! ```text
//! one 10.203.1.2 ---- 10.203.1.1 store 10.203.2.1 ---- 10.203.2.2 two       the store listens on 10.203.0.1
//! ```

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::wait::output_within;

/// Gives the test a place of its own for the names of networks.
pub const PREPARE: &str = "mkdir -p /run/netns; mount -t tmpfs none /run/netns;";
/// Where the store listens.
pub const STORE_ADDRESS: &str = "10.203.0.1";

const COMMAND_LIMIT: Duration = Duration::from_secs(30);
const STORE: &str = "store";

/// A machine beside the store's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// The first.
    One,
    /// The second.
    Two,
}

impl Machine {
    fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Two => "two",
        }
    }
}

/// The network. Its machines end when the mount namespace does, or it is dropped.
#[derive(Debug)]
pub struct Network(());

impl Network {
    /// Makes it.
    ///
    /// # Errors
    /// When the kernel or the rights of the caller do not allow it.
    pub fn new() -> Result<Self> {
        let network = Self(());
        for name in [STORE, Machine::One.name(), Machine::Two.name()] {
            ip(&format!("netns add {name}"))?;
            ip(&format!("-n {name} link set lo up"))?;
        }
        ip(&format!("-n {STORE} address add {STORE_ADDRESS}/32 dev lo"))?;
        for (number, machine) in [(1, Machine::One), (2, Machine::Two)] {
            let name = machine.name();
            ip(&format!("link add {name} netns {STORE} type veth peer name eth0 netns {name}"))?;
            ip(&format!("-n {STORE} address add 10.203.{number}.1/24 dev {name}"))?;
            ip(&format!("-n {STORE} link set {name} up"))?;
            ip(&format!("-n {name} address add 10.203.{number}.2/24 dev eth0"))?;
            ip(&format!("-n {name} link set eth0 up"))?;
            ip(&format!("-n {name} route add default via 10.203.{number}.1"))?;
        }
        Ok(network)
    }

    /// The store's machine.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        place(STORE)
    }

    /// A machine, for [`crate::Home::in_network`].
    #[must_use]
    pub fn machine(&self, machine: Machine) -> PathBuf {
        place(machine.name())
    }

    /// Pulls a machine's cable: packets are lost, connections stay as they were.
    ///
    /// # Errors
    /// When the kernel says no.
    pub fn cut(&self, machine: Machine) -> Result<()> {
        ip(&format!("-n {STORE} link set {} down", machine.name()))
    }

    /// Puts it back.
    ///
    /// # Errors
    /// When the kernel says no.
    pub fn join(&self, machine: Machine) -> Result<()> {
        ip(&format!("-n {STORE} link set {} up", machine.name()))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in [STORE, Machine::One.name(), Machine::Two.name()] {
            // What was not made cannot be removed.
            let _ = ip(&format!("netns del {name}"));
        }
    }
}

fn place(name: &str) -> PathBuf {
    Path::new("/run/netns").join(name)
}

fn ip(words: &str) -> Result<()> {
    output_within(Command::new("ip").args(words.split(' ')), COMMAND_LIMIT).map(drop)
}

/// A command on a machine. Unlike `ip netns exec` it stays among the caller's mounts.
pub(crate) fn in_network(machine: &Path, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", machine.display())).arg(program);
    command
}
