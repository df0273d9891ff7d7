//! Knowing that sessions are seen: the canary of a running agent, and the doctor.

use std::collections::HashSet;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use aya::maps::{Array, Map, MapData, loaded_maps};
use rustix::process::Signal;
use serde_json::Value;
use telnet_tests::agent::{Agent, collect, run_command, start, stop};
use telnet_tests::check::text;
use telnet_tests::debugger;
use telnet_tests::lab::{self, Lab};
use telnet_tests::process::Spawned;
use telnet_tests::wait::{self, PATIENCE};

/// Where the kernel's filter has port 23: eight ports in a word.
const WORD_OF_23: u32 = 23 / 8;

fn wait_for_log(agent: &Spawned, what: &str) -> Result<()> {
    let found = agent.stderr.wait_for(PATIENCE, |log| {
        let mut lines = log.lines().iter();
        lines.any(|line| line.text.contains(what)).then_some(())
    });
    found.with_context(|| format!("no {what:?}\n{}", agent.report()))
}

/// Ids of the maps that a process holds.
fn maps_of(pid: u32) -> Result<HashSet<u32>> {
    let mut ids = HashSet::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        // Closed meanwhile: no map of ours.
        let text = std::fs::read_to_string(entry?.path()).unwrap_or_default();
        let id = text.lines().find_map(|line| line.strip_prefix("map_id:"));
        ids.extend(id.and_then(|id| id.trim().parse::<u32>().ok()));
    }
    Ok(ids)
}

/// The kernel's port filter of an agent, as anybody with root can change it.
fn port_filter(pid: u32) -> Result<Array<MapData, u64>> {
    let ids = maps_of(pid)?;
    for info in loaded_maps() {
        let info = info?;
        if info.name_as_str() == Some("PORTS") && ids.contains(&info.id()) {
            let map = Map::Array(MapData::from_id(info.id())?);
            return Ok(Array::try_from(map)?);
        }
    }
    anyhow::bail!("process {pid} has no map PORTS")
}

/// The canary's state in the last heartbeat.
fn health(file: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(file)?;
    // The end of the last line may not be written yet.
    let last = text.rfind('\n').and_then(|end| text.get(..end));
    let last = last.and_then(|text| text.lines().next_back());
    let document: Value = serde_json::from_str(last.context("no heartbeat")?)?;
    let canary = document.pointer("/telnet/health/canary");
    canary.cloned().with_context(|| format!("{document:#}"))
}

/// What unloads programs for good: their last references are the agent's own.
#[test]
fn an_agent_whose_program_is_unloaded_says_so_in_its_log_and_heartbeat() -> Result<()> {
    const REASON: &str = "the kernel did not run the probe's program";
    lab::live(|lab| {
        let file = lab.dir().join("health.ndjson");
        let config = format!(
            "[health]\ninterval = \"1s\"\n[[sinks]]\ntype = \"file\"\n\
             streams = [\"health\"]\npath = \"{}\"\n",
            file.display()
        );
        let config = lab.write("config.toml", &config)?;
        let args = ["--canary-pause", "100ms", "-c"];
        let mut command = run_command(lab, lab.agent()?, args);
        let agent = start(command.arg(config))?;
        let is = |status: &'static str| {
            let file = &file;
            move || {
                let canary = health(file).ok();
                Ok(canary.filter(|canary| text(canary, "status") == Some(status)))
            }
        };
        wait::until("a heartbeat with a canary", is("alive"))?;
        // Some kernels have several of them, of which each does what the others do not.
        for link in debugger::find_fds(agent.pid(), "tp_name", "inet_sock_set_state")? {
            debugger::replace_fd(agent.pid(), link)?;
        }
        wait_for_log(&agent, REASON)?;
        let canary = wait::until("a heartbeat that says so", is("degraded"))?;
        let reason = text(&canary, "reason").unwrap_or_default();
        ensure!(reason.contains(REASON), "{canary:#}");
        stop(agent, Signal::TERM)?.must_be_clean()
    })
}

