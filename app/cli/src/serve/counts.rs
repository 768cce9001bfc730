//! What was asked of stores and about what it costs, by the configured prices.

use proxyfs_control::types::store_requests::{Cost, RequestCount, StoreRequests};
use proxyfs_core::store::StoreErrorKind;
use proxyfs_store::Usage;
use proxyfs_store::count::{FAILURES, KINDS};

use crate::serve::config::Prices;
use crate::serve::host::Host;

/// Bytes of the gigabyte that stores charge for.
const GB: f64 = 1e9;

/// The name of a failed request's result.
pub(crate) fn result_name(kind: StoreErrorKind) -> &'static str {
    match kind {
        StoreErrorKind::NotFound => "not_found",
        StoreErrorKind::AlreadyExists => "already_exists",
        StoreErrorKind::NoContainer => "no_container",
        StoreErrorKind::Denied => "denied",
        StoreErrorKind::Unavailable => "unavailable",
        StoreErrorKind::Truncated => "truncated",
        StoreErrorKind::Unsupported => "unsupported",
        StoreErrorKind::Invalid => "invalid",
        StoreErrorKind::NoSpace => "no_space",
    }
}

/// Requests since the start.
pub(crate) fn requests(host: &Host) -> StoreRequests {
    let mut requests = Vec::new();
    let mut total = Usage::default();
    for hosted in host.all() {
        let usage = host.counts_of(&hosted);
        total = total.plus(&usage);
        requests.extend(rows(&hosted.name, &usage));
    }
    let cost = host.config().prices.map(|prices| cost(&prices, &total));
    StoreRequests { since: host.started, requests, cost }
}

/// One row for each kind and result that there was.
pub(crate) fn rows(volume: &str, usage: &Usage) -> Vec<RequestCount> {
    let mut rows = Vec::new();
    for (number, kind) in KINDS.iter().enumerate() {
        let counts = usage.of(number);
        let row = |result: &str, count, bytes| RequestCount {
            volume: Some(volume.to_owned()),
            kind: (*kind).to_owned(),
            result: result.to_owned(),
            count,
            bytes,
        };
        rows.push(row("ok", counts.requests.saturating_sub(counts.failures), counts.bytes));
        let failed = FAILURES.iter().zip(usage.details[number].failed);
        rows.extend(failed.map(|(failure, count)| row(result_name(*failure), count, 0)));
    }
    rows.retain(|row| row.count > 0);
    rows
}

/// About what requests cost.
fn cost(prices: &Prices, usage: &Usage) -> Cost {
    let counts = &usage.counts;
    let thousands = |n: u64| n as f64 / 1e3;
    let amount = thousands(counts.put.requests) * prices.put
        + thousands(counts.get.requests + counts.head.requests) * prices.get
        + thousands(counts.list.requests) * prices.list
        + thousands(counts.delete.requests) * prices.delete
        + counts.get.bytes as f64 / GB * prices.received_gb
        + counts.put.bytes as f64 / GB * prices.sent_gb;
    Cost { amount, currency: prices.currency.clone(), source: prices.source.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_is_that_of_requests_and_bytes() {
        let mut usage = Usage::default();
        usage.counts.put.requests = 2_000;
        usage.counts.get.bytes = 3_000_000_000;
        let prices = Prices { put: 0.005, received_gb: 0.09, source: "list".to_owned(), ..Prices::default() };
        assert!((cost(&prices, &usage).amount - 0.28).abs() < 1e-9);
    }
}
