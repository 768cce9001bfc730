//! `loader LOAD ...`: puts one load on a directory, a file or a store, and prints one line of JSON with what it did and how long it took.
//!
//! Benchmarks run the same load twice, on a volume and on what bounds it, so that both pay for the same program. Times are taken here,
//! without the start of the process. What is written does not compress.
#![allow(clippy::print_stdout, reason = "standard output is the answer")]

mod bytes_source;
mod files;
mod names;
mod objects;
mod sync;
mod trees;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Parser, Subcommand};
use serde::Serialize;

use crate::names::Shape;

#[derive(Debug, Parser)]
#[command(name = "loader", about = "Loads for benchmarks", disable_version_flag = true)]
struct Cli {
    #[command(subcommand)]
    load: Load,
}

#[derive(Debug, Subcommand)]
enum Load {
    /// Make directories of small files: open, write, close
    Files {
        /// Where; made if missing
        dir: PathBuf,
        #[command(flatten)]
        shape: Shape,
        /// Bytes of each file
        #[arg(long)]
        bytes: usize,
    },
    /// Make directories of empty files with several threads
    Tree {
        /// Where; made if missing
        dir: PathBuf,
        #[command(flatten)]
        shape: Shape,
        /// Threads
        #[arg(long, default_value_t = 8)]
        threads: usize,
    },
    /// Write a new file from begin to end
    Write {
        /// The file
        file: PathBuf,
        /// Its length
        #[arg(long)]
        bytes: u64,
    },
    /// Read a file that `write` made from begin to end, and check it
    Read {
        /// The file
        file: PathBuf,
    },
    /// Write 4 KiB and sync, again and again
    Fsync {
        /// Where each thread has a file of its own
        dir: PathBuf,
        /// Where in the file
        #[arg(long)]
        place: sync::Place,
        /// For how long
        #[arg(long)]
        seconds: f64,
        /// Threads
        #[arg(long, default_value_t = 1)]
        threads: usize,
    },
    /// Read 4 KiB at random places of a file that `write` made, no two of them in the same MiB
    RandomRead {
        /// The file
        file: PathBuf,
        /// Places to leave out, because an earlier run has read them
        #[arg(long, default_value_t = 0)]
        skip: usize,
        /// Places to read
        #[arg(long)]
        count: usize,
    },
    /// Look at every entry below a directory, with its attributes
    Scan {
        /// The directory
        dir: PathBuf,
    },
    /// Change the mode of random files that `tree` made
    Touch {
        /// Where
        dir: PathBuf,
        #[command(flatten)]
        shape: Shape,
        /// How many
        #[arg(long)]
        count: u64,
    },
    /// Fill memory and give it back
    Memory {
        /// How much
        #[arg(long)]
        bytes: usize,
    },
    /// Put objects into a bucket
    Put(objects::Objects),
    /// Get whole objects that `put` made
    Get(objects::Objects),
}

/// What a load did.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Done {
    /// Operations: files, blocks, entries, objects.
    operations: u64,
    /// Bytes moved.
    bytes: u64,
    /// How long it took; 0 until it is known.
    seconds: f64,
}

impl Done {
    fn new(operations: u64, bytes: u64) -> Self {
        Self { operations, bytes, seconds: 0.0 }
    }

    /// The same with the time since `begun`.
    fn since(self, begun: Instant) -> Self {
        Self { seconds: begun.elapsed().as_secs_f64(), ..self }
    }
}

/// Touches every page of `bytes` of new memory.
fn fill_memory(bytes: usize) -> Done {
    let begun = Instant::now();
    let filled = std::hint::black_box(vec![1_u8; bytes]);
    Done::new(1, filled.len() as u64).since(begun)
}

fn run(load: &Load) -> Result<Done> {
    match load {
        Load::Files { dir, shape, bytes } => trees::files(dir, *shape, *bytes),
        Load::Tree { dir, shape, threads } => trees::empty_files(dir, *shape, *threads),
        Load::Write { file, bytes } => files::write(file, *bytes),
        Load::Read { file } => files::read(file),
        Load::Memory { bytes } => Ok(fill_memory(*bytes)),
        Load::Fsync { dir, place, seconds, threads } => {
            sync::write_and_sync(dir, *place, Duration::from_secs_f64(*seconds), *threads)
        }
        Load::RandomRead { file, skip, count } => files::random_read(file, *skip, *count),
        Load::Scan { dir } => trees::scan(dir),
        Load::Touch { dir, shape, count } => trees::touch(dir, *shape, *count),
        Load::Put(objects) => objects::put(objects),
        Load::Get(objects) => objects::get(objects),
    }
}

fn main() -> Result<()> {
    let done = run(&Cli::parse().load)?;
    println!("{}", serde_json::to_string(&done)?);
    Ok(())
}
