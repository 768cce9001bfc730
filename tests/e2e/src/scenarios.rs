//! What a whole mount must do over any object store: lose its machine, be killed, lose its store for a while, have a rival.
//!
//! Each scenario takes a [`Lab`], works on a volume of its own, and ends with nothing mounted. They are run over the in-process S3
//! server by this crate's tests and over real stores by the task `stores`. A store that cannot fence writers is used with the
//! fallback that the volume opts into, whose refusal without it is a scenario too.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::home::Home;
use crate::load::{self, Acknowledged};
use crate::mount::Mount;
use crate::s3::S3Process;
use crate::tree;
use crate::wait::wait_until;

/// Longest until a load has got as far as its scenario wants.
const LOAD_LIMIT: Duration = Duration::from_secs(180);
/// How long a store stays away.
const OUTAGE: Duration = Duration::from_secs(5);
/// Time between files of a load that goes on for a time.
const PACE: Duration = Duration::from_millis(20);
/// Kills of one scenario.
const KILLS: u64 = 3;
/// The fallback's waiting time. Short, as no request of a store on the same machine is under way for that long.
const SETTLE: &str = "settle=2s";

/// A store's server, as far as scenarios need it.
pub trait Server {
    /// A store URL for a prefix.
    ///
    /// # Errors
    /// When the server does not answer.
    fn url(&mut self, prefix: &str) -> Result<String>;

    /// Environment variables with its credentials.
    fn variables(&self) -> Vec<(String, String)>;

    /// Ends it, as a store that is gone.
    ///
    /// # Errors
    /// When that fails.
    fn stop(&mut self) -> Result<()>;

    /// Starts it again with all that it held; on return it serves.
    ///
    /// # Errors
    /// When that fails.
    fn restart(&mut self) -> Result<()>;

    /// Makes it hold its connections and answer nothing.
    ///
    /// # Errors
    /// When that fails.
    fn suspend(&mut self) -> Result<()>;

    /// Ends [`Server::suspend`].
    ///
    /// # Errors
    /// When that fails.
    fn resume(&mut self) -> Result<()>;

    /// What mounting for writing without the fallback must say is wrong with the store; `None` when it creates objects atomically, so
    /// that writers can be fenced.
    fn weakness(&self) -> Option<&'static str>;

    /// Whether writers can be fenced without the fallback.
    fn is_fencing(&self) -> bool {
        self.weakness().is_none()
    }
}

impl Server for S3Process {
    fn url(&mut self, prefix: &str) -> Result<String> {
        S3Process::url(self, "bucket", prefix)
    }

    fn variables(&self) -> Vec<(String, String)> {
        let keys = [("AWS_ACCESS_KEY_ID", &self.access_key), ("AWS_SECRET_ACCESS_KEY", &self.secret_key)];
        keys.map(|(name, value)| (name.to_owned(), value.clone())).to_vec()
    }

    fn stop(&mut self) -> Result<()> {
        S3Process::stop(self)
    }

    fn restart(&mut self) -> Result<()> {
        S3Process::restart(self)
    }

    fn suspend(&mut self) -> Result<()> {
        S3Process::stop(self)
    }

    fn resume(&mut self) -> Result<()> {
        S3Process::restart(self)
    }

    fn weakness(&self) -> Option<&'static str> {
        None
    }
}

/// What scenarios work with.
pub struct Lab<'s> {
    program: PathBuf,
    dir: PathBuf,
    server: &'s mut dyn Server,
}

impl std::fmt::Debug for Lab<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lab").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// Where a volume's durability is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tier {
    Disk,
    Store,
}

/// A scenario and its name.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// States the behaviour.
    pub name: &'static str,
    /// Shows it, or says what is wrong.
    pub run: fn(&mut Lab<'_>) -> Result<()>,
    /// Whether it is for stores that cannot fence; others have nothing to show in it.
    pub only_without_fencing: bool,
}

const fn scenario(name: &'static str, run: fn(&mut Lab<'_>) -> Result<()>) -> Scenario {
    Scenario { name, run, only_without_fencing: false }
}

/// All scenarios. The first to run makes the bucket.
pub const ALL: &[Scenario] = &[
    scenario("a second volume at the same place is refused and the first unharmed", second_volume),
    Scenario {
        only_without_fencing: true,
        ..scenario("a store that cannot fence is refused for writing, with the way out", refused_without_settle)
    },
    scenario("a mixed tree is on another machine after flush, checkpoint and loss of the first", mixed_tree),
    scenario("in tier store another machine finds all that was synced", synced_survives),
    scenario("what was acknowledged survives kills under load", kills),
    scenario("a store that is halted, then hangs, under load loses nothing", outages),
    scenario("a rival is refused, takes over, and fences the first writer (tier disk)", rivals_on_disk),
    scenario("a rival is refused, takes over, and fences the first writer (tier store)", rivals_in_store),
];

