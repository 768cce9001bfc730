//! What a Mach-O file says of itself: for which processor and system it is, and what is loaded with it when it starts.
//!
//! Files of one processor with 64 bits only, as linkers make them. Layout: mach-o/loader.h of macOS.
//!
//! ```text
//! header   magic u32, processor u32, its kind u32, type of file u32, number of commands u32, their length u32, flags u32, 0 u32
//! command  type u32, length u32 (with these two), then by type:
//!   dylib  offset of its path from the command's begin u32, time u32, two versions u32, the path, ended by a zero byte
//!   build  platform u32, oldest system u32 (16, 8 and 8 bits), SDK u32, tools
//! ```

use anyhow::{Context, Result, bail, ensure};

const MAGIC_64: u32 = 0xfeed_facf;
const HEADER_BYTES: usize = 32;
/// MH_EXECUTE.
const EXECUTABLE: u32 = 2;
/// LC_CODE_SIGNATURE.
const SIGNATURE: u32 = 0x1d;
/// LC_BUILD_VERSION.
const BUILD: u32 = 0x32;
/// PLATFORM_MACOS.
const MACOS: u32 = 1;
/// LC_LOAD_DYLIB, and its kinds: lazy, weak, re-exported, upward.
const DYLIBS: [u32; 5] = [0xc, 0x20, 0x8000_0018, 0x8000_001f, 0x8000_0023];

/// A processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cpu {
    /// Apple's.
    Arm64,
    /// Intel's.
    X86_64,
}

impl Cpu {
    fn of(number: u32) -> Result<Self> {
        match number {
            0x0100_000c => Ok(Self::Arm64),
            0x0100_0007 => Ok(Self::X86_64),
            other => bail!("it is for processor {other:#x}"),
        }
    }
}

/// What a file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Image {
    /// Its processor.
    pub(super) cpu: Cpu,
    /// Whether it is a program.
    pub(super) is_executable: bool,
    /// The oldest macOS that runs it, such as `12.0`, if it is for macOS.
    pub(super) macos_min: Option<String>,
    /// Whether it has a signature, without which Apple's processors run nothing.
    pub(super) is_signed: bool,
    /// Paths of the libraries that are loaded with it, in its order.
    pub(super) libraries: Vec<String>,
}

impl Image {
    /// Reads a file.
    ///
    /// # Errors
    /// When it is no such file, or cut off.
    pub(super) fn read(file: &[u8]) -> Result<Self> {
        ensure!(word(file, 0)? == MAGIC_64, "it is not a Mach-O file of one processor with 64 bits");
        let mut image = Self {
            cpu: Cpu::of(word(file, 4)?)?,
            is_executable: word(file, 12)? == EXECUTABLE,
            macos_min: None,
            is_signed: false,
            libraries: Vec::new(),
        };
        let mut rest = file.get(HEADER_BYTES..).context("its header is cut off")?;
        for _ in 0..word(file, 16)? {
            let length = usize::try_from(word(rest, 4)?)?;
            ensure!(length >= 8, "a command of {length} bytes");
            let (command, after) = rest.split_at_checked(length).context("its commands are cut off")?;
            image.take(command)?;
            rest = after;
        }
        Ok(image)
    }

    fn take(&mut self, command: &[u8]) -> Result<()> {
        match word(command, 0)? {
            SIGNATURE => self.is_signed = true,
            BUILD if word(command, 8)? == MACOS => {
                let version = word(command, 12)?;
                self.macos_min = Some(format!("{}.{}", version >> 16, version >> 8 & 0xff));
            }
            kind if DYLIBS.contains(&kind) => {
                let path = command.get(usize::try_from(word(command, 8)?)?..).context("a library without a path")?;
                let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
                self.libraries.push(String::from_utf8_lossy(path).into_owned());
            }
            _ => {}
        }
        Ok(())
    }
}

fn word(bytes: &[u8], at: usize) -> Result<u32> {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk()).context("it is cut off")?;
    Ok(u32::from_le_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn dylib(kind: u32, path: &str) -> Vec<u8> {
        let mut text = path.as_bytes().to_vec();
        text.resize((text.len() / 8 + 1) * 8, 0);
        let length = u32::try_from(24 + text.len()).expect("a length");
        [words(&[kind, length, 24, 2, 0x0001_0000, 0x0001_0000]), text].concat()
    }

    fn file(cpu: u32, kind: u32, commands: &[Vec<u8>]) -> Vec<u8> {
        let count = u32::try_from(commands.len()).expect("a count");
        let length = u32::try_from(commands.concat().len()).expect("a length");
        [words(&[MAGIC_64, cpu, 0, kind, count, length, 0x85, 0]), commands.concat()].concat()
    }

    #[test]
    fn a_program_tells_its_processor_its_system_and_its_libraries() {
        let commands = [
            words(&[0x19, 16, 0, 0]),
            dylib(0xc, "/usr/lib/libSystem.B.dylib"),
            words(&[BUILD, 24, MACOS, 0x000c_0300, 0x000c_0300, 0]),
            dylib(0x8000_0018, "/weak"),
            words(&[SIGNATURE, 16, 4096, 64]),
        ];
        let expected = Image {
            cpu: Cpu::Arm64,
            is_executable: true,
            macos_min: Some("12.3".to_owned()),
            is_signed: true,
            libraries: vec!["/usr/lib/libSystem.B.dylib".to_owned(), "/weak".to_owned()],
        };
        let bytes = file(0x0100_000c, 2, &commands);
        assert_eq!(Image::read(&bytes).expect("an image"), expected);
        for length in 0..bytes.len() {
            assert!(Image::read(&bytes[..length]).is_err(), "cut off after {length} bytes");
        }
    }

    #[test]
    fn libraries_programs_of_others_and_other_files_are_told_apart() {
        let library = Image::read(&file(0x0100_0007, 6, &[])).expect("an image");
        assert_eq!((library.cpu, library.is_executable, library.is_signed), (Cpu::X86_64, false, false));
        // For iOS.
        let other = file(0x0100_000c, 2, &[words(&[BUILD, 24, 2, 0x000c_0000, 0, 0])]);
        assert_eq!(Image::read(&other).expect("an image").macos_min, None);
        assert!(Image::read(&file(7, 2, &[])).is_err(), "32 bits");
        assert!(Image::read(b"\x7fELF").is_err());
        assert!(Image::read(&file(0x0100_000c, 2, &[words(&[0x19, 0])])).is_err(), "a command without an end");
    }
}
