//! Local-only files: what goes where, over the model and over the engine; and nothing else is any different.

#[path = "local_only/directories.rs"]
mod directories;
#[path = "local_only/listing.rs"]
mod listing;
#[path = "local_only/names.rs"]
mod names;
#[path = "local_only/random.rs"]
mod random;
#[path = "local_only/rename.rs"]
mod rename;
#[path = "local_only/world.rs"]
mod world;
