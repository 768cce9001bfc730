//! The model's rules, one test each, with exact values. The clock is moved by hand: time 0 makes, time 1 changes.

#[path = "model_rules/acls.rs"]
mod acls;
#[path = "model_rules/attributes.rs"]
mod attributes;
#[path = "model_rules/files.rs"]
mod files;
#[path = "model_rules/listing.rs"]
mod listing;
#[path = "model_rules/locks.rs"]
mod locks;
#[path = "model_rules/names.rs"]
mod names;
#[path = "model_rules/rename.rs"]
mod rename;
#[path = "model_rules/world.rs"]
mod world;
