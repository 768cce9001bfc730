//! The names keep their rules, the text keeps the format's, and the table in the docs is the one of the code.

use std::collections::{BTreeMap, BTreeSet};

use proxyfs_core::meter::{CLASSES, OpMetrics};

use super::*;

/// Where the generated part of the page begins and ends.
const BEGIN: &str = "<!-- metrics: generated, see app/cli/src/serve/metrics.rs -->\n";
const END: &str = "<!-- end of metrics -->\n";

/// Names and values.
type Labels = Vec<(String, String)>;

fn timings() -> Timings {
    let mut classes = vec![0; CLASSES];
    (classes[0], classes[3], classes[CLASSES - 1]) = (2, 1, 1);
    Timings { classes, nanos: 61_500_000_000 }
}

fn full() -> Moment {
    let mut usage = Usage::default();
    (usage.counts.put.requests, usage.counts.put.bytes) = (3, 4096);
    (usage.details[0].latency[0], usage.details[0].latency[11], usage.details[0].nanos) = (2, 1, 1_500_000_000);
    let metrics = VolumeMetrics {
        ops: vec![OpMetrics { op: "read", ok: 4, failed: Vec::new(), timings: timings() }],
        read_bytes: 7,
        ..VolumeMetrics::default()
    };
    let status = VolumeStatus {
        name: "a".into(),
        uuid: String::new(),
        store: String::new(),
        tier: "disk".into(),
        connection: ConnectionState::Online,
        offline_since: None,
        halted: None,
        fenced: false,
        problem: None,
        looked_secs: None,
        read_only: false,
        head_secs: 0,
        recovered: Vec::new(),
        epoch: 3,
        head_seq: 0,
        head_lsn: 0,
        lsn: u64::MAX,
        durable_lsn: 0,
        waiting_segments: 0,
        waiting_bytes: 0,
        staged_bytes: 0,
        dirty: false,
        inodes: 0,
        data_bytes: 0,
        open_handles: 0,
        dirty_metadata_bytes: 0,
        page_cache_bytes: 0,
        data_cache_bytes: 0,
        disk_cache_bytes: 0,
    };
    Moment {
        cost: Some((0.25, "USD".into())),
        known: vec![("a".into(), true), ("b".into(), false)],
        mounted: vec![Seen { name: "a".into(), status, metrics }],
        usages: vec![("a".into(), usage)],
        ..Moment::default()
    }
}

/// One sample: its name, its labels as they stand, and its value.
type Sample = (String, BTreeMap<String, String>, f64);

fn sample(line: &str) -> Sample {
    let (what, value) = line.rsplit_once(' ').expect("a value");
    let (name, labels) = match what.split_once('{') {
        None => (what, BTreeMap::new()),
        Some((name, labels)) => {
            let labels = labels.strip_suffix('}').expect("labels end");
            let pairs = labels.split("\",").map(|pair| pair.trim_end_matches('"').split_once("=\"").expect("a pair"));
            (name, pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
        }
    };
    (name.to_owned(), labels, value.parse().expect("a number"))
}

/// Reads a text as strictly as the format allows.
fn parse(text: &str) -> BTreeMap<String, (Shape, Vec<Sample>)> {
    assert!(text.ends_with('\n'));
    let mut families: BTreeMap<String, (Shape, Vec<Sample>)> = BTreeMap::new();
    let (mut current, mut helped) = (String::new(), String::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("help");
            assert!(!help.is_empty() && !families.contains_key(name), "{line}");
            name.clone_into(&mut helped);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, shape) = rest.split_once(' ').expect("a type");
            assert_eq!(name, helped, "help stands before the type");
            let shape = [Shape::Counter, Shape::Gauge, Shape::Histogram].into_iter().find(|s| s.name() == shape);
            families.insert(name.to_owned(), (shape.expect("a known type"), Vec::new()));
            name.clone_into(&mut current);
        } else {
            let sample = sample(line);
            let (shape, samples) = families.get_mut(&current).expect("a family has begun");
            let suffix = sample.0.strip_prefix(&current).expect("the family's name");
            let fits = match shape {
                Shape::Histogram => ["_bucket", "_sum", "_count"].contains(&suffix),
                Shape::Counter | Shape::Gauge => suffix.is_empty(),
            };
            assert!(fits, "{line}");
            assert!(!samples.iter().any(|s| s.0 == sample.0 && s.1 == sample.1), "twice: {line}");
            samples.push(sample);
        }
    }
    families
}

