//! Bad input, one case after another: the right exit code, words that say what, on what, why and what to do, soon, and nothing written.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use proxyfs_e2e::{Expected, Home, S3Process};

/// A home with a volume `v` in a local directory, and an empty mount point.
struct Lab {
    home: Home,
    store: PathBuf,
    point: PathBuf,
    scratch: tempfile::TempDir,
}

impl Lab {
    fn begin() -> Result<Option<Self>> {
        let Some(program) = Home::find_program() else {
            eprintln!("SKIP: the program is not built");
            return Ok(None);
        };
        let scratch = tempfile::tempdir()?;
        let home = Home::new(&scratch.path().join("h"), &program)?;
        let (store, point) = (scratch.path().join("s"), scratch.path().join("m"));
        fs::create_dir(&point)?;
        home.create_volume("v", &format!("file://{}", store.display()), &[])?;
        Ok(Some(Self { home, store, point, scratch }))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn refuses(&self, args: &[&str], code: i32, why: &[&str], advice: &str) -> Result<()> {
        self.home.refuses(args, &[&self.store, &self.point], Expected { code, why, advice })
    }

    fn mount_is_refused(&self, volume: &str, why: &[&str], advice: &str) -> Result<()> {
        self.refuses(&["mount", volume, text(&self.point)], 1, why, advice)
    }

    /// Writes two files through a mount, one uploaded and one staged, and kills the server.
    fn use_and_kill(&self) -> Result<()> {
        let mount = self.home.mount("v", &self.point, &[])?;
        fs::write(mount.path("uploaded"), vec![7; 50_000])?;
        self.home.run(&["checkpoint", "v"])?;
        let staged = fs::File::create(mount.path("staged"))?;
        std::os::unix::fs::FileExt::write_all_at(&staged, &[8; 50_000], 0)?;
        staged.sync_all()?;
        drop(staged);
        mount.kill()
    }

    fn use_and_close(&self) -> Result<()> {
        let mount = self.home.mount("v", &self.point, &[])?;
        fs::write(mount.path("file"), vec![7; 50_000])?;
        mount.unmount()
    }

    fn files(&self, dir: &Path) -> Result<Vec<PathBuf>> {
        let mut found: Vec<_> = fs::read_dir(dir)
            .with_context(|| dir.display().to_string())?
            .map(|entry| entry.map(|e| e.path()))
            .collect::<Result<_, _>>()?;
        found.sort();
        Ok(found)
    }

    /// Objects of a kind, below its shards.
    fn objects(&self, kind: &str) -> Result<Vec<PathBuf>> {
        let shards = self.files(&self.store.join(kind))?;
        Ok(shards.iter().map(|shard| self.files(shard)).collect::<Result<Vec<_>>>()?.concat())
    }

    /// The only state directory.
    fn state(&self) -> Result<PathBuf> {
        self.files(&self.home.state_dir().join("proxyfs"))?.pop().context("there is no state directory")
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths in a temporary directory are text")
}

fn flip(file: &Path, at: usize) -> Result<()> {
    let mut bytes = fs::read(file)?;
    *bytes.get_mut(at).with_context(|| format!("{} is short", file.display()))? ^= 0x10;
    Ok(fs::write(file, bytes)?)
}

fn set(file: &Path, at: usize, byte: u8) -> Result<()> {
    let mut bytes = fs::read(file)?;
    *bytes.get_mut(at).with_context(|| format!("{} is short", file.display()))? = byte;
    Ok(fs::write(file, bytes)?)
}

fn run(test: impl FnOnce(&Lab) -> Result<()>) {
    match Lab::begin() {
        Ok(None) => {}
        Ok(Some(lab)) => test(&lab).unwrap_or_else(|e| panic!("{e:#}")),
        Err(e) => panic!("{e:#}"),
    }
}

#[test]
fn unknown_keys_and_wrong_urls_are_usage_errors() {
    run(|lab| {
        let point = text(&lab.point);
        let option = |option| ["mount", "v", point, "-o", option];
        lab.refuses(&option("max_flush_sise=1MiB"), 2, &["option max_flush_sise", "no such key"], "`max_flush_size`")?;
        lab.refuses(&option("qqq"), 2, &["option qqq", "no such key"], "known keys")?;
        lab.refuses(&option("operation_timeout=soon"), 2, &["operation_timeout", "not a time"], "takes a time")?;
        for (url, why) in [
            ("gopher://x/y", "store URL"),
            ("s3://", "bucket is missing"),
            ("s3:///prefix", "bucket is missing"),
            ("s3://bucket/p?endpont=http://h", "`endpont`"),
            ("file://relative/path", "three slashes"),
            ("file://", "file"),
            ("swift://", "swift"),
            ("mem:x", "gone"),
        ] {
            lab.refuses(&["volume", "create", "w", "--store", url], 2, &["store", why], "write ")?;
            lab.refuses(&["mount", url, point], 2, &["store", why], "write ")?;
        }
        Ok(())
    });
}

#[test]
fn a_registry_that_is_wrong_is_named_and_kept() {
    run(|lab| {
        let registry = lab.home.dir().join("config/proxyfs/volumes.toml");
        let sound = fs::read_to_string(&registry)?;
        for (wrong, why, advice) in [
            (sound.replace("store =", "stoer ="), "stoer", "correct the file"),
            (format!("{sound}\n[volumes.v.options]\nmax_flush_sise = \"1MiB\"\n"), "max_flush_sise", "max_flush_size"),
            (sound.replace("version = 1", "version = 2"), "version is 2", "upgrade"),
            (sound.replace("file:///", "fiel:///"), "store URL", "correct it in"),
            (sound[..sound.len() / 2].to_owned(), "does not hold", "correct the file"),
        ] {
            fs::write(&registry, &wrong)?;
            lab.refuses(&["mount", "v", text(&lab.point)], 1, &[why], advice)?;
        }
        // Any damage is refused or changes nothing that matters; nothing panics and nothing is overwritten.
        for at in 0..sound.len() {
            let mut bytes = sound.clone().into_bytes();
            bytes[at] ^= 1 << (at % 7);
            fs::write(&registry, &bytes)?;
            let done = proxyfs_e2e::finish_within(
                &mut lab.home.command(["volume", "list"]),
                std::time::Duration::from_secs(20),
            )?;
            ensure!(matches!(done.status.code(), Some(0 | 1)) && !done.err.contains("panicked"), "byte {at}: {done:?}");
            ensure!(fs::read(&registry)? == bytes, "byte {at}: the registry was changed");
        }
        Ok(())
    });
}

#[test]
fn a_place_that_is_no_volume_is_said() {
    run(|lab| {
        let place = lab.path("other");
        let url = format!("file://{}", place.display());
        lab.mount_is_refused(&url, &["other", "does not exist"], "create")?;
        fs::create_dir(&place)?;
        lab.mount_is_refused(&url, &["no volume at"], "volume create")?;
        fs::write(place.join("photo.jpg"), "not ours")?;
        fs::create_dir(place.join("head"))?;
        fs::write(place.join("head/0000000000000001"), "not ours")?;
        lab.mount_is_refused(&url, &["no volume at"], "volume create")?;
        fs::write(place.join("volume.json"), "{\"name\": \"a module\"}")?;
        lab.mount_is_refused(&url, &["volume.json"], "")?;
        lab.refuses(
            &["mount", "nobody", text(&lab.point)],
            1,
            &["volume nobody", "no volume of this name"],
            "known volumes: v",
        )
    });
}

#[test]
fn what_a_newer_version_wrote_asks_for_an_upgrade() {
    run(|lab| {
        lab.use_and_close()?;
        let description = lab.store.join("volume.json");
        let sound = fs::read_to_string(&description)?;
        fs::write(&description, sound.replace("\"format\": 1", "\"format\": 9"))?;
        lab.mount_is_refused("v", &["volume.json", "9"], "upgrade")?;
        fs::write(&description, sound)?;
        // Byte 4 of a frame is its version.
        let head = lab.files(&lab.store.join("head"))?.pop().context("no head")?;
        set(&head, 4, 9)?;
        lab.mount_is_refused("v", &["head/", "newer"], "upgrade")?;
        set(&head, 4, 1)?;
        fs::remove_dir_all(lab.state()?)?;
        let segments = lab.objects("data")?;
        segments.iter().try_for_each(|segment| set(segment, 4, 9))?;
        let mount = lab.home.mount("v", &lab.point, &[])?;
        let error = fs::read(mount.path("file")).expect_err("a frame of a newer version");
        ensure!(error.raw_os_error() == Some(5), "{error}");
        ensure!(mount.log().contains("data/") && mount.log().contains("newer"), "{}", mount.log());
        mount.unmount()
    });
}

#[test]
fn a_volume_in_use_is_left_to_its_user() {
    run(|lab| {
        let other = lab.path("other");
        fs::create_dir(&other)?;
        let second = Home::new(&lab.path("h2"), &Home::find_program().context("the program has gone")?)?;
        let url = format!("file://{}", lab.store.display());
        let mount = lab.home.mount("v", &lab.point, &[])?;
        // Nothing changes by itself any more.
        lab.home.run(&["checkpoint", "v"])?;
        let point = text(&lab.point).to_owned();
        let here = |args: &[&str]| {
            let expected = Expected { code: 1, why: &["volume v", "mounted on", &point], advice: "proxyfs unmount" };
            lab.home.refuses(args, &[&lab.store], expected)
        };
        here(&["mount", "v", text(&other)])?;
        here(&["mount", "v", text(&other), "--daemon"])?;
        here(&["volume", "release", "v"])?;
        here(&["volume", "take-over", "v"])?;
        here(&["volume", "delete", "v"])?;
        here(&["fsck", "v", "--repair"])?;
        let same = Expected { code: 1, why: &["volume v", &point, "mount point already"], advice: "unmount it first" };
        lab.home.refuses(&["mount", "v", &point], &[&lab.store], same)?;
        let elsewhere = Expected { code: 1, why: &["the volume at file://"], advice: "--take-over" };
        second.refuses(&["mount", &url, text(&other)], &[&lab.store], elsewhere)?;
        mount.unmount()
    });
}

#[test]
fn a_mount_point_that_will_not_do_is_refused_before_anything_is_claimed() {
    run(|lab| {
        let full = lab.path("full");
        fs::create_dir(&full)?;
        fs::write(full.join("x"), "")?;
        let refused = |place: &str, why: &str, advice: &str| {
            lab.refuses(&["mount", "v", place], 1, &["volume v", place, why], advice)?;
            lab.refuses(&["mount", "v", place, "--daemon"], 1, &["volume v", place, why], advice)
        };
        refused(text(&lab.path("missing")), "does not exist", "create the directory first")?;
        refused(text(&full.join("x")), "not a directory", "choose a directory")?;
        refused(text(&full), "not empty", "choose an empty directory")?;
        refused("/proc", "is a mount point already", "unmount it first")?;
        let under_a_file = full.join("x/y");
        refused(text(&under_a_file), "", "")
    });
}

#[test]
fn damage_in_the_store_is_refused_with_the_objects_name() {
    run(|lab| {
        lab.use_and_close()?;
        fs::remove_dir_all(lab.state()?)?;
        let description = lab.store.join("volume.json");
        flip(&description, 3)?;
        lab.mount_is_refused("v", &["volume.json"], "")?;
        flip(&description, 3)?;
        let head = lab.files(&lab.store.join("head"))?.pop().context("no head")?;
        flip(&head, 60)?;
        lab.mount_is_refused("v", &["head/"], "fsck")?;
        flip(&head, 60)?;
        let pages = lab.objects("meta")?;
        pages.iter().try_for_each(|page| flip(page, 60))?;
        lab.mount_is_refused("v", &["meta/"], "fsck")?;
        pages.iter().try_for_each(|page| flip(page, 60))?;
        let segments = lab.objects("data")?;
        segments.iter().try_for_each(|segment| flip(segment, 60))?;
        let mount = lab.home.mount("v", &lab.point, &[])?;
        let error = fs::read(mount.path("file")).expect_err("a damaged frame");
        ensure!(error.raw_os_error() == Some(5), "{error}");
        ensure!(mount.log().contains("data/") && mount.log().contains("/file"), "{}", mount.log());
        mount.unmount()?;
        segments.iter().try_for_each(|segment| flip(segment, 60))?;
        lab.home.run(&["fsck", "v", "--data"]).map(drop)
    });
}

#[test]
fn damage_in_the_state_directory_is_refused_or_loses_only_what_it_hit() {
    run(|lab| {
        lab.use_and_kill()?;
        let (state, kept) = (lab.state()?, lab.path("kept"));
        let copy = |from: &Path, to: &Path| -> Result<()> {
            if to.exists() {
                fs::remove_dir_all(to)?;
            }
            let mut cp = std::process::Command::new("cp");
            cp.args(["-a", "--sparse=always"]).arg(from).arg(to);
            proxyfs_e2e::output_within(&mut cp, std::time::Duration::from_secs(60)).map(drop)
        };
        copy(&state, &kept)?;
        copy(&lab.store, &lab.path("kept-store"))?;
        for (folder, at) in [("log", 100), ("stage", 10), ("", 70)] {
            for file in lab.files(&kept.join(folder))?.into_iter().filter(|f| f.is_file()) {
                let name = file.strip_prefix(&kept)?.to_owned();
                if file.metadata()?.len() <= at || name == Path::new("lock") {
                    continue;
                }
                copy(&kept, &state)?;
                copy(&lab.path("kept-store"), &lab.store)?;
                flip(&state.join(&name), usize::try_from(at)?)?;
                // Refused or mounted; if mounted, what had been uploaded is whole, and the rest is whole, absent or empty.
                match lab.home.mount("v", &lab.point, &[]) {
                    Err(refused) => ensure!(!format!("{refused:#}").contains("panicked"), "{refused:#}"),
                    Ok(mount) => {
                        ensure!(fs::read(mount.path("uploaded"))? == vec![7; 50_000], "{}", name.display());
                        match fs::read(mount.path("staged")) {
                            Ok(bytes) => ensure!(bytes.is_empty() || bytes == vec![8; 50_000], "{}", name.display()),
                            Err(e) => ensure!(e.kind() == std::io::ErrorKind::NotFound, "{}: {e}", name.display()),
                        }
                        ensure!(!mount.log().contains("panicked"), "{}", mount.log());
                        mount.unmount()?;
                    }
                }
            }
        }
        Ok(())
    });
}

/// What a store over S3 answers to bad buckets and bad credentials.
fn s3_refusals(lab: &Lab, server: &Path) -> Result<()> {
    let mut server = S3Process::start(server, &lab.path("objects"))?;
    let there = server.url("there", "p")?;
    let missing = there.replacen("//there/", "//missing/", 1);
    let objects = lab.path("objects");
    let good = lab.home.clone().with_credentials(&server.access_key, &server.secret_key);
    let wrong = lab.home.clone().with_credentials(&server.access_key, "wrong");
    let unknown = lab.home.clone().with_credentials("nobody", "wrong");
    for (home, url, why, advice) in [
        (&good, &missing, "bucket `missing` does not exist", "create"),
        (&wrong, &there, "bucket `there`", "credentials"),
        (&unknown, &there, "bucket `there`", "credentials"),
        (&lab.home, &there, "no credentials found", "AWS_ACCESS_KEY_ID"),
    ] {
        let expected = Expected { code: 1, why: &[url, why], advice };
        home.refuses(&["volume", "create", "w", "--store", url], &[&objects], expected)?;
        home.refuses(&["mount", url, text(&lab.point)], &[&objects], expected)?;
    }
    let empty = Expected { code: 1, why: &["no volume at"], advice: "volume create" };
    good.refuses(&["mount", &there, text(&lab.point)], &[&objects], empty)?;
    // A volume that is known, and whose credentials stopped being good.
    good.create_volume("w", &there, &[])?;
    let expected = Expected { code: 1, why: &["volume w", "volume.json", "403"], advice: "credentials" };
    wrong.refuses(&["mount", "w", text(&lab.point), "-o", "operation_timeout=5s"], &[&objects], expected)
}

#[test]
fn a_missing_bucket_and_wrong_credentials_are_told_apart() {
    let Some(server) = S3Process::find_program() else {
        eprintln!("SKIP: the S3 server is not built");
        return;
    };
    run(|lab| s3_refusals(lab, &server));
}
