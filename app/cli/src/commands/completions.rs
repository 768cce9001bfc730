//! `proxyfs completions`: a script for a shell.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::cli::Cli;
use crate::output::line;

/// Prints the script.
pub(crate) fn run(shell: Shell) {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "proxyfs", &mut script);
    line(String::from_utf8_lossy(&script).trim_end());
}
