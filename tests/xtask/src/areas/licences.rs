//! The licences of all dependencies against the list in `deny.toml`, without a network or another program.
//!
//! cargo-deny does this and more where it is installed; this check is what every run has.

use anyhow::{Context, Result};
use serde::Deserialize;
use spdx::{Expression, ParseMode};

use crate::session::Session;
use crate::tally::Tally;
use crate::workspace::Package;

/// The part of `deny.toml` that this check reads.
#[derive(Debug, Deserialize)]
struct Deny {
    licenses: Licenses,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: Vec<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

#[derive(Debug, Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    name: String,
    allow: Vec<String>,
}

/// Checks all packages.
///
/// # Errors
/// When `deny.toml` cannot be read.
pub(crate) fn check(session: &Session) -> Result<Tally> {
    let path = session.workspace.root.join("deny.toml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let deny: Deny = toml::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
    let mut bad: Vec<String> =
        session.workspace.packages.iter().filter_map(|package| problem(&deny.licenses, package)).collect();
    bad.sort();
    for line in &bad {
        println!("{line}");
    }
    Ok(Tally::check(bad.is_empty(), format!("licences: {} packages are not allowed by deny.toml", bad.len())))
}

fn problem(licenses: &Licenses, package: &Package) -> Option<String> {
    let Package { name, version, license, .. } = package;
    let Some(license) = license else { return Some(format!("{name} {version} states no licence")) };
    let exception = licenses.exceptions.iter().find(|exception| exception.name == *name);
    let also = exception.map_or(&[][..], |exception| &exception.allow);
    match is_allowed(license, &licenses.allow, also) {
        Ok(true) => None,
        Ok(false) => Some(format!("{name} {version} is under {license}")),
        Err(e) => Some(format!("{name} {version} states no readable licence: {e}")),
    }
}

/// Whether the licence expression can be met with the allowed licences only.
fn is_allowed(license: &str, allow: &[String], also: &[String]) -> Result<bool> {
    // Old packages write `MIT/Apache-2.0`.
    let expression = Expression::parse_mode(license, ParseMode::LAX)?;
    Ok(expression.evaluate(|requirement| {
        let wanted = requirement.to_string();
        allow.iter().chain(also).any(|allowed| *allowed == wanted)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_allowed_alternative_is_enough_and_every_part_of_a_sum_is_needed() {
        let allow = ["MIT".to_owned(), "Apache-2.0 WITH LLVM-exception".to_owned()];
        let also = ["Zlib".to_owned()];
        for (license, expected) in [
            ("MIT", true),
            ("MIT/Apache-2.0", true),
            ("GPL-3.0-only OR MIT", true),
            ("MIT AND BSD-3-Clause", false),
            ("Apache-2.0", false),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("(MIT OR Apache-2.0) AND Zlib", true),
        ] {
            assert_eq!(is_allowed(license, &allow, &also).expect("an expression"), expected, "{license}");
        }
    }
}
