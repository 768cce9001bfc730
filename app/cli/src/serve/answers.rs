//! This program's terms in those of the control interface.

use proxyfs_control::types::queue::{Queue, QueueEntry, UploadState};
use proxyfs_control::types::volume::{
    ConnectionReport, ConnectionStep, EngineStatus, Health, MountInfo, RecentFile, VolumeDetail, VolumeState,
    VolumeSummary,
};
use proxyfs_control::{Kind, Problem};
use proxyfs_core::types::SegmentId;
use proxyfs_core::volume::{QueuedSegment, RecentOp, UploadStep, Volume};
use proxyfs_store::ProbeReport;

use crate::failure::{Blame, Failure, Sort};
use crate::serve::host::Host;
use crate::serve::hosted::{Current, Hosted};

/// A failure as an answer.
pub(crate) fn problem(failure: Failure) -> Problem {
    let kind = match (failure.blame, failure.sort) {
        (Blame::Usage, _) => Kind::Invalid,
        (Blame::Work, Sort::Conflict) => Kind::Conflict,
        (Blame::Work, Sort::Unavailable) => Kind::Unavailable,
        (Blame::Work, Sort::Broken) => Kind::Failed,
    };
    Problem::new(kind, failure.action, failure.subject, failure.why, failure.advice)
}

/// An answer's failure as this program shows it.
pub(crate) fn failure(problem: &Problem) -> Failure {
    let Problem { what, subject, why, to_do, kind } = problem.clone();
    let blame = if kind == Kind::Invalid { Blame::Usage } else { Blame::Work };
    Failure { blame, ..Failure::new(what, subject, why, to_do) }
}

/// Where a volume is in its life.
pub(crate) fn state_of(current: &Current) -> VolumeState {
    match current {
        Current::Idle => VolumeState::Unmounted,
        Current::Opening(_) => VolumeState::Opening,
        Current::Mounted(_) => VolumeState::Mounted,
        Current::Failed(_) => VolumeState::Failed,
    }
}

/// The line of the list.
pub(crate) fn summary(hosted: &Hosted) -> VolumeSummary {
    let (wanted, current) = (hosted.wanted(), hosted.current());
    let health = match &current {
        Current::Idle => Health::Unknown,
        Current::Opening(_) => Health::Degraded,
        Current::Failed(_) => Health::Bad,
        Current::Mounted(live) => {
            let status = live.volume.status();
            match (status.halted, status.problem) {
                (Some(_), _) => Health::Bad,
                (None, Some(_)) => Health::Degraded,
                (None, None) => Health::Good,
            }
        }
    };
    let place = hosted.live().map(|live| live.mount_point().display().to_string());
    VolumeSummary {
        name: hosted.name.clone(),
        uuid: wanted.uuid.unwrap_or_default(),
        store: wanted.url.to_string(),
        state: state_of(&current),
        mount_points: place.into_iter().collect(),
        health,
    }
}

/// Everything about one volume.
pub(crate) fn detail(host: &Host, hosted: &Hosted) -> VolumeDetail {
    let wanted = hosted.wanted();
    let live = hosted.live();
    let mounts = live.iter().map(|live| MountInfo {
        mount_point: live.mount_point().display().to_string(),
        read_only: live.kept.read_only,
        since: live.since,
    });
    let problems = host.book.lock().all();
    VolumeDetail {
        summary: summary(hosted),
        label: wanted.label,
        mounts: mounts.collect(),
        options: wanted.options,
        credentials: wanted.credentials,
        state_dir: wanted.uuid.map(|uuid| host.paths.state_of(&uuid).display().to_string()),
        pid: live.is_some().then(std::process::id),
        status: live.and_then(|live| engine_status(&live.volume)),
        held: hosted.held(),
        problems: problems.into_iter().filter(|p| p.volume.as_deref() == Some(&hosted.name)).collect(),
    }
}

