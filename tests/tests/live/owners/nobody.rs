//! Nobody is named who had no part, or who cannot be known.

use anyhow::{Result, ensure};
use serde_json::Value;
use telnet_tests::agent::{Agent, Document, list};
use telnet_tests::check::{Check, text};
use telnet_tests::lab;
use telnet_tests::peer::Scripted;
use telnet_tests::process::Spawned;
use telnet_tests::tools;

use super::{TELNET, ingress};

#[test]
fn owner_that_cannot_be_found_stays_absent() -> Result<()> {
    lab::live(|lab| {
        // The listener survives in an unread message: it is open, and no process has it.
        let mut nobody = Scripted::start(lab, "nobody")?;
        nobody.listen(TELNET)?;
        nobody.step("park-listener")?;
        let mut agent = Agent::start(lab, ["--emit", "events"])?;
        let client = Scripted::start(lab, "client")?.connect(TELNET)?;
        let what = "the accepted event";
        let event = agent.wait_for(lab, what, ingress("connection_accepted", client))?;
        Check::of(&event.json)
            .is("telnet.attribution", "none")
            .lacks("process")
            .lacks("user")
            .lacks("telnet.listener")
            .lacks("telnet.acceptor")
            .lacks("telnet.handler")
            .done()?;
        agent.finish().map(drop)
    })
}

/// Handshakes, resets and timeouts are the work of softirqs, which run on top of whatever process
/// has the CPU. With all CPUs busy that is a stranger, and nothing may say that it had a part.
#[test]
fn whoever_happens_to_have_the_cpu_is_never_named() -> Result<()> {
    const SESSIONS: usize = 40;
    lab::live(|lab| {
        lab.net
            .ip(&["route", "add", "198.51.100.0/24", "dev", "lo"])?;
        lab.net.set_sysctl("net/ipv4/tcp_syn_retries", "1")?;
        let mut agent = Agent::start(lab, ["--emit", "all", "--attempts"])?;
        let busybox = tools::find("busybox")?;
        let mut strangers = Vec::new();
        for _ in 0..2 * std::thread::available_parallelism()?.get() {
            let mut command = busybox.command();
            // It takes what nobody else wants.
            command.args(["nice", "-n", "19"]).arg(busybox.path());
            command.args(["ash", "-c", "while :; do :; done"]);
            strangers.push(Spawned::start("stranger", Some(&lab.net), &mut command)?);
        }
        let mut server = Scripted::start(lab, "server")?;
        let mut client = Scripted::start(lab, "client")?;
        server.listen(TELNET)?;
        for _ in 0..SESSIONS {
            let session = client.connect(TELNET)?;
            lab.net.wait_for_responder(session.local, TELNET)?;
            client.with("reset", session)?;
        }
        // Several, since a kernel may run no program in a timer that interrupted a task it protects.
        for _ in 0..3 {
            client.open("connect-nonblocking 198.51.100.7:23")?;
        }
        client.must_fail("connect 198.51.100.7:23", rustix::io::Errno::TIMEDOUT)?;
        server.step("unlisten")?;
        let documents = agent.fence(lab)?;
        let count = |action: &str| {
            let of = |d: &&Document| text(&d.json, "event.action") == Some(action);
            documents.iter().filter(of).count()
        };
        ensure!(
            count("connection_accepted") >= SESSIONS,
            "{}",
            list(&documents)
        );
        ensure!(count("timeout") >= 1, "{}", list(&documents));
        let pids: Vec<u32> = strangers.iter().map(Spawned::pid).collect();
        for document in &documents {
            let named = numbers(&document.json, "pid");
            ensure!(
                !named
                    .iter()
                    .any(|pid| pids.iter().any(|stranger| u64::from(*stranger) == *pid)),
                "one of {pids:?} in {:#}",
                document.json
            );
        }
        agent.finish().map(drop)
    })
}

/// The numbers of all fields of this name, wherever they are.
fn numbers(json: &Value, name: &str) -> Vec<u64> {
    match json {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(key, value)| {
                let own = value.as_u64().filter(|_| key == name);
                own.into_iter().chain(numbers(value, name))
            })
            .collect(),
        Value::Array(values) => values
            .iter()
            .flat_map(|value| numbers(value, name))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}
