//! The processes of one session.

use std::{collections::HashMap, sync::Arc};

use super::{End, Step, What};
use crate::{
    clock::BootTime,
    probe::record::{Exec, ExitStatus, SocketKey, Task, Tty},
    session::{
        Fact, Session,
        activity::{Activity, Program, ProgramStep, Progress, Terminal},
        authentication::is_interactive_shell,
    },
};

/// Most steps that are kept until it is known who serves the session.
const MAX_PENDING: usize = 256;
/// Most processes of a session that are followed at once.
const MAX_PEOPLE: usize = 4_096;
/// Most processes that are named as survivors.
const MAX_SURVIVORS: usize = 16;

/// A step of a process.
#[derive(Clone, Debug)]
pub(super) enum Input {
    /// This child was made.
    Fork(Arc<Task>),
    /// This program runs.
    Exec {
        task: Arc<Task>,
        effective_uid: u32,
        tty: Option<Tty>,
    },
    /// The process with this id ended.
    Exit(u32, ExitStatus),
}

impl Input {
    pub(super) fn exec(exec: &Exec, task: &Arc<Task>) -> Self {
        Self::Exec {
            task: Arc::clone(task),
            effective_uid: exec.effective_uid,
            tty: exec.tty,
        }
    }
}

/// What a process is to its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It serves the session.
    Handler,
    /// Between handler and login; whether a program that the server's command line names is above.
    Chain { is_named: bool },
    /// login(1).
    Login { is_named: bool },
    /// What login(1) starts before it lets the user in, or the user's shell to be.
    Helper,
    /// Of the user.
    User,
}

#[derive(Debug)]
struct Person {
    task: Arc<Task>,
    role: Role,
    /// Whether it runs a program of its own.
    has_program: bool,
    effective_uid: u32,
    tty: Option<Tty>,
}

/// The processes of one session, and what they did.
#[derive(Debug)]
pub(super) struct Family {
    key: SocketKey,
    acceptor: Arc<Task>,
    accepted: BootTime,
    /// Who serves the session, once that is known.
    pub(super) handler: Option<Arc<Task>>,
    /// Steps of processes that may be of this session.
    pending: Vec<(BootTime, Input)>,
    people: HashMap<u32, Person>,
    pub(super) activity: Activity,
    /// The socket is closed, and that was not told yet.
    end: Option<Box<End>>,
    /// The session as it was then.
    closed: Option<Box<Session>>,
}

impl Family {
    pub(super) fn new(key: SocketKey, acceptor: &Arc<Task>, accepted: BootTime) -> Self {
        Self {
            key,
            acceptor: Arc::clone(acceptor),
            accepted,
            handler: None,
            pending: Vec::new(),
            people: HashMap::new(),
            activity: Activity {
                is_followed: true,
                ..Activity::default()
            },
            end: None,
            closed: None,
        }
    }

    pub(super) const fn acceptor(&self) -> &Arc<Task> {
        &self.acceptor
    }

    pub(super) const fn accepted(&self) -> BootTime {
        self.accepted
    }

    /// What the processes did, when nobody found out who serves the session.
    pub(super) fn unconfirmed(mut self) -> Activity {
        self.activity.is_followed = self.pending.is_empty();
        self.activity
    }

    /// Its processes.
    pub(super) fn pids(&self) -> impl Iterator<Item = u32> {
        self.people.keys().copied()
    }

    pub(super) const fn is_confirmed(&self) -> bool {
        self.handler.is_some()
    }

    /// Whether nobody but the acceptor is left.
    pub(super) fn is_deserted(&self) -> bool {
        self.pending.is_empty() && self.people.keys().all(|pid| *pid == self.acceptor.pid)
    }

    /// Whether there is nothing more to come: the end is told, and nobody is left but who served it,
    /// which may be a server that serves others until it ends.
    pub(super) fn is_over(&self) -> bool {
        let is_told = self.closed.is_some() && self.end.is_none();
        let is_server = |(pid, person): (&u32, &Person)| {
            person.role == Role::Handler || *pid == self.acceptor.pid
        };
        is_told && self.pending.is_empty() && self.people.iter().all(is_server)
    }

