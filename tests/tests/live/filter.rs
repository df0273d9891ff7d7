//! What the kernel reports is what rules can be about: by direction, ports and addresses.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, ensure};
use rustix::process::Signal;
use telnet_tests::agent::{Agent, Document};
use telnet_tests::check::{number, text};
use telnet_tests::lab;
use telnet_tests::peer::Scripted;

/// Port 23 is for the fence.
const QUERY: &str = "(destination.port:23 \
    or destination.port:2301 and source.ip:127.1.0.0/16 and network.direction:ingress \
    or destination.port:2302 and destination.ip:(127.2.0.0/16 and not 127.2.3.0/24) \
       and network.direction:egress \
    or destination.port:2303 and not destination.ip:127.0.0.0/9 \
       and network.direction:egress)";

/// From, to, whether it is reported as inbound and as outbound.
const SESSIONS: [(&str, &str, bool, bool); 12] = [
    ("127.1.0.5", "127.0.0.1:2301", true, false),
    ("127.1.255.255", "127.200.0.1:2301", true, false),
    ("127.2.0.0", "127.0.0.1:2301", false, false),
    ("127.3.0.5", "127.1.0.5:2301", false, false),
    ("127.3.0.5", "127.2.9.9:2302", false, true),
    ("127.1.0.5", "127.2.4.0:2302", false, true),
    ("127.3.0.5", "127.2.3.9:2302", false, false),
    ("127.2.9.9", "127.3.0.5:2302", false, false),
    ("127.3.0.5", "127.128.0.0:2303", false, true),
    ("127.3.0.5", "127.127.255.255:2303", false, false),
    // Too much, and meant to be: networks are those of all rules of a direction.
    ("127.3.0.5", "127.200.0.1:2302", false, true),
    ("127.1.0.5", "127.200.0.1:2304", false, false),
];

fn of(documents: &[Document], client: SocketAddr, direction: &str) -> Vec<String> {
    let is_its = |document: &&Document| {
        let json = &document.json;
        text(json, "network.direction") == Some(direction)
            && text(json, "source.ip") == Some(&client.ip().to_string())
            && number(json, "source.port") == Some(u64::from(client.port()))
    };
    let actions = documents.iter().filter(is_its);
    let action = |document: &Document| text(&document.json, "event.action").map(str::to_owned);
    actions.filter_map(action).collect()
}

#[test]
fn sessions_are_reported_by_direction_ports_and_addresses() -> Result<()> {
    lab::live(|lab| {
        let rules = lab.write("rules.toml", &super::rule_file(QUERY))?;
        let rules = rules.display().to_string();
        let mut agent = Agent::start(lab, ["--rules", &rules, "--emit", "events"])?;
        let mut clients = Vec::new();
        for (from, to, ..) in SESSIONS {
            let to: SocketAddr = to.parse()?;
            let mut server = Scripted::start(lab, "server")?;
            server.listen(to)?;
            let mut client = Scripted::start(lab, "client")?;
            let from = SocketAddr::new(from.parse::<IpAddr>()?, 0);
            let socket = client.open(&format!("connect-from {from} {to}"))?;
            let accepted = server.accept()?;
            clients.push(socket.local);
            client.with("close", socket)?;
            server.with("close", accepted)?;
        }
        let documents = agent.fence(lab)?;
        for ((from, to, is_inbound, is_outbound), client) in SESSIONS.into_iter().zip(clients) {
            for (direction, opening, is_wanted) in [
                ("ingress", "connection_accepted", is_inbound),
                ("egress", "connection_established", is_outbound),
            ] {
                let actions = of(&documents, client, direction);
                let expected: &[&str] = if is_wanted {
                    &[opening, "network_flow"]
                } else {
                    &[]
                };
                ensure!(
                    actions == expected,
                    "{from} -> {to} {direction}: {actions:?}"
                );
            }
        }
        agent.stop(Signal::TERM)?.must_be_clean()
    })
}
