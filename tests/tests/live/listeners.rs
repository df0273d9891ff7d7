//! Listening sockets on monitored ports: who opened and closed them, on which address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Result;
use serde_json::Value;
use telnet_tests::agent::Agent;
use telnet_tests::check::{Check, number, text};
use telnet_tests::lab::{self, V4, V6};
use telnet_tests::peer::Scripted;

fn listener(action: &str, address: SocketAddr) -> impl Fn(&Value) -> bool + '_ {
    let ip = address.ip().to_string();
    move |json| {
        text(json, "event.action") == Some(action)
            && text(json, "server.ip") == Some(&ip)
            && number(json, "server.port") == Some(u64::from(address.port()))
    }
}

#[test]
fn who_opens_and_closes_a_listener_is_named() -> Result<()> {
    lab::live(|lab| {
        let mut agent = Agent::start(lab, ["--emit", "events"])?;
        for ip in [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            V4,
            V6,
        ] {
            let address = SocketAddr::new(ip, 23);
            let mut server = Scripted::start(lab, "server")?;
            server.listen(address)?;
            let facts = server.facts()?;
            let opened = agent.wait_for(
                lab,
                "the opened listener",
                listener("listener_opened", address),
            )?;
            server.step("unlisten")?;
            let closed = agent.wait_for(
                lab,
                "the closed listener",
                listener("listener_closed", address),
            )?;
            for (event, kind) in [(&opened, "start"), (&closed, "end")] {
                Check::of(&event.json)
                    .has("event.category", "network")
                    .has("event.type", kind)
                    .is("event.outcome", "success")
                    .is("network.type", if ip.is_ipv4() { "ipv4" } else { "ipv6" })
                    .is("network.transport", "tcp")
                    .is("process.pid", facts.pid)
                    .is("process.name", facts.name.as_str())
                    .is("process.executable", facts.executable.as_str())
                    .is("process.args", facts.args.clone())
                    .is("user.name", "root")
                    .is("telnet.listener.pid", facts.pid)
                    .is("telnet.attribution", "listen")
                    .lacks("source")
                    .lacks("destination")
                    .lacks("network.direction")
                    .done()?;
            }
            Check::of(&closed.json).knows("event.duration").done()?;
        }
        agent.finish().map(drop)
    })
}

#[test]
fn a_listener_of_before_the_agent_is_reported_with_its_owner() -> Result<()> {
    lab::live(|lab| {
        let address = SocketAddr::new(V4, 23);
        let mut server = Scripted::start(lab, "server")?;
        server.listen(address)?;
        let mut agent = Agent::start(lab, ["--emit", "events"])?;
        let opened = agent.wait_for(lab, "the listener", listener("listener_opened", address))?;
        Check::of(&opened.json)
            .is("process.pid", server.pid())
            .is("telnet.listener.preexisting", true)
            .is("telnet.attribution", "sock_diag")
            .lacks("event.start")
            .done()?;
        server.step("unlisten")?;
        let closed = agent.wait_for(lab, "its end", listener("listener_closed", address))?;
        Check::of(&closed.json)
            .is("process.pid", server.pid())
            .lacks("event.duration")
            .done()?;
        agent.finish().map(drop)
    })
}
