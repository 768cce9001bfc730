//! The proxyfs program.
fn main() {}
