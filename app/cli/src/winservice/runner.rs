//! The running service: what Windows' service manager asks of it, and what it is told.
//!
//! The manager is told "running" once the first volumes were tried, and "stopping" with how long that may take. A stop and a shutdown of the
//! system (the pre-shutdown control, which comes while the network still works) both end the daemon as a signal would; sleep and fast start-up
//! need no control, as the daemon notices by the clock.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::process::{Command, ExitCode, Stdio};
use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use clap::Parser;
use tokio::sync::watch;
use windows_service::service::{
    ServiceControl, ServiceControlAccept, ServiceExitCode, ServiceState, ServiceStatus, ServiceType,
};
use windows_service::service_control_handler::{ServiceControlHandlerResult, ServiceStatusHandle, register};
use windows_service::{define_windows_service, service_dispatcher};

use super::{NAME, events};
use crate::cli::{Cli, Command as Asked, Serve};
use crate::failure::{Failure, Outcome};
use crate::output::Style;
use crate::paths::Paths;
use crate::sys;

/// How long the start may take: opening volumes, and trying each once.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// Name of the log file.
const LOG: &str = "daemon.log";
/// The log file is begun anew at a start when it is larger; one before it is kept.
const LOG_BYTES_MAX: u64 = 16 << 20;

/// How often was asked to stop, and to read the configuration anew.
type Counts = (u64, u64);

static ASKED: LazyLock<watch::Sender<Counts>> = LazyLock::new(|| watch::channel((0, 0)).0);
static HANDLE: OnceLock<ServiceStatusHandle> = OnceLock::new();
static IS_SERVICE: OnceLock<()> = OnceLock::new();

/// Whether the service manager started this process.
pub(crate) fn is_service() -> bool {
    IS_SERVICE.get().is_some()
}

/// What the service manager asks, since this was made.
#[derive(Debug)]
pub(crate) struct Told {
    seen: Counts,
    asked: watch::Receiver<Counts>,
}

/// Listens to the service manager; a process that is no service hears nothing.
pub(crate) fn told() -> Told {
    let asked = ASKED.subscribe();
    // A stop that came before anybody listened still counts.
    Told { seen: (0, 0), asked }
}

