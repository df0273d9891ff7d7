//! Ends of TCP sessions that behave as a live test asks.
//!
//! ```text
//! telnet-test-peer script                       do what each line of stdin says
//! telnet-test-peer serve KIND ADDRESS [COUNT]   a server of that kind, until stdin ends
//! telnet-test-peer once ADDRESS TEXT            connect, send, exit
//! telnet-test-peer many ADDRESS COUNT           hold COUNT sessions until stdin ends
//! telnet-test-peer breakout ROLE FOLDER PID     go into the sandbox and try to get out
//! ```
//! Standard output is one JSON object a line, so that the test knows pids and ports without
//! asking anyone else.

mod breakout;
mod client;
mod report;
mod script;
mod serve;
mod socket;
mod unprivileged;

use std::env;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::failure(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<()> {
    match *words {
        ["script"] => script::run(),
        ["serve", kind, address] => serve::run(kind, address.parse()?, 1),
        ["serve", kind, address, count] => serve::run(kind, address.parse()?, count.parse()?),
        ["worker"] => serve::worker(),
        ["handler"] => serve::handler(),
        ["session"] => serve::session(),
        ["once", address, text] => client::once(address.parse()?, text),
        ["many", address, count] => client::many(address.parse()?, count.parse()?),
        ["breakout", role, folder, victim] => breakout::run(role, folder, victim),
        ["without-net-admin", program, ref args @ ..] => {
            unprivileged::without_net_admin(program, args)
        }
        ["as-service", user, program, ref args @ ..] => {
            unprivileged::as_service(user.parse()?, program, args)
        }
        _ => bail!("unknown arguments {words:?}"),
    }
    .with_context(|| format!("telnet-test-peer {words:?}"))
}
