//! `cargo xtask macos build`: the program, compiled and linked for macOS, and what its file says of itself.
//!
//! C is compiled and all is linked by zig, against stubs of macOS's libraries. The program cannot be run here; that it is one for macOS
//! and needs nothing that macOS lacks, macFUSE in the first place, is read from it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::image::{Cpu, Image};
use super::stubs::{Stubs, missed};
use super::zig::Zig;
use super::{MACOS_MIN, Macos};
use crate::cross::skipped;
use crate::process::run as run_command;
use crate::tally::Tally;

/// The package, and the program in it.
const PROGRAM: &str = "proxyfs";

/// Where dependencies have no debug information, cargo has the standard library's taken out of what is linked, and a setting of the
/// profile does not reach them. One is linked by itself (`crc-fast`, which is a dynamic library too), and the compiler then looks for
/// `rust-objcopy`, which not every toolchain has.
const UNSTRIPPED: &str = "-Cstrip=none";

/// Building from nothing takes a tenth of it on two cores that do nothing else.
const BUILD_LIMIT: Duration = Duration::from_secs(40 * 60);

/// How often the link may ask for more of macOS's names. One library may call for another's, so it is more than once.
const LINKS_MAX: u32 = 4;

/// What every macOS has lies here.
const SYSTEM_PLACES: [&str; 2] = ["/usr/lib/", "/System/Library/"];

/// Builds the program and looks at it.
pub(super) fn run(macos: &Macos<'_>) -> Result<Tally> {
    let zig = match Zig::install(macos.session) {
        Ok(zig) => zig,
        Err(why) => return Ok(skipped(why)),
    };
    let dir = macos.toolchain.target_dir();
    let stubs_dir = dir.join("stubs");
    let mut stubs = Stubs::open(&stubs_dir)?;
    let zig = Zig::prepare(&zig, dir, &macos.mac.zig_target(), &stubs_dir)?;
    let what = format!("cargo build for {}", macos.mac.triple);
    for _ in 0..LINKS_MAX {
        let mut lines = Vec::new();
        let ended = run_command(&mut command(macos, &zig)?, BUILD_LIMIT, |line| lines.push(line.to_owned()))?;
        if ended.is_success() {
            return look(macos, &macos.toolchain.built("debug").join(PROGRAM));
        }
        let missed: BTreeSet<String> = lines.iter().filter_map(|line| missed(line)).map(str::to_owned).collect();
        if !stubs.add(&missed)? {
            println!("{}", lines.join("\n"));
            return Ok(Tally::fail(format!("{what} ({ended})")));
        }
        println!("the link needs {} more names of macOS's libraries", missed.len());
    }
    Ok(Tally::fail(format!("{what}: its link needs ever more names of macOS's libraries")))
}

fn command(macos: &Macos<'_>, zig: &Zig) -> Result<Command> {
    let mut command = macos.toolchain.cargo(macos.session, "build");
    command.args(["--quiet", "--color", "never", "--package", PROGRAM]);
    macos.settle(&mut command)?;
    zig.apply(&mut command, macos.mac.triple, &macos.toolchain.variable("LINKER"));
    command.env("CARGO_PROFILE_DEV_DEBUG", "none");
    macos.toolchain.flags(&mut command, UNSTRIPPED);
    Ok(command)
}

/// Reads what the program says of itself.
fn look(macos: &Macos<'_>, program: &Path) -> Result<Tally> {
    let file = std::fs::read(program).with_context(|| format!("reading {}", program.display()))?;
    let image = Image::read(&file).with_context(|| format!("reading {}", program.display()))?;
    let wrong = faults(&image, macos.mac.cpu);
    println!("{}: {} bytes, {}", program.display(), file.len(), told(&image));
    if wrong.is_empty() {
        println!("it needs nothing to start that macOS lacks, so no macFUSE either");
    }
    Ok(Tally::check(wrong.is_empty(), format!("{PROGRAM} for {}: {}", macos.mac.triple, wrong.join("; "))))
}

fn told(image: &Image) -> String {
    let kind = if image.is_executable { "a Mach-O program" } else { "a Mach-O file" };
    let system = image.macos_min.as_ref().map_or_else(|| "no macOS".to_owned(), |min| format!("macOS {min} and later"));
    let signed = if image.is_signed { "signed" } else { "not signed" };
    let libraries = image.libraries.join(", ");
    format!("{kind} for {:?} and {system}, {signed}; loaded with it: {libraries}", image.cpu)
}

/// What is not as it should be.
fn faults(image: &Image, cpu: Cpu) -> Vec<String> {
    let mut faults = Vec::new();
    if !image.is_executable {
        faults.push("it is no program".to_owned());
    }
    if image.cpu != cpu {
        faults.push(format!("it is for {:?}", image.cpu));
    }
    if image.macos_min.as_deref() != Some(MACOS_MIN) {
        faults.push(format!("it is not for macOS {MACOS_MIN} and later"));
    }
    if cpu == Cpu::Arm64 && !image.is_signed {
        faults.push("it has no signature, without which it is not run".to_owned());
    }
    if image.libraries.is_empty() {
        faults.push("it loads no library, not even the system's".to_owned());
    }
    let foreign = |path: &&String| !SYSTEM_PLACES.iter().any(|place| path.starts_with(place));
    faults.extend(image.libraries.iter().filter(foreign).map(|path| format!("it does not start without {path}")));
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Image {
        Image {
            cpu: Cpu::Arm64,
            is_executable: true,
            macos_min: Some(MACOS_MIN.to_owned()),
            is_signed: true,
            libraries: vec!["/usr/lib/libSystem.B.dylib".to_owned()],
        }
    }

    #[test]
    fn a_program_that_needs_macfuse_to_start_is_found_out() {
        assert_eq!(faults(&image(), Cpu::Arm64), Vec::<String>::new());
        for path in ["/usr/local/lib/libfuse.2.dylib", "/Library/Frameworks/macFUSE.framework/macFUSE", "@rpath/x"] {
            let needy = Image { libraries: vec![path.to_owned()], ..image() };
            assert_eq!(faults(&needy, Cpu::Arm64), [format!("it does not start without {path}")]);
        }
    }

    #[test]
    fn a_program_for_another_mac_or_a_part_of_one_is_found_out() {
        assert_eq!(faults(&image(), Cpu::X86_64).len(), 1);
        let nothing = Image {
            is_executable: false,
            macos_min: Some("26.0".to_owned()),
            is_signed: false,
            libraries: Vec::new(),
            ..image()
        };
        assert_eq!(faults(&nothing, Cpu::Arm64).len(), 4);
        let intel = Image { cpu: Cpu::X86_64, is_signed: false, ..image() };
        assert_eq!(faults(&intel, Cpu::X86_64), Vec::<String>::new());
    }
}
