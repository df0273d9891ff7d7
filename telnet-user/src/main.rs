//! The agent's entry point.

use std::process::ExitCode;

use telnet_user::cli::{self, Cli};

fn main() -> ExitCode {
    ExitCode::from(cli::main(Cli::typed()))
}
