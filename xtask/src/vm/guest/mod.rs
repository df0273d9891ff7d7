//! What a guest is made of: the agent, the live tests, telnet servers, and the first process.

mod cpio;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use serde_json::Value;

use self::cpio::Cpio;
use super::kernel::{Kernel, files_below};
use crate::{
    probe, process,
    toolchain::{self, Toolchain},
    workspace::Workspace,
};

/// Statically linked, so that the agent that is tested runs on any distribution.
const MUSL: &str = "x86_64-unknown-linux-musl";

const INIT: &str = include_str!("init.sh");

/// What programs look up: users, and for the inetds the names of protocol and service.
const ETC: [(&str, &str); 5] = [
    ("/etc/group", "root:x:0:\ntty:x:5:\n"),
    ("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    ("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
    ("/etc/protocols", "tcp 6 TCP\nudp 17 UDP\n"),
    ("/etc/services", "telnet 23/tcp\n"),
];

/// Parts of the unpacked packages that no program reads.
const UNUSED: [&str; 4] = [
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/lintian",
];

/// The part of the initial file system that all guests share.
#[derive(Debug)]
pub(crate) struct Base(Vec<u8>);

impl Base {
    /// Compiles what runs in the guest, and packs it.
    pub(crate) fn build(workspace: &Workspace, toolchain: Toolchain) -> anyhow::Result<Self> {
        let mut cpio = Cpio::default();
        cpio.console()?;
        cpio.file("/init", INIT.as_bytes(), true)?;
        for (path, text) in ETC {
            cpio.file(path, text.as_bytes(), false)?;
        }
        let mut programs = test_root(workspace, &mut cpio)?;
        for program in compile(workspace, toolchain)? {
            cpio.copy(&program.file, &format!("/vm/{}", program.name))?;
            programs.push(program.file);
        }
        let setarch = PathBuf::from("/usr/bin/setarch");
        cpio.copy(&setarch, "/vm/setarch")?;
        programs.push(setarch);
        cpio.copy(&workspace.test_root().join("bin/busybox"), "/bin/busybox")?;
        cpio.symlink("/bin/sh", "busybox")?;
        for library in libraries(workspace, &programs)? {
            cpio.copy(&library, &library.to_string_lossy())?;
        }
        cpio.finish().map(Self)
    }

    /// Writes the initial file system for one guest: the shared part, the kernel's modules, and
    /// the variables that tell the first process what to do.
    pub(crate) fn write(
        &self,
        to: &Path,
        kernel: &Kernel,
        variables: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        let mut cpio = Cpio::default();
        for module in &kernel.modules {
            let name = module.file_name().unwrap_or_default().to_string_lossy();
            cpio.copy(module, &format!("/vm/modules/{name}"))?;
        }
        cpio.file("/vm/case", shell(variables).as_bytes(), false)?;
        let Self(base) = self;
        let mut bytes = base.clone();
        bytes.extend(cpio.finish()?);
        fs::write(to, bytes).with_context(|| format!("cannot write {}", to.display()))
    }
}

/// Assignments that a shell reads back as they are.
fn shell(variables: &[(&str, &str)]) -> String {
    let lines = variables
        .iter()
        .map(|(name, value)| format!("{name}='{}'\n", value.replace('\'', r"'\''")));
    lines.collect::<Vec<_>>().concat()
}

struct Program {
    name: String,
    file: PathBuf,
}

fn compile(workspace: &Workspace, toolchain: Toolchain) -> anyhow::Result<Vec<Program>> {
    let host = toolchain::host_rustc(workspace)?.host;
    let agents = target(workspace, &host)?;
    let probe = probe::build(workspace, toolchain)?;
    let mut programs = Vec::new();
    // Only the agent has to run anywhere; a library of the tests does not build for musl.
    for (target, arguments) in [
        (&agents, "build --package telnet-user --bin telnet-monitor"),
        (&host, "build --package telnet-tests --bins"),
        (&host, "test --package telnet-tests --test live --no-run"),
    ] {
        let mut command = workspace.cargo();
        command
            .args(arguments.split(' '))
            .args(["--quiet", "--target", target])
            .args(["--message-format", "json-render-diagnostics"])
            // A fifth of the size, and a backtrace still has names.
            .env("CARGO_PROFILE_DEV_STRIP", "debuginfo")
            // Emulation multiplies what unoptimised code costs. Overflow checks stay.
            .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
        probe::embed(&mut command, &probe);
        programs.extend(executables(&process::capture(&mut command)?));
    }
    Ok(programs)
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
fn target(workspace: &Workspace, host: &str) -> anyhow::Result<String> {
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

/// Packs the unpacked packages and returns the programs among them.
fn test_root(workspace: &Workspace, cpio: &mut Cpio) -> anyhow::Result<Vec<PathBuf>> {
    let root = workspace.test_root();
    let mut programs = Vec::new();
    for file in files_below(&root)? {
        let path = file.strip_prefix(&root)?;
        if UNUSED.iter().any(|unused| path.starts_with(unused)) {
            continue;
        }
        let guest = format!("/vm/root/{}", path.display());
        if file.is_symlink() {
            cpio.symlink(&guest, &fs::read_link(&file)?.to_string_lossy())?;
        } else {
            cpio.copy(&file, &guest)?;
            programs.push(file);
        }
    }
    Ok(programs)
}

/// Libraries of this machine that `programs` load, at the paths they load them from.
fn libraries(workspace: &Workspace, programs: &[PathBuf]) -> anyhow::Result<BTreeSet<PathBuf>> {
    let root = workspace.test_root();
    let mut libraries = BTreeSet::new();
    for program in programs {
        let mut command = workspace.command("ldd");
        command
            .arg(program)
            .env("LD_LIBRARY_PATH", toolchain::library_path(workspace)?);
        // Fails for what is not a dynamic program.
        let text = process::capture(&mut command).unwrap_or_default();
        if text.contains("not found") {
            bail!("{} lacks libraries:\n{text}", program.display());
        }
        libraries.extend(loaded(&text).filter(|path| !path.starts_with(&root)));
    }
    Ok(libraries)
}

/// Paths in the output of ldd.
fn loaded(text: &str) -> impl Iterator<Item = PathBuf> {
    text.lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_survive_the_shell() {
        let text = shell(&[("SUITES", "auto fentry"), ("FILTER", "it's $x")]);
        let mut command = std::process::Command::new("sh");
        let script = format!("{text}printf %s \"$SUITES|$FILTER\"");
        let output = process::capture(command.args(["-c", &script])).unwrap();
        assert_eq!(output, "auto fentry|it's $x");
    }

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

    #[test]
    fn libraries_from_ldd() {
        let text = "\tlinux-vdso.so.1 (0x1)\n\tlibc.so.6 => /lib/libc.so.6 (0x2)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x3)\n";
        assert_eq!(
            loaded(text).collect::<Vec<_>>(),
            [
                PathBuf::from("/lib/libc.so.6"),
                PathBuf::from("/lib64/ld-linux-x86-64.so.2")
            ]
        );
    }
}
