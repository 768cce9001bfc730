//! What was asked of stores, and about what it costs.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Requests of one kind with one result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RequestCount {
    /// Volume; none for what belongs to no volume.
    pub volume: Option<String>,
    /// "get", "put", "list", "delete", "head".
    pub kind: String,
    /// "ok", or the store's kind of error.
    pub result: String,
    /// How many.
    pub count: u64,
    /// Payload moved.
    pub bytes: u64,
}

/// Requests since the start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StoreRequests {
    /// Unix seconds of the start.
    pub since: i64,
    /// By volume, kind and result.
    pub requests: Vec<RequestCount>,
    /// Estimated cost; none without a price table.
    pub cost: Option<Cost>,
}

/// An estimate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Cost {
    /// Amount.
    pub amount: f64,
    /// Currency of the price table.
    pub currency: String,
    /// Where the prices come from.
    pub source: String,
}
