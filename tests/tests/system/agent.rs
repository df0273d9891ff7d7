//! The agent of the guest: its package, its configuration, its service.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use telnet_tests::check::text;
use telnet_tests::wait;

use crate::guest::{Documents, run};

pub(crate) const NAME: &str = "telnet-monitor";
/// As `cargo xtask package` made it.
pub(crate) const PACKAGE: &str = "/vm/telnet-monitor.deb";
pub(crate) const CONFIG: &str = "/etc/telnet-monitor/config.toml";
/// Where the agent is told to write what the tests read.
pub(crate) const DOCUMENTS: &str = "/var/log/telnet-monitor/documents.ndjson";

/// What an administrator adds to the configuration that is shipped.
fn additions() -> String {
    format!(
        "\n[[sinks]]\nname = \"documents\"\ntype = \"file\"\n\
         streams = [\"alerts\", \"events\", \"health\"]\npath = \"{DOCUMENTS}\"\n"
    )
}

/// `apt install ./FILE`, as an administrator types it but for the questions.
pub(crate) fn install(package: &Path) -> Result<()> {
    let package = package.display().to_string();
    apt(&["install", &package])
}

/// `apt remove` and `apt purge`.
pub(crate) fn uninstall(verb: &str) -> Result<()> {
    apt(&[verb, NAME])
}

/// Leaves what it prints to the message of a failure.
fn apt(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    let output = command.arg("--yes").args(arguments).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "apt-get {arguments:?}: {}\n{said}",
        output.status
    );
    Ok(())
}

/// One property of the unit.
pub(crate) fn property(name: &str) -> Result<String> {
    let value = run("systemctl", &["show", "--value", "-p", name, NAME])?;
    Ok(value.trim().to_owned())
}

/// Whether the service runs.
pub(crate) fn is_active() -> Result<bool> {
    Ok(property("ActiveState")? == "active")
}

/// What the agent that runs now said, apart from documents.
pub(crate) fn log() -> Result<String> {
    let invocation = format!("_SYSTEMD_INVOCATION_ID={}", property("InvocationID")?);
    run(
        "journalctl",
        &[
            "-b",
            "-o",
            "cat",
            "--no-pager",
            &invocation,
            "_TRANSPORT=stdout",
        ],
    )
}

/// Waits until the log of the agent that runs now contains `wanted`.
pub(crate) fn wait_for_log(wanted: &str) -> Result<()> {
    let found = wait::until(wanted, || Ok(log()?.contains(wanted).then_some(())));
    found.with_context(|| log().unwrap_or_default())
}

/// The configuration as it is shipped, but with heartbeats that a test can wait for, and with a
/// file for everything.
pub(crate) fn configure() -> Result<()> {
    let shipped = fs::read_to_string(CONFIG).context(CONFIG)?;
    let interval = "interval = \"1m\"";
    ensure!(shipped.contains(interval), "no {interval} in {CONFIG}");
    let text = shipped.replace(interval, "interval = \"5s\"") + &additions();
    fs::write(CONFIG, text).context(CONFIG)
}

/// Installs, configures and starts the agent, unless it runs as it should.
pub(crate) fn set_up() -> Result<()> {
    let is_configured = fs::read_to_string(CONFIG).is_ok_and(|text| text.ends_with(&additions()));
    if is_configured && is_active()? {
        return Ok(());
    }
    clear()?;
    install(Path::new(PACKAGE))?;
    configure()?;
    run("systemctl", &["enable", "--now", NAME])?;
    Ok(())
}

/// Makes the guest one that never had an agent.
pub(crate) fn clear() -> Result<()> {
    let is_known = Command::new("dpkg-query").args(["-W", NAME]).output()?;
    if is_known.status.success() {
        uninstall("purge")?;
    }
    Ok(())
}

/// The next heartbeat.
pub(crate) fn heartbeat() -> Result<Value> {
    Documents::from_now()?.wait_for("a heartbeat", |document| {
        text(document, "event.action") == Some("agent_heartbeat")
    })
}
