//! The commands, as a user runs them: the built binary over files in a folder of its own.
#![expect(
    clippy::tests_outside_test_module,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "all of an integration test is test code"
)]

mod check;
mod config;
mod explain;
mod manual;
mod memory;
mod query;
mod replay;
mod session;

use std::{
    ffi::OsStr,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use flate2::{Compression, write::GzEncoder};

/// A folder with event and rule files.
struct Folder(tempfile::TempDir);

/// How a command ended.
#[derive(Debug)]
struct Outcome {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Runs the binary in the folder.
    fn run(&self, arguments: &[&str]) -> Outcome {
        self.run_with(arguments, "")
    }

    /// Runs the binary in the folder with `input` on standard input.
    fn run_with(&self, arguments: &[&str], input: impl AsRef<[u8]>) -> Outcome {
        let mut child = command(self.0.path(), arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.as_ref().to_vec();
        // Of its own accord: a command may answer before it has read everything.
        let writer = std::thread::spawn(move || stdin.write_all(&input).is_ok());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        Outcome {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

fn command(folder: &Path, arguments: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_telnet-monitor"));
    command.current_dir(folder).args(arguments);
    command
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// A rule file with `query` and further lines of `[rule]`.
fn rule(query: &str, extra: &str) -> String {
    format!(
        r#"[metadata]
creation_date = "2026/01/01"
updated_date = "2026/01/01"
maturity = "production"

[rule]
rule_id = "00000000-0000-4000-8000-000000000001"
name = "Test rule"
description = "For tests"
author = ["test"]
severity = "medium"
risk_score = 47
from = "now-9m"
type = "query"
language = "kuery"
query = '''
{query}
'''
{extra}"#
    )
}
