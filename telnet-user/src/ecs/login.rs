//! `telnet.login.*`, and what `telnet.session.*` says of a session's processes.

use std::{borrow::Cow, sync::Arc};

use serde::Serialize;

use super::{
    document::{long, optional},
    process::{User, command_line},
};
use crate::{
    enrich::facts::LoginFacts,
    probe::record::Task,
    session::{
        Activity, Session,
        activity::{Method, Progress, Verdict},
    },
};

/// How login facts were learnt that processes told.
const EXEC: &str = "exec";

/// `telnet.login.*`.
#[derive(Debug, Serialize)]
pub(super) struct Login<'a> {
    /// `asking`, `failed` or `succeeded`.
    state: &'static str,
    /// How method, verdict and state were learnt.
    source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<User<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_source: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failures: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failures_source: Option<&'static str>,
    /// Nanoseconds from the accept to the user's first program.
    #[serde(skip_serializing_if = "Option::is_none")]
    delay: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executable: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_line: Option<String>,
}

impl<'a> Login<'a> {
    /// What is known of the login of a session; none when there was none.
    pub(super) fn new(session: &'a Session, facts: &'a LoginFacts) -> Option<Self> {
        let login = &session.activity.login;
        let state = login.progress.as_str()?;
        let delay = login.time.zip(session.opened).map(|(time, opened)| {
            let delay = time.since(opened).as_nanos();
            u64::try_from(delay).map_or(u64::MAX, |delay| delay)
        });
        let program = facts.program.as_deref();
        Some(Self {
            state,
            source: EXEC,
            method: login.method.map(Method::as_str),
            verdict: login.verdict.map(Verdict::as_str),
            reason: login.verdict.map(Verdict::reason),
            user: facts.user.as_ref().map(User::new),
            user_source: facts.user_source,
            failures: facts.failures.map(long),
            failures_source: facts.failures.map(|_| "btmp"),
            delay: delay.map(long),
            pid: login.program.as_ref().map(|task| task.pid),
            executable: program.and_then(|program| optional(program.executable.as_ref())),
            command_line: login.program.as_deref().and_then(line),
        })
    }
}

/// `telnet.terminal.*`: the pseudo terminal of a session.
#[derive(Debug, Serialize)]
pub(super) struct Terminal {
    name: String,
    /// The first process on it.
    pid: u32,
}

impl Terminal {
    pub(super) fn new(activity: &Activity) -> Option<Self> {
        let terminal = activity.terminal?;
        Some(Self {
            name: terminal.tty.name()?,
            pid: terminal.pid,
        })
    }
}

/// What the processes of a session did, in the event of its end or in a list of what is open.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    /// Programs run.
    programs: u64,
    #[serde(skip_serializing_if = "is_zero")]
    programs_left_out: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_command: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    survivors: Vec<Survivor>,
}

/// A process that outlived its session.
#[derive(Debug, Serialize)]
struct Survivor {
    pid: u32,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_line: Option<String>,
}

impl Summary {
    /// Of a session that ended; none when nobody looked at its processes.
    pub(super) fn new(activity: &Activity, facts: &LoginFacts) -> Option<Self> {
        let outcome = Some(outcome(activity, facts));
        let survivors = facts.survivors.iter().map(Survivor::new).collect();
        Self::so_far(activity).map(|summary| Self {
            outcome,
            survivors,
            ..summary
        })
    }

    /// Of one that has not ended, which came to nothing yet.
    pub(super) fn so_far(activity: &Activity) -> Option<Self> {
        activity.is_followed.then(|| Self {
            outcome: None,
            programs: long(activity.programs),
            programs_left_out: long(activity.left_out),
            last_command: activity.last.as_deref().and_then(line),
            survivors: Vec::new(),
        })
    }
}

impl Survivor {
    fn new(task: &Arc<Task>) -> Self {
        Self {
            pid: task.pid,
            name: task.comm.clone(),
            command_line: line(task),
        }
    }
}

/// What a session came to.
fn outcome(activity: &Activity, facts: &LoginFacts) -> &'static str {
    let login = &activity.login;
    if matches!(login.verdict, Some(Verdict::Bypass(_))) {
        return "bypass";
    }
    match login.progress {
        Progress::Succeeded => "login",
        Progress::Failed => "failed_login",
        Progress::None | Progress::Asking if facts.failures.is_some_and(|count| count > 0) => {
            "failed_login"
        }
        Progress::None | Progress::Asking => "probe",
    }
}

/// The arguments of a process as the kernel copied them.
fn line(task: &Task) -> Option<String> {
    command_line(&task.args.as_ref()?.list)
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes the field by reference"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
