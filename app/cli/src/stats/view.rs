//! What the live view looks like: draws what was seen, decides and changes nothing. Fits whatever room there is: what matters least goes first.

use proxyfs_control::types::stats::{Stats, VolumeStats};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Sparkline};

use super::history::History;
use super::rates::{Rates, quantile};
use super::text::{condition, money, percent, speed, time};
use crate::units::about_size;

/// One of the numbers.
type Number = fn(&Rates) -> f64;

/// Rows below which there is no room for graphs.
const GRAPH_ROWS_MIN: u16 = 18;
/// Rows of a graph with its title.
const GRAPH_ROWS: u16 = 4;
/// Graphs: title, value.
const GRAPHS: [(&str, Number); 4] = [
    ("programs read", |r| r.read),
    ("programs write", |r| r.written),
    ("store up", |r| r.up),
    ("store down", |r| r.down),
];

/// What the last line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Foot {
    /// The keys.
    #[default]
    Keys,
    /// A question that `y` answers.
    Question(String),
    /// How something went.
    Note(String),
}

/// Draws everything.
pub(crate) fn draw(frame: &mut Frame<'_>, history: &History, foot: &Foot) {
    let area = frame.area();
    let [head, body, last] =
        Layout::vertical([Constraint::Length(2), Constraint::Min(0), Constraint::Length(1)]).areas(area);
    frame.render_widget(Paragraph::new(heading(history)), head);
    frame.render_widget(Paragraph::new(bottom(foot)), last);
    let (Some(stats), Some(volume)) = (history.last(), history.chosen()) else {
        let text = if history.last().is_some() { "No volumes yet." } else { "Looking ..." };
        frame.render_widget(Paragraph::new(text), body);
        return;
    };
    let rates = history.rates(&volume.name);
    let lines = facts(stats, volume, &rates);
    if area.height < GRAPH_ROWS_MIN {
        frame.render_widget(Paragraph::new(lines), body);
        return;
    }
    let [upper, lower, rest] =
        Layout::vertical([Constraint::Length(GRAPH_ROWS), Constraint::Length(GRAPH_ROWS), Constraint::Min(0)])
            .areas(body);
    for (row, two) in [upper, lower].into_iter().zip(GRAPHS.chunks(2)) {
        let columns = Layout::horizontal([Constraint::Ratio(1, 2); 2]).split(row);
        for (place, (title, value)) in columns.iter().zip(two) {
            graph(frame, *place, title, value(&rates), &history.trace(&volume.name, place.width.into(), *value));
        }
    }
    frame.render_widget(Paragraph::new(lines), rest);
}

fn graph(frame: &mut Frame<'_>, place: Rect, title: &str, now: f64, trace: &[u64]) {
    let block = Block::new().borders(Borders::TOP).title(format!(" {title} {} ", speed(now)));
    let inside = Sparkline::default().data(trace).style(Style::new().fg(Color::Cyan)).block(block);
    frame.render_widget(inside, place);
}

fn heading(history: &History) -> Vec<Line<'static>> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut first = vec![Span::styled("proxyfs", bold)];
    if let (Some(stats), Some(volume)) = (history.last(), history.chosen()) {
        let place = stats.volumes.iter().position(|v| v.name == volume.name).unwrap_or(0) + 1;
        let at = volume.mount_point.as_deref().map(|at| format!(" on {at}")).unwrap_or_default();
        let word = condition(volume);
        let colour = if matches!(word, "online" | "unmounted") { Color::Green } else { Color::Yellow };
        first.push(Span::styled(format!("  {}", volume.name), bold));
        first.push(Span::styled(format!(" ({word})"), Style::new().fg(colour)));
        first.push(Span::raw(format!("{at}  {place}/{}", stats.volumes.len())));
    }
    let second = match (&history.gone, history.last()) {
        (Some(why), _) => warning(format!("no answer, these are the last numbers: {why}")),
        (None, Some(stats)) => problem(stats, history.chosen()),
        (None, None) => Line::default(),
    };
    vec![Line::from(first), second]
}

