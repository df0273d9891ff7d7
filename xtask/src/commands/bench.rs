//! `cargo xtask bench`: what watching costs this host, for the agent, its peers and no probe.

use std::{ffi::OsString, fs, path::Path};

use anyhow::{Context as _, bail};

use super::{
    build::{self, Agent},
    instructions,
};
use crate::{
    probe, process,
    toolchain::{self, Need, Privilege, kit::Kit},
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
    /// Only count the instructions of the pure pipeline, and fail when they are more than they
    /// were: no root, no quiet machine needed
    #[arg(long)]
    instructions: bool,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    let Options {
        rounds,
        millis,
        instructions,
    } = options;
    if *instructions {
        return count(workspace);
    }
    let needs = [Need::Probe, Need::LiveTests];
    let ready = toolchain::ensure(workspace, &needs, None)?;
    let agent = build::agent(workspace, true, ready.toolchain)?;
    if Privilege::here() != Privilege::Root {
        bail!("the comparison loads probes and makes network namespaces: run it as root");
    }
    let peers = Kit::Peers.ensure(workspace)?;
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
    cargo_bench(workspace, &agent, "pipeline", &[], Vec::new())?;
    let folder_text = text(&folder)?;
    let (rounds, millis) = (rounds.to_string(), millis.to_string());
    let words = ["run", &folder_text, &rounds, &millis];
    cargo_bench(workspace, &agent, "host", &words, variables)?;
    println!("written: {}", folder.join("report.md").display());
    Ok(())
}

/// Builds the benchmark of the pipeline and has its instructions counted.
pub(crate) fn count(workspace: &Workspace) -> anyhow::Result<()> {
    let ready = toolchain::ensure(workspace, &[Need::Probe], None)?;
    let probe = probe::build(workspace, ready.toolchain)?;
    let mut command = workspace.cargo();
    command.args(["bench", "--package", "telnet-user", "--bench", "pipeline"]);
    command.args(["--no-run", "--message-format=json-render-diagnostics"]);
    probe::embed(&mut command, &probe);
    let messages = process::capture(&mut command)?;
    let program = messages.lines().find_map(executable);
    let program = program.context("cargo built no benchmark of the pipeline")?;
    instructions::check(workspace, Path::new(&program))
}

/// The benchmark in one of cargo's messages.
fn executable(message: &str) -> Option<String> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let is_pipeline = message.pointer("/target/name")? == "pipeline";
    let path = message.get("executable")?.as_str();
    path.filter(|_| is_pipeline).map(str::to_owned)
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