#[test]
fn the_text_is_strict_and_histograms_are_cumulative() {
    let families = parse(&exposed(&full()));
    assert_eq!(families.len(), FAMILIES.len());
    for (name, (shape, samples)) in families {
        if shape != Shape::Histogram {
            continue;
        }
        let mut series: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
        let without_le = |labels: &BTreeMap<String, String>| -> Vec<_> {
            labels.iter().filter(|(k, _)| *k != "le").map(|(k, v)| (k.clone(), v.clone())).collect()
        };
        for (_, labels, value) in samples.iter().filter(|s| s.0.ends_with("_bucket")) {
            let bound = if labels["le"] == "+Inf" { f64::INFINITY } else { labels["le"].parse().expect("a bound") };
            series.entry(without_le(labels)).or_default().push((bound, *value));
        }
        for (labels, buckets) in series {
            assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{name} {labels:?}: {buckets:?}");
            let of = |suffix: &str| {
                let found = samples.iter().find(|s| s.0 == format!("{name}{suffix}") && without_le(&s.1) == labels);
                found.expect("sum and count").2
            };
            let last = buckets.last().expect("a bucket");
            assert!(last.0.is_infinite() && (last.1 - of("_count")).abs() < 0.5, "{name}");
            assert!(of("_sum") >= 0.0);
        }
    }
}

#[test]
fn samples_carry_the_labels_that_their_family_names() {
    let families = parse(&exposed(&full()));
    for family in FAMILIES {
        let wanted: BTreeSet<&str> = family.labels.iter().copied().collect();
        let (_, samples) = &families[family.name];
        for (_, labels, _) in samples {
            let found: BTreeSet<&str> = labels.keys().map(String::as_str).filter(|key| *key != "le").collect();
            assert_eq!(found, wanted, "{}", family.name);
        }
    }
}

#[test]
fn numbers_are_told_exactly_and_by_class() {
    let text = exposed(&full());
    for line in [
        "proxyfs_volume_mounted{volume=\"b\"} 0",
        "proxyfs_volume_lsn{volume=\"a\"} 18446744073709551615",
        "proxyfs_fs_operations_total{volume=\"a\",op=\"read\",result=\"ok\"} 4",
        "proxyfs_fs_operation_seconds_bucket{volume=\"a\",op=\"read\",le=\"0.000025\"} 2",
        "proxyfs_fs_operation_seconds_bucket{volume=\"a\",op=\"read\",le=\"60\"} 3",
        "proxyfs_fs_operation_seconds_bucket{volume=\"a\",op=\"read\",le=\"+Inf\"} 4",
        "proxyfs_fs_operation_seconds_sum{volume=\"a\",op=\"read\"} 61.5",
        "proxyfs_store_request_seconds_bucket{volume=\"a\",kind=\"put\",le=\"0.005\"} 2",
        "proxyfs_store_request_seconds_bucket{volume=\"a\",kind=\"put\",le=\"30\"} 2",
        "proxyfs_store_request_seconds_count{volume=\"a\",kind=\"put\"} 3",
        "proxyfs_store_cost_total{currency=\"USD\"} 0.25",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}: {text}");
    }
}

#[test]
fn names_are_unique_and_say_what_they_hold() {
    let names: BTreeSet<_> = FAMILIES.iter().map(|f| f.name).collect();
    assert_eq!(names.len(), FAMILIES.len());
    for family in FAMILIES {
        let name = family.name;
        assert!(name.starts_with("proxyfs_") && family.help.ends_with('.'), "{name}");
        assert_eq!(name.ends_with("_total"), family.shape == Shape::Counter, "{name}");
        assert_eq!(
            family.shape == Shape::Histogram,
            name.ends_with("_seconds") && !name.contains("time_") && family.shape != Shape::Gauge,
            "{name}"
        );
        assert!(!["_ms", "_micros", "_kb", "_mb"].iter().any(|unit| name.contains(unit)), "{name}");
    }
}

#[test]
fn a_label_that_needs_it_is_escaped() {
    let mut out = Exposition::default();
    out.begin("x", Shape::Gauge, "X.");
    out.value(&[("volume", "a\"b\\c\nd")], 1);
    assert!(out.finish().ends_with("x{volume=\"a\\\"b\\\\c\\nd\"} 1\n"));
}

/// The page shows every metric as it is. `PROXYFS_WRITE_DOCS=1` writes the table instead.
#[test]
fn the_table_in_the_docs_is_the_one_of_the_code() {
    let mut table = String::from("| metric | type | labels | what it is |\n|---|---|---|---|\n");
    for family in FAMILIES {
        let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { "-".to_owned() } else { labels.join(", ") };
        table += &format!("| `{}` | {} | {labels} | {} |\n", family.name, family.shape.name(), family.help);
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/OPERATIONS.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the page has a place for the table");
    let (shown, after) = rest.split_once(END).expect("the table has an end");
    if std::env::var_os("PROXYFS_WRITE_DOCS").is_some() {
        std::fs::write(path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(shown, table, "the table is stale: run this test with PROXYFS_WRITE_DOCS=1");
}