impl Told {
    /// The next thing that is asked.
    pub(crate) async fn next(&mut self) -> sys::Told {
        loop {
            let (stops, reloads) = *self.asked.borrow_and_update();
            if stops > self.seen.0 {
                self.seen.0 += 1;
                return sys::Told::Stop;
            }
            if reloads > self.seen.1 {
                self.seen.1 = reloads;
                return sys::Told::Reload;
            }
            if self.asked.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

/// Has the daemon end.
pub(crate) fn ask_to_stop() {
    ASKED.send_modify(|asked| asked.0 += 1);
}

/// It serves.
pub(crate) fn ready() {
    if HANDLE.get().is_some() {
        report(ServiceState::Running, Duration::ZERO, 0);
        events::started();
    }
}

/// It is about to end, and may take so long.
pub(crate) fn stopping(may_take: Duration) {
    report(ServiceState::StopPending, may_take, 0);
}

/// Takes a daemon's start to whom it belongs: to the service manager, or to a process in the background. `None`: it goes on here.
pub(crate) fn hand_over(args: &Serve, style: Style) -> Option<ExitCode> {
    let failed = |failure: Failure| {
        style.fail(&failure);
        ExitCode::from(failure.exit_code())
    };
    if args.logon {
        return Some(in_background().map_or_else(failed, |()| ExitCode::SUCCESS));
    }
    if (args.background || args.service)
        && let Err(failure) = log_to_file()
    {
        return Some(failed(failure));
    }
    if !args.service {
        return None;
    }
    IS_SERVICE.get_or_init(|| ());
    Some(match service_dispatcher::start(NAME, service_main_raw) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            let e = super::plain(e);
            let advice = "let Windows start the service: proxyfs service install; or run: proxyfs serve";
            failed(Failure::new("run", "as a service", format!("Windows did not start it as one ({e})"), advice))
        }
    })
}

define_windows_service!(service_main_raw, service_main);

/// The service's own thread.
fn service_main(_arguments: Vec<OsString>) {
    let handle = match register(NAME, heard) {
        Ok(handle) => handle,
        Err(e) => return events::failed(&format!("Windows takes no controls for the service: {e}")),
    };
    let _first = HANDLE.set(handle).is_ok();
    report(ServiceState::StartPending, START_PATIENCE, 0);
    let code = match Cli::try_parse_from(std::env::args_os()) {
        Ok(cli) if matches!(cli.command, Asked::Serve(_)) => crate::serve_as_service(cli),
        Ok(_) | Err(_) => 2,
    };
    events::stopped(code != 0);
    report(ServiceState::Stopped, Duration::ZERO, u32::from(code));
}

/// What the service manager asks.
fn heard(control: ServiceControl) -> ServiceControlHandlerResult {
    match control {
        ServiceControl::Stop | ServiceControl::Preshutdown => ask_to_stop(),
        ServiceControl::ParamChange => ASKED.send_modify(|asked| asked.1 += 1),
        ServiceControl::Interrogate => {}
        _ => return ServiceControlHandlerResult::NotImplemented,
    }
    ServiceControlHandlerResult::NoError
}

/// Tells the manager.
fn report(state: ServiceState, may_take: Duration, code: u32) {
    let Some(handle) = HANDLE.get() else { return };
    let accepted = match state {
        ServiceState::Running => {
            ServiceControlAccept::STOP | ServiceControlAccept::PRESHUTDOWN | ServiceControlAccept::PARAM_CHANGE
        }
        _ => ServiceControlAccept::empty(),
    };
    let status = ServiceStatus {
        service_type: ServiceType::OWN_PROCESS,
        current_state: state,
        controls_accepted: accepted,
        exit_code: if code == 0 { ServiceExitCode::NO_ERROR } else { ServiceExitCode::ServiceSpecific(code) },
        checkpoint: u32::from(!may_take.is_zero()),
        wait_hint: may_take,
        process_id: None,
    };
    if let Err(e) = handle.set_service_status(status) {
        tracing::warn!("the service manager cannot be told: {e}");
    }
}

/// Starts the daemon without a console.
fn in_background() -> Outcome {
    let failed = |e: std::io::Error| Failure::io("start", "the daemon in the background", &e);
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.args(["serve", "--background"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    sys::in_background(&mut command);
    command.spawn().map(drop).map_err(failed)
}

/// Sends the log to a file beside the state.
fn log_to_file() -> Outcome {
    let paths = Paths::from_env()?;
    let path = paths.states().join(LOG);
    let open = || {
        sys::make_private_dir(paths.states())?;
        if std::fs::metadata(&path).is_ok_and(|log| log.len() > LOG_BYTES_MAX) {
            std::fs::rename(&path, path.with_extension("log.old"))?;
        }
        sys::redirect_stderr(&OpenOptions::new().append(true).create(true).open(&path)?)
    };
    open().map_err(|e| Failure::io("log to", &path.display().to_string(), &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn controls_reach_whoever_listens_each_once() {
        let mut listener = told();
        assert!(matches!(heard(ServiceControl::ParamChange), ServiceControlHandlerResult::NoError));
        assert_eq!(listener.next().await, sys::Told::Reload);
        heard(ServiceControl::Stop);
        heard(ServiceControl::Preshutdown);
        assert_eq!((listener.next().await, listener.next().await), (sys::Told::Stop, sys::Told::Stop));
        let more = tokio::time::timeout(Duration::from_millis(50), listener.next());
        assert!(more.await.is_err(), "nothing more was asked");
        assert!(matches!(heard(ServiceControl::Pause), ServiceControlHandlerResult::NotImplemented));
    }
}
