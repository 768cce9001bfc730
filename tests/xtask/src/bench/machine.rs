//! What a measurement ran on, without names or paths of the machine.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::process::output;

const DATE_LIMIT: Duration = Duration::from_secs(10);

/// One line: date, processors, memory, kernel, file system of the scratch folder.
///
/// # Errors
/// When the date cannot be told.
pub(crate) fn describe(scratch: &Path) -> Result<String> {
    let date = output(Command::new("date").args(["-u", "+%Y-%m-%d"]), DATE_LIMIT)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let model = processor(&read("/proc/cpuinfo")).unwrap_or("unknown processor").to_owned();
    let memory = memory_gib(&read("/proc/meminfo")).map_or_else(String::new, |gib| format!(", {gib:.0} GiB of memory"));
    let release = read("/proc/sys/kernel/osrelease");
    let table = read("/proc/self/mountinfo");
    let file_system = file_system(&table, scratch).unwrap_or("an unknown file system");
    Ok(format!("{}: {cores} cores of {model}{memory}, Linux {}, {file_system}", date.trim(), kernel(&release)))
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn processor(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim())
}

fn memory_gib(meminfo: &str) -> Option<f64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / f64::from(1 << 20))
}

/// The version without what a builder has added to it.
fn kernel(release: &str) -> &str {
    release.trim().split('-').next().unwrap_or_default()
}

/// Type of the file system that `path` lies on: the mount with the longest path above it.
fn file_system<'a>(mountinfo: &'a str, path: &Path) -> Option<&'a str> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let (mount, source) = line.split_once(" - ")?;
        Some((mount.split(' ').nth(4)?, source.split(' ').next()?))
    });
    let above = mounts.filter(|(point, _)| path.starts_with(point));
    above.max_by_key(|(point, _)| point.len()).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_read_from_the_kernels_tables() {
        assert_eq!(processor("processor\t: 0\nmodel name\t: A CPU\n"), Some("A CPU"));
        assert_eq!(memory_gib("MemTotal:       25165824 kB\n"), Some(24.0));
        assert_eq!(kernel("6.18.44-some-build\n"), "6.18.44");
        let table = "1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:2 / /var rw shared:1 - xfs /dev/b rw\n";
        assert_eq!(file_system(table, Path::new("/var/tmp/x")), Some("xfs"));
        assert_eq!(file_system(table, Path::new("/variant")), Some("ext4"));
    }
}
