//! What is compiled for guests: the agent, the tests and their helper.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{package, probe, process, target::Target, toolchain::Toolchain, workspace::Workspace};

/// The agent's program.
const AGENT: &str = "telnet-monitor";

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
    pub(crate) fn agent(
        workspace: &Workspace,
        toolchain: Toolchain,
        target: Target,
    ) -> anyhow::Result<Self> {
        let compiler = Compiler {
            workspace,
            toolchain,
            target,
        };
        compiler.agent().map(Self)
    }

    /// Compiles the agent, and the tests.
    pub(crate) fn all(
        workspace: &Workspace,
        toolchain: Toolchain,
        target: Target,
    ) -> anyhow::Result<Self> {
        let compiler = Compiler {
            workspace,
            toolchain,
            target,
        };
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
    toolchain: Toolchain,
    target: Target,
}

impl Compiler<'_> {
    /// What packages ship: optimised, which under emulation is what counts, and statically linked,
    /// so that it runs on any distribution.
    fn agent(&self) -> anyhow::Result<Vec<Program>> {
        let triple = if has_musl(self.workspace, self.target)? {
            self.target.triple()
        } else {
            self.target.gnu_triple()
        };
        let folder = self.workspace.target().join(package::BUILD);
        let target = (self.target, triple);
        let file = package::agent::build(self.workspace, self.toolchain, target, &folder)?;
        Ok(vec![Program {
            name: AGENT.to_owned(),
            file,
        }])
    }

    /// With Debian's C library: one of their own libraries does not build for musl.
    fn tests(&self) -> anyhow::Result<Vec<Program>> {
        if !has_standard_library(self.workspace, self.target.gnu_triple())? {
            add_standard_library(self.workspace, self.target.gnu_triple())?;
        }
        let probe = probe::build_for(self.workspace, self.toolchain, self.target.arch())?;
        let mut programs = Vec::new();
        for arguments in [
            "build --package telnet-tests --bins",
            "test --package telnet-tests --test live --test system --no-run",
        ] {
            let mut command = self.workspace.cargo();
            command.args(arguments.split(' '));
            self.target
                .choose_triple(&mut command, self.target.gnu_triple());
            probe::embed(&mut command, &probe);
            programs.extend(compile(command)?);
        }
        Ok(programs)
    }
}

fn compile(mut command: Command) -> anyhow::Result<Vec<Program>> {
    command
        .args(["--profile", "guest", "--quiet"])
        .args(["--message-format", "json-render-diagnostics"]);
    Ok(executables(&process::capture(&mut command)?))
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

/// Whether the agent can be linked with musl. Where rustup cannot fetch it, this machine's own C
/// library does too.
fn has_musl(workspace: &Workspace, target: Target) -> anyhow::Result<bool> {
    if has_standard_library(workspace, target.triple())? {
        return Ok(true);
    }
    match add_standard_library(workspace, target.triple()) {
        Err(error) if target.is_own() => {
            println!("{error:#}; the agent runs on this machine's libraries instead");
            Ok(false)
        }
        outcome => outcome.map(|()| true),
    }
}

fn has_standard_library(workspace: &Workspace, triple: &str) -> anyhow::Result<bool> {
    let sysroot = process::capture(workspace.command("rustc").args(["--print", "sysroot"]))?;
    let libraries = PathBuf::from(sysroot.trim()).join("lib/rustlib");
    Ok(libraries.join(triple).is_dir())
}

fn add_standard_library(workspace: &Workspace, triple: &str) -> anyhow::Result<()> {
    println!("adding the target {triple} to the rustup toolchain");
    let mut command = workspace.command("rustup");
    process::run(command.args(["target", "add", triple]))
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
