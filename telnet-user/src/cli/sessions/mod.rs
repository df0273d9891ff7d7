//! `telnet-monitor sessions`: telnet sessions and listeners that are open now.
//!
//! Needs neither a running agent nor the probe: `sock_diag` and `/proc` tell what is open, in
//! every network namespace. What only the probe sees, such as when a session began, who logged in
//! and what was started, is there when the agent has written it into its state folder.

mod list;
mod screen;
mod table;
mod watch;

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
};

use anyhow::Context as _;

use self::{list::Lister, table::Row};
use super::{
    exit,
    settings::{self, ConfigArgs},
};
use crate::{
    config::{Format, Loaded},
    sink::{Document, Kind, console::Console},
};

/// Said instead of a table without rows.
const NOTHING: &str = "no telnet sessions or listeners";

/// Said to anybody but root.
const NOT_ROOT: &str = "not running as root: sockets in other network namespaces, processes of \
                        other users and logins may be missing";

/// What to list, and how.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// One ECS document a line instead of a table.
    #[arg(long, conflicts_with = "watch")]
    json: bool,
    /// Keep the table up to date until interrupted, on a terminal also until q is typed.
    #[arg(long)]
    watch: bool,
    /// Folder of the agent's state, which tells logins and commands.
    /// [default: /run/telnet-monitor]
    #[arg(long, value_name = "DIR", env = "TELNET_MONITOR_STATE_DIR")]
    state_dir: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Lists what is open on the ports that the rules are about.
pub(super) fn main(args: &Args) -> u8 {
    let Some(Loaded { config, .. }) = args.config.read() else {
        return exit::INVALID;
    };
    let Some(rules) = settings::rules(&config) else {
        return exit::INVALID;
    };
    let ports = rules.wanted().ports();
    if ports.is_empty() {
        super::complain("no enabled rule can match any port: nothing would be listed");
        return exit::INVALID;
    }
    let is_redrawn = args.watch && io::stdout().is_terminal();
    // A log line in the middle of a screen would garble it.
    if !is_redrawn && let Err(message) = super::run::init_log("warn") {
        super::complain(&message);
    }
    let is_root = rustix::process::geteuid().is_root();
    let note = (!is_root).then_some(NOT_ROOT);
    if let Some(note) = note {
        super::complain(note);
    }
    let state = args.state_dir.clone().unwrap_or(config.state_dir);
    let lister = Lister::new(ports, state);
    let outcome = if args.watch {
        watch::run(lister, note)
    } else if args.json {
        print_json(lister)
    } else {
        print_table(lister)
    };
    match outcome {
        Ok(()) => exit::OK,
        Err(error) => {
            super::complain(&format!("{error:#}"));
            exit::INVALID
        }
    }
}

fn print_json(mut lister: Lister) -> anyhow::Result<()> {
    let listing = lister.list_with_hashes();
    if listing.is_empty() {
        super::complain(NOTHING);
    }
    let mut console = Console::stdout(Format::Ndjson);
    for event in lister.events(&listing) {
        console
            .write(&Document::new(Kind::Event, event.into_text()))
            .context("cannot write to standard output")?;
    }
    Ok(())
}

fn print_table(mut lister: Lister) -> anyhow::Result<()> {
    let rows = lister.list().rows();
    if rows.is_empty() {
        super::complain(NOTHING);
        return Ok(());
    }
    let text: String = table::lines(&rows)
        .into_iter()
        .map(|line| line + "\n")
        .collect();
    io::stdout()
        .write_all(text.as_bytes())
        .context("cannot write to standard output")
}

/// What a look shows: a table, or that there is nothing to show.
fn lines(rows: &[Row]) -> Vec<String> {
    if rows.is_empty() {
        return vec![NOTHING.to_owned()];
    }
    table::lines(rows)
}
