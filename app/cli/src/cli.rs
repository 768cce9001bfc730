//! What people type: the commands and their arguments, and what is said when they make no sense.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::failure::Failure;
use crate::logging::{Format, Purpose};
use crate::output::{Style, line};

/// Turns a bucket into a drive.
#[derive(Debug, Parser)]
#[command(name = "proxyfs", version = crate::sys::VERSION, about, disable_help_subcommand = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// Answer with one JSON object
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// What to log to standard error: error, warn, info, debug, trace, or a filter (also PROXYFS_LOG)
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) log: Option<String>,
    /// What a line of the log looks like (also PROXYFS_LOG_FORMAT) [default: text]
    #[arg(long, global = true, value_name = "FORMAT")]
    pub(crate) log_format: Option<Format>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// One command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Get a drive at once: a volume on this computer, mounted until Ctrl-C
    Quickstart(Quickstart),
    /// Create, look at and hand over volumes
    #[command(subcommand)]
    Volume(VolumeCommand),
    /// Keep the keys of stores under names, and find out why a store refuses them
    #[command(subcommand)]
    Credentials(CredentialsCommand),
    /// Mount a volume on a directory
    #[command(after_long_help = crate::options::help())]
    Mount(Mount),
    /// Unmount cleanly and wait until it is done
    Unmount {
        /// Where the volume is mounted
        dir: PathBuf,
    },
    /// Host the configured volumes: the daemon
    #[command(after_long_help = crate::serve::help())]
    Serve(Serve),
    /// Let the daemon read its configuration anew
    Reload,
    /// Run the daemon as a service of the system: systemd, on macOS launchd, on Windows its service manager
    #[command(subcommand)]
    Service(ServiceCommand),
    /// Say how volumes are
    Status {
        /// Only this volume: its name
        name: Option<String>,
    },
    /// Show what volumes do: throughput, operations, times, queue, caches, requests and their cost
    Stats(Stats),
    /// Bring everything into the store
    Flush {
        /// Name or store URL of the volume
        name: String,
    },
    /// Write a checkpoint now
    Checkpoint {
        /// Name or store URL of the volume
        name: String,
    },
    /// Check a volume in its store; exits with 1 if anything is wrong
    Fsck {
        /// Name or store URL of the volume
        name: String,
        /// Also read all data and verify every checksum
        #[arg(long)]
        data: bool,
        /// Mend what can be computed from what is left; the volume must not be mounted
        #[arg(long)]
        repair: bool,
        /// Go back to the newest head that can be read, when the newest one is damaged; what only that one held is lost
        #[arg(long, conflicts_with = "repair")]
        fall_back: bool,
    },
    /// Decode a stored object
    Dump {
        /// A file; or, with OBJECT, the name or store URL of a volume
        what: String,
        /// Path of the object in the volume's store, such as head/0000000000000001
        object: Option<String>,
    },
    /// Print a script that completes these commands in a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

impl Command {
    /// What becomes of this process's log.
    pub(crate) fn log_purpose(&self) -> Purpose {
        match self {
            Self::Mount(mount) if mount.background => Purpose::Background,
            Self::Serve(serve) if !serve.check => Purpose::Service,
            Self::Stats(stats) if stats.watch => Purpose::Screen,
            _ => Purpose::Terminal,
        }
    }
}

/// Arguments of `quickstart`.
#[derive(Args, Debug)]
pub(crate) struct Quickstart {
    /// Where the drive appears; default ~/ProxyFS, on Windows the last free drive letter
    pub(crate) dir: Option<PathBuf>,
}

/// Commands on volumes.
#[derive(Debug, Subcommand)]
pub(crate) enum VolumeCommand {
    /// Create a volume in a store and register its name
    #[command(after_long_help = crate::options::help())]
    Create(Box<Create>),
    /// List the registered volumes
    List,
    /// Show what is known of a volume
    Show {
        /// Its name
        name: String,
    },
    /// Bring everything into the store and let other computers have the volume
    Release {
        /// Its name
        name: String,
    },
    /// Claim a volume although its owner has not released it
    TakeOver {
        /// Its name
        name: String,
    },
    /// Forget a volume's name; its data stays in the store
    Delete {
        /// Its name
        name: String,
    },
}