/// The first problem of the volume, or of another.
fn problem(stats: &Stats, volume: Option<&VolumeStats>) -> Line<'static> {
    let own = |of: &Option<String>| of.as_deref().is_none_or(|of| volume.is_some_and(|v| v.name == of));
    let mut sorted: Vec<_> = stats.problems.iter().collect();
    sorted.sort_by_key(|p| !own(&p.volume));
    if let Some(first) = sorted.first() {
        let of = first.volume.as_deref().unwrap_or("daemon");
        let more = if sorted.len() > 1 { format!(" (and {} more)", sorted.len() - 1) } else { String::new() };
        return warning(format!("{of}: {}{more}", first.cause));
    }
    let status = volume.and_then(|v| v.status.as_ref());
    let trouble = status.and_then(|s| s.halted.clone().or_else(|| s.problem.clone()));
    trouble.map_or_else(Line::default, warning)
}

fn warning(text: String) -> Line<'static> {
    Line::styled(text, Style::new().fg(Color::Yellow))
}

fn bottom(foot: &Foot) -> Line<'static> {
    match foot {
        Foot::Keys => {
            Line::styled("q quit  tab next volume  p hold or resume uploads", Style::new().fg(Color::DarkGray))
        }
        Foot::Question(text) => Line::styled(format!("{text} y/n"), Style::new().add_modifier(Modifier::REVERSED)),
        Foot::Note(text) => Line::raw(text.clone()),
    }
}

/// What is known, the most important first.
fn facts(stats: &Stats, volume: &VolumeStats, rates: &Rates) -> Vec<Line<'static>> {
    let line = |name: &str, text: String| {
        Line::from(vec![Span::styled(format!("{name:<12}"), Style::new().fg(Color::DarkGray)), Span::raw(text)])
    };
    let (Some(status), Some(metrics)) = (&volume.status, &volume.metrics) else {
        return vec![Line::raw("It is not mounted.")];
    };
    let eta = match status.waiting_bytes {
        0 => "empty".to_owned(),
        bytes => {
            let left = if rates.up >= 1.0 {
                format!("{:.0} s left", bytes as f64 / rates.up)
            } else {
                "nothing goes up now".to_owned()
            };
            format!("{} in {} segments, {left}", about_size(bytes), status.waiting_segments)
        }
    };
    let checkpoints = &metrics.checkpoints.timings.classes;
    let age = metrics
        .checkpoints
        .last_secs
        .map_or_else(String::new, |at| format!(", last {} s ago", (stats.time_ms / 1000 - at).max(0)));
    let mut lines = vec![
        line(
            "operations",
            format!(
                "{:.0}/s, p50 {}, p99 {}, {} under way",
                rates.ops,
                time(rates.p50),
                time(rates.p99),
                metrics.under_way
            ),
        ),
        line("programs", format!("read {}, write {}", speed(rates.read), speed(rates.written))),
        line("store", format!("up {}, down {}, {:.1} requests/s", speed(rates.up), speed(rates.down), rates.requests)),
        line("queue", eta),
        line(
            "caches",
            format!(
                "memory {} hits {}, disk {} hits {}",
                about_size(status.data_cache_bytes),
                percent(rates.memory_hits),
                about_size(status.disk_cache_bytes),
                percent(rates.disk_hits),
            ),
        ),
        line(
            "checkpoints",
            format!(
                "{}, p99 {}{age}{}",
                checkpoints.iter().sum::<u64>(),
                time(quantile(checkpoints, &stats.bounds_micros, 0.99)),
                if status.dirty { ", due" } else { "" },
            ),
        ),
        line("requests", requests(volume)),
    ];
    lines.push(line(
        "cost so far",
        stats.cost.as_ref().map_or_else(
            || "unknown: no [prices] in the configuration".to_owned(),
            |cost| format!("about {}, all volumes, by: {}", money(cost.amount, &cost.currency), cost.source),
        ),
    ));
    lines
}

fn requests(volume: &VolumeStats) -> String {
    let kinds = volume.requests.iter().map(|kind| match kind.failures {
        0 => format!("{} {}", kind.kind, kind.count),
        failures => format!("{} {} ({failures} failed)", kind.kind, kind.count),
    });
    let all: Vec<_> = kinds.collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

#[cfg(test)]
mod tests;
