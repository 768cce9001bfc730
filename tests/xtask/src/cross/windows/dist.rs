//! The release for Windows: a zip with the program, its licences and a note, taken apart and started under Wine.
//!
//! The same sources give the same bytes around the program: entries come in one order and with one date. Installers are not made here.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use super::wine::Wine;
use super::{LINKER, Windows, skipped};
use crate::process::output;
use crate::tally::Tally;

/// The package of the program, which is called alike.
const PROGRAM: &str = "proxyfs";

/// What lies beside the program: its name in the zip, and where it comes from.
const BESIDE: &[(&str, &str)] = &[
    ("README.txt", "installer/windows/README.txt"),
    // The program links WinFsp's bindings, so as a whole it is under their licence.
    ("COPYING.txt", "platform/winfsp/LICENSE-GPL-3.0"),
    ("LICENSE-MIT.txt", "LICENSE-MIT"),
    ("LICENSE-APACHE.txt", "LICENSE-APACHE"),
];

/// Libraries that come with the GNU toolchain and not with Windows.
const TOOLCHAIN_DLLS: &[&str] = &["libgcc_s_seh-1.dll", "libwinpthread-1.dll", "libstdc++-6.dll"];

/// Longest that `--help` may take beyond what Wine takes to start anything.
const HELP_MAX: Duration = Duration::from_millis(100);

/// The fastest of so many starts counts, as whatever else the machine does only adds to it.
const STARTS: usize = 7;

/// Rust's library as it is built here has no intermediate code, without which nothing is optimised across crates.
const NOT_AS_A_WHOLE: &str = "profile.release.lto=false";

/// A release is optimised more than tests are.
const RELEASE_LIMIT: Duration = Duration::from_secs(60 * 60);
const STRIP_LIMIT: Duration = Duration::from_secs(120);
const START_LIMIT: Duration = Duration::from_secs(60);

/// Builds, packs and tries a release.
///
/// # Errors
/// When cargo cannot be started, a file is missing, or the user interrupts.
pub(super) fn run(windows: &Windows<'_>) -> Result<Tally> {
    let mut build = windows.cargo("build");
    build.args(["--release", "--package", PROGRAM, "--config", NOT_AS_A_WHOLE]);
    let mut tally = windows.session.check("cargo build --release for Windows", &mut build, RELEASE_LIMIT)?;
    if !tally.failures.is_empty() {
        return Ok(tally);
    }
    let program = stripped(windows)?;
    let foreign = foreign_dlls(&program)?;
    tally.add(Tally::check(
        foreign.is_empty(),
        format!("proxyfs.exe needs {}, which Windows lacks", foreign.join(", ")),
    ));
    let archive = pack(windows, &program)?;
    println!("{} ({} bytes; the program {})", archive.display(), length(&archive)?, length(&program)?);
    tally.add(try_it(windows, &archive)?);
    Ok(tally)
}

/// The program without what only debuggers read: four fifths of it, which Windows would have to map at every start.
fn stripped(windows: &Windows<'_>) -> Result<PathBuf> {
    let program = windows.session.scratch().join(PROGRAM).with_extension("exe");
    let strip = LINKER.replace("gcc", "strip");
    output(Command::new(strip).arg("-o").arg(&program).arg(windows.release(PROGRAM)), STRIP_LIMIT)?;
    Ok(program)
}

/// DLLs that the program loads at its start and that would have to be shipped.
fn foreign_dlls(program: &Path) -> Result<Vec<String>> {
    let objdump = LINKER.replace("gcc", "objdump");
    let text = output(Command::new(objdump).arg("-p").arg(program), START_LIMIT)?;
    let imported: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("DLL Name: ")).collect();
    ensure!(imported.iter().any(|dll| dll.eq_ignore_ascii_case("kernel32.dll")), "no imports found:\n{text}");
    let foreign = imported.iter().filter(|dll| TOOLCHAIN_DLLS.iter().any(|ours| dll.eq_ignore_ascii_case(ours)));
    Ok(foreign.map(|dll| (*dll).to_owned()).collect())
}

