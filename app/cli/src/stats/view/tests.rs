//! The view on terminals of several sizes.

use proxyfs_control::types::store_requests::Cost;
use proxyfs_control::types::volume::{Connection, EngineStatus};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::super::rates::tests::volume;
use super::*;

fn status() -> EngineStatus {
    EngineStatus {
        name: "photos".into(),
        uuid: String::new(),
        store: String::new(),
        tier: "disk".into(),
        connection: Connection::Online,
        offline_since: None,
        halted: None,
        problem: None,
        fenced: false,
        looked_secs: None,
        read_only: false,
        head_secs: 0,
        recovered: Vec::new(),
        epoch: 1,
        head_seq: 1,
        head_lsn: 1,
        lsn: 1,
        durable_lsn: 1,
        waiting_segments: 2,
        waiting_bytes: 4 << 20,
        staged_bytes: 0,
        dirty: true,
        inodes: 1,
        data_bytes: 0,
        open_handles: 0,
        dirty_metadata_bytes: 0,
        page_cache_bytes: 0,
        data_cache_bytes: 64 << 20,
        disk_cache_bytes: 1 << 30,
    }
}

fn seen() -> History {
    let mut history = History::default();
    for n in 1..30 {
        let mut photos = volume("photos", n * n);
        photos.status = Some(status());
        let mut closed = volume("backup", 0);
        (closed.metrics, closed.mount_point) = (None, None);
        history.take(Stats {
            time_ms: i64::try_from(n).unwrap() * 1000,
            bounds_micros: vec![1_000, 10_000],
            volumes: vec![photos, closed],
            cost: Some(Cost { amount: 0.5, currency: "USD".into(), source: "list 2026".into() }),
            ..Stats::default()
        });
    }
    history
}

fn drawn(history: &History, foot: &Foot, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, history, foot)).unwrap();
    let buffer = terminal.backend().buffer();
    let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(row).collect()
}

#[test]
fn a_usual_terminal_shows_everything() {
    let rows = drawn(&seen(), &Foot::Keys, 80, 24);
    assert_eq!(rows[0], "proxyfs  photos (online) on /mnt/photos  1/2");
    assert!(
        rows[2].contains(" programs read 57.0 MiB/s ") && rows[2].contains(" programs write 57.0 KiB/s "),
        "{rows:#?}"
    );
    assert!(rows[3..6].iter().any(|row| row.contains('█')), "a graph: {rows:#?}");
    let facts: Vec<&str> = rows[10..18].iter().map(String::as_str).collect();
    assert_eq!(
        facts,
        [
            "operations  5700/s, p50 510 us, p99 10.0 ms, 0 under way",
            "programs    read 57.0 MiB/s, write 57.0 KiB/s",
            "store       up 28.5 MiB/s, down 0 bytes/s, 114.0 requests/s",
            "queue       4.0 MiB in 2 segments, 0 s left",
            "caches      memory 64.0 MiB hits 90%, disk 1.0 GiB hits -",
            "checkpoints 0, p99 -, due",
            "requests    put 1682",
            "cost so far about 0.5000 USD, all volumes, by: list 2026",
        ]
    );
    assert_eq!(rows[23], "q quit  tab next volume  p hold or resume uploads");
}

#[test]
fn a_small_terminal_shows_what_matters_most() {
    let rows = drawn(&seen(), &Foot::Keys, 40, 10);
    assert!(rows[2].starts_with("operations  5700/s"), "{rows:#?}");
    assert!(rows[5].starts_with("queue       4.0 MiB"), "{rows:#?}");
}

#[test]
fn no_size_is_too_small() {
    for (width, height) in [(1, 1), (3, 2), (10, 40), (200, 3), (80, 18), (79, 17)] {
        drawn(&seen(), &Foot::Question("hold?".into()), width, height);
        drawn(&History::default(), &Foot::Keys, width, height);
    }
}

#[test]
fn a_daemon_that_went_away_is_said_and_its_last_numbers_stay() {
    let mut history = seen();
    history.miss("connection refused".into());
    let rows = drawn(&history, &Foot::Keys, 80, 24);
    assert_eq!(rows[1], "no answer, these are the last numbers: connection refused");
    assert!(rows[10].starts_with("operations  5700/s"));
}

#[test]
fn an_offline_and_a_closed_volume_say_so() {
    let mut history = seen();
    let mut stats = history.last().unwrap().clone();
    let own = stats.volumes[0].status.as_mut().unwrap();
    (own.connection, own.problem) = (Connection::Offline, Some("store is away".into()));
    history.take(stats);
    let rows = drawn(&history, &Foot::Keys, 80, 24);
    assert_eq!(
        (rows[0].as_str(), rows[1].as_str()),
        ("proxyfs  photos (offline) on /mnt/photos  1/2", "store is away")
    );
    history.step(true);
    let rows = drawn(&history, &Foot::Note("done".into()), 80, 24);
    assert!(rows.iter().any(|row| row == "It is not mounted.") && rows[23] == "done", "{rows:#?}");
}
