//! Crash sweeps and fault simulation: the real engine on a simulated machine and store, held against the reference model.
//!
//! [`gate`] is the way to the store, which a crash or a fault closes at a chosen call; [`machine`] is one computer with the volume
//! open; [`script`] is the workload of the sweeps; [`sweep`] runs it against the model with a crash or a fault at every call;
//! [`weak`] are stores that cannot fence; [`files`] reads and writes whole files; [`reach`] looks at the raw store and says which objects nothing refers to, and which are referred to and are not there.
//!
//! Everything runs on one thread under tokio's paused clock, so that a seed or a call's number replays a run.
//! `PROXYFS_SIM_LONG=1` (or `PROXYFS_TEST_LONG=1`, of a long run of all tests) in the environment widens the sweeps and lengthens the soak.

pub mod files;
pub mod gate;
pub mod machine;
pub mod reach;
pub mod script;
pub mod sweep;
pub mod weak;

/// Whether the long form of the tests is asked for.
#[must_use]
pub fn is_long() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|v| v == "1");
    is_set("PROXYFS_SIM_LONG") || is_set("PROXYFS_TEST_LONG")
}

/// A runtime with one thread and a paused clock.
///
/// # Panics
/// When there is no runtime to be had.
#[must_use]
pub fn runtime() -> tokio::runtime::Runtime {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "off".into());
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime")
}
