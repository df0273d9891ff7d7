//! What the processes of a session tell of it: who logged in, how, and what was started.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    clock::BootTime,
    probe::record::{ExitStatus, Task, Tty},
};

/// What the processes of a session have done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Activity {
    /// Whether all that its processes did would be here: they were followed from the accept on.
    pub is_followed: bool,
    /// How far the login has come.
    pub login: Login,
    /// The terminal of the session.
    pub terminal: Option<Terminal>,
    /// Programs run by the handler's descendants.
    pub programs: u64,
    /// Steps of its processes that were too many to follow, in the kernel or here.
    pub left_out: u64,
    /// The program that the user started last.
    pub last: Option<Arc<Task>>,
    /// Processes that outlived the session, as far as they were waited for.
    pub survivors: Vec<Arc<Task>>,
}

impl Activity {
    /// What of it is still true when nobody has watched since.
    #[must_use]
    pub fn unwatched(self) -> Self {
        let login = if self.login.progress == Progress::Succeeded {
            self.login
        } else {
            Login::default()
        };
        Self {
            login,
            terminal: self.terminal,
            ..Self::default()
        }
    }
}

/// The pseudo terminal of a session, and the process that ran on it first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    /// Its device.
    pub tty: Tty,
    /// The first process whose controlling terminal it was.
    pub pid: u32,
}

/// How far a login has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Login {
    /// How far.
    pub progress: Progress,
    /// By which way.
    pub method: Option<Method>,
    /// login(1), with its arguments.
    pub program: Option<Arc<Task>>,
    /// The first program of the user.
    pub shell: Option<Arc<Task>>,
    /// When that was started.
    pub time: Option<BootTime>,
    /// What a login without authentication comes to.
    pub verdict: Option<Verdict>,
}

impl Login {
    /// How far it has come, in a word: that of its state, or that it was got around.
    pub const fn as_str(&self) -> Option<&'static str> {
        match self.verdict {
            Some(verdict @ Verdict::Bypass(_)) => Some(verdict.as_str()),
            Some(Verdict::Configured(_)) | None => self.progress.as_str(),
        }
    }
}

/// How far a login has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// No login program, no shell.
    #[default]
    None,
    /// The login program runs.
    Asking,
    /// The login program gave up: it ended with an error and started no shell.
    Failed,
    /// The user's program was started.
    Succeeded,
}

impl Progress {
    /// The word in documents (`telnet.login.state`); none where nobody is asked.
    pub const fn as_str(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Asking => Some("asking"),
            Self::Failed => Some("failed"),
            Self::Succeeded => Some("succeeded"),
        }
    }
}

/// By which way a user came in (`telnet.login.method`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// login(1), which asks for the password.
    Login,
    /// login(1) with `-f`, which does not ask.
    Preauthenticated,
    /// A shell, without a login program.
    Shell,
}

impl Method {
    /// The word in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Preauthenticated => "preauthenticated",
            Self::Shell => "shell",
        }
    }
}

/// What a login that nobody was authenticated for comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing on this host asks for it.
    Bypass(Bypass),
    /// Whoever configured the server wanted it so.
    Configured(Reason),
}

/// How authentication was got around (`telnet.login.reason`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bypass {
    /// `-f` among the arguments of login(1).
    ForcedLogin,
    /// The handler started a shell instead of login(1).
    ShellUnderHandler,
    /// The handler is a shell.
    ShellOnSocket,
}

/// Why a login without authentication is as it should be (`telnet.login.reason`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The command line of the server says so.
    ServerCommandLine,
    /// The command line of the server names the program that did it.
    NamedProgram,
    /// The server authenticates by itself.
    ServerAuthenticates,
}

impl Verdict {
    /// The word in documents (`telnet.login.verdict`).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bypass(_) => "bypass",
            Self::Configured(_) => "configured",
        }
    }

    /// Why, as a word (`telnet.login.reason`).
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Bypass(Bypass::ForcedLogin) => "forced_login",
            Self::Bypass(Bypass::ShellUnderHandler) => "shell_under_handler",
            Self::Bypass(Bypass::ShellOnSocket) => "shell_on_socket",
            Self::Configured(Reason::ServerCommandLine) => "server_command_line",
            Self::Configured(Reason::NamedProgram) => "named_program",
            Self::Configured(Reason::ServerAuthenticates) => "server_authenticates",
        }
    }
}

/// A step in the life of a process of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The process, as it runs.
    pub task: Arc<Task>,
    /// Its effective user id, which setuid programs change.
    pub effective_uid: u32,
    /// Its controlling terminal.
    pub tty: Option<Tty>,
    /// What it did.
    pub step: ProgramStep,
}

/// What a process of a session did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramStep {
    /// It runs this program from now on.
    Started,
    /// It ended.
    Ended(ExitStatus),
}
