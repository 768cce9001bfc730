//! House rules that no other tool checks: files stay small, and each says what it is for.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::session::Session;
use crate::tally::Tally;

/// Longest source file in lines; past it, a file holds two ideas.
const LINES_MAX: usize = 800;

/// Folders of Rust sources.
const SOURCE_DIRS: &[&str] = &["core", "platform", "app", "tests"];

/// Checks all source files: one check for each rule.
///
/// # Errors
/// When the tree cannot be read.
pub(crate) fn check(session: &Session) -> Result<Tally> {
    let mut files = Vec::new();
    for dir in SOURCE_DIRS {
        collect(&session.workspace.root.join(dir), &mut files)?;
    }
    files.sort();
    let (mut long, mut headless) = (0, 0);
    for file in &files {
        let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        let shown = file.strip_prefix(&session.workspace.root).unwrap_or(file).display();
        if text.lines().count() > LINES_MAX {
            println!("{shown}: {} lines, more than {LINES_MAX}", text.lines().count());
            long += 1;
        }
        if !has_header(&text) {
            println!("{shown}: does not begin with a //! header that says what it is for");
            headless += 1;
        }
    }
    let mut tally = Tally::check(!files.is_empty() && long == 0, format!("rules: {long} files are too long"));
    tally.add(Tally::check(headless == 0, format!("rules: {headless} files have no header")));
    Ok(tally)
}

/// Whether the first line that is neither blank nor an inner attribute is a header.
fn has_header(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("#!["));
    lines.next().is_some_and(|line| line.starts_with("//!"))
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if !dir.is_dir() {
        return Ok(());
    }
    for entry in std::fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let entry = entry?;
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if entry.file_type()?.is_dir()
            && !hidden
            && entry.file_name() != "target"
            && entry.file_name() != "node_modules"
        {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_first_save_for_attributes_and_blank_lines() {
        assert!(has_header("//! What it is.\nuse a;"));
        assert!(has_header("#![cfg(unix)]\n\n//! What it is.\n"));
        assert!(!has_header("use a;\n//! late"));
        assert!(!has_header("// plain\n"));
        assert!(!has_header(""));
    }
}