/// Arguments of `volume create`.
#[derive(Args, Debug)]
pub(crate) struct Create {
    /// Its name on this computer
    pub(crate) name: String,
    /// Where it lies: file:///DIR or s3://BUCKET/PREFIX?endpoint=URL&region=R
    #[arg(long, value_name = "URL")]
    pub(crate) store: String,
    /// Named credentials to use, now and at every mount; default: those of the environment
    #[arg(long, value_name = "NAME")]
    pub(crate) credentials: Option<String>,
    /// Where a synced change is before it is acknowledged: on the local disk, or in the store
    #[arg(long, value_name = "TIER", default_value = "disk", value_parser = ["disk", "store"])]
    pub(crate) tier: String,
    /// Whether names that differ only in case are one
    #[arg(long, value_name = "RULE", default_value = if cfg!(windows) { "insensitive" } else { "sensitive" }, value_parser = ["sensitive", "insensitive"])]
    pub(crate) case: String,
    /// How data is compressed
    #[arg(long, value_name = "CODEC", default_value = "lz4", value_parser = ["lz4", "zstd", "none"])]
    pub(crate) compress: String,
    /// Prefixes that objects spread over
    #[arg(long, value_name = "N")]
    pub(crate) shards: Option<u32>,
    /// Buckets or containers that objects spread over
    #[arg(long, value_name = "N")]
    pub(crate) containers: Option<u32>,
    /// Begin a new container after so many objects
    #[arg(long, value_name = "N")]
    pub(crate) max_objects_per_container: Option<u64>,
    /// Bytes of a file that are fetched and checked together, such as 128KiB
    #[arg(long, value_name = "SIZE")]
    pub(crate) frame_size: Option<String>,
    /// Have the daemon mount it on this directory, which is made if it is not there: now if it runs, and whenever it starts
    #[arg(long, value_name = "DIR")]
    pub(crate) mount: Option<PathBuf>,
    /// Options that every mount of it begins with: KEY=VALUE,...
    #[arg(short = 'o', value_name = "OPT,...", action = ArgAction::Append)]
    pub(crate) options: Vec<String>,
}

/// Commands on the daemon as a service.
#[derive(Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    /// Have the system run the daemon, now and after each boot; with systemd, have mount(8) know the type proxyfs
    Install {
        /// For this user alone, from login to logout
        #[arg(long)]
        user: bool,
    },
    /// Stop it and have the system forget it; volumes, configuration and data stay
    Uninstall {
        /// This user's own
        #[arg(long)]
        user: bool,
    },
    /// Say how the service is
    Status {
        /// This user's own
        #[arg(long)]
        user: bool,
    },
}

/// Commands on named credentials.
#[derive(Debug, Subcommand)]
pub(crate) enum CredentialsCommand {
    /// Store a key under a name; asks for the secret without showing it
    Set(CredentialsSet),
    /// Show where a name's credentials lie; never the secret
    Show {
        /// Their name
        name: String,
    },
    /// List all names and where they lie
    List,
    /// Delete credentials; the key itself stays valid at the store
    Delete {
        /// Their name
        name: String,
        /// Only there; default: wherever they are
        #[arg(long = "in", value_name = "PLACE")]
        place: Option<CredentialsPlace>,
    },
    /// Try them on a store and say in plain words what is wrong; exits with 1 if anything is
    Test(CredentialsTest),
}

/// Where credentials can be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum CredentialsPlace {
    /// The system's credential store
    Keyring,
    /// A file that only this user can read
    File,
}

/// Arguments of `credentials set`. A secret is never an argument, as others could read it there.
#[derive(Args, Debug)]
pub(crate) struct CredentialsSet {
    /// Their name
    pub(crate) name: String,
    /// Access key id, or user (Swift); default: asked for
    #[arg(long, value_name = "ID", visible_alias = "user")]
    pub(crate) access_key_id: Option<String>,
    /// Also ask for the session token of temporary credentials
    #[arg(long, conflicts_with = "from_stdin")]
    pub(crate) session_token: bool,
    /// Read lines from standard input: the id (unless given), the secret, the session token (if any)
    #[arg(long)]
    pub(crate) from_stdin: bool,
    /// Where to store them; default: keyring, or file for root, as a service has no keyring
    #[arg(long = "in", value_name = "PLACE")]
    pub(crate) place: Option<CredentialsPlace>,
    /// Project (Keystone)
    #[arg(long)]
    pub(crate) project: Option<String>,
    /// Domain of the user (Keystone); default: Default
    #[arg(long)]
    pub(crate) user_domain: Option<String>,
    /// Domain of the project (Keystone); default: Default
    #[arg(long)]
    pub(crate) project_domain: Option<String>,
}

/// Arguments of `credentials test`.
#[derive(Args, Debug)]
pub(crate) struct CredentialsTest {
    /// A volume, a store URL, or named credentials (then with --store, or on the volumes that use them)
    pub(crate) what: String,
    /// The store to try named credentials on
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<String>,
    /// Named credentials to try on a store URL or a volume
    #[arg(long, value_name = "NAME", conflicts_with = "store")]
    pub(crate) credentials: Option<String>,
    /// Also put, read and delete a small object
    #[arg(long)]
    pub(crate) write: bool,
}

