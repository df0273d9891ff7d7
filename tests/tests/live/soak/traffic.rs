//! Sessions of many kinds, and what the agent must say of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::net::sockopt::set_socket_linger;
use telnet_tests::house::House;
use telnet_tests::lab::{Lab, V4, V6};
use telnet_tests::peer::{Server, ServerKind, Telnetd, TelnetdKind};
use telnet_tests::wait::PATIENCE;

use super::super::logins::{Visitor, house};
use super::subject::About;

/// A server that serves whoever comes.
const SERVER: SocketAddr = SocketAddr::new(V4, 23);
/// A telnet server with users, where the same rules look.
const TELNETD: SocketAddr = SocketAddr::new(V4, 2_399);
/// Where nobody listens.
const CLOSED: SocketAddr = SocketAddr::new(V6, 23);
/// No rule is about it.
const ELSEWHERE: SocketAddr = SocketAddr::new(V4, 8_023);
/// Connections elsewhere for each that a rule is about.
const UNWANTED: usize = 20;

/// Programs that run at the same time, each for this long in microseconds: long enough to be read
/// from `/proc`, so that the agent remembers them.
const PROGRAMS_AT_ONCE: usize = 64;
const PROGRAM_RUNS: usize = 200_000;

/// Ports that the rules are about.
pub(super) const PORTS: [u16; 2] = [SERVER.port(), TELNETD.port()];

/// Clients and servers in the lab.
pub(super) struct Traffic<'a> {
    lab: &'a Lab,
    elsewhere: TcpListener,
    held: Vec<TcpStream>,
    /// How often a session was made from this port: an hour is long enough to come by one twice.
    made: BTreeMap<u16, usize>,
    /// Ports of sessions that were open when the agent was killed.
    open_at_a_kill: BTreeSet<u16>,
    _house: House,
    _telnetd: Telnetd,
    _server: Server,
}

impl<'a> Traffic<'a> {
    pub(super) fn start(lab: &'a Lab) -> Result<Self> {
        let house = house(lab, 1)?;
        Ok(Self {
            lab,
            elsewhere: lab.net.listen(ELSEWHERE)?,
            held: Vec::new(),
            made: BTreeMap::new(),
            open_at_a_kill: BTreeSet::new(),
            _telnetd: Telnetd::start_in(lab, &house, TelnetdKind::Busybox, TELNETD, &[])?,
            _house: house,
            _server: Server::start(lab, ServerKind::Threads, SERVER, 1)?,
        })
    }

    /// One of each kind that is over at once, among many that are no telnet.
    pub(super) fn step(&mut self) -> Result<()> {
        self.lab.net.run(|| {
            for _ in 0..UNWANTED {
                let client = TcpStream::connect(ELSEWHERE)?;
                drop((self.elsewhere.accept()?, client));
            }
            let refused = TcpStream::connect(CLOSED);
            ensure!(refused.is_err(), "somebody listens on {CLOSED}");
            Ok(())
        })??;
        let mut brief = self.connect()?;
        brief.write_all(b"hello\r\n")?;
        brief.shutdown(std::net::Shutdown::Write)?;
        brief.set_read_timeout(Some(PATIENCE))?;
        brief.read_to_end(&mut Vec::new())?;
        // Whatever is closed with this set is reset.
        let reset = self.connect()?;
        self.lab
            .net
            .wait_for_responder(reset.local_addr()?, SERVER)?;
        set_socket_linger(&reset, Some(Duration::ZERO))?;
        Ok(())
    }

    /// Sessions that stay open until [`Self::release`].
    pub(super) fn hold(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            let client = self.connect()?;
            self.held.push(client);
        }
        Ok(())
    }

    /// The agent is about to be killed.
    pub(super) fn expect_kill(&mut self) -> Result<()> {
        for client in &self.held {
            self.open_at_a_kill.insert(client.local_addr()?.port());
        }
        Ok(())
    }

    /// Whether the session from this port was open when the agent was killed.
    pub(super) fn was_open_at_a_kill(&self, port: u16) -> bool {
        self.open_at_a_kill.contains(&port)
    }

    /// Ends what was held.
    pub(super) fn release(&mut self) {
        self.held.clear();
    }

    /// Somebody logs in, does something and leaves.
    pub(super) fn visit(&mut self) -> Result<()> {
        self.log_in_for(1, "busybox id")
    }

    /// Somebody logs in, runs at least `count` programs and leaves.
    pub(super) fn run_programs(&mut self, count: usize) -> Result<()> {
        // A line for those at once, so that the shell is heard of however slow it is. In a subshell,
        // which says nothing of its jobs.
        let line = format!(
            "(for i in $(busybox seq {PROGRAMS_AT_ONCE}); do busybox usleep {PROGRAM_RUNS} & done; \
             wait)"
        );
        self.log_in_for(count.div_ceil(PROGRAMS_AT_ONCE), &line)
    }

    fn log_in_for(&mut self, times: usize, line: &str) -> Result<()> {
        let mut visitor = Visitor::arrive(self.lab, 0)?;
        self.count(u16::try_from(visitor.port()?)?);
        visitor.log_in()?;
        for _ in 0..times {
            visitor.answer("$ ", line)?;
        }
        visitor.answer("$ ", "exit")?;
        Ok(())
    }

    /// How often an alert must be about what.
    pub(super) fn expected(&self) -> BTreeMap<About, usize> {
        let both = self.made.iter().flat_map(|(port, count)| {
            ["ingress", "egress"].map(|end| ((end.to_owned(), *port), *count))
        });
        both.collect()
    }

    /// Ports of sessions of which the kernel ran no program for some change.
    pub(super) fn withheld(&self) -> Result<BTreeSet<u16>> {
        self.lab.withheld_ports()
    }

    fn connect(&mut self) -> Result<TcpStream> {
        let client = self.lab.net.connect(SERVER)?;
        let port = client.local_addr().context("a client's address")?.port();
        self.count(port);
        Ok(client)
    }

    fn count(&mut self, port: u16) {
        *self.made.entry(port).or_default() += 1;
    }
}