impl<'s> Lab<'s> {
    /// A lab in `dir` for the program at `program` over a store.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn new(program: &Path, dir: &Path, server: &'s mut dyn Server) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
        Ok(Self { program: program.to_owned(), dir: dir.to_owned(), server })
    }

    /// Whether `scenario` has something to show over this store.
    #[must_use]
    pub fn suits(&self, scenario: &Scenario) -> bool {
        !(scenario.only_without_fencing && self.server.is_fencing())
    }

    /// A machine of this name, and the folder of its mount.
    fn machine(&self, name: &str) -> Result<(Home, PathBuf)> {
        let home = Home::new(&self.dir.join(name), &self.program)?.with_variables(self.server.variables());
        Ok((home, self.dir.join(format!("{name}-m"))))
    }

    /// Options that every command on a volume of this store needs.
    fn options(&self) -> Vec<&'static str> {
        let mut options = vec!["-o", "create_containers=yes"];
        if !self.server.is_fencing() {
            options.extend(["-o", SETTLE]);
        }
        options
    }

    /// Creates a volume at `prefix`, called `v` on the machine, and gives its URL.
    fn create(&mut self, home: &Home, prefix: &str, tier: Tier, more: &[&str]) -> Result<String> {
        let url = self.server.url(prefix)?;
        let tier = if tier == Tier::Store { "store" } else { "disk" };
        let mut args = self.options();
        args.extend(["--tier", tier]);
        args.extend(more);
        home.create_volume("v", &url, &args)?;
        Ok(url)
    }

    /// Takes a volume over on another machine.
    fn take_over(&self, home: &Home, url: &str, point: &Path) -> Result<Mount> {
        let mut args = self.options();
        args.push("--take-over");
        home.mount(url, point, &args)
    }
}

fn second_volume(lab: &mut Lab<'_>) -> Result<()> {
    let (first, _) = lab.machine("twice-a")?;
    let url = lab.create(&first, "twice", Tier::Disk, &[])?;
    let described = first.run(&["volume", "show", "v"])?;
    let (second, _) = lab.machine("twice-b")?;
    // Also without any fallback: stores that ignore the condition would overwrite.
    for options in [lab.options(), vec![]] {
        let said = match second.create_volume("v", &url, &options) {
            Ok(()) => bail!("a second volume was made over the first"),
            Err(error) => error.to_string(),
        };
        ensure!(said.contains("there is a volume"), "{said}");
    }
    ensure!(first.run(&["volume", "show", "v"])? == described, "the first volume has changed");
    Ok(())
}

fn refused_without_settle(lab: &mut Lab<'_>) -> Result<()> {
    let (home, point) = lab.machine("weak")?;
    let weakness = lab.server.weakness().context("nothing is wrong with this store")?;
    let url = lab.server.url("weak")?;
    home.create_volume("v", &url, &["-o", "create_containers=yes"])?;
    let said = match home.mount("v", &point, &[]) {
        Ok(_) => bail!("it was mounted for writing"),
        Err(error) => format!("{error:#}"),
    };
    ensure!(said.contains(weakness) && said.contains("two computers could write"), "{said}");
    ensure!(said.contains("settle="), "it does not say what to do: {said}");
    home.mount("v", &point, &["--read-only"])?.unmount()?;
    let mount = home.mount("v", &point, &["-o", SETTLE])?;
    load::write_synced(mount.dir(), 0, 0)?;
    mount.unmount()
}

fn mixed_tree(lab: &mut Lab<'_>) -> Result<()> {
    let (first, point) = lab.machine("tree-a")?;
    let url = lab.create(&first, "tree", Tier::Disk, &[])?;
    let mount = first.mount("v", &point, &[])?;
    let tree = tree::grow(mount.dir())?;
    first.run(&["flush", "v"])?;
    first.run(&["checkpoint", "v"])?;
    first.run(&["fsck", "v"])?;
    mount.kill()?;
    fs::remove_dir_all(first.dir())?;
    let (second, point) = lab.machine("tree-b")?;
    let mount = lab.take_over(&second, &url, &point)?;
    tree.check(mount.dir())?;
    mount.unmount()?;
    let mut fsck = vec!["fsck", "--data"];
    fsck.push(&url);
    second.run(&fsck).map(drop)
}

