//! What arguments say about authentication. Pure, and all of it hostile: a peer chooses parts of
//! them.

use super::activity::{Bypass, Reason, Verdict};
use crate::probe::record::Task;

/// Command interpreters, as they are called.
const SHELLS: [&str; 13] = [
    "ash", "bash", "csh", "dash", "fish", "hush", "ksh", "ksh93", "mksh", "rbash", "sh", "tcsh",
    "zsh",
];
/// Options of the known login(1) that take a value: host, device, service, remote user, others.
const WITH_VALUE: &str = "hdrstuUR";

/// Whether a task runs login(1), by the name of the file that the kernel loaded.
pub fn is_login(task: &Task) -> bool {
    applet(task) == "login"
}

/// Whether this is the shell of somebody who logged in: login(1) puts `-` before its name.
pub(super) fn is_login_shell(task: &Task) -> bool {
    argument(task, 0).is_some_and(|name| name.starts_with('-'))
}

/// Whether this is a shell that reads commands from its standard input: neither a script nor `-c`.
/// That is in its arguments: where they are not known, nobody knows.
pub(super) fn is_interactive_shell(task: &Task) -> bool {
    if task.args.is_none() {
        return false;
    }
    let name = applet(task).trim_start_matches('-');
    if !SHELLS.contains(&name) {
        return false;
    }
    let is_option = |word: &String| word.starts_with(['-', '+']);
    let is_command = |word: &String| !word.starts_with("--") && word.contains('c');
    let skip = if task.comm == "busybox" { 2 } else { 1 };
    arguments(task)
        .iter()
        .skip(skip)
        .all(|word| is_option(word) && !is_command(word))
}

/// Whether login(1) is told to let the user in unasked: `-f` where it takes it for an option,
/// alone (`-f root`), with the name (`-froot`) or behind other options (`-pf root`).
pub(super) fn is_forced(task: &Task) -> bool {
    let mut words = arguments(task).iter().skip(1);
    while let Some(word) = words.next() {
        if word == "--" {
            return false;
        }
        let Some(options) = word.strip_prefix('-').filter(|rest| !rest.starts_with('-')) else {
            continue;
        };
        for (at, option) in options.char_indices() {
            if option == 'f' {
                return true;
            }
            if WITH_VALUE.contains(option) {
                // The rest of the word, or else the next word, is its value.
                if at + option.len_utf8() == options.len() {
                    words.next();
                }
                break;
            }
        }
    }
    false
}

/// What a forced login comes to, given the server's command line. `is_named`: a program that the
/// command line names did it.
pub(super) fn judge_forced(server: Option<&Task>, is_named: bool) -> Verdict {
    let asks = |task: &Task| {
        arguments(task).iter().any(|argument| {
            let words = || words(argument);
            words().any(|word| base(word) == "login") && words().any(|word| word.starts_with("-f"))
        })
    };
    if server.is_some_and(asks) {
        Verdict::Configured(Reason::ServerCommandLine)
    } else if is_named {
        Verdict::Configured(Reason::NamedProgram)
    } else if server.is_some_and(authenticates) {
        Verdict::Configured(Reason::ServerAuthenticates)
    } else {
        Verdict::Bypass(Bypass::ForcedLogin)
    }
}

/// What a shell that the server started comes to.
pub(super) fn judge_shell(server: Option<&Task>, shell: &Task, is_named: bool) -> Verdict {
    if server.is_some_and(|server| names(server, shell)) {
        Verdict::Configured(Reason::ServerCommandLine)
    } else if is_named {
        Verdict::Configured(Reason::NamedProgram)
    } else {
        Verdict::Bypass(Bypass::ShellUnderHandler)
    }
}

/// Whether the command line of a server names a program, other than login(1), as what it is to
/// start: by its path or its name, alone or within an argument (`-E /bin/sh`, `--exec-login=menu`).
pub(super) fn names(server: &Task, program: &Task) -> bool {
    let name = applet(program);
    // The kernel keeps 15 bytes of a name.
    let is_it = |word: &str| base(word) == name || name.len() >= 15 && base(word).starts_with(name);
    name != "login"
        && arguments(server)
            .iter()
            .skip(1)
            .any(|argument| words(argument).any(is_it))
}

/// Whether a telnetd lets nobody in before it has authenticated the user itself (`-a user` or
/// `-a valid` of those built with authentication).
fn authenticates(server: &Task) -> bool {
    let arguments = arguments(server);
    let demands = |mode: &str| mode == "user" || mode == "valid";
    arguments
        .windows(2)
        .any(|pair| matches!(pair, [option, mode] if option == "-a" && demands(mode)))
        || arguments.iter().any(|word| {
            ["-a", "--authmode="]
                .iter()
                .filter_map(|option| word.strip_prefix(option))
                .any(demands)
        })
}