/// The engine's own account: both sides have the same fields.
fn engine_status(volume: &Volume) -> Option<EngineStatus> {
    serde_json::to_value(volume.status()).and_then(serde_json::from_value).ok()
}

/// Names a segment in a queue: nonces are never reused, and epochs are few.
fn queue_id(id: SegmentId) -> u64 {
    // 40 bits of nonce, below what every JSON reader takes exactly.
    ((id.epoch.0 & 0x1fff) << 40) | (id.nonce.0 & 0xff_ffff_ffff)
}

/// The segment that an id in a queue names.
pub(crate) fn queued(volume: &Volume, id: u64) -> Option<QueuedSegment> {
    volume.queue().into_iter().find(|s| queue_id(s.id) == id)
}

fn upload_state(segment: &QueuedSegment, held: bool) -> UploadState {
    match segment.step {
        UploadStep::Open => UploadState::Open,
        UploadStep::Sealed | UploadStep::Retrying if held && !segment.released && segment.attempts == 0 => {
            UploadState::Paused
        }
        UploadStep::Sealed => UploadState::Sealed,
        UploadStep::Uploading => UploadState::Uploading,
        UploadStep::Retrying => UploadState::Retrying,
        UploadStep::Done => UploadState::Done,
    }
}

/// The queue of a mounted volume. `rate`: bytes a second that went up of late, if any did.
pub(crate) async fn queue(volume: &Volume, rate: Option<u64>) -> Queue {
    let held = volume.holds_uploads();
    let (mut segments, mut files) = (Vec::new(), Vec::new());
    let mut ahead = 0u64;
    for segment in volume.queue() {
        let state = upload_state(&segment, held);
        let waits = !matches!(state, UploadState::Done | UploadState::Paused);
        if waits {
            ahead += segment.bytes;
        }
        let eta_s = rate.filter(|_| waits).map(|rate| ahead.div_ceil(rate.max(1)));
        let sent = if state == UploadState::Done { segment.bytes } else { 0 };
        let entry = QueueEntry {
            id: queue_id(segment.id),
            path: None,
            bytes: segment.bytes,
            state,
            sent,
            eta_s,
            attempts: segment.attempts,
            last_error: segment.last_error.clone(),
        };
        for (ino, bytes) in &segment.files {
            let path = volume.path_of(*ino).await.ok().flatten();
            let path = path.map(|p| String::from_utf8_lossy(&p).into_owned());
            let sent = if state == UploadState::Done { *bytes } else { 0 };
            files.push(QueueEntry { path, bytes: *bytes, sent, ..entry.clone() });
        }
        segments.push(entry);
    }
    Queue { paused: held, waiting_bytes: volume.status().waiting_bytes, segments, files }
}

/// Files of late.
pub(crate) async fn recent(volume: &Volume) -> Vec<RecentFile> {
    let name = |op| match op {
        RecentOp::Create => "create",
        RecentOp::Write => "write",
        RecentOp::Read => "read",
        RecentOp::Rename => "rename",
        RecentOp::Delete => "delete",
    };
    let files = volume.recent_files().await.into_iter();
    files.map(|f| RecentFile { path: f.path, op: name(f.op).to_owned(), bytes: f.bytes, time: f.secs }).collect()
}

/// What a probe found.
pub(crate) fn connection(report: &ProbeReport) -> ConnectionReport {
    let detail = |ok: bool| match (&report.finding, ok) {
        (_, true) => "it works".to_owned(),
        (Some(finding), false) => format!("{}; {}", finding.why, finding.to_do),
        (None, false) => "it was refused".to_owned(),
    };
    let mut steps: Vec<ConnectionStep> = report
        .checks
        .iter()
        .map(|check| ConnectionStep { what: check.action.clone(), ok: check.ok, detail: detail(check.ok) })
        .collect();
    if steps.iter().all(|s| s.ok) && report.finding.is_some() {
        steps.push(ConnectionStep { what: "connect".to_owned(), ok: false, detail: detail(false) });
    }
    ConnectionReport { ok: report.finding.is_none(), steps }
}
