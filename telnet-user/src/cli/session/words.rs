//! One document of a session in words. Whatever is not in the document is not said.

use std::{collections::HashMap, fmt::Write as _, time::Duration};

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    json::Node,
    rules::field::{first, objects, text},
};

/// Something that happened.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) time: Option<Timestamp>,
    pub(super) text: String,
    /// What it says of a process.
    process: Option<(u64, Moment)>,
}

#[derive(Debug)]
enum Moment {
    /// It runs another program.
    Runs,
    /// It ended, with this code.
    Ended(Option<u64>),
}

/// What is told of a session as a whole, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    Ends,
    Listener,
    Acceptor,
    Handler,
    Client,
    Login,
    Outcome,
}

impl Topic {
    /// Those of the processes on this end.
    const ROLES: [Self; 4] = [Self::Listener, Self::Acceptor, Self::Handler, Self::Client];

    /// Its name, of a role also that in documents.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ends => "ends",
            Self::Listener => "listener",
            Self::Acceptor => "acceptor",
            Self::Handler => "handler",
            Self::Client => "client",
            Self::Login => "login",
            Self::Outcome => "outcome",
        }
    }
}

/// When it happened.
pub(super) fn time(document: &Value) -> Option<Timestamp> {
    first(document, "@timestamp").and_then(|time| time.as_str()?.parse().ok())
}

/// Whether it is an alert and not an event.
pub(super) fn is_alert(document: &Value) -> bool {
    text(document, "kibana.alert.uuid").is_some()
}

/// Whether it tells the end of the session.
pub(super) fn is_end(document: &Value) -> bool {
    action(document) == "network_flow" || is_failure(document)
}

fn action(document: &Value) -> String {
    text(document, "event.action").unwrap_or_default()
}

/// A connection that was not made.
fn is_failure(document: &Value) -> bool {
    text(document, "event.outcome").as_deref() == Some("failure")
        && text(document, "event.category").as_deref() == Some("network")
}

/// What an event says of the session as a whole.
pub(super) fn known(document: &Value) -> Vec<(Topic, String)> {
    let mut known = Vec::new();
    let get = |path: &str| text(document, path);
    if let (Some(source), Some(destination)) =
        (end(document, "source"), end(document, "destination"))
    {
        let host = get("host.name").map_or_else(String::new, |host| format!(" on {host}"));
        // A document without one knows no more of the ends than the others.
        let ends = get("network.direction")
            .map(|direction| format!("{source} -> {destination} {direction}{host}"));
        known.extend(ends.map(|ends| (Topic::Ends, ends)));
    }
    for role in Topic::ROLES {
        known.extend(owner(document, role.as_str()).map(|owner| (role, owner)));
    }
    if let Some(state) = get("telnet.login.state") {
        let mut login = state;
        push(&mut login, " as ", user(document, "telnet.login.user"));
        push(&mut login, " by ", get("telnet.login.method"));
        push(&mut login, " on ", get("telnet.terminal.name"));
        push(
            &mut login,
            ", authentication: ",
            get("telnet.login.verdict"),
        );
        push(&mut login, ", ", get("telnet.login.reason"));
        known.push((Topic::Login, login));
    }
    known.extend(get("telnet.session.outcome").map(|outcome| (Topic::Outcome, outcome)));
    known
}

/// `NAME[PID] of USER, UNIT (how it was learnt)`.
fn owner(document: &Value, role: &str) -> Option<String> {
    let get = |field: &str| text(document, &format!("telnet.{role}.{field}"));
    let mut owner = format!("{}[{}]", get("name").unwrap_or_default(), get("pid")?);
    push(
        &mut owner,
        " of ",
        user(document, &format!("telnet.{role}.user")),
    );
    push(&mut owner, ", ", get("unit"));
    push(&mut owner, ", by ", get("attribution"));
    Some(owner)
}

/// What happened, by a document.
pub(super) fn steps(document: &Value) -> Vec<Step> {
    let time = time(document);
    let step = |text: String, process| Step {
        time,
        text,
        process,
    };
    if is_alert(document) {
        return vec![step(alert(document), None)];
    }
    let action = action(document);
    let pid = number(document, "process.pid");
    match action.as_str() {
        "exec" => {
            let moment = pid.map(|pid| (pid, Moment::Runs));
            vec![step(program(document, "runs"), moment)]
        }
        "end" => {
            let code = number(document, "process.exit_code");
            let mut text = program(document, "ended");
            push(&mut text, ", exit code ", code);
            vec![step(text, pid.map(|pid| (pid, Moment::Ended(code))))]
        }
        "network_flow" => {
            let survivors = objects(document, "telnet.session.survivors").into_iter();
            let survivors = survivors.map(|survivor| step(left_behind(survivor), None));
            std::iter::once(step(closed(document), None))
                .chain(survivors)
                .collect()
        }
        _ => vec![step(event(document, &action), None)],
    }
}

