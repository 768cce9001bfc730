//! What is particular to Linux: mounting and unmounting, the checks before, and looking at processes.

pub(crate) mod device;
pub(crate) mod mountinfo;
pub(crate) mod preflight;
pub(crate) mod signals;
