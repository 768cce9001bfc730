//! fsck and the engine against damage: sound volumes are clean, every damage is found, none gives wrong data or a panic.

#[path = "fsck/damage.rs"]
mod damage;
#[path = "fsck/healthy.rs"]
mod healthy;
#[path = "fsck/layouts.rs"]
mod layouts;
#[path = "fsck/local.rs"]
mod local;
#[path = "fsck/machine.rs"]
mod machine;
#[path = "fsck/repair.rs"]
mod repair;
#[path = "fsck/texts.rs"]
mod texts;