fn event(document: &Value, action: &str) -> String {
    let get = |path: &str| text(document, path);
    match action {
        "connection_attempted" => "connect".to_owned(),
        "connection_accepted" | "connection_established"
            if get("telnet.session.preexisting").is_some() =>
        {
            "found open".to_owned()
        }
        "connection_accepted" => "accepted".to_owned(),
        "connection_established" => "established".to_owned(),
        "protocol_identified" => {
            let mut text = "protocol proven".to_owned();
            push(&mut text, ": ", get("network.protocol"));
            text
        }
        "authentication_bypass" => {
            let mut text = "authentication bypassed".to_owned();
            push(&mut text, ": ", get("telnet.login.reason"));
            push(&mut text, ", ", get("telnet.login.command_line"));
            text
        }
        "user_login" => {
            let mut text = "logged in".to_owned();
            push(&mut text, " as ", user(document, "telnet.login.user"));
            push(&mut text, ", known by ", get("telnet.login.user_source"));
            push(&mut text, ", on ", get("telnet.terminal.name"));
            push(&mut text, ", failed before: ", get("telnet.login.failures"));
            push(&mut text, ", authentication: ", get("telnet.login.verdict"));
            text
        }
        "user_login_failed" => {
            let mut text = "login failed".to_owned();
            push(&mut text, ", times: ", get("telnet.login.failures"));
            push(&mut text, ", ", get("telnet.login.command_line"));
            text
        }
        _ => {
            let mut text = if action.is_empty() { "event" } else { action }.to_owned();
            push(&mut text, ": ", get("event.reason"));
            push(&mut text, ", ", get("error.code"));
            text
        }
    }
}

fn program(document: &Value, verb: &str) -> String {
    let get = |path: &str| text(document, path);
    let name = get("process.name").unwrap_or_default();
    let pid = get("process.pid").unwrap_or_default();
    let mut text = user(document, "user").map_or_else(String::new, |user| format!("{user} "));
    push(&mut text, "", Some(format!("{verb} {name}[{pid}]")));
    push(&mut text, ": ", get("process.command_line"));
    text
}

fn closed(document: &Value) -> String {
    let get = |path: &str| text(document, path);
    let mut text = "closed".to_owned();
    push(&mut text, ": ", get("event.reason"));
    push(&mut text, ", first by ", get("telnet.session.closed_by"));
    let duration = number(document, "event.duration").map(Duration::from_nanos);
    push(&mut text, ", after ", duration.map(self::duration));
    push(&mut text, ", bytes from source ", get("source.bytes"));
    push(&mut text, ", from destination ", get("destination.bytes"));
    push(&mut text, ", programs ", get("telnet.session.programs"));
    push(
        &mut text,
        ", not followed ",
        get("telnet.session.programs_left_out"),
    );
    text
}

fn left_behind(survivor: Node<'_>) -> String {
    let get = |path: &str| text(survivor, path);
    let name = get("name").unwrap_or_default();
    let mut text = format!("outlived by {name}");
    push(&mut text, "[", get("pid").map(|pid| pid + "]"));
    push(&mut text, ": ", get("command_line"));
    text
}

fn alert(document: &Value) -> String {
    let get = |path: &str| text(document, path);
    let mut text = "alert".to_owned();
    push(&mut text, ", ", get("kibana.alert.severity"));
    let rule = get("kibana.alert.rule.name").or_else(|| get("rule.name"));
    push(&mut text, ": ", rule);
    text
}

/// Tells how programs ended where it is told that they run: by process id, the last program that
/// it ran. An end without a beginning stays a step.
pub(super) fn with_exits(steps: Vec<Step>) -> Vec<Step> {
    let mut out: Vec<Step> = Vec::with_capacity(steps.len());
    let mut running: HashMap<u64, usize> = HashMap::new();
    for step in steps {
        match step.process {
            Some((pid, Moment::Runs)) => {
                running.insert(pid, out.len());
            }
            Some((pid, Moment::Ended(code))) => {
                let began = running.remove(&pid).and_then(|index| out.get_mut(index));
                if let Some(began) = began {
                    let took = began.time.zip(step.time);
                    let took = took.map(|(from, to)| to.duration_since(from).unsigned_abs());
                    push(&mut began.text, ", exit code ", code);
                    push(&mut began.text, " after ", took.map(duration));
                    continue;
                }
            }
            None => {}
        }
        out.push(step);
    }
    out
}

/// `12.345s`, `3m05.123s`, `2h03m05s`.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let millis = duration.subsec_millis();
    let (minutes, hours) = (seconds / 60 % 60, seconds / 3_600);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}.{millis:03}s"),
        (0, _) => format!("{minutes}m{:02}.{millis:03}s", seconds % 60),
        _ => format!("{hours}h{minutes:02}m{:02}s", seconds % 60),
    }
}

fn number(document: &Value, path: &str) -> Option<u64> {
    text(document, path)?.parse().ok()
}

/// `NAME (ID)`, or what of it is known.
fn user(document: &Value, path: &str) -> Option<String> {
    let id = text(document, &format!("{path}.id"));
    match (text(document, &format!("{path}.name")), id) {
        (Some(name), Some(id)) => Some(format!("{name}({id})")),
        (name, id) => name.or(id),
    }
}

/// `IP:PORT`, IPv6 in brackets.
fn end(document: &Value, side: &str) -> Option<String> {
    let ip = text(document, &format!("{side}.ip"))?;
    let port = text(document, &format!("{side}.port"))?;
    Some(if ip.contains(':') {
        format!("[{ip}]:{port}")
    } else {
        format!("{ip}:{port}")
    })
}

/// Says a thing if it is known.
fn push(text: &mut String, before: &str, what: Option<impl std::fmt::Display>) {
    if let Some(what) = what {
        // Writing to a String does not fail.
        let _written: std::fmt::Result = write!(text, "{before}{what}");
    }
}
