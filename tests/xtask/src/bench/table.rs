//! Rows as a table: for the terminal, and for the page that keeps the measured figures.

use anyhow::{Context, Result};

use super::row::Row;

/// Stands before the measured part of the page.
const BEGIN: &str = "<!-- measured: begin -->";
/// Stands after it.
const END: &str = "<!-- measured: end -->";

const HEADINGS: [&str; 12] = [
    "workload",
    "measure",
    "store",
    "size",
    "ours",
    "limit",
    "ratio",
    "target",
    "met",
    "requests",
    "moved",
    "cpu, memory",
];

/// The rows in aligned columns.
pub(crate) fn plain(rows: &[Row]) -> String {
    let mut lines: Vec<[String; 12]> = vec![HEADINGS.map(str::to_owned)];
    lines.extend(rows.iter().map(cells));
    let widths: Vec<usize> = (0..HEADINGS.len())
        .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for (line, row) in lines.iter().zip(std::iter::once(None).chain(rows.iter().map(Some))) {
        let padded = line.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
        text.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
        if let Some(note) = row.and_then(|row| row.note.as_ref()) {
            text.push_str(&format!("    {note}\n"));
        }
    }
    text
}

/// The rows as a Markdown table, with the remarks below it.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut text = format!("| {} |\n|{}\n", HEADINGS.join(" | "), "---|".repeat(HEADINGS.len()));
    for row in rows {
        text.push_str(&format!("| {} |\n", cells(row).join(" | ")));
    }
    let notes = rows.iter().filter_map(|row| Some((row, row.note.as_ref()?)));
    let notes: String =
        notes.map(|(row, note)| format!("- {} {}, {}: {note}\n", row.workload, row.measure, row.store)).collect();
    if notes.is_empty() { text } else { format!("{text}\n{notes}") }
}

/// The page with its measured part replaced.
///
/// # Errors
/// When the page does not have the two markers in order.
pub(crate) fn replace_measured(page: &str, measured: &str) -> Result<String> {
    let (before, rest) = page.split_once(BEGIN).with_context(|| format!("the page has no {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("the page has no {END}"))?;
    Ok(format!("{before}{BEGIN}\n{}\n{END}{after}", measured.trim_end()))
}

fn cells(row: &Row) -> [String; 12] {
    let ours = format!("{} {}", spread(row.ours, row.ours_min, row.ours_max), row.unit);
    let limit = match (row.limit, row.limit_min, row.limit_max) {
        (Some(median), Some(min), Some(max)) => {
            format!("{} ({})", spread(median, min, max), row.limit_is.unwrap_or_default())
        }
        _ => String::new(),
    };
    let met = row.met.map_or("", |met| if met { "yes" } else { "no" });
    let cpu = row.cpu_seconds.map(|seconds| format!("{seconds:.1} s"));
    let rss = row.rss.map(mebibytes);
    [
        row.workload.to_owned(),
        row.measure.to_owned(),
        if row.tier == "disk" { row.store.to_owned() } else { format!("{}, tier {}", row.store, row.tier) },
        row.size.clone(),
        ours.trim_end().to_owned(),
        limit,
        row.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
        row.target.clone().unwrap_or_default(),
        met.to_owned(),
        requests(row),
        moved(row),
        [cpu, rss].into_iter().flatten().collect::<Vec<_>>().join(", "),
    ]
}

/// `12.3` or `12.3 [11.9..12.8]`.
fn spread(median: f64, min: f64, max: f64) -> String {
    if min.total_cmp(&max).is_eq() {
        return number(median);
    }
    format!("{} [{}..{}]", number(median), number(min), number(max))
}

/// Three digits or a little more, whatever the size.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

fn requests(row: &Row) -> String {
    let Some(r) = row.requests else { return String::new() };
    let kinds =
        [("put", r.put), ("get", r.get), ("head", r.head), ("list", r.list), ("delete", r.delete), ("other", r.other)];
    let kinds = kinds.iter().filter(|(_, count)| *count > 0).map(|(name, count)| format!("{count} {name}"));
    let kinds = kinds.collect::<Vec<_>>().join(" ");
    if kinds.is_empty() { "0".to_owned() } else { kinds }
}

fn moved(row: &Row) -> String {
    let Some(bytes) = row.bytes else { return String::new() };
    let parts = [("put", bytes.put), ("get", bytes.get)];
    let parts = parts.iter().filter(|(_, len)| *len > 0).map(|(name, len)| format!("{} {name}", mebibytes(*len)));
    parts.collect::<Vec<_>>().join(", ")
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", number(bytes as f64 / (1 << 20) as f64))
}

#[cfg(test)]
mod tests {
    use proxyfs_e2e::Traffic;

    use super::super::row::{Target, Usage};
    use super::*;

    fn rows() -> [Row; 2] {
        let traffic = Traffic { put: 12, list: 1, put_bytes: 40 << 20, ..Traffic::default() };
        let usage = Usage { traffic: Some(traffic), rss: Some(90 << 20), cpu_seconds: Some(1.25) };
        let first = Row::new("small-files", "create", "files/s", &[900.0, 1000.0, 1100.0]);
        let first = first.against("nullfs", &[900.0, 1000.0, 1100.0], &[2000.0, 2500.0, 2000.0]).using(&[usage]);
        let second = Row::new("idle", "requests", "", &[0.0]).on("file", "15 s").note("after 3 s of silence");
        [first.on("s3", "10,000 files").target(Target::Ratio(0.3)), second]
    }

    #[test]
    fn a_table_names_spread_limit_ratio_and_what_was_used() {
        let text = markdown(&rows());
        let line = text.lines().nth(2).expect("a row");
        let expected = "| small-files | create | s3 | 10,000 files | 1000 [900..1100] files/s | 2000 [2000..2500] (nullfs) | 0.45 | \
                        ratio >= 0.3 | yes | 12 put 1 list | 40 MiB put | 1.2 s, 90 MiB |";
        assert_eq!(line, expected);
        assert!(text.ends_with("\n\n- idle requests, file: after 3 s of silence\n"), "{text}");
    }

    #[test]
    fn the_plain_table_is_aligned() {
        let text = plain(&rows());
        let lines: Vec<&str> = text.lines().collect();
        let at = lines[0].find("measure").expect("a heading");
        assert_eq!((lines[1].find("create"), lines[2].find("requests")), (Some(at), Some(at)));
        assert_eq!(lines[3], "    after 3 s of silence");
    }

    #[test]
    fn only_the_part_between_the_markers_is_replaced() {
        let page = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        assert_eq!(replace_measured(&page, "new\n").expect("a page"), format!("a\n{BEGIN}\nnew\n{END}\nb\n"));
        assert!(replace_measured("no markers", "x").is_err());
    }

    #[test]
    fn numbers_keep_about_three_digits() {
        let shown: Vec<String> = [12345.6, 12.34, 1.234, 0.01234, 3.0].map(number).into();
        assert_eq!(shown, ["12346", "12.3", "1.23", "0.0123", "3"]);
    }
}