    /// Whether a further process is not followed.
    pub(super) fn is_full(&self) -> bool {
        self.people.len() >= MAX_PEOPLE
    }

    pub(super) fn close(&mut self, end: End) {
        self.closed = Some(Box::new(end.session.clone()));
        self.end = Some(Box::new(end));
    }

    pub(super) fn closed_session(&self) -> Option<&Session> {
        self.closed.as_deref()
    }

    /// The end that waited, with what the processes did and who is left.
    pub(super) fn take_end(&mut self) -> Option<End> {
        let mut end = *self.end.take()?;
        let mut left: Vec<&Person> = self
            .people
            .values()
            .filter(|person| person.role != Role::Handler)
            .collect();
        left.sort_by_key(|person| (person.task.start, person.task.pid));
        self.activity.survivors = left
            .into_iter()
            .take(MAX_SURVIVORS)
            .map(|person| Arc::clone(&person.task))
            .collect();
        end.session.activity = self.activity.clone();
        Some(end)
    }

    /// Takes a step of a process in: at once, or once it is known who serves the session.
    pub(super) fn take(&mut self, time: BootTime, input: Input, left_out: u64) -> Vec<Step> {
        self.activity.left_out = self.activity.left_out.saturating_add(left_out);
        if self.is_confirmed() {
            return self.apply(time, &input);
        }
        if self.pending.len() < MAX_PENDING {
            self.pending.push((time, input));
        } else {
            self.activity.left_out = self.activity.left_out.saturating_add(1);
        }
        Vec::new()
    }

    /// Says who serves the session. Returns what its processes did so far, and the processes that
    /// were taken for its and are not.
    pub(super) fn confirm(&mut self, handler: &Arc<Task>) -> (Vec<Step>, Vec<u32>) {
        if self.is_confirmed() {
            return (Vec::new(), Vec::new());
        }
        self.serve(handler);
        let mut steps = Vec::new();
        let mut strangers = Vec::new();
        for (time, input) in std::mem::take(&mut self.pending) {
            if let Input::Fork(child) = &input
                && child.pid != handler.pid
                && child
                    .parent
                    .is_none_or(|parent| !self.people.contains_key(&parent))
            {
                strangers.push(child.pid);
            }
            steps.extend(self.apply(time, &input));
        }
        (steps, strangers)
    }

    /// A process runs a program with the session on its standard input, so it serves it, also when
    /// the acceptor was taken for the handler: that had the socket alone when it was looked at, and
    /// had only not come to make this child yet.
    pub(super) fn hand_on(&mut self, task: &Arc<Task>) {
        let serves = |pid| {
            let handler = self.handler.as_ref();
            handler.is_some_and(|handler| handler.pid == pid)
        };
        let person = self.people.get(&task.pid);
        let is_early = person.is_none_or(|person| matches!(person.role, Role::Chain { .. }));
        if serves(self.acceptor.pid) && task.pid != self.acceptor.pid && is_early {
            self.serve(task);
        }
    }

    fn serve(&mut self, handler: &Arc<Task>) {
        self.handler = Some(Arc::clone(handler));
        self.people.insert(
            handler.pid,
            Person {
                task: Arc::clone(handler),
                role: Role::Handler,
                has_program: false,
                effective_uid: handler.uid,
                tty: None,
            },
        );
    }

    /// A process that was taken for one of this session's is another's.
    pub(super) fn disown(&mut self, pid: u32) {
        self.pending.retain(|(_, input)| match input {
            Input::Fork(task) | Input::Exec { task, .. } => task.pid != pid,
            Input::Exit(ended, _) => *ended != pid,
        });
        self.people.remove(&pid);
    }

