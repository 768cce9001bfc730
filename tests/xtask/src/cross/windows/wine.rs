//! Wine, in a folder of its own that lasts as long as the run.
//!
//! Making that folder (a "prefix") takes long, so one is kept in the cache and copied for each run, its files by hard links where
//! they can be: what Wine changes it writes anew. So runs do not meet, and each begins with the same registry. The server of the run's
//! prefix, and with it every program in it, ends with the run; no other prefix is touched.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::prerequisites as pre;
use crate::process::output;
use crate::session::Session;

/// Debian's programs, which are not on the path.
const PROGRAM: &str = "/usr/lib/wine/wine64";
const SERVER: &str = "/usr/lib/wine/wineserver64";

/// Rust's library takes randomness from a DLL that Wine 8 lacks; this one has the function. For tests only: Windows has the DLL.
const RANDOMNESS_SOURCE: &str = include_str!("bcryptprimitives.c");
const RANDOMNESS_DLL: &str = "drive_c/windows/system32/bcryptprimitives.dll";

const MAKE_LIMIT: Duration = Duration::from_secs(300);
const COPY_LIMIT: Duration = Duration::from_secs(300);
const SERVER_LIMIT: Duration = Duration::from_secs(60);

/// A running Wine. Dropping it ends all that runs in it.
#[derive(Debug)]
pub(super) struct Wine {
    prefix: PathBuf,
}

impl Wine {
    /// Starts it; the error is the reason why not.
    pub(super) fn start(session: &Session) -> Result<Self, String> {
        let template = Self::template(session)?;
        let wine = Self { prefix: session.scratch().join("wine") };
        copy_tree(&template, &wine.prefix)?;
        // It would end with the first program, and be started anew for each.
        said(wine.server().arg("--persistent"), SERVER_LIMIT)?;
        Ok(wine)
    }

    /// Makes sure of the prefix that is copied; gives its folder.
    pub(super) fn template(session: &Session) -> Result<PathBuf, String> {
        pre::system(pre::WINE)?;
        let version =
            said(environment(&mut Command::new(PROGRAM), Path::new("/nonexistent")).arg("--version"), MAKE_LIMIT)?;
        // It says `wine-8.0 (Debian ...)`.
        let root = session.cache.join(version.split_whitespace().next().unwrap_or("wine-unknown"));
        let whole = root.join("made");
        if whole.is_file() {
            return Ok(root);
        }
        println!("making a Wine prefix in {}", root.display());
        let failed = |e: std::io::Error| format!("{}: {e}", root.display());
        match std::fs::remove_dir_all(&root) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
            _ => std::fs::create_dir_all(&root).map_err(failed)?,
        }
        let made = Self { prefix: root.clone() };
        said(made.command(Path::new("wineboot")).arg("--init"), MAKE_LIMIT)?;
        // Whoever still writes the registry ends first.
        said(made.server().arg("--wait"), MAKE_LIMIT)?;
        compile_randomness(&root.join(RANDOMNESS_DLL), session.scratch())?;
        std::fs::write(&whole, "").map_err(failed)?;
        Ok(root)
    }

    /// A program for Windows, to be run.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(PROGRAM);
        environment(&mut command, &self.prefix).arg(program);
        command
    }

    fn server(&self) -> Command {
        let mut command = Command::new(SERVER);
        environment(&mut command, &self.prefix);
        command
    }
}

impl Drop for Wine {
    fn drop(&mut self) {
        let ended = self.server().arg("--kill").stdout(Stdio::null()).stderr(Stdio::null()).status();
        // It fails where nothing runs any more, which is as well.
        if let Err(e) = ended {
            eprintln!("Wine in {} may still run: {e}", self.prefix.display());
        }
    }
}

/// How a program in Wine calls a file of this machine.
pub(super) fn windows_path(path: &Path) -> String {
    format!("Z:{}", path.display().to_string().replace('/', "\\"))
}

/// Wine's own settings; no window, no .NET, no browser, and nothing but what programs say themselves.
fn environment<'c>(command: &'c mut Command, prefix: &Path) -> &'c mut Command {
    command.env("WINEPREFIX", prefix).env("WINEARCH", "win64").env("WINESERVER", SERVER).env("WINEDEBUG", "-all");
    command.env("WINEDLLOVERRIDES", "mscoree,mshtml=").env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY")
}

fn compile_randomness(dll: &Path, scratch: &Path) -> Result<(), String> {
    let source = scratch.join("bcryptprimitives.c");
    std::fs::write(&source, RANDOMNESS_SOURCE).map_err(|e| format!("{}: {e}", source.display()))?;
    let mut compile = Command::new(super::LINKER);
    compile.args(["-O2", "-Wall", "-Werror", "-shared", "-o"]).arg(dll).arg(source).arg("-ladvapi32");
    said(&mut compile, MAKE_LIMIT).map(drop)
}

fn copy_tree(from: &Path, to: &Path) -> Result<(), String> {
    let copy = |how: &str| said(Command::new("cp").arg(how).arg(from).arg(to), COPY_LIMIT);
    if copy("-al").is_ok() {
        return Ok(());
    }
    // Another file system. What the attempt has made is in the way.
    match std::fs::remove_dir_all(to) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(format!("{}: {e}", to.display())),
        _ => copy("-a").map(drop),
    }
}

fn said(command: &mut Command, limit: Duration) -> Result<String, String> {
    output(command, limit).map_err(|e| format!("{e:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_this_machine_lie_on_the_last_drive() {
        assert_eq!(windows_path(Path::new("/a b/c.exe")), r"Z:\a b\c.exe");
    }
}
