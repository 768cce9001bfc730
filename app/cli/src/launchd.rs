//! The daemon as a job of launchd, the service manager of macOS: the job's property list, and what launchd says of the job.
//!
//! A user's job (an agent) runs from login to logout, the machine's (a daemon) as root from boot to shutdown. At the end launchd asks
//! the job to end (SIGTERM) and waits [`EXIT_TIMEOUT_S`]: the time in which it unmounts and uploads what is left; what does not go up
//! stays staged. A job that fails is started again; one that ends well is not.
//!
//! Only text is made and read here; [`crate::commands`] runs `launchctl`.

use std::path::{Path, PathBuf};

/// Name of the job.
pub(crate) const LABEL: &str = "org.proxyfs.daemon";
/// In a property list that this program wrote and may replace or remove.
const MARK: &str = "<!-- Written by `proxyfs service install`. -->";
/// How long the job may take to end. As long as a clean end may take by default, and some more.
const EXIT_TIMEOUT_S: u32 = 120;
/// Open files that the job may have; launchd's own limit is 256, and each open file of a volume may be one of the state directory's.
const FILES_MAX: u32 = 65_536;
/// Seconds before a job that failed is started again.
const RESTART_S: u32 = 10;

/// Whose job it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The machine's.
    System,
    /// That of the user with this number.
    User(u32),
}

impl Scope {
    /// launchd's word for where such jobs live.
    pub(crate) fn domain(self) -> String {
        match self {
            Self::System => "system".to_owned(),
            Self::User(uid) => format!("gui/{uid}"),
        }
    }

    /// launchd's word for the job.
    pub(crate) fn target(self) -> String {
        format!("{}/{LABEL}", self.domain())
    }

    /// Where its property list lies.
    pub(crate) fn place(self, home: &Path) -> PathBuf {
        let dir = match self {
            Self::System => PathBuf::from("/Library/LaunchDaemons"),
            Self::User(_) => home.join("Library/LaunchAgents"),
        };
        dir.join(format!("{LABEL}.plist"))
    }

    /// Where its log lies.
    pub(crate) fn log(self, home: &Path) -> PathBuf {
        match self {
            Self::System => PathBuf::from("/var/log/proxyfs.log"),
            Self::User(_) => home.join("Library/Logs/proxyfs.log"),
        }
    }
}

/// The property list of a job that starts `program` and logs to `log` (launchd.plist(5)).
pub(crate) fn property_list(program: &Path, log: &Path) -> String {
    let (program, log) = (escaped(&program.to_string_lossy()), escaped(&log.to_string_lossy()));
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
{MARK}
<plist version="1.0">
<dict>
	<key>Label</key>
	<string>{LABEL}</string>
	<key>ProgramArguments</key>
	<array>
		<string>{program}</string>
		<string>serve</string>
	</array>
	<key>RunAtLoad</key>
	<true/>
	<key>KeepAlive</key>
	<dict>
		<key>SuccessfulExit</key>
		<false/>
	</dict>
	<key>ThrottleInterval</key>
	<integer>{RESTART_S}</integer>
	<key>ExitTimeOut</key>
	<integer>{EXIT_TIMEOUT_S}</integer>
	<key>ProcessType</key>
	<string>Interactive</string>
	<key>SoftResourceLimits</key>
	<dict>
		<key>NumberOfFiles</key>
		<integer>{FILES_MAX}</integer>
	</dict>
	<key>StandardErrorPath</key>
	<string>{log}</string>
</dict>
</plist>
"#
    )
}

/// A text inside of XML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Whether a property list is one that this program wrote.
pub(crate) fn is_own(text: &str) -> bool {
    text.lines().any(|line| line == MARK)
}

/// What launchd says of a job that it has loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Job {
    /// Its state, such as `running`.
    pub(crate) state: Option<String>,
    /// Its process.
    pub(crate) pid: Option<u32>,
    /// How it ended last.
    pub(crate) last_exit: Option<String>,
}

/// Reads the answer of `launchctl print`, which is made for people: the first line of each kind, at the outermost level, counts.
pub(crate) fn job(printed: &str) -> Job {
    let field = |name: &str| {
        printed.lines().find_map(|line| {
            let (key, value) = line.strip_prefix('\t')?.split_once(" = ")?;
            (key == name).then(|| value.trim().to_owned())
        })
    };
    Job {
        state: field("state"),
        pid: field("pid").and_then(|pid| pid.parse().ok()),
        last_exit: field("last exit code"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_starts_this_very_program_and_has_time_to_end() {
        let text = property_list(Path::new("/opt/R&D <x>/proxyfs"), Path::new("/l/proxyfs.log"));
        assert!(text.contains("<string>/opt/R&amp;D &lt;x&gt;/proxyfs</string>\n\t\t<string>serve</string>"), "{text}");
        assert!(text.contains("<key>ExitTimeOut</key>\n\t<integer>120</integer>"), "{text}");
        assert!(text.contains("<key>SuccessfulExit</key>\n\t\t<false/>"), "{text}");
        assert!(text.contains("<key>StandardErrorPath</key>\n\t<string>/l/proxyfs.log</string>"), "{text}");
    }

    #[test]
    fn every_element_of_a_property_list_is_closed() {
        let text = property_list(Path::new("/p"), Path::new("/l"));
        for element in ["plist", "dict", "array", "key", "string", "integer"] {
            let opened = text.matches(&format!("<{element}>")).count() + text.matches(&format!("<{element} ")).count();
            assert_eq!(opened, text.matches(&format!("</{element}>")).count(), "{element}");
        }
        assert!(text.lines().skip(4).filter(|line| line.starts_with('\t')).count() > 20);
    }

    #[test]
    fn agents_and_daemons_have_their_places() {
        let home = Path::new("/Users/me");
        let user = Scope::User(501);
        assert_eq!(user.target(), "gui/501/org.proxyfs.daemon");
        assert_eq!(user.place(home), Path::new("/Users/me/Library/LaunchAgents/org.proxyfs.daemon.plist"));
        assert_eq!(user.log(home), Path::new("/Users/me/Library/Logs/proxyfs.log"));
        assert_eq!(Scope::System.target(), "system/org.proxyfs.daemon");
        assert_eq!(Scope::System.place(home), Path::new("/Library/LaunchDaemons/org.proxyfs.daemon.plist"));
        assert_eq!(Scope::System.log(home), Path::new("/var/log/proxyfs.log"));
    }

    #[test]
    fn only_property_lists_of_this_program_are_taken_for_its_own() {
        assert!(is_own(&property_list(Path::new("/p"), Path::new("/l"))));
        assert!(!is_own("<plist/>"));
    }

    #[test]
    fn what_launchd_prints_of_a_job_is_read_at_its_outermost_level() {
        let printed = "gui/501/org.proxyfs.daemon = {\n\tactive count = 1\n\tpath = /x.plist\n\tstate = running\n\n\tprogram = /p\n\
                       \tendpoints = {\n\t\tstate = waiting\n\t}\n\tpid = 1234\n\tlast exit code = (never exited)\n}\n";
        let expected = Job { state: Some("running".into()), pid: Some(1234), last_exit: Some("(never exited)".into()) };
        assert_eq!(job(printed), expected);
        assert_eq!(job("Could not find service"), Job::default());
    }
}
