//! How the processes of a session come from its handler to the user.

use std::sync::Arc;

use super::family::{Family, Role};
use crate::{
    clock::BootTime,
    probe::record::Task,
    session::{
        Fact,
        activity::{Bypass, Method, Progress, Verdict},
        authentication::{
            is_forced, is_interactive_shell, is_login, is_login_shell, judge_forced, judge_shell,
            names,
        },
    },
};

impl Family {
    /// What a process becomes to the session by running a program, and what that says of the login.
    pub(super) fn enter(
        &mut self,
        task: &Arc<Task>,
        role: Role,
        time: BootTime,
        facts: &mut Vec<Fact>,
    ) -> Role {
        match role {
            Role::Chain { is_named } | Role::Login { is_named } if is_login(task) => {
                self.ask(task, is_named, facts);
                Role::Login { is_named }
            }
            // busybox login becomes the shell, others start it as a child.
            Role::Login { .. } => self.log_in(task, time, facts),
            Role::Helper if is_login_shell(task) => self.log_in(task, time, facts),
            Role::Chain { is_named } if is_interactive_shell(task) || is_login_shell(task) => {
                let verdict = judge_shell(self.handler.as_deref(), task, is_named);
                if self.let_in(task, Some(Method::Shell), time) {
                    self.activity.login.verdict = Some(verdict);
                    if matches!(verdict, Verdict::Bypass(_)) {
                        facts.push(Fact::Bypassed);
                    }
                    facts.push(Fact::LoggedIn);
                }
                Role::User
            }
            Role::Chain { is_named } => Role::Chain {
                is_named: is_named
                    || self
                        .handler
                        .as_deref()
                        .is_some_and(|handler| names(handler, task)),
            },
            Role::Handler | Role::Helper | Role::User => role,
        }
    }

    /// login(1) runs.
    fn ask(&mut self, task: &Arc<Task>, is_named: bool, facts: &mut Vec<Fact>) {
        let server = self.handler.clone();
        let login = &mut self.activity.login;
        if login.progress == Progress::Succeeded {
            return;
        }
        login.progress = Progress::Asking;
        login.program = Some(Arc::clone(task));
        login.method = task.args.is_some().then_some(Method::Login);
        if is_forced(task) {
            let verdict = judge_forced(server.as_deref(), is_named);
            login.method = Some(Method::Preauthenticated);
            login.verdict = Some(verdict);
            if matches!(verdict, Verdict::Bypass(_)) {
                facts.push(Fact::Bypassed);
            }
        }
    }

    fn log_in(&mut self, task: &Arc<Task>, time: BootTime, facts: &mut Vec<Fact>) -> Role {
        let method = self.activity.login.method;
        if self.let_in(task, method, time) {
            facts.push(Fact::LoggedIn);
        }
        Role::User
    }

    /// The first program of the user runs; whether it is the first.
    fn let_in(&mut self, task: &Arc<Task>, method: Option<Method>, time: BootTime) -> bool {
        let login = &mut self.activity.login;
        if login.progress == Progress::Succeeded {
            return false;
        }
        login.progress = Progress::Succeeded;
        login.method = method;
        login.shell = Some(Arc::clone(task));
        login.time = Some(time);
        true
    }

    /// The handler is a shell.
    pub(super) fn serve_shell(&mut self, task: &Arc<Task>, time: BootTime) -> Vec<Fact> {
        if !self.let_in(task, Some(Method::Shell), time) {
            return Vec::new();
        }
        self.activity.login.verdict = Some(Verdict::Bypass(Bypass::ShellOnSocket));
        vec![Fact::Bypassed, Fact::LoggedIn]
    }
}
