//! `cargo xtask bench`: what watching costs this host, for the agent, its peers and no probe.

use std::{ffi::OsString, fs, path::Path};

use anyhow::{Context as _, bail};

use super::build::{self, Agent};
use crate::{
    probe, process,
    toolchain::{self, Need, Privilege},
    tracefs,
    workspace::Workspace,
};

/// What `bench` can be told.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Rounds of the comparison
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Milliseconds of each measurement in a round
    #[arg(long, default_value_t = 2_000)]
    millis: u64,
    /// Only the pure pipeline: no root, no probe
    #[arg(long)]
    pipeline: bool,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    let Options {
        rounds,
        millis,
        pipeline,
    } = options;
    let needs: &[Need] = if *pipeline {
        &[Need::Probe]
    } else {
        &[Need::Probe, Need::LiveTests]
    };
    let ready = toolchain::ensure(workspace, needs, None)?;
    let agent = build::agent(workspace, true, ready.toolchain)?;
    cargo_bench(workspace, &agent, "pipeline", &[], Vec::new())?;
    if *pipeline {
        return Ok(());
    }
    if Privilege::here() != Privilege::Root {
        bail!("the comparison loads probes and makes network namespaces: run it as root");
    }
    let peers = toolchain::peers::ensure(workspace)?;
    tracefs::ensure(workspace);
    let folder = workspace.target().join("bench");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let empty = agent.probe.with_file_name("empty");
    let variables = vec![
        ("TELNET_MONITOR_BIN", agent.binary.clone().into_os_string()),
        ("TELNET_TEST_ROOT", workspace.test_root().into_os_string()),
        ("TELNET_BENCH_PEERS", peers.into_os_string()),
        ("TELNET_BENCH_EMPTY", empty.into_os_string()),
    ];
    let folder_text = text(&folder)?;
    let (rounds, millis) = (rounds.to_string(), millis.to_string());
    let words = ["run", &folder_text, &rounds, &millis];
    cargo_bench(workspace, &agent, "host", &words, variables)?;
    println!("written: {}", folder.join("report.md").display());
    Ok(())
}

fn cargo_bench(
    workspace: &Workspace,
    agent: &Agent,
    name: &str,
    words: &[&str],
    variables: Vec<(&str, OsString)>,
) -> anyhow::Result<()> {
    let mut command = workspace.cargo();
    command.args(["bench", "--package", "telnet-user", "--bench", name, "--"]);
    // `cargo bench` adds `--bench` to what is given to the program; words come first.
    command.args(words).envs(variables);
    probe::embed(&mut command, &agent.probe);
    process::run(&mut command)
}

fn text(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().map(str::to_owned);
    text.with_context(|| format!("{} is not UTF-8", path.display()))
}
