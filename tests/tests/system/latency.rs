//! How long what the kernel saw takes to be an alert in the journal.

use anyhow::{Context as _, Result, bail, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use telnet_tests::check::{Check, number, text};
use telnet_tests::load::is_emulated;
use telnet_tests::wait;

use crate::forced_login;
use crate::guest::{Documents, User, guest, run, serve_by};

const ACCEPTED: &str = "Accepted Default Telnet Port Connection";
const BYPASS: &str = "Telnet Authentication Bypass";

#[test]
fn a_login_is_in_the_journal_with_its_fields_within_a_second() -> Result<()> {
    guest(|| {
        serve_by("telnet.socket")?;
        within_a_second(|| {
            let documents = Documents::from_now()?;
            let mut user = User::connect()?;
            user.log_in()?;
            let alert = alert_on(&documents.accepted()?, ACCEPTED)?;
            Check::of(&alert)
                .is("_TRANSPORT", "journal")
                .is("_SYSTEMD_UNIT", "telnet-monitor.service")
                .is("SOURCE_IP", "127.0.0.1")
                .is("DESTINATION_PORT", "23")
                .is("EVENT_ACTION", "connection_accepted")
                .is("PRIORITY", "4")
                .knows("PROCESS_NAME")
                .done()?;
            user.log_out()?;
            Ok(alert)
        })
    })
}

#[test]
fn a_bypass_is_a_critical_alert_in_the_journal_within_a_second() -> Result<()> {
    guest(|| {
        forced_login::with(|| {
            serve_by("telnet.socket")?;
            within_a_second(bypass)
        })
    })
}

fn bypass() -> Result<Value> {
    let documents = Documents::from_now()?;
    let mut user = User::connect()?;
    let alert = alert_on(&documents.accepted()?, BYPASS)?;
    Check::of(&alert)
        .is("_SYSTEMD_UNIT", "telnet-monitor.service")
        .is("KIBANA_ALERT_SEVERITY", "critical")
        .is("PRIORITY", "2")
        .is("EVENT_ACTION", "authentication_bypass")
        .is("TELNET_LOGIN_VERDICT", "bypass")
        .is("TELNET_LOGIN_REASON", "forced_login")
        .is("TELNET_LOGIN_COMMAND_LINE", forced_login::COMMAND_LINE)
        .is("TELNET_HANDLER_NAME", "telnetd")
        .is("TELNET_SLICE", "system-telnet.slice")
        .done()?;
    user.answer("# ", 1, "exit")?;
    user.leave()?;
    Ok(alert)
}

/// Whether `alert` gets an alert into the journal within a second of what the kernel saw. An
/// emulated machine may stand still meanwhile, but not every time.
fn within_a_second(mut alert: impl FnMut() -> Result<Value>) -> Result<()> {
    let times = if is_emulated() { 5 } else { 1 };
    let mut late = Vec::new();
    for _ in 0..times {
        let took = delay(&alert()?)?;
        ensure!(!took.is_negative(), "{took:#} before it happened");
        if took < SignedDuration::from_secs(1) {
            return Ok(());
        }
        late.push(took);
    }
    bail!("in the journal after {late:?}")
}

/// The time from what the kernel saw to what journald received.
fn delay(alert: &Value) -> Result<SignedDuration> {
    let received = text(alert, "__REALTIME_TIMESTAMP").context("no time of the entry")?;
    let received = Timestamp::from_microsecond(received.parse()?)?;
    let happened: Timestamp = text(alert, "KIBANA_ALERT_ORIGINAL_TIME")
        .context("no time of the event")?
        .parse()?;
    Ok(received.duration_since(happened))
}

/// The alert of this rule on the accepted end of a session, as the journal has it.
fn alert_on(accepted: &Value, rule: &str) -> Result<Value> {
    let port = number(accepted, "source.port").context("no source.port")?;
    let wanted = [
        "SYSLOG_IDENTIFIER=telnet-monitor".to_owned(),
        "EVENT_KIND=signal".to_owned(),
        "NETWORK_DIRECTION=ingress".to_owned(),
        format!("KIBANA_ALERT_RULE_NAME={rule}"),
        format!("SOURCE_PORT={port}"),
    ];
    wait::until("the alert in the journal", || {
        let mut arguments = vec!["-b", "-o", "json", "--no-pager"];
        arguments.extend(wanted.iter().map(String::as_str));
        let found = run("journalctl", &arguments)?;
        let entry = found.lines().next();
        Ok(entry.map(serde_json::from_str).transpose()?)
    })
}
