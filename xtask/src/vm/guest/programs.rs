//! What is compiled for guests: the agent, the tests and their helper.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{
    probe, process,
    target::Target,
    toolchain::{self, Toolchain},
    workspace::Workspace,
};

/// Statically linked, so that the agent that is tested runs on any distribution.
const MUSL: &str = Target::X86_64.triple();

/// Tests of a whole system from inside.
pub(crate) const SYSTEM_TESTS: &str = "system";

/// Everything that was compiled.
#[derive(Debug)]
pub(crate) struct Programs(Vec<Program>);

#[derive(Debug)]
pub(super) struct Program {
    pub(super) name: String,
    pub(super) file: PathBuf,
}

impl Programs {
    /// Compiles the agent.
    pub(crate) fn agent(workspace: &Workspace, toolchain: Toolchain) -> anyhow::Result<Self> {
        Compiler::new(workspace, toolchain)?.agent().map(Self)
    }

    /// Compiles the agent, and the tests.
    pub(crate) fn all(workspace: &Workspace, toolchain: Toolchain) -> anyhow::Result<Self> {
        let compiler = Compiler::new(workspace, toolchain)?;
        let mut programs = compiler.agent()?;
        programs.extend(compiler.tests()?);
        Ok(Self(programs))
    }

    /// Where the program of this name is, when it was asked for.
    pub(crate) fn find(&self, name: &str) -> Option<&Path> {
        let program = self.0.iter().find(|program| program.name == name)?;
        Some(&program.file)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Program> {
        self.0.iter()
    }
}

/// What compiles for guests.
struct Compiler<'a> {
    workspace: &'a Workspace,
    /// Target of what runs on this machine's libraries.
    host: String,
    probe: PathBuf,
}

impl<'a> Compiler<'a> {
    fn new(workspace: &'a Workspace, toolchain: Toolchain) -> anyhow::Result<Self> {
        Ok(Self {
            workspace,
            host: toolchain::host_rustc(workspace)?.host,
            probe: probe::build(workspace, toolchain)?,
        })
    }

    fn agent(&self) -> anyhow::Result<Vec<Program>> {
        let target = agents_target(self.workspace, &self.host)?;
        self.compile(&target, "build --package telnet-user --bin telnet-monitor")
    }

    /// For this machine's libraries: one of their own does not build for musl.
    fn tests(&self) -> anyhow::Result<Vec<Program>> {
        let mut programs = self.compile(&self.host, "build --package telnet-tests --bins")?;
        let tests = "test --package telnet-tests --test live --test system --no-run";
        programs.extend(self.compile(&self.host, tests)?);
        Ok(programs)
    }

    fn compile(&self, target: &str, arguments: &str) -> anyhow::Result<Vec<Program>> {
        let mut command = self.workspace.cargo();
        command
            .args(arguments.split(' '))
            .args(["--quiet", "--target", target])
            .args(["--message-format", "json-render-diagnostics"])
            // As in Target: no compiler of musl's own.
            .env("CC_x86_64_unknown_linux_musl", "cc")
            // A fifth of the size, and a backtrace still has names.
            .env("CARGO_PROFILE_DEV_STRIP", "debuginfo")
            // Emulation multiplies what unoptimised code costs. Overflow checks stay.
            .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
        probe::embed(&mut command, &self.probe);
        Ok(executables(&process::capture(&mut command)?))
    }
}

/// Programs among cargo's messages.
fn executables(messages: &str) -> Vec<Program> {
    messages
        .lines()
        .filter_map(|line| {
            let message: Value = serde_json::from_str(line).ok()?;
            let file = message.get("executable")?.as_str()?;
            let name = message.pointer("/target/name")?.as_str()?;
            Some(Program {
                name: name.to_owned(),
                file: PathBuf::from(file),
            })
        })
        .collect()
}

/// musl's where rustup has it or can fetch it, else this machine's.
fn agents_target(workspace: &Workspace, host: &str) -> anyhow::Result<String> {
    let sysroot = process::capture(workspace.command("rustc").args(["--print", "sysroot"]))?;
    let installed = PathBuf::from(sysroot.trim()).join("lib/rustlib").join(MUSL);
    if installed.is_dir() {
        return Ok(MUSL.to_owned());
    }
    println!("adding the target {MUSL} to the rustup toolchain");
    let mut command = workspace.command("rustup");
    match process::run(command.args(["target", "add", MUSL])) {
        Ok(()) => Ok(MUSL.to_owned()),
        Err(error) => {
            println!("{error:#}; the agent runs on this machine's libraries instead");
            Ok(host.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_from_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"anyhow"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"live"},"executable":"/t/live-1"}
{"reason":"build-finished","success":true}
not json"#;
        let programs = executables(messages);
        assert_eq!(programs.len(), 1);
        let program = programs.first().unwrap();
        assert_eq!(
            (program.name.as_str(), program.file.as_path()),
            ("live", Path::new("/t/live-1"))
        );
    }
}
