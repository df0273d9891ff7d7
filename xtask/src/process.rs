//! Child processes: a clean environment, and errors that say what was run and how it ended.

use std::{
    borrow::Cow,
    convert::Infallible,
    env,
    ffi::{OsStr, OsString},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};

/// Set by `cargo run` for this program alone. Build scripts that ask to be run again when one of
/// these changes would otherwise rebuild whatever `cargo xtask` and plain cargo share.
const OWN_VARIABLES: [&str; 4] = [
    "CARGO_BIN_NAME",
    "CARGO_CRATE_NAME",
    "CARGO_MANIFEST_",
    "CARGO_PKG_",
];

const LIBRARY_PATH: &str = "LD_LIBRARY_PATH";

/// A command without what `cargo run` added to this program's environment. `added` are the
/// prefixes of the library folders to leave out.
pub(crate) fn command(program: &Path, added: &[PathBuf]) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        if starts_with_any(&name, &OWN_VARIABLES) {
            command.env_remove(name);
        }
    }
    if let Some(path) = env::var_os(LIBRARY_PATH) {
        match without(&path, added) {
            Some(path) => command.env(LIBRARY_PATH, path),
            None => command.env_remove(LIBRARY_PATH),
        };
    }
    command
}

/// Removes every variable of the environment whose name starts with one of `prefixes`.
pub(crate) fn scrub(command: &mut Command, prefixes: &[&str]) {
    for (name, _) in env::vars_os() {
        if starts_with_any(&name, prefixes) {
            command.env_remove(name);
        }
    }
}

fn starts_with_any(name: &OsStr, prefixes: &[&str]) -> bool {
    let name = name.as_encoded_bytes();
    prefixes
        .iter()
        .any(|prefix| name.starts_with(prefix.as_bytes()))
}

fn without(path: &OsStr, prefixes: &[PathBuf]) -> Option<OsString> {
    let kept: Vec<_> = env::split_paths(path)
        .filter(|entry| !prefixes.iter().any(|prefix| entry.starts_with(prefix)))
        .collect();
    match kept.as_slice() {
        [] => None,
        entries => env::join_paths(entries).ok(),
    }
}

/// Runs to the end; its output goes where ours goes.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start `{}`", render(command)))?;
    if !status.success() {
        bail!("`{}` failed: {status}", render(command));
    }
    Ok(())
}

/// Runs to the end and returns what it printed on stdout.
pub(crate) fn capture(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", render(command)))?;
    if !output.status.success() {
        bail!(
            "`{}` failed: {}: {}",
            render(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("`{}` printed something that is not UTF-8", render(command)))
}

/// Replaces this process, so that signals and the exit status are the other program's.
pub(crate) fn exec(command: &mut Command) -> anyhow::Result<Infallible> {
    let error = command.exec();
    Err(error).with_context(|| format!("cannot start `{}`", render(command)))
}

/// The command line as one would type it.
pub(crate) fn render(command: &Command) -> String {
    let words: Vec<_> = [command.get_program()]
        .into_iter()
        .chain(command.get_args())
        .map(quote)
        .collect();
    words.join(" ")
}

fn quote(word: &OsStr) -> Cow<'_, str> {
    let text = word.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "-_./:=+,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")))
}

/// Whether `program` is in a folder of `PATH`, or in one that only root's `PATH` has.
pub(crate) fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_what_a_shell_reads_back() {
        let mut command = Command::new("apt-get");
        command.args(["install", "a b", "it's", "", "--opt=x"]);
        assert_eq!(
            render(&command),
            r"apt-get install 'a b' 'it'\''s' '' --opt=x"
        );
    }

    #[test]
    fn failure_names_command_and_status() {
        let error = run(Command::new("sh").args(["-c", "exit 3"])).unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "`sh -c 'exit 3'` failed: exit status: 3"
        );
    }

    #[test]
    fn failed_capture_shows_stderr() {
        let error = capture(Command::new("sh").args(["-c", "echo no >&2; exit 1"])).unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "`sh -c 'echo no >&2; exit 1'` failed: exit status: 1: no"
        );
    }

    #[test]
    fn missing_program_is_named() {
        let error = run(&mut Command::new("/nowhere/tool")).unwrap_err();
        assert!(format!("{error:#}").starts_with("cannot start `/nowhere/tool`: "));
    }

    #[test]
    fn library_path_loses_only_the_prefixes() {
        let prefixes = [PathBuf::from("/w/target"), PathBuf::from("/t")];
        let cases = [
            ("/w/target/debug/deps:/t/lib:/opt/lib", Some("/opt/lib")),
            ("/w/target/debug:/t/lib", None),
            ("/targets:/opt", Some("/targets:/opt")),
        ];
        for (path, expected) in cases {
            assert_eq!(
                without(OsStr::new(path), &prefixes),
                expected.map(OsString::from),
                "{path}"
            );
        }
    }

    #[test]
    fn own_variables_are_prefixes() {
        for (name, expected) in [
            ("CARGO_PKG_NAME", true),
            ("CARGO_MANIFEST_DIR", true),
            ("CARGO_HOME", false),
            ("CARGO_BUILD_JOBS", false),
        ] {
            assert_eq!(
                starts_with_any(OsStr::new(name), &OWN_VARIABLES),
                expected,
                "{name}"
            );
        }
    }
}
