//! Two machines and one volume over S3: the second is refused, and after a take-over the first publishes nothing more.
#![cfg(target_os = "linux")]

use proxyfs_e2e::scenarios::{self, Lab};
use proxyfs_e2e::{Home, S3Process};

/// Runs the scenario whose name begins so.
fn run(begin: &str) {
    let (Some(program), Some(server)) = (Home::find_program(), S3Process::find_program()) else {
        eprintln!("SKIP: the programs are not built");
        return;
    };
    let scratch = tempfile::tempdir().expect("a folder");
    let mut server = S3Process::start(&server, &scratch.path().join("objects")).expect("a server");
    let mut lab = Lab::new(&program, &scratch.path().join("lab"), &mut server).expect("a lab");
    let mut found = scenarios::ALL.iter().filter(|scenario| scenario.name.starts_with(begin));
    let scenario = found.next().expect("a scenario of this name");
    (scenario.run)(&mut lab).unwrap_or_else(|e| panic!("{e:#}"));
    assert!(found.next().is_none(), "the name is not unique");
}

#[test]
fn a_second_volume_at_the_same_place_is_refused() {
    run("a second volume");
}

#[test]
fn a_mixed_tree_survives_the_loss_of_its_machine_over_s3() {
    run("a mixed tree");
}

#[test]
fn in_tier_store_over_s3_another_machine_finds_all_that_was_synced() {
    run("in tier store");
}

#[test]
fn a_fenced_writer_publishes_nothing_and_keeps_its_staged_data() {
    run("a rival is refused, takes over, and fences the first writer (tier disk)");
}

#[test]
fn a_fenced_writer_acknowledges_no_sync_in_tier_store() {
    run("a rival is refused, takes over, and fences the first writer (tier store)");
}
