//! Who logs in is told, although the address that it comes from has made too many connections.

use std::collections::HashSet;

use anyhow::{Context as _, Result, ensure};
use telnet_tests::agent::{Agent, list};
use telnet_tests::check::{number, text};
use telnet_tests::lab;
use telnet_tests::peer::{Telnetd, TelnetdKind};

use super::many::{Visitor, house};
use super::{PORT, SERVER, shipped_rules};

#[test]
fn a_login_in_a_session_that_was_shed_is_told_from_its_opening_on() -> Result<()> {
    lab::live(|lab| {
        let rules = shipped_rules(lab)?.display().to_string();
        // One session, and the next only after a minute: the second is made within that everywhere.
        let config = lab.write("config.toml", "[flood]\nburst = 1\nper_minute = 1\n")?;
        let config = config.display().to_string();
        let args = ["-c", &config, "--emit", "all", "--rules", &rules];
        let mut agent = Agent::start(lab, args)?.with_fence_port(PORT);
        let house = house(lab, 2)?;
        let _server = Telnetd::start_in(lab, &house, TelnetdKind::Busybox, SERVER, &[])?;
        let first = Visitor::arrive(lab, 0)?;
        let mut second = Visitor::arrive(lab, 1)?;
        agent.wait_for(lab, "the flood", |json| {
            text(json, "event.action") == Some("connection_flood")
                && text(json, "network.direction") == Some("ingress")
        })?;
        second.log_in()?;
        second.answer("$ ", "exit")?;
        let port = second.port()?;
        agent.wait_for(lab, "the end of the session", |json| {
            text(json, "event.action") == Some("network_flow")
                && text(json, "network.direction") == Some("ingress")
                && number(json, "source.port") == Some(port)
        })?;
        drop(first);
        let mut documents = agent.of(lab);
        documents.retain(|d| {
            number(&d.json, "source.port") == Some(port)
                && text(&d.json, "network.direction") == Some("ingress")
        });
        let told: Vec<_> = documents
            .iter()
            .filter(|d| text(&d.json, "event.kind") == Some("event"))
            .filter_map(|d| text(&d.json, "event.action"))
            .collect();
        let place = |action| told.iter().position(|told| *told == action).context(action);
        ensure!(
            place("connection_accepted")? < place("user_login")?
                && place("user_login")? < place("network_flow")?,
            "{told:?}"
        );
        let alerts: HashSet<_> = documents
            .iter()
            .filter(|d| text(&d.json, "event.kind") == Some("signal"))
            .filter_map(|d| text(&d.json, "event.action"))
            .collect();
        ensure!(
            alerts.contains("connection_accepted"),
            "{}",
            list(&documents)
        );
        let observations = agent.finish()?.observations()?;
        ensure!(
            observations.get("recalled")? == 1 && observations.shed()? > 0,
            "{observations:?}"
        );
        Ok(())
    })
}