fn synced_survives(lab: &mut Lab<'_>) -> Result<()> {
    let (first, point) = lab.machine("synced-a")?;
    let url = lab.create(&first, "synced", Tier::Store, &[])?;
    let mut mount = first.mount("v", &point, &[])?;
    // The fallback waits at each sync.
    let wanted = if lab.server.is_fencing() { 40 } else { 8 };
    let files = Acknowledged::default();
    let dir = mount.dir().to_owned();
    let reached = thread::scope(|scope| {
        scope.spawn(|| load::write_files(&dir, 0, &files));
        let reached = wait_until(LOAD_LIMIT, || files.get() >= wanted);
        mount.kill_server().map(|()| reached)
    })?;
    ensure!(reached, "{} of {wanted} files were written in {LOAD_LIMIT:?}\n{}", files.get(), mount.log());
    mount.kill()?;
    fs::remove_dir_all(first.dir())?;
    let (second, point) = lab.machine("synced-b")?;
    let mount = lab.take_over(&second, &url, &point)?;
    load::check_files(mount.dir(), 0, files.get())?;
    mount.unmount()?;
    second.run(&["fsck", &url]).map(drop)
}

fn kills(lab: &mut Lab<'_>) -> Result<()> {
    let (home, point) = lab.machine("kills")?;
    lab.create(&home, "kills", Tier::Disk, &["-o", "max_flush_time=1s,checkpoint_interval=1s"])?;
    let mut mount = home.mount("v", &point, &[])?;
    for round in 0..KILLS {
        let until = 50 + 120 * round;
        let files = Acknowledged::default();
        let dir = mount.dir().to_owned();
        let reached = thread::scope(|scope| {
            scope.spawn(|| load::write_files(&dir, round, &files));
            let reached = wait_until(LOAD_LIMIT, || files.get() >= until);
            mount.kill_server().map(|()| reached)
        })?;
        ensure!(reached, "{} of {until} files were written in {LOAD_LIMIT:?}", files.get());
        mount.kill()?;
        mount = home.mount("v", &point, &[])?;
        load::check_files(mount.dir(), round, files.get()).with_context(|| format!("after kill {round}"))?;
    }
    mount.unmount()?;
    home.run(&["fsck", "v"]).map(drop)
}

fn outages(lab: &mut Lab<'_>) -> Result<()> {
    let (first, point) = lab.machine("outage-a")?;
    let url = lab.create(&first, "outage", Tier::Disk, &["-o", "max_flush_time=1s,checkpoint_interval=1s"])?;
    let mount = first.mount("v", &point, &[])?;
    let mut written = 0;
    // A fixed time, not a wait for something: that is how long the store is away. Paced, as all files are read back one by one.
    let mut write_for = |time: Duration| -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            load::write_synced(mount.dir(), 0, written).with_context(|| format!("file {written}\n{}", mount.log()))?;
            written += 1;
            thread::sleep(PACE);
        }
        Ok(())
    };
    write_for(OUTAGE / 2)?;
    lab.server.stop()?;
    let halted = write_for(OUTAGE);
    lab.server.restart()?;
    halted?;
    write_for(OUTAGE / 2)?;
    lab.server.suspend()?;
    let hung = write_for(OUTAGE);
    lab.server.resume()?;
    hung?;
    write_for(OUTAGE / 2)?;
    first.run(&["flush", "v"])?;
    mount.unmount()?;
    fs::remove_dir_all(first.dir())?;
    let (second, point) = lab.machine("outage-b")?;
    // It was closed cleanly: nobody has to be forced out.
    let mount = second.mount(&url, &point, &lab.options())?;
    load::check_files(mount.dir(), 0, written)?;
    mount.unmount()?;
    second.run(&["fsck", &url]).map(drop)
}

fn rivals_on_disk(lab: &mut Lab<'_>) -> Result<()> {
    rivals(lab, Tier::Disk)
}

fn rivals_in_store(lab: &mut Lab<'_>) -> Result<()> {
    rivals(lab, Tier::Store)
}

/// Rounds of files: of the first writer before, of the rival, of the first writer when it has lost the volume.
const BEFORE: u64 = 0;
const RIVAL: u64 = 1;
const LATE: u64 = 2;

