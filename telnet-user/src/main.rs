//! The agent's entry point.

use std::process::ExitCode;

use clap::Parser as _;
use telnet_user::cli::{self, Cli};

fn main() -> ExitCode {
    ExitCode::from(cli::main(Cli::parse()))
}