/// The name of the program: of several in one file the one that was asked for.
fn applet(task: &Task) -> &str {
    if task.comm == "busybox"
        && let Some(name) = argument(task, 1)
    {
        return name;
    }
    &task.comm
}

fn arguments(task: &Task) -> &[String] {
    task.args.as_ref().map_or(&[], |args| &args.list)
}

fn argument(task: &Task, index: usize) -> Option<&str> {
    arguments(task).get(index).map(String::as_str)
}

fn words(argument: &str) -> impl Iterator<Item = &str> {
    argument
        .split(|character: char| character.is_whitespace() || character == '=')
        .filter(|word| !word.is_empty())
}

fn base(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::record::Args;

    fn task(comm: &str, line: &str) -> Task {
        Task {
            pid: 1,
            tid: 1,
            uid: 0,
            gid: 0,
            start: None,
            comm: comm.to_owned(),
            parent: None,
            cgroup: None,
            args: Some(Args {
                list: line.split('|').map(str::to_owned).collect(),
                truncated: false,
            }),
        }
    }

    #[test]
    fn only_an_option_f_lets_a_user_in_unasked() {
        for (line, expected) in [
            ("login|-p|-h|198.51.100.9|-f|root", true),
            ("login|-h|host|-f root", true),
            ("login|-froot", true),
            ("login|-pf|root", true),
            ("login|-p|-h|host|-d|/dev/pts/1|-fbin", true),
            ("login|root|-f", true),
            ("login|-p|-h|198.51.100.9", false),
            ("login|-p|-h|198.51.100.9|alice", false),
            // The value of another option, and a name after the options.
            ("login|-h|-f|alice", false),
            ("login|-hf|alice", false),
            ("login|-p|--|-f", false),
            ("login|fred", false),
            ("login|--f", false),
            ("login|-h", false),
            ("login", false),
            ("", false),
        ] {
            assert_eq!(is_forced(&task("login", line)), expected, "{line}");
        }
    }

    #[test]
    fn a_forced_login_is_explained_by_the_servers_own_configuration_only() {
        let forced = Verdict::Bypass(Bypass::ForcedLogin);
        let wanted = Verdict::Configured(Reason::ServerCommandLine);
        for (server, expected) in [
            ("telnetd", forced),
            ("telnetd|-E|login -p -h %h", forced),
            ("telnetd|-f|-E|login -h %h", forced),
            ("telnetd|-E|login -p -h %h -f kiosk", wanted),
            ("telnetd|--exec-login=/bin/login -fkiosk", wanted),
            (
                "telnetd|-a|valid",
                Verdict::Configured(Reason::ServerAuthenticates),
            ),
            (
                "telnetd|-avalid",
                Verdict::Configured(Reason::ServerAuthenticates),
            ),
            ("telnetd|-a|none", forced),
        ] {
            let server = task("telnetd", server);
            assert_eq!(judge_forced(Some(&server), false), expected, "{server:?}");
        }
        assert_eq!(judge_forced(None, false), forced);
        assert_eq!(
            judge_forced(Some(&task("telnetd", "telnetd|-l|/bin/menu")), true),
            Verdict::Configured(Reason::NamedProgram)
        );
    }

    #[test]
    fn a_shell_is_explained_where_the_server_names_it() {
        for (server, shell, expected) in [
            ("telnetd|-l|/bin/sh", "sh", "configured"),
            ("telnetd|-E|/bin/sh", "sh", "configured"),
            ("telnetd|-E|/bin/bash -i", "bash", "configured"),
            ("telnetd", "sh", "bypass"),
            ("telnetd|-l|/bin/login", "sh", "bypass"),
            ("sh", "sh", "bypass"),
        ] {
            let verdict = judge_shell(Some(&task("telnetd", server)), &task(shell, shell), false);
            assert_eq!(verdict.as_str(), expected, "{server} {shell}");
        }
    }

    #[test]
    fn scripts_and_single_commands_are_no_interactive_shell() {
        for (comm, line, expected) in [
            ("sh", "/bin/sh", true),
            ("bash", "-bash", true),
            ("bash", "bash|-i|--norc", true),
            ("busybox", "busybox|sh", true),
            ("busybox", "/bin/busybox|ash|-i", true),
            ("sh", "sh|-c|exec telnetd", false),
            ("bash", "bash|-lc|x", false),
            ("sh", "sh|/etc/rc", false),
            // A script has the name of its file.
            ("menu", "/bin/sh|/usr/local/bin/menu", false),
            ("login", "login", false),
            ("busybox", "busybox|login", false),
        ] {
            assert_eq!(is_interactive_shell(&task(comm, line)), expected, "{line}");
        }
        let unknown = Task {
            args: None,
            ..task("sh", "sh")
        };
        assert!(!is_interactive_shell(&unknown));
        assert!(is_login(&task("busybox", "busybox|login")));
        assert!(is_login_shell(&task("bash", "-bash")));
    }
}
