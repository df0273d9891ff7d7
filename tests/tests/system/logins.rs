//! People who log in: who listened, who accepted, who serves, in which unit and container.

use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::Value;
use telnet_tests::check::{Check, get, number, text};
use telnet_tests::process::Spawned;

use crate::guest::{
    Documents, User, event, guest, main_pid, run, same_session, serve_by, wait_for_listener,
};

/// What the test knows of a server.
struct Server {
    /// Starts it.
    unit: &'static str,
    /// Who listens, and who accepts.
    names: [&'static str; 2],
    /// Whether that is the unit's main process. systemd has children do it, in the cgroup of the
    /// unit, which end at once.
    is_daemon: bool,
    /// Beginning of the unit that serves a session, and the slice it is in.
    handler_unit: &'static str,
    slice: &'static str,
}

impl Server {
    /// Listener and acceptor are named in this event. One that is told at once waits a moment for
    /// the acceptor, which on a busy machine can take longer.
    fn is_named_in(&self, event: &Value, is_over: bool) -> Result<()> {
        let mut check = Check::of(event);
        for (role, name) in ["listener", "acceptor"].iter().zip(self.names) {
            if !is_over && get(event, &format!("telnet.{role}")).is_none() {
                continue;
            }
            check = check
                .is(&format!("telnet.{role}.name"), name)
                .is(&format!("telnet.{role}.user.name"), "root");
            if self.is_daemon {
                check = check
                    .is(&format!("telnet.{role}.pid"), main_pid(self.unit)?)
                    .is(&format!("telnet.{role}.unit"), self.unit);
            }
        }
        check.done()
    }
}

/// Logs in once and checks what was reported of the session.
fn log_in_through(server: &Server) -> Result<()> {
    let documents = Documents::from_now()?;
    serve_by(server.unit)?;
    let mut user = User::connect()?;
    let client = user.pid();
    user.log_in()?;
    let accepted = documents.accepted()?;
    server.is_named_in(&accepted, false)?;
    documents.wait_for("its alert", |document| {
        text(document, "event.kind") == Some("signal")
            && number(document, "source.port") == number(&accepted, "source.port")
    })?;
    let established = documents.wait_for(
        "the client's end",
        same_session(&accepted, "connection_established", "egress"),
    )?;
    Check::of(&established)
        .is("process.pid", client)
        .is("process.name", "inetutils-telnet")
        .done()?;
    user.log_out()?;
    let closed = documents.wait_for(
        "the end of the session",
        same_session(&accepted, "network_flow", "ingress"),
    )?;
    server.is_named_in(&closed, true)?;
    let unit = text(&closed, "telnet.unit").unwrap_or_default();
    ensure!(
        unit.starts_with(server.handler_unit),
        "unit {unit:?} in {closed:#}"
    );
    Check::of(&closed)
        .is("process.name", "telnetd")
        .is("process.executable", "/usr/sbin/telnetd")
        .is("telnet.handler.name", "telnetd")
        .is("telnet.slice", server.slice)
        .is("event.outcome", "success")
        .knows("event.duration")
        .done()?;
    let bytes = number(&closed, "network.bytes").unwrap_or_default();
    ensure!(bytes > 100, "{bytes} bytes in {closed:#}");
    ensure!(get(&closed, "container").is_none(), "{closed:#}");
    Ok(())
}

#[test]
fn telnetd_under_systemd_is_the_handler() -> Result<()> {
    guest(|| {
        log_in_through(&Server {
            unit: "telnet.socket",
            names: ["(sd-listen)", "(sd-accept)"],
            is_daemon: false,
            handler_unit: "telnet@",
            slice: "system-telnet.slice",
        })
    })
}

#[test]
fn telnetd_under_inetd_is_the_handler() -> Result<()> {
    guest(|| {
        log_in_through(&Server {
            unit: "inetd.service",
            names: ["inetd", "inetd"],
            is_daemon: true,
            handler_unit: "inetd.service",
            slice: "system.slice",
        })
    })
}

#[test]
fn telnetd_under_xinetd_is_the_handler() -> Result<()> {
    guest(|| {
        log_in_through(&Server {
            unit: "xinetd.service",
            names: ["xinetd", "xinetd"],
            is_daemon: true,
            handler_unit: "xinetd.service",
            slice: "system.slice",
        })
    })
}

/// A telnetd where a container's processes are: container engines name their cgroups like this.
#[test]
fn telnetd_in_a_container_is_named_with_it() -> Result<()> {
    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    guest(|| {
        let documents = Documents::from_now()?;
        let scope = format!("docker-{ID}.scope");
        let mut server = Command::new("systemd-run");
        server.args(["--scope", "--quiet", "--slice=system.slice"]);
        server.arg(format!("--unit={scope}"));
        server.args(["/vm/telnetd", "-F", "-b", "127.0.0.1:23"]);
        let _server = Spawned::start("container", None, &mut server)?;
        wait_for_listener()?;
        let mut user = User::connect()?;
        user.log_in()?;
        let accepted = documents.accepted()?;
        let checked = Check::of(&accepted)
            .is("container.id", ID)
            .is("container.runtime", "docker")
            .is("process.name", "telnetd")
            .is("telnet.unit", scope.as_str())
            .done();
        user.log_out()?;
        run("systemctl", &["stop", &scope])?;
        checked
    })
}
