//! The daemon as a service of Windows, or as what starts when a user logs in.
//!
//! The machine's service runs as LocalSystem: drive letters that the system makes are global, so that every user, elevated or not, sees them,
//! and WinFsp's driver needs no further right. Its data is private to the system and administrators. A user's daemon starts from the
//! `Run` key: that takes no administrator, is shown where Windows shows what starts at logon, and has none of the time limits that a
//! scheduled task has by default; only that user's own sessions of the same elevation see its drives.
//!
//! [`runner`] is the running service's side, [`events`] its entries in the Event Log. Nothing here touches volumes, configuration or data.

pub(crate) mod events;
pub(crate) mod runner;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use windows_registry::{CURRENT_USER, LOCAL_MACHINE};
use windows_service::service::{
    Service, ServiceAccess, ServiceAction, ServiceActionType, ServiceErrorControl, ServiceFailureActions,
    ServiceFailureResetPeriod, ServiceInfo, ServiceStartType, ServiceState, ServiceType,
};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};

/// Name of the service, and of the value in the `Run` key.
pub(crate) const NAME: &str = "ProxyFS";
const DISPLAY_NAME: &str = "ProxyFS volumes";
const DESCRIPTION: &str =
    "Shows volumes that lie in object stores as drives, and brings what is written there into the stores.";
/// What starts when a user logs in.
const RUN_KEY: &str = r"Software\Microsoft\Windows\CurrentVersion\Run";
/// Where sources of the Event Log are registered.
const SOURCE_KEY: &str = r"SYSTEM\CurrentControlSet\Services\EventLog\Application\ProxyFS";
/// A message file of Windows itself, whose every message is the text that comes with it.
const MESSAGES: &str = r"%SystemRoot%\System32\EventCreate.exe";
/// Errors, warnings and information (TypesSupported in Microsoft, "Event Sources").
const MESSAGE_TYPES: u32 = 7;
/// What a shutdown of the system waits for: unmounting, the store's time and the last flush to the local disk.
const PRESHUTDOWN_PATIENCE: Duration = Duration::from_secs(120);
/// How long a service may take to stop or start while this program waits.
const STATE_PATIENCE: Duration = Duration::from_secs(150);
const STATE_POLL: Duration = Duration::from_millis(200);
/// ERROR_SERVICE_DOES_NOT_EXIST, ERROR_SERVICE_MARKED_FOR_DELETE.
const NOT_THERE: [i32; 2] = [1060, 1072];

/// The service as it is.
#[derive(Debug)]
pub(crate) struct Facts {
    /// What it runs.
    pub(crate) command: PathBuf,
    pub(crate) state: &'static str,
    pub(crate) pid: Option<u32>,
    pub(crate) starts_by_itself: bool,
}

/// Registers the service or renews it; starts it. Whether it runs as it ran before, and so has to be started anew.
///
/// # Errors
/// With Windows' words.
pub(crate) fn install(program: &Path) -> io::Result<bool> {
    let access = ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE;
    let manager = ServiceManager::local_computer(None::<&str>, access).map_err(plain)?;
    let info = info(program);
    let service = match open(&manager, ServiceAccess::all())? {
        Some(service) => {
            service.change_config(&info).map_err(plain)?;
            service
        }
        None => manager.create_service(&info, ServiceAccess::all()).map_err(plain)?,
    };
    service.set_description(DESCRIPTION).map_err(plain)?;
    service.set_preshutdown_timeout(PRESHUTDOWN_PATIENCE).map_err(plain)?;
    let again = ServiceAction { action_type: ServiceActionType::Restart, delay: Duration::from_secs(5) };
    let actions = ServiceFailureActions {
        reset_period: ServiceFailureResetPeriod::After(Duration::from_secs(24 * 60 * 60)),
        reboot_msg: None,
        command: None,
        actions: Some(vec![again.clone(), again.clone(), again]),
    };
    service.update_failure_actions(actions).map_err(plain)?;
    register_source()?;
    let runs = state(&service)? != ServiceState::Stopped;
    if !runs {
        service.start::<OsString>(&[]).map_err(plain)?;
        wait(&service, ServiceState::Running)?;
    }
    Ok(runs)
}

/// Stops the service and removes it; whether it was there.
///
/// # Errors
/// With Windows' words.
pub(crate) fn uninstall() -> io::Result<bool> {
    let manager = ServiceManager::local_computer(None::<&str>, ServiceManagerAccess::CONNECT).map_err(plain)?;
    let Some(service) = open(&manager, ServiceAccess::QUERY_STATUS | ServiceAccess::STOP | ServiceAccess::DELETE)?
    else {
        return Ok(false);
    };
    if state(&service)? != ServiceState::Stopped {
        service.stop().map_err(plain)?;
        wait(&service, ServiceState::Stopped)?;
    }
    service.delete().map_err(plain)?;
    if let Err(e) = LOCAL_MACHINE.remove_tree(SOURCE_KEY) {
        tracing::debug!("the Event Log's source stays: {e}");
    }
    Ok(true)
}

