//! The agent as a service.

use std::collections::BTreeSet;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use telnet_tests::check::{Check, get, number, text};
use telnet_tests::{kernel, wait};

use crate::agent::{self, CONFIG, NAME};
use crate::guest::{Documents, TELNET, User, event, guest, main_pid, run, same_session, serve_by};

#[test]
fn the_agent_monitors_and_its_canary_lives() -> Result<()> {
    guest(|| {
        agent::wait_for_log("the canary session came out")?;
        let log = agent::log()?;
        ensure!(log.contains("monitoring"), "{log}");
        ensure!(!log.contains("degraded"), "{log}");
        // The unit must leave the agent the means to shut itself in.
        ensure!(!log.contains("wall=\"seccomp\""), "{log}");
        let health = agent::heartbeat()?;
        Check::of(&health)
            .is("telnet.health.canary.status", "alive")
            .done()?;
        let report = run("telnet-monitor", &["doctor", "--json"])?;
        let report: Value = serde_json::from_str(&report)?;
        let status = if kernel::lacks("socket_cookies") {
            "degraded"
        } else {
            "ok"
        };
        ensure!(text(&report, "status") == Some(status), "{report:#}");
        let checks = get(&report, "checks").and_then(Value::as_array);
        for check in checks.with_context(|| format!("no checks in {report:#}"))? {
            // What a kernel lacks is all that may be degraded.
            let is_kernels = text(check, "name") == Some("kernel features");
            let is_ok = text(check, "status") == Some("ok");
            ensure!(is_ok || is_kernels, "{report:#}");
        }
        Ok(())
    })
}

/// The namespace that `PrivateNetwork=` makes is the canary's: whatever the agent says of this
/// host is of the host's own network.
#[test]
fn a_private_network_is_only_the_canarys() -> Result<()> {
    guest(|| {
        run(
            "ip",
            &[
                "link", "add", "mac0", "type", "veth", "peer", "name", "mac1",
            ],
        )?;
        run("ip", &["addr", "add", "192.0.2.77/24", "dev", "mac0"])?;
        run("ip", &["link", "set", "mac0", "up"])?;
        run("systemctl", &["restart", NAME])?;
        let checked = is_of_this_host();
        run("ip", &["link", "del", "mac0"])?;
        checked
    })
}

fn is_of_this_host() -> Result<()> {
    ensure!(agent::property("PrivateNetwork")? == "yes");
    let namespace = |pid: u64| fs::metadata(format!("/proc/{pid}/ns/net"));
    let agents = namespace(main_pid(NAME)?)?.ino();
    ensure!(
        agents == namespace(1)?.ino(),
        "the agent is in net {agents}"
    );
    let health = agent::heartbeat()?;
    let told = get(&health, "host.mac").and_then(Value::as_array);
    let told: BTreeSet<&str> = told
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut real = BTreeSet::new();
    for interface in fs::read_dir("/sys/class/net")? {
        let address = fs::read_to_string(interface?.path().join("address"))?;
        real.insert(address.trim().to_uppercase().replace(':', "-"));
    }
    real.remove("00-00-00-00-00-00");
    ensure!(real.len() >= 2, "{real:?}");
    ensure!(
        told == real.iter().map(String::as_str).collect(),
        "{told:?}, not {real:?}"
    );
    Check::of(&health).has("host.ip", "192.0.2.77").done()
}

#[test]
fn a_reload_takes_up_a_change_and_keeps_the_old_when_the_new_is_bad() -> Result<()> {
    const ADDED: &str = "/var/log/telnet-monitor/added.ndjson";
    guest(|| {
        let config = fs::read_to_string(CONFIG)?;
        let agents = main_pid(NAME)?;
        let added = format!(
            "{config}[[sinks]]\nname = \"added\"\ntype = \"file\"\nstreams = [\"alerts\"]\n\
             path = \"{ADDED}\"\n"
        );
        fs::write(CONFIG, &added)?;
        run("systemctl", &["reload", NAME])?;
        agent::wait_for_log(" reloaded")?;
        session_is_told_in(ADDED)?;

        fs::write(CONFIG, format!("{added}[rulez]\n"))?;
        let check = Command::new("telnet-monitor")
            .args(["check", "-c", CONFIG])
            .output()?;
        ensure!(check.status.code() == Some(1), "{check:?}");
        run("systemctl", &["reload", NAME])?;
        agent::wait_for_log("not reloaded")?;
        agent::wait_for_log("did you mean rules?")?;
        ensure!(agent::is_active()?);
        session_is_told_in(ADDED)?;
        ensure!(main_pid(NAME)? == agents, "it was restarted");

        fs::write(CONFIG, config)?;
        run("systemctl", &["restart", NAME]).map(drop)
    })
}

/// Opens a session, and waits for its alert in a file.
fn session_is_told_in(file: &str) -> Result<()> {
    let listener = TcpListener::bind(TELNET)?;
    let client = TcpStream::connect(TELNET)?;
    drop(listener.accept()?);
    let port = format!("\"port\":{}", client.local_addr()?.port());
    wait::until("the alert in the added file", || {
        let text = fs::read_to_string(file)?;
        Ok(text.contains(&port).then_some(()))
    })
}

#[test]
fn a_restart_of_the_service_tells_no_session_twice_and_misses_no_end() -> Result<()> {
    guest(|| {
        let documents = Documents::from_now()?;
        serve_by("telnet.socket")?;
        let mut user = User::connect()?;
        user.log_in()?;
        let accepted = documents.accepted()?;
        // Returns once the agent says that it monitors.
        run("systemctl", &["restart", NAME])?;
        ensure!(agent::is_active()?);
        user.log_out()?;
        documents.wait_for(
            "the end of the session",
            same_session(&accepted, "network_flow", "ingress"),
        )?;
        let is_again = same_session(&accepted, "connection_accepted", "ingress");
        let again: Vec<Value> = documents.all()?.into_iter().filter(is_again).collect();
        ensure!(again.len() == 1, "told {} times: {again:#?}", again.len());
        let port = number(&accepted, "source.port");
        let is_alert = |document: &Value| {
            text(document, "event.kind") == Some("signal")
                && number(document, "source.port") == port
        };
        let alerts = documents.all()?.iter().filter(|d| is_alert(d)).count();
        ensure!(alerts == 2, "{alerts} alerts, not one for each end");
        Ok(())
    })
}
