//! The document and its small field sets.

use std::borrow::Cow;

use serde::Serialize;

use super::{
    Context, DATASET, MODULE,
    action::{ErrorFields, Verdict},
    date::{Date, Moment},
    login::{Login, Summary, Terminal},
    network::{Endpoint, Ends, Network},
    process::{Container, Group, Orchestrator, Process, User},
    related::{Related, push_new},
    response::RuleFields,
    telnet::{SessionFields, Telnet},
};
use crate::{
    clock::BootTime,
    enrich::facts,
    session::{Ending, Fact, Listener, Program, Session, activity::ProgramStep},
};

/// Longest keyword that Elasticsearch indexes under the ECS mapping (`ignore_above`), in
/// characters.
const MAX_KEYWORD: usize = 1_024;

/// A keyword, cut to what is searchable; absent when empty.
pub(super) fn keyword(text: &str) -> Option<Cow<'_, str>> {
    cut(text, MAX_KEYWORD)
}

/// The first `limit` characters of a text; absent when empty.
pub(super) fn cut(text: &str, limit: usize) -> Option<Cow<'_, str>> {
    if text.is_empty() {
        return None;
    }
    // A text has at most as many characters as bytes.
    let end = if text.len() > limit {
        text.char_indices().nth(limit).map(|(index, _)| index)
    } else {
        None
    };
    Some(Cow::Borrowed(
        end.and_then(|end| text.get(..end)).unwrap_or(text),
    ))
}

/// [`keyword`] of a text that may be unknown.
pub(super) fn optional(text: Option<&String>) -> Option<Cow<'_, str>> {
    text.and_then(|text| keyword(text))
}

/// The largest `long` of Elasticsearch: a greater number would make it refuse the document.
const MAX_LONG: u64 = i64::MAX.unsigned_abs();

/// A count as a `long`.
pub(super) fn long(number: u64) -> u64 {
    number.min(MAX_LONG)
}

/// One event, without what is the same in all events of a host ([`super::constant`]).
#[derive(Debug, Serialize)]
pub(super) struct Document<'a> {
    #[serde(rename = "@timestamp")]
    timestamp: Date,
    event: Event,
    network: Network,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<Endpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) destination: Option<Endpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<Endpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<Process<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<User<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<Group<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<Container<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    orchestrator: Option<Orchestrator<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorFields>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rule: Option<RuleFields<'a>>,
    #[serde(skip_serializing_if = "Related::is_empty")]
    related: Related<'a>,
    pub(super) telnet: Telnet<'a>,
}

impl<'a> Document<'a> {
    /// What happened to a session.
    pub(super) fn session(
        context: &Context<'a>,
        session: &'a Session,
        fact: &Fact,
        time: BootTime,
    ) -> Self {
        let verdict = Verdict::of(fact);
        let ids = context.scope.session(session, verdict.fact, time);
        let traffic = match fact {
            Fact::Closed(_, traffic) => *traffic,
            Fact::Attempted
            | Fact::Accepted
            | Fact::Established
            | Fact::Failed(_)
            | Fact::Bypassed
            | Fact::LoggedIn
            | Fact::LoginFailed
            | Fact::Identified => context.traffic,
        };
        let span = Span {
            start: session.attempted.or(session.opened),
            time,
            // An established session has lasted for its handshake so far, one with a login for that.
            is_measured: verdict.is_end
                || matches!(fact, Fact::Established | Fact::LoggedIn | Fact::LoginFailed),
        };
        let ends = Ends::new(session, traffic);
        let mut network = Network::session(session, &ends, traffic);
        if *fact == Fact::Identified {
            network.of_no_opening();
        }
        let mut document = Self::new(context, verdict, ids.event, &span, network);
        document.of_session(session, ends, ids.object);
        document.telnet.login = Login::new(session, &context.facts.login);
        document.telnet.terminal = Terminal::new(&session.activity);
        if let Some(fields) = &mut document.telnet.session {
            fields.closed_by = closed_by(fact);
            fields.summary = if matches!(fact, Fact::Closed(..)) {
                Summary::new(&session.activity, &context.facts.login)
            } else if context.ingested.is_none() {
                // In a list of what is open.
                Summary::so_far(&session.activity)
            } else {
                None
            };
        }
        if matches!(fact, Fact::Bypassed | Fact::LoggedIn | Fact::LoginFailed) {
            document.of_login(context);
        }
        document.relate(context);
        document
    }

    /// What a process of a session did.
    pub(super) fn program(
        context: &Context<'a>,
        session: &'a Session,
        program: &Program,
        time: BootTime,
    ) -> Self {
        let verdict = Verdict::of_program(program.step);
        let task = &program.task;
        // A process can run several programs, each at its time.
        let fact = format!("{}|{}|{}", verdict.fact, task.pid, time.as_nanos());
        let ids = context.scope.session(session, &fact, time);
        let span = Span {
            start: task.start,
            time,
            is_measured: verdict.is_end,
        };
        let ends = Ends::new(session, None);
        let network = Network::session(session, &ends, None);
        let mut document = Self::new(context, verdict, ids.event, &span, network);
        document.of_session(session, ends, ids.object);
        document.telnet.terminal = Terminal::new(&session.activity);
        if let Some(process) = context.facts.program.as_deref() {
            document.set_process(process, context);
            if let ProgramStep::Ended(status) = program.step {
                let end = Date(context.clocks.wall(time));
                document.process = document.process.map(|process| process.ended(status, end));
            }
        }
        document.relate(context);
        document
    }

