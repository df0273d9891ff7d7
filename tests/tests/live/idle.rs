//! An agent on a quiet host sleeps.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use telnet_tests::agent::Agent;
use telnet_tests::check::text;
use telnet_tests::lab;

/// Heartbeats to watch it for, ten seconds apart.
const BEATS: u64 = 2;
/// Most times that a thread wakes for one: to ask, to be answered, to write. Less than ten, so that
/// whatever wakes every second is found.
const WAKES: u64 = 8;

/// How often each thread went to sleep by itself, which is how often it woke up.
fn sleeps(pid: u32) -> Result<BTreeMap<String, u64>> {
    let mut found = BTreeMap::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = fs::read_to_string(thread?.path().join("status"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.map(str::trim).with_context(|| format!("no {name}"))
        };
        let count = field("voluntary_ctxt_switches:")?.parse()?;
        found.insert(field("Name:")?.to_owned(), count);
    }
    Ok(found)
}

#[test]
fn a_quiet_agent_wakes_for_its_heartbeat_and_its_canary_alone() -> Result<()> {
    lab::live_alone(|lab| {
        // A port that nobody uses: whatever else happens on this machine is not for this agent.
        let rule = lab.write("rule.toml", &super::rule_file("destination.port:61923"))?;
        let config = format!(
            "[rules]\npaths = [\"{}\"]\n[health]\ninterval = \"10s\"\n\
             [[sinks]]\ntype = \"stdout\"\nstreams = [\"health\"]\n",
            rule.display()
        );
        let config = lab.write("config.toml", &config)?;
        // A canary in an hour: its first session is over when the first heartbeat is looked at.
        let pause = ["--canary-pause", "1h"].map(Path::new);
        let arguments = [Path::new("-c"), &config].into_iter().chain(pause);
        let mut agent = Agent::start(lab, arguments)?.with_patience(2);
        agent.wait_for_log("the canary session came out", 1)?;
        let wait_for_beats = |agent: &mut Agent, count: u64| {
            let beats = Cell::new(0);
            agent.wait_for_any("heartbeats", |json| {
                let is_beat = text(json, "event.action") == Some("agent_heartbeat");
                beats.set(beats.get() + u64::from(is_beat));
                beats.get() == count
            })
        };
        wait_for_beats(&mut agent, 1)?;
        let before = sleeps(agent.pid())?;
        wait_for_beats(&mut agent, 1 + BEATS)?;
        let after = sleeps(agent.pid())?;
        for (thread, count) in &after {
            let woken = count - before.get(thread).copied().unwrap_or_default();
            ensure!(
                woken <= WAKES * BEATS,
                "{thread} woke {woken} times: {after:?}"
            );
        }
        agent.finish().map(drop)
    })
}