/// Arguments of `stats`.
#[derive(Args, Debug)]
pub(crate) struct Stats {
    /// Only this volume: its name
    pub(crate) name: Option<String>,
    /// Go on showing it in the terminal, until q
    #[arg(long)]
    pub(crate) watch: bool,
    /// Time between looks, such as 500ms
    #[arg(long, value_name = "TIME", default_value = "1s", requires = "watch", value_parser = crate::units::parse_time)]
    pub(crate) interval: Duration,
}

/// Arguments of `serve`.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// The configuration; default /etc/proxyfs/proxyfs.toml as root, else ~/.config/proxyfs/proxyfs.toml; on Windows proxyfs.toml in %ProgramData%\ProxyFS or %APPDATA%\ProxyFS (also PROXYFS_CONFIG)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Only say whether the configuration is right; exits with 2 if not
    #[arg(long)]
    pub(crate) check: bool,
    /// As Windows' service manager starts it
    #[cfg(windows)]
    #[arg(long, hide = true, conflicts_with_all = ["check", "logon"])]
    pub(crate) service: bool,
    /// As it is started when a user of Windows logs in: starts another one in the background, and ends
    #[cfg(windows)]
    #[arg(long, hide = true, conflicts_with = "check")]
    pub(crate) logon: bool,
    /// In the background, with a log file
    #[cfg(windows)]
    #[arg(long, hide = true, conflicts_with_all = ["check", "logon"])]
    pub(crate) background: bool,
}

/// Arguments of `mount`.
#[derive(Args, Debug)]
pub(crate) struct Mount {
    /// Name or store URL of the volume
    pub(crate) volume: String,
    /// An empty directory; on Windows a drive letter (X:), * for the last free one, a directory that is not there yet, or \\SERVER\SHARE
    pub(crate) dir: PathBuf,
    /// Named credentials to use instead of the volume's
    #[arg(long, value_name = "NAME")]
    pub(crate) credentials: Option<String>,
    /// Change nothing, and leave the volume to its owner
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Return once it is mounted, and serve it in the background
    #[arg(long)]
    pub(crate) daemon: bool,
    /// Serve it in a process of its own, also if the daemon runs
    #[arg(long)]
    pub(crate) alone: bool,
    /// Claim the volume although its owner has not released it
    #[arg(long)]
    pub(crate) take_over: bool,
    /// Let other users in; permissions still hold
    #[arg(long)]
    pub(crate) allow_other: bool,
    /// Options: KEY=VALUE,... (see --help)
    #[arg(short = 'o', value_name = "OPT,...", action = ArgAction::Append)]
    pub(crate) options: Vec<String>,
    /// This is the background process of --daemon
    #[arg(long, hide = true, conflicts_with = "daemon")]
    pub(crate) background: bool,
}

/// Shows help, or says what is wrong with the command line.
pub(crate) fn explain(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        line(error.to_string().trim_end());
        return ExitCode::SUCCESS;
    }
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // Somebody who typed the bare name wants to know what there is.
        eprintln!("{}", error.to_string().trim_end());
        return ExitCode::from(2);
    }
    let style = if std::env::args_os().any(|a| a == "--json") { Style::Json } else { Style::Text };
    let failure = misunderstood(&error.to_string());
    style.fail(&failure);
    ExitCode::from(failure.exit_code())
}

/// The parser's message in our form: its first paragraph, its tips as advice.
fn misunderstood(message: &str) -> Failure {
    let mut paragraphs = message.split("\n\n");
    let first = paragraphs.next().unwrap_or("").trim_start_matches("error: ");
    let tips: Vec<&str> = message.lines().filter_map(|l| l.trim().strip_prefix("tip: ")).collect();
    let usage = message.lines().find_map(|l| l.strip_prefix("Usage: "));
    let advice = match (tips.is_empty(), usage) {
        (false, _) => tips.join("; "),
        (true, Some(usage)) => format!("type {usage}; --help says more"),
        (true, None) => "look at proxyfs --help".to_owned(),
    };
    Failure::usage("understand", "the command line", first, advice)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_commands_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_wrong_option_is_explained_with_the_parsers_tip() {
        let error = Cli::try_parse_from(["proxyfs", "mount", "--red-only", "a", "b"]).unwrap_err();
        let failure = misunderstood(&error.to_string());
        assert!(failure.why.contains("--red-only") && failure.advice.contains("--read-only"), "{failure}");
        assert_eq!(failure.exit_code(), 2);
    }

    #[test]
    fn a_missing_argument_is_named_and_the_usage_is_shown() {
        let error = Cli::try_parse_from(["proxyfs", "mount", "a"]).unwrap_err();
        let failure = misunderstood(&error.to_string());
        assert!(failure.why.contains("<DIR>") && failure.advice.contains("proxyfs mount"), "{failure}");
    }
}