    /// Which session it is about.
    pub(super) fn of_session(&mut self, session: &Session, ends: Ends, id: String) {
        self.source = ends.source;
        self.destination = ends.destination;
        self.telnet.netns = session.netns;
        self.telnet.session = Some(SessionFields {
            id,
            preexisting: session.preexisting,
            closed_by: None,
            summary: None,
        });
    }

    /// The process of a login is the user's first program, else the login program.
    fn of_login(&mut self, context: &Context<'a>) {
        let login = &context.facts.login;
        if let Some(process) = login.shell.as_deref().or(login.program.as_deref()) {
            self.set_process(process, context);
        }
        if let Some(user) = &login.user {
            self.user = Some(User::new(user));
        }
    }

    /// Is about this process instead of the closest owner.
    fn set_process(&mut self, process: &'a facts::Process, context: &Context<'a>) {
        self.process = Some(Process::new(process, context.clocks));
        self.user = Some(User::of(process));
        self.group = Some(Group::new(&process.group));
    }

    /// What happened to a listening socket.
    pub(super) fn listener(
        context: &Context<'a>,
        listener: &Listener,
        verdict: &Verdict,
        time: BootTime,
    ) -> Self {
        let ids = context.scope.listener(listener, verdict.fact, time);
        let span = Span {
            start: listener.opened,
            time,
            is_measured: verdict.is_end,
        };
        let network = Network::listener(listener.local.ip());
        let mut document = Self::new(context, verdict.clone(), ids.event, &span, network);
        document.server = Some(Endpoint::bound(listener.local));
        document.telnet.netns = listener.netns;
        if listener.preexisting {
            document.telnet.set_preexisting_listener();
        }
        document.relate(context);
        document
    }

    /// What all events have.
    pub(super) fn new(
        context: &Context<'a>,
        verdict: Verdict,
        id: String,
        span: &Span,
        network: Network,
    ) -> Self {
        let at = |time| Date(context.clocks.wall(time));
        let owners = &context.facts.owners;
        let process = owners.closest().map(|owner| owner.process.as_ref());
        let container = process.and_then(|process| process.container.as_ref());
        Self {
            timestamp: at(span.time),
            event: Event {
                id,
                kind: "event",
                category: verdict.category,
                types: verdict.types,
                action: verdict.action,
                outcome: verdict.outcome,
                reason: verdict.reason,
                start: span.start.map(at),
                end: verdict.is_end.then(|| at(span.time)),
                duration: span.duration(),
                created: Date(context.created),
                module: MODULE,
                dataset: DATASET,
                ingested: context.ingested.map(Moment),
            },
            network,
            source: None,
            destination: None,
            server: None,
            process: process.map(|process| Process::new(process, context.clocks)),
            user: process.map(User::of),
            group: process.map(|process| Group::new(&process.group)),
            container: container.and_then(Container::new),
            orchestrator: container.and_then(Orchestrator::new),
            error: verdict.error,
            rule: None,
            related: Related::default(),
            telnet: Telnet::new(owners),
        }
    }

    /// Fills `related.*` from the other field sets.
    pub(super) fn relate(&mut self, context: &Context<'a>) {
        let ends = [&self.source, &self.destination, &self.server];
        for end in ends.into_iter().flatten() {
            // A wildcard names no host.
            if let Some(ip) = end.ip.filter(|ip| !ip.is_unspecified()) {
                push_new(&mut self.related.ip, ip);
            }
        }
        let owners = &context.facts.owners;
        let roles = [
            &owners.client,
            &owners.handler,
            &owners.acceptor,
            &owners.listener,
        ];
        for owner in roles.into_iter().flatten() {
            let process = owner.process.as_ref();
            let users = [Some(&process.user), process.effective_user.as_ref()];
            for user in users.into_iter().flatten() {
                if let Some(name) = optional(user.name.as_ref()) {
                    push_new(&mut self.related.user, name);
                }
            }
        }
        let login = context.facts.login.user.as_ref();
        let program = context.facts.program.as_ref().map(|process| &process.user);
        for user in login.into_iter().chain(program) {
            if let Some(name) = optional(user.name.as_ref()) {
                push_new(&mut self.related.user, name);
            }
        }
        let hostname = context.facts.host.hostname.as_ref();
        self.related.hosts.extend(optional(hostname));
    }
}

/// When an event happened, and since when it lasts.
pub(super) struct Span {
    pub(super) start: Option<BootTime>,
    pub(super) time: BootTime,
    /// Whether the event tells how long it took.
    pub(super) is_measured: bool,
}

impl Span {
    /// Nanoseconds from start to the event, where both are known.
    fn duration(&self) -> Option<u64> {
        let start = self.start.filter(|_| self.is_measured)?;
        let duration = self.time.since(start).as_nanos();
        Some(u64::try_from(duration).map_or(MAX_LONG, long))
    }
}

/// ECS `event.*`.
#[derive(Debug, Serialize)]
struct Event {
    id: String,
    kind: &'static str,
    category: &'static [&'static str],
    #[serde(rename = "type")]
    types: &'static [&'static str],
    action: &'static str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<Date>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<Date>,
    /// Nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<u64>,
    created: Date,
    module: &'static str,
    dataset: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ingested: Option<Moment>,
}

fn closed_by(fact: &Fact) -> Option<&'static str> {
    match fact {
        Fact::Closed(Ending::Fin { local_first }, _) => {
            local_first.map(|local| if local { "local" } else { "remote" })
        }
        Fact::Closed(Ending::Reset | Ending::Timeout | Ending::Unknown | Ending::Unseen, _)
        | Fact::Attempted
        | Fact::Accepted
        | Fact::Established
        | Fact::Failed(_)
        | Fact::Bypassed
        | Fact::LoggedIn
        | Fact::LoginFailed
        | Fact::Identified => None,
    }
}
