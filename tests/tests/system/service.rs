//! The agent as a service.

use anyhow::{Result, ensure};
use serde_json::Value;
use telnet_tests::check::{number, text};
use telnet_tests::wait;

use crate::guest::{Documents, User, event, guest, run, same_session, serve_by};

const AGENT: &str = "telnet-monitor.service";

fn log() -> Result<String> {
    run(
        "journalctl",
        &["-b", "-u", AGENT, "-o", "cat", "--no-pager"],
    )
}

#[test]
fn the_agent_monitors_and_its_canary_lives() -> Result<()> {
    guest(|| {
        let active = run("systemctl", &["is-active", AGENT])?;
        ensure!(active.trim() == "active", "{active}");
        wait::until("the canary in the journal", || {
            Ok(log()?.contains("the canary session came out").then_some(()))
        })?;
        let log = log()?;
        ensure!(log.contains("monitoring"), "{log}");
        ensure!(!log.contains("degraded"), "{log}");
        let report = run("telnet-monitor", &["doctor", "--json"])?;
        let report: Value = serde_json::from_str(&report)?;
        ensure!(text(&report, "status") == Some("ok"), "{report:#}");
        Ok(())
    })
}

#[test]
fn a_restart_of_the_service_tells_no_session_twice_and_misses_no_end() -> Result<()> {
    guest(|| {
        let documents = Documents::from_now()?;
        serve_by("telnet.socket")?;
        let mut user = User::connect()?;
        user.log_in()?;
        let accepted = documents.wait_for(
            "the accepted session",
            event("connection_accepted", "ingress"),
        )?;
        run("systemctl", &["restart", AGENT])?;
        wait::until("the agent", || {
            let running = run("systemctl", &["is-active", AGENT])?;
            Ok((running.trim() == "active").then_some(()))
        })?;
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
