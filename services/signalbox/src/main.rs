//! `signalbox`: the whole of Signalbox in one binary. Its roles are libraries; this crate starts them (`up`, `run`)
//! and talks to them over HTTP (all other commands).

mod bench;
mod cli;
mod demo;
mod file;
mod keyring;
mod nats_server;
mod panics;
mod proc;
mod roles;
mod scratch;
mod settings;
mod up;

use std::process::ExitCode;

/// A quarter of a worker's time went into the C library's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    panics::install();
    cli::main()
}