/// How the service is; `None` if it is not installed.
///
/// # Errors
/// With Windows' words.
pub(crate) fn facts() -> io::Result<Option<Facts>> {
    let manager = ServiceManager::local_computer(None::<&str>, ServiceManagerAccess::CONNECT).map_err(plain)?;
    let Some(service) = open(&manager, ServiceAccess::QUERY_STATUS | ServiceAccess::QUERY_CONFIG)? else {
        return Ok(None);
    };
    let (config, status) = (service.query_config().map_err(plain)?, service.query_status().map_err(plain)?);
    Ok(Some(Facts {
        command: config.executable_path,
        state: word(status.current_state),
        pid: status.process_id.filter(|pid| *pid != 0),
        starts_by_itself: config.start_type == ServiceStartType::AutoStart,
    }))
}

/// Has this user's daemon start at logon.
///
/// # Errors
/// With Windows' words.
pub(crate) fn add_logon(program: &Path) -> io::Result<()> {
    let key = CURRENT_USER.create(RUN_KEY)?;
    Ok(key.set_string(NAME, logon_command(program))?)
}

/// What starts at this user's logon.
///
/// # Errors
/// With Windows' words.
pub(crate) fn logon() -> io::Result<Option<String>> {
    let Ok(key) = CURRENT_USER.open(RUN_KEY) else { return Ok(None) };
    Ok(key.get_string(NAME).ok())
}

/// Takes that away; whether it was there.
///
/// # Errors
/// With Windows' words.
pub(crate) fn remove_logon() -> io::Result<bool> {
    if logon()?.is_none() {
        return Ok(false);
    }
    CURRENT_USER.create(RUN_KEY)?.remove_value(NAME)?;
    Ok(true)
}

fn logon_command(program: &Path) -> String {
    format!("\"{}\" serve --logon", program.display())
}

fn info(program: &Path) -> ServiceInfo {
    ServiceInfo {
        name: NAME.into(),
        display_name: DISPLAY_NAME.into(),
        service_type: ServiceType::OWN_PROCESS,
        start_type: ServiceStartType::AutoStart,
        error_control: ServiceErrorControl::Normal,
        executable_path: program.to_owned(),
        launch_arguments: vec!["serve".into(), "--service".into()],
        dependencies: Vec::new(),
        // LocalSystem.
        account_name: None,
        account_password: None,
    }
}

/// Lets the Event Viewer show entries as they are.
fn register_source() -> io::Result<()> {
    let key = LOCAL_MACHINE.create(SOURCE_KEY)?;
    key.set_expand_string("EventMessageFile", MESSAGES)?;
    Ok(key.set_u32("TypesSupported", MESSAGE_TYPES)?)
}

fn open(manager: &ServiceManager, access: ServiceAccess) -> io::Result<Option<Service>> {
    match manager.open_service(NAME, access).map_err(plain) {
        Ok(service) => Ok(Some(service)),
        Err(e) if e.raw_os_error().is_some_and(|code| NOT_THERE.contains(&code)) => Ok(None),
        Err(e) => Err(e),
    }
}

fn state(service: &Service) -> io::Result<ServiceState> {
    Ok(service.query_status().map_err(plain)?.current_state)
}

fn wait(service: &Service, wanted: ServiceState) -> io::Result<()> {
    let deadline = Instant::now() + STATE_PATIENCE;
    loop {
        let now = state(service)?;
        if now == wanted {
            return Ok(());
        }
        if now == ServiceState::Stopped {
            return Err(io::Error::other("it ended at once; the Event Viewer (Application, ProxyFS) says why"));
        }
        if Instant::now() >= deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("it is still {}", word(now))));
        }
        sleep(STATE_POLL);
    }
}

fn word(state: ServiceState) -> &'static str {
    match state {
        ServiceState::Stopped => "stopped",
        ServiceState::StartPending => "starting",
        ServiceState::StopPending => "stopping",
        ServiceState::Running => "running",
        ServiceState::ContinuePending => "continuing",
        ServiceState::PausePending => "pausing",
        ServiceState::Paused => "paused",
    }
}

/// Windows' own error, where there is one.
fn plain(error: windows_service::Error) -> io::Error {
    match error {
        windows_service::Error::Winapi(e) => e,
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_spaces_is_one_word_of_the_logon_command() {
        let command = logon_command(Path::new(r"C:\Program Files\ProxyFS\proxyfs.exe"));
        assert_eq!(command, r#""C:\Program Files\ProxyFS\proxyfs.exe" serve --logon"#);
    }
}