fn started(lab: &Lab) -> Result<Spawned> {
    let args = ["--emit", "all", "--attempts", "--canary-pause", "100ms"];
    let mut command = run_command(lab, lab.agent()?, args);
    start(command.args(["--format", "ndjson"]))
}

#[test]
fn an_agent_that_is_made_blind_says_so_and_why_and_when_it_sees_again() -> Result<()> {
    lab::live(|lab| {
        let agent = started(lab)?;
        wait_for_log(&agent, "the canary session came out")?;
        let mut filter = port_filter(agent.pid())?;
        let telnet = filter.get(&WORD_OF_23, 0)?;
        filter.set(WORD_OF_23, 0_u64, 0)?;
        wait_for_log(&agent, "port filter rejects it")?;
        filter.set(WORD_OF_23, telnet, 0)?;
        wait_for_log(&agent, "the canary session came out again")?;
        stop(agent, Signal::TERM)?.must_be_clean()
    })
}

#[test]
fn canaries_become_no_document_of_their_own_agent_or_of_another() -> Result<()> {
    lab::live(|lab| {
        let mut other = Agent::start(lab, ["--emit", "all", "--attempts"])?;
        let agent = started(lab)?;
        wait_for_log(&agent, "the canary session came out")?;
        doctor(lab, &[])?;
        let ended = stop(agent, Signal::TERM)?;
        ended.must_be_clean()?;
        // Its own, and what another agent made of it.
        other.fence(lab)?;
        let all = other.stop(Signal::TERM)?.stdout + &ended.stdout;
        for line in all.lines() {
            let document: Value = serde_json::from_str(line)?;
            let name = text(&document, "process.name");
            ensure!(name != Some("telnet-monitor"), "{document:#}");
        }
        Ok(())
    })
}

/// Runs the doctor as root and returns what it printed.
fn doctor(lab: &Lab, args: &[&str]) -> Result<String> {
    let mut command = Command::new(lab.agent()?);
    let mut process = Spawned::start("doctor", None, command.arg("doctor").args(args))?;
    let ended = collect(&mut process)?;
    ensure!(
        ended.status.code() == Some(0),
        "{}\n{}{}",
        ended.status,
        ended.stdout,
        ended.log
    );
    Ok(ended.stdout)
}

#[test]
fn doctor_finds_this_host_able_and_its_canary_alive() -> Result<()> {
    lab::live(|lab| {
        let report: Value = serde_json::from_str(&doctor(lab, &["--json"])?)?;
        let checks = report.get("checks").and_then(Value::as_array);
        let checks = checks.with_context(|| format!("no checks in {report:#}"))?;
        for name in [
            "kernel",
            "privileges",
            "kernel types",
            "probe",
            "canary session",
        ] {
            let check = checks
                .iter()
                .find(|check| text(check, "name") == Some(name));
            let status = check.and_then(|check| text(check, "status"));
            ensure!(status == Some("ok"), "{name}: {report:#}");
        }
        let words = doctor(lab, &[])?;
        ensure!(
            words.contains("both ends reported with the right process"),
            "{words}"
        );
        Ok(())
    })
}

#[test]
fn doctor_says_what_it_lacks() -> Result<()> {
    lab::live(|lab| {
        let mut command = Command::new(lab.agent_for_anybody()?);
        command.arg("doctor").uid(lab::NOBODY).gid(lab::NOBODY);
        let mut process = Spawned::start("doctor", None, command.current_dir(lab.dir()))?;
        let ended = collect(&mut process)?;
        ensure!(ended.status.code() == Some(3), "{}", ended.status);
        ensure!(
            ended.stdout.contains("failed    privileges") && ended.stdout.contains("as root"),
            "{}",
            ended.stdout
        );
        Ok(())
    })
}