fn rivals(lab: &mut Lab<'_>, tier: Tier) -> Result<()> {
    let name = if tier == Tier::Store { "rivals-store" } else { "rivals-disk" };
    let (first, point) = lab.machine(&format!("{name}-a"))?;
    // Nothing happens by itself: what the first writer has staged stays staged.
    let quiet = ["-o", "max_flush_time=1h,checkpoint_interval=1h"];
    let url = lab.create(&first, name, tier, &quiet)?;
    let mount = first.mount("v", &point, &[])?;
    (0..4).try_for_each(|n| load::write_synced(mount.dir(), BEFORE, n))?;
    first.run(&["checkpoint", "v"])?;

    let (second, rival_point) = lab.machine(&format!("{name}-b"))?;
    let polite = second.mount(&url, &rival_point, &lab.options());
    let said = match polite {
        Ok(_) => bail!("a second writer was let in"),
        Err(error) => format!("{error:#}"),
    };
    ensure!(said.contains("in use by") && said.contains("take-over"), "{said}");
    load::write_synced(mount.dir(), BEFORE, 4).context("the first writer goes on")?;
    if tier == Tier::Disk {
        first.run(&["flush", "v"])?;
        // Acknowledged by the local disk, in nobody's store.
        fs::write(mount.path("staged"), load::content(LATE, 0))?;
        load::write_synced(mount.dir(), LATE, 1)?;
    }

    let rival = lab.take_over(&second, &url, &rival_point)?;
    load::check_files(rival.dir(), BEFORE, 5)?;
    (0..3).try_for_each(|n| load::write_synced(rival.dir(), RIVAL, n))?;

    fenced(&first, &mount, tier)?;
    load::check_files(rival.dir(), BEFORE, 5)?;
    rival.unmount()?;
    second.run(&["fsck", &url])?;

    let (third, third_point) = lab.machine(&format!("{name}-c"))?;
    let third_mount = third.mount(&url, &third_point, &lab.options())?;
    load::check_files(third_mount.dir(), BEFORE, 5)?;
    load::check_files(third_mount.dir(), RIVAL, 3)?;
    let names: Vec<_> = fs::read_dir(third_mount.dir())?.collect::<Result<Vec<_>, _>>()?;
    let late: Vec<_> = names.iter().map(fs::DirEntry::file_name).filter(|n| is_late(&n.to_string_lossy())).collect();
    ensure!(late.is_empty(), "the first writer published {late:?} after it had lost the volume");
    third_mount.unmount()?;
    drop(mount);
    let _ = fs::remove_dir_all(first.dir());
    Ok(())
}

fn is_late(name: &str) -> bool {
    name == "staged" || name.starts_with(&format!("file-{LATE}-"))
}

/// The first writer learns that it lost the volume, says so, takes no more changes, and keeps what was not published.
fn fenced(home: &Home, mount: &Mount, tier: Tier) -> Result<()> {
    let staged = staged_bytes(&home.state_dir())?;
    if tier == Tier::Store {
        let late = load::write_synced(mount.dir(), LATE, 2);
        ensure!(late.is_err(), "a sync was acknowledged after another machine had taken over");
    } else {
        ensure!(staged > 0, "nothing is staged");
    }
    // Something to publish, or the checkpoint would have nothing to do.
    let said = match home.run(&["checkpoint", "v"]) {
        Ok(said) => bail!("the first writer published after the take-over: {said}"),
        Err(error) => format!("{error:#}"),
    };
    ensure!(
        said.contains("another owner") && said.contains("state directory"),
        "it does not say what became of it: {said}"
    );
    let refused = fs::write(mount.path("more"), b"more").err().and_then(|e| e.raw_os_error());
    let fits = [rustix::io::Errno::ROFS, rustix::io::Errno::IO].map(|e| Some(e.raw_os_error()));
    ensure!(fits.contains(&refused), "a write after the take-over gave {refused:?}");
    let (_, kept) = (staged, staged_bytes(&home.state_dir())?);
    ensure!(kept >= staged, "{staged} bytes were staged, {kept} are left");
    Ok(())
}

/// Bytes in the staging folders below a state directory.
fn staged_bytes(state: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(state).with_context(|| format!("reading {}", state.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            let is_stage = entry.file_name() == "stage";
            bytes += if is_stage { files_bytes(&entry.path())? } else { staged_bytes(&entry.path())? };
        }
    }
    Ok(bytes)
}

fn files_bytes(dir: &Path) -> Result<u64> {
    let lens = fs::read_dir(dir)?.map(|entry| entry?.metadata().map(|m| m.len()));
    lens.sum::<Result<u64, std::io::Error>>().map_err(Into::into)
}
