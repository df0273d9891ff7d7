//! What a user meets when something is wrong: an exit code and a sentence.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::{fs, process::Stdio};

use anyhow::{Result, ensure};
use telnet_tests::agent::{Ended, collect, run_command};
use telnet_tests::lab::{self, Lab};
use telnet_tests::process::Spawned;

fn run_to_end(command: &mut Command) -> Result<Ended> {
    collect(&mut Spawned::start(
        "agent",
        None,
        command.stdin(Stdio::null()),
    )?)
}

/// Runs the agent and checks what every failure has in common: the code, a message on
/// standard error that has these parts, nothing on standard output, no panic.
fn fails_with<S: AsRef<OsStr>>(
    lab: &Lab,
    args: impl IntoIterator<Item = S>,
    codes: &[i32],
    parts: &[&str],
) -> Result<String> {
    must_fail(&mut run_command(lab, lab.agent()?, args), codes, parts)
}

fn must_fail(command: &mut Command, codes: &[i32], parts: &[&str]) -> Result<String> {
    let ended = run_to_end(command)?;
    let message = &ended.log;
    let code = ended.status.code();
    ensure!(
        code.is_some_and(|code| codes.contains(&code)),
        "{}, not {codes:?}\n{message}",
        ended.status
    );
    ensure!(
        !message.contains("panicked"),
        "the agent panicked\n{message}"
    );
    ensure!(
        ended.stdout.is_empty(),
        "standard output is for documents: {}",
        ended.stdout
    );
    for part in parts {
        ensure!(
            message.to_lowercase().contains(&part.to_lowercase()),
            "no {part:?} in:\n{message}"
        );
    }
    Ok(ended.log)
}

/// `file:LINE:COLUMN` and, below, a line with a caret.
fn must_point_into(file: &Path, message: &str) -> Result<()> {
    let name = format!("{}:", file.display());
    let place = message.split(&name).nth(1).unwrap_or_default();
    let mut numbers = place.split(':').map(str::parse::<u32>);
    let (line, column) = (numbers.next(), numbers.next());
    ensure!(
        matches!((&line, &column), (Some(Ok(1..)), Some(Ok(1..)))),
        "no {name}LINE:COLUMN in:\n{message}"
    );
    ensure!(
        message
            .lines()
            .any(|line| line.trim_end().ends_with('^') || line.contains("^ ")),
        "no caret in:\n{message}"
    );
    Ok(())
}

#[test]
fn an_ordinary_user_is_told_what_is_not_permitted() -> Result<()> {
    lab::live(|lab| {
        let agent = lab.agent_for_anybody()?;
        let mut command = run_command(lab, &agent, ["--emit", "alerts"]);
        command
            .uid(lab::NOBODY)
            .gid(lab::NOBODY)
            .current_dir(lab.dir());
        must_fail(&mut command, &[3], &["root"]).map(drop)
    })
}

#[test]
fn rules_that_others_may_write_are_refused_by_whichever_user_runs_it() -> Result<()> {
    lab::live(|lab| {
        let agent = lab.agent_for_anybody()?;
        let rules = lab.write("rules.toml", &super::rule_file("destination.port:23"))?;
        fs::set_permissions(&rules, fs::Permissions::from_mode(0o666))?;
        for user in [0, lab::NOBODY] {
            let args = [OsStr::new("--rules"), rules.as_os_str()];
            let mut command = run_command(lab, &agent, args);
            command.uid(user).gid(user).current_dir(lab.dir());
            must_fail(&mut command, &[1], &["rules.toml", "by others", "chmod"])?;
        }
        Ok(())
    })
}

#[test]
fn a_broken_query_is_shown_with_file_line_and_caret() -> Result<()> {
    lab::live(|lab| {
        for (name, query) in [
            ("unclosed.toml", "destination.port:(23 or"),
            ("dangling.toml", "destination.port:23 and"),
            ("type.toml", "destination.port:telnet"),
        ] {
            let file = lab.write(name, &super::rule_file(query))?;
            let args = [OsStr::new("--rules"), file.as_os_str()];
            let message = fails_with(lab, args, &[1], &[name])?;
            must_point_into(&file, &message)?;
        }
        Ok(())
    })
}

#[test]
fn broken_toml_is_shown_with_file_line_and_caret() -> Result<()> {
    lab::live(|lab| {
        let file = lab.write("broken.toml", "[rule]\nname = \"unclosed\nseverity = 3\n")?;
        let args = [OsStr::new("--rules"), file.as_os_str()];
        let message = fails_with(lab, args, &[1], &["broken.toml"])?;
        must_point_into(&file, &message)
    })
}

#[test]
fn a_missing_rule_file_is_named() -> Result<()> {
    lab::live(|lab| {
        let file = lab.dir().join("absent.toml");
        let args = [OsStr::new("--rules"), file.as_os_str()];
        fails_with(lab, args, &[1], &["absent.toml"]).map(drop)
    })
}

#[test]
fn rules_that_no_session_can_match_are_refused() -> Result<()> {
    lab::live(|lab| {
        let query = "destination.port:70000";
        let file = lab.write("never.toml", &super::rule_file(query))?;
        let args = [OsStr::new("--rules"), file.as_os_str()];
        fails_with(lab, args, &[1], &["no enabled rule can match any session"])?;

        let empty = lab.dir().join("no-rules");
        fs::create_dir(&empty)?;
        let args = [OsStr::new("--rules"), empty.as_os_str()];
        fails_with(lab, args, &[1], &["no-rules"]).map(drop)
    })
}

#[test]
fn wrong_usage_is_told_apart() -> Result<()> {
    lab::live(|lab| {
        for (args, part) in [
            (&["--no-such-option"][..], "--no-such-option"),
            (&["--emit", "nonsense"], "nonsense"),
            (&["--format", "nonsense"], "nonsense"),
            (&["--duration", "soon"], "soon"),
        ] {
            fails_with(lab, args, &[2], &[part])?;
        }
        Ok(())
    })
}

#[test]
fn a_ring_buffer_that_the_kernel_refuses_is_a_sentence() -> Result<()> {
    lab::live(|lab| {
        // Zero, and more than any kernel gives.
        for size in ["0", "1099511627776"] {
            fails_with(lab, ["--ring-bytes", size], &[2, 3], &["ring"])?;
        }
        Ok(())
    })
}
