//! How a run ends.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::process::Signal;
use telnet_tests::agent::{Agent, Ended, collect, run_command, start, start_on};
use telnet_tests::lab::{self, V4};
use telnet_tests::peer::{Client, ClientKind, Telnetd, TelnetdKind};

fn ends_cleanly_on(signal: Signal) -> Result<()> {
    lab::live(|lab| {
        let mut agent = Agent::start(lab, ["--emit", "all"])?;
        agent.fence(lab)?;
        let ended = agent.stop(signal)?;
        ended.must_be_clean()?;
        let ledger = ended.ledger()?;
        // The fence's session has been seen, and it was on a monitored port.
        ensure!(
            ledger.get("submitted")? > 0,
            "nothing was submitted: {ledger:?}"
        );
        ensure!(
            ledger.dropped() == 0 && ledger.get("lost")? == 0,
            "lost records: {ledger:?}"
        );
        Ok(())
    })
}

#[test]
fn interrupt_ends_it_with_a_ledger() -> Result<()> {
    ends_cleanly_on(Signal::INT)
}

#[test]
fn termination_ends_it_with_a_ledger() -> Result<()> {
    ends_cleanly_on(Signal::TERM)
}

#[test]
fn unmonitored_traffic_is_counted_as_filtered() -> Result<()> {
    lab::live(|lab| {
        let mut agent = Agent::start(lab, ["--emit", "all"])?;
        let address = SocketAddr::new(V4, 8080);
        let listener = lab.net.listen(address)?;
        for _ in 0..100 {
            lab.net.connect(address)?;
        }
        drop(listener);
        agent.fence(lab)?;
        let ledger = agent.finish()?.ledger()?;
        // At least SYN_SENT, ESTABLISHED and SYN_RECV of each.
        ensure!(ledger.get("filtered")? >= 300, "{ledger:?}");
        Ok(())
    })
}

#[test]
fn duration_ends_it_by_itself() -> Result<()> {
    lab::live(|lab| {
        let before = Instant::now();
        let mut agent = start(&mut run_command(lab, lab.agent()?, ["--duration", "1s"]))?;
        let ended = collect(&mut agent)?;
        ended.must_be_clean()?;
        let took = before.elapsed();
        ensure!(took >= Duration::from_secs(1), "it ended after {took:?}");
        Ok(())
    })
}

#[test]
fn a_reader_that_goes_away_ends_it_without_panic() -> Result<()> {
    lab::live(|lab| {
        let (reader, writer) = std::io::pipe()?;
        let command = run_command(lab, lab.agent()?, ["--format", "ndjson"]);
        let mut agent = start_on(command, writer)?;
        drop(reader);

        let address = SocketAddr::new(V4, 23);
        let _server = Telnetd::start(lab, TelnetdKind::Busybox, address)?;
        let client = Client::start(lab, ClientKind::Busybox, address)?;
        client.session(lab)?;
        let Ended { status, log, .. } = collect(&mut agent)?;
        ensure!(!log.contains("panicked"), "the agent panicked:\n{log}");
        ensure!(status.code().is_some(), "{status}:\n{log}");
        Ok(())
    })
}