    fn apply(&mut self, time: BootTime, input: &Input) -> Vec<Step> {
        let mut out = Vec::new();
        match input {
            Input::Fork(child) => self.fork(child),
            Input::Exec {
                task,
                effective_uid,
                tty,
            } => {
                if let Some(person) = self.people.get_mut(&task.pid) {
                    person.task = Arc::clone(task);
                    person.has_program = true;
                    person.effective_uid = *effective_uid;
                    person.tty = *tty;
                    let role = person.role;
                    self.exec(task, role, time, &mut out);
                }
            }
            Input::Exit(pid, status) => self.exit(*pid, *status, &mut out),
        }
        out.into_iter()
            .map(|(what, activity)| Step {
                key: self.key,
                time,
                activity,
                what,
            })
            .collect()
    }

    fn fork(&mut self, child: &Arc<Task>) {
        let Some(parent) = child.parent.and_then(|pid| self.people.get(&pid)) else {
            return;
        };
        let role = match parent.role {
            Role::Handler => Role::Chain { is_named: false },
            Role::Login { .. } => Role::Helper,
            role @ (Role::Chain { .. } | Role::Helper | Role::User) => role,
        };
        if child.pid == self.acceptor.pid || self.is_full() {
            self.activity.left_out = self.activity.left_out.saturating_add(1);
            return;
        }
        let person = Person {
            task: Arc::clone(child),
            role,
            has_program: false,
            effective_uid: parent.effective_uid,
            tty: parent.tty,
        };
        // The handler was confirmed by a record of its own already.
        self.people.entry(child.pid).or_insert(person);
    }

    fn exec(
        &mut self,
        task: &Arc<Task>,
        role: Role,
        time: BootTime,
        out: &mut Vec<(What, Activity)>,
    ) {
        if role == Role::Handler {
            self.handler = Some(Arc::clone(task));
            if is_interactive_shell(task) {
                for fact in self.serve_shell(task, time) {
                    self.tell(fact, out);
                }
            }
            return;
        }
        self.activity.programs = self.activity.programs.saturating_add(1);
        self.note_terminal(task.pid);
        let mut facts = Vec::new();
        let role = self.enter(task, role, time, &mut facts);
        if role == Role::User {
            self.activity.last = Some(Arc::clone(task));
        }
        if let Some(person) = self.people.get_mut(&task.pid) {
            person.role = role;
        }
        self.tell_program(task.pid, ProgramStep::Started, out);
        for fact in facts {
            self.tell(fact, out);
        }
    }

    fn exit(&mut self, pid: u32, status: ExitStatus, out: &mut Vec<(What, Activity)>) {
        let Some(person) = self.people.get(&pid) else {
            return;
        };
        let (role, has_program) = (person.role, person.has_program);
        if has_program && role != Role::Handler {
            self.tell_program(pid, ProgramStep::Ended(status), out);
        }
        self.people.remove(&pid);
        let is_asking = self.activity.login.progress == Progress::Asking;
        if is_asking && matches!(role, Role::Login { .. }) {
            // A signal is the peer's hanging up, code 0 a time-out: neither says that anybody tried.
            if matches!(status, ExitStatus::Code(code) if code != 0) {
                self.activity.login.progress = Progress::Failed;
            }
            self.tell(Fact::LoginFailed, out);
        }
    }

    fn note_terminal(&mut self, pid: u32) {
        let tty = self.people.get(&pid).and_then(|person| person.tty);
        if self.activity.terminal.is_none()
            && let Some(tty) = tty.filter(|tty| tty.name().is_some())
        {
            self.activity.terminal = Some(Terminal { tty, pid });
        }
    }

    fn tell(&self, fact: Fact, out: &mut Vec<(What, Activity)>) {
        out.push((What::Fact(fact), self.activity.clone()));
    }

    fn tell_program(&self, pid: u32, step: ProgramStep, out: &mut Vec<(What, Activity)>) {
        if let Some(person) = self.people.get(&pid) {
            let program = Program {
                task: Arc::clone(&person.task),
                effective_uid: person.effective_uid,
                tty: person.tty,
                step,
            };
            out.push((What::Program(program), self.activity.clone()));
        }
    }
}
