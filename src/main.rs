//! Arguments in, exit code out.

use std::process::ExitCode;
use std::thread::available_parallelism;

use belfry::cli::{self, Failure, Runs};
use tokio::runtime::{Builder, Runtime};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(exit) => return exit.into(),
    };
    let json = cli.options.json;
    let outcome = match runtime(cli.command.runs()) {
        Ok(runtime) => runtime.block_on(cli::run(cli)),
        Err(error) => Err(Failure::Failed(format!("failed to start the async runtime: {error}"))),
    };
    cli::conclude(outcome, json).into()
}

/// A server gets one worker per core that it may use; a client waits for one thing at a time and needs none.
fn runtime(runs: Runs) -> std::io::Result<Runtime> {
    let mut builder = match runs {
        Runs::Server => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(available_parallelism()?.get()).thread_name("belfry");
            builder
        }
        Runs::Client => Builder::new_current_thread(),
    };
    builder.enable_all().build()
}
