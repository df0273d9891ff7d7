//! What can be found out about a login beyond the processes that the kernel reported.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    Enricher,
    accounting::{Books, Wanted},
    facts::LoginFacts,
};
use crate::{
    clock::ClockPair,
    probe::record::Task,
    session::{Activity, Session, is_login},
};

/// Clocks of records and of files may differ by this many seconds.
const SLACK: i64 = 2;

impl Enricher {
    /// User and failures of a session's login.
    pub(super) fn login(&mut self, session: &Session) -> LoginFacts {
        let Activity {
            login, terminal, ..
        } = &session.activity;
        let shell = login
            .shell
            .as_ref()
            .map(|task| self.processes.describe(task));
        let program = login
            .program
            .as_ref()
            .map(|task| self.processes.describe(task));
        let mut facts = LoginFacts {
            user: shell.as_ref().map(|shell| shell.user.clone()),
            user_source: shell.as_ref().map(|_| "exec"),
            failures: None,
            program,
            shell,
            survivors: self.survivors(&session.activity),
        };
        let Some(books) = login
            .program
            .as_ref()
            .and_then(|task| self.books.get(&task.pid))
        else {
            return facts;
        };
        let terminal = terminal.and_then(|terminal| terminal.tty.name());
        let clocks = ClockPair::now();
        let opened = session.opened.map(|opened| clocks.wall(opened));
        let closed = session.closed.map(|closed| clocks.wall(closed));
        let wanted = Wanted {
            line: terminal.as_deref(),
            since: opened.map_or(i64::MAX, |opened| opened.as_second() - SLACK),
            until: closed.map_or(i64::MAX, Timestamp::as_microsecond),
        };
        facts.failures = books.failures(wanted);
        if let Some(user) = &mut facts.user {
            if let Some((name, source)) = books.user(wanted) {
                user.name = Some(name);
                facts.user_source = Some(source);
            } else if let Some(name) = books.name(user.id) {
                user.name = Some(name);
            }
        }
        facts
    }

    /// The processes that outlived a session: those of them whose end was not lost on the way.
    fn survivors(&self, activity: &Activity) -> Vec<Arc<Task>> {
        let survivors = activity.survivors.iter();
        let left = survivors.filter(|task| self.processes.is_there(task) != Some(false));
        left.map(Arc::clone).collect()
    }

    /// Opens what the login of a session writes down, which another process saw begin, if that
    /// login or the shell that it became is still there.
    pub fn recall_login(&mut self, session: &Session) {
        let program = session.activity.login.program.as_ref();
        if let Some(task) = program.filter(|task| self.processes.is_there(task) == Some(true)) {
            self.learn_login(task);
        }
    }

    /// Closes what the login of a session that is over wrote down: open, it keeps the file system of a
    /// container from being unmounted.
    pub fn forget_login(&mut self, session: &Session) {
        if let Some(task) = &session.activity.login.program {
            self.books.remove(&task.pid);
        }
    }

    /// Opens what login(1) writes down, while it asks: it may be gone when its session is told of.
    pub(super) fn learn_login(&mut self, task: &Task) {
        if is_login(task)
            && let Some(books) = Books::open(&self.roots.proc, task.pid)
        {
            self.books.insert(task.pid, books);
        }
    }
}