/// Makes the zip in the target directory's folder `dist`.
fn pack(windows: &Windows<'_>, program: &Path) -> Result<PathBuf> {
    let workspace = &windows.session.workspace;
    let version = workspace.packages.iter().find(|package| package.name == PROGRAM).context("no such package")?;
    let stem = format!("{PROGRAM}-{}-windows-x86_64", version.version);
    let dir = windows.toolchain.target_dir().join("dist");
    std::fs::create_dir_all(&dir)?;
    let path = dir.join(format!("{stem}.zip"));
    let mut zip = ZipWriter::new(File::create(&path).with_context(|| format!("making {}", path.display()))?);
    add(&mut zip, &format!("{stem}/{PROGRAM}.exe"), &std::fs::read(program)?)?;
    for (name, source) in BESIDE {
        let source = workspace.root.join(source);
        let text = std::fs::read_to_string(&source).with_context(|| format!("reading {}", source.display()))?;
        // Windows' oldest editors know no other end of a line.
        add(&mut zip, &format!("{stem}/{name}"), text.replace("\r\n", "\n").replace('\n', "\r\n").as_bytes())?;
    }
    zip.finish()?;
    Ok(path)
}

fn add<W: Write + Seek>(zip: &mut ZipWriter<W>, name: &str, content: &[u8]) -> Result<()> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    zip.start_file(name, options)?;
    zip.write_all(content)?;
    Ok(())
}

/// Takes the zip apart and starts what is in it.
fn try_it(windows: &Windows<'_>, archive: &Path) -> Result<Tally> {
    let wine = match Wine::start(windows.session) {
        Ok(wine) => wine,
        Err(why) => return Ok(skipped(why)),
    };
    let dir = windows.session.scratch().join("dist");
    ZipArchive::new(File::open(archive)?)?.extract(&dir)?;
    let program = dir.join(archive.file_stem().context("the archive has no name")?).join("proxyfs.exe");
    let help = || {
        let mut command = wine.command(&program);
        command.arg("--help");
        command
    };
    let said = output(&mut help(), START_LIMIT)?;
    let mut tally = Tally::check(said.contains("Usage:"), format!("proxyfs.exe --help says: {said}"));
    let nothing = || {
        let mut command = wine.command(Path::new("cmd"));
        command.args(["/c", "exit"]);
        command
    };
    let (bare, whole) = (fastest(nothing)?, fastest(help)?);
    let own = whole.saturating_sub(bare);
    println!(
        "proxyfs.exe --help: {} ms under Wine, of which {} ms are Wine's (cmd /c exit); its own: {} ms",
        whole.as_millis(),
        bare.as_millis(),
        own.as_millis()
    );
    let slow = format!("--help takes {} ms, more than {}", own.as_millis(), HELP_MAX.as_millis());
    tally.add(Tally::check(own < HELP_MAX, slow));
    Ok(tally)
}

fn fastest(command: impl Fn() -> Command) -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let mut command = command();
        let begun = Instant::now();
        output(&mut command, START_LIMIT)?;
        times.push(begun.elapsed());
    }
    times.into_iter().min().context("nothing was started")
}

fn length(path: &Path) -> Result<u64> {
    Ok(std::fs::metadata(path).with_context(|| format!("looking at {}", path.display()))?.len())
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read};

    use super::*;

    #[test]
    fn an_archive_depends_on_nothing_but_names_and_contents() {
        let make = || {
            let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
            add(&mut zip, "p/a.txt", b"one\r\n").expect("an entry");
            add(&mut zip, "p/b.txt", &[7; 4096]).expect("an entry");
            zip.finish().expect("an archive").into_inner()
        };
        let archive = make();
        assert_eq!(archive, make());
        let mut zip = ZipArchive::new(Cursor::new(archive)).expect("an archive");
        let mut text = String::new();
        zip.by_name("p/a.txt").expect("the entry").read_to_string(&mut text).expect("its text");
        assert_eq!((text.as_str(), zip.len()), ("one\r\n", 2));
    }

    #[test]
    fn what_lies_beside_the_program_is_in_the_tree() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for (_, source) in BESIDE {
            assert!(root.join(source).is_file(), "{source}");
        }
    }
}
