//! Caches: budgets, use, and how volumes share them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::names::Name;

/// Budgets and use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Caches {
    /// Memory for caches, dirty metadata and upload buffers.
    pub memory_budget: u64,
    /// Of it in use.
    pub memory_used: u64,
    /// Local disk for cached data, of all volumes.
    pub disk_budget: u64,
    /// Of it in use.
    pub disk_used: u64,
    /// By volume.
    pub volumes: Vec<CacheShare>,
}

/// One volume's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CacheShare {
    /// Volume.
    pub volume: String,
    /// Share relative to other volumes.
    pub weight: u32,
    /// Memory of cached file data.
    pub memory_used: u64,
    /// Cache on the local disk.
    pub disk_used: u64,
}

/// Changes budgets; what is left out stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditCaches {
    /// Memory.
    #[serde(default, deserialize_with = "super::amount::optional")]
    pub memory_budget: Option<u64>,
    /// Local disk.
    #[serde(default, deserialize_with = "super::amount::optional")]
    pub disk_budget: Option<u64>,
    /// Shares by volume.
    #[serde(default, deserialize_with = "super::amount::small_by_name")]
    pub weights: BTreeMap<String, u32>,
}

/// Drops what is cached; staged data, which is not in the store yet, is never touched.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DropCaches {
    /// Of this volume only.
    #[serde(default)]
    pub volume: Option<Name>,
}
