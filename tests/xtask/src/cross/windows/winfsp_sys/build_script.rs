//! A build script of `winfsp-sys` for the GNU toolchain: the bindings that the crate ships, and an import library made from the names that its
//! DLL exports.
//!
//! The library is one of delayed imports, as with Microsoft's linker: a program starts without the DLL, and the first call looks for it
//! among the modules that are loaded. `winfsp_init` has loaded it by then, from where WinFsp is installed.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The module's name without its ending; the crate's folder `winfsp/bin` has it.
const MODULE: &str = "winfsp-x64";
/// Part of binutils for MinGW; either may be replaced by the variable of its name.
const OBJDUMP: (&str, &str) = ("OBJDUMP", "x86_64-w64-mingw32-objdump");
const DLLTOOL: (&str, &str) = ("DLLTOOL", "x86_64-w64-mingw32-dlltool");

fn main() -> Result<(), Box<dyn Error>> {
    let target = env::var("TARGET")?;
    if target != "x86_64-pc-windows-gnu" {
        return Err(format!("this script is for x86_64-pc-windows-gnu, not for {target}").into());
    }
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let (bindings, dll) = (root.join("src/bindings.rs"), root.join("winfsp/bin").join(MODULE).with_extension("dll"));
    for input in [&root.join("build.rs"), &bindings, &dll] {
        println!("cargo:rerun-if-changed={}", input.display());
    }
    fs::copy(&bindings, out.join("bindings.rs"))?;
    let definitions = out.join(MODULE).with_extension("def");
    fs::write(&definitions, definitions_of(&exports(&dll)?))?;
    let mut dlltool = tool(DLLTOOL);
    dlltool.arg("-d").arg(&definitions).arg("-y").arg(out.join(format!("lib{MODULE}.a")));
    let ended = dlltool.status()?;
    if !ended.success() {
        return Err(format!("dlltool: {ended}").into());
    }
    println!("cargo:rustc-link-search=native={}", out.display());
    println!("cargo:rustc-link-lib=dylib={MODULE}");
    println!("cargo:rustc-link-lib=dylib=delayimp");
    Ok(())
}

fn tool((variable, name): (&str, &str)) -> Command {
    println!("cargo:rerun-if-env-changed={variable}");
    Command::new(env::var_os(variable).unwrap_or_else(|| name.into()))
}

/// The names that a DLL exports, from lines such as `[   2] FspAccessCheckEx` below `[Ordinal/Name Pointer] Table`.
fn exports(dll: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let said = tool(OBJDUMP).arg("-p").arg(dll).output()?;
    let text = String::from_utf8_lossy(&said.stdout);
    let names: Vec<String> = text
        .lines()
        .skip_while(|line| !line.starts_with("[Ordinal/Name Pointer]"))
        .skip(1)
        .take_while(|line| line.trim_start().starts_with('['))
        .filter_map(|line| line.split_whitespace().last())
        .map(str::to_owned)
        .collect();
    if !names.iter().any(|name| name == "FspFileSystemCreate") {
        return Err(format!("{}: found {} exports, not those of WinFsp", dll.display(), names.len()).into());
    }
    Ok(names)
}

fn definitions_of(names: &[String]) -> String {
    let mut text = format!("LIBRARY {MODULE}.dll\nEXPORTS\n");
    for name in names {
        text.push_str(name);
        text.push('\n');
    }
    text
}
