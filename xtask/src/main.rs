//! Build, test and release steps of telnet-monitor: `cargo xtask`.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it talks to the person at the terminal"
)]

mod commands;
mod package;
mod probe;
mod process;
mod remap;
mod target;
mod toolchain;
mod tracefs;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    commands::{bench, build, ci, run, setup, test},
    workspace::Workspace,
};

/// Build, test and release steps of telnet-monitor.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
enum Command {
    /// Install the eBPF toolchain and the test tools
    Setup(setup::Options),
    /// Build the agent with the probe embedded
    Build(build::Options),
    /// Build the agent for release and run it as root
    Run(run::Options),
    /// Run the tests, all or one layer
    Test(test::Options),
    /// Boot a virtual machine with a telnet server and the agent
    Vm(commands::vm::Options),
    /// Measure what the agent costs this host, beside peers and no probe
    Bench(bench::Options),
    /// Make .deb, .rpm and .tar.gz below target/package
    Package(commands::package::Options),
    /// Run every check that a change has to pass
    Ci(ci::Options),
}

fn main() -> ExitCode {
    let command = Command::parse();
    match dispatch(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    match command {
        Command::Setup(options) => setup::run(&workspace, &options),
        Command::Build(options) => build::run(&workspace, &options),
        Command::Run(options) => run::run(&workspace, &options),
        Command::Test(options) => test::run(&workspace, &options),
        Command::Vm(options) => commands::vm::run(&workspace, &options),
        Command::Bench(options) => bench::run(&workspace, &options),
        Command::Package(options) => commands::package::run(&workspace, &options),
        Command::Ci(options) => ci::run(&workspace, &options),
    }
}
