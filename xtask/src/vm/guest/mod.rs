//! What a guest is made of: the agent, the live tests, telnet servers, and the first process.

mod cpio;
mod programs;
mod userland;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

pub(super) use self::{
    cpio::Cpio,
    programs::{Programs, SYSTEM_TESTS},
};
use super::{
    board::Board,
    kernel::{Kernel, files_below},
};
use crate::{process, target::Target, toolchain, workspace::Workspace};

const INIT: &str = include_str!("init.sh");

/// What programs look up: users, the machine's id for journald, and for the inetds the names of
/// protocol and service.
const ETC: [(&str, &str); 6] = [
    ("/etc/group", "root:x:0:\ntty:x:5:\n"),
    ("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    ("/etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
    ("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
    ("/etc/protocols", "tcp 6 TCP\nudp 17 UDP\n"),
    ("/etc/services", "telnet 23/tcp\n"),
];

/// Folders of the unpacked packages that no program reads.
const UNUSED: [&str; 7] = [
    "doc",
    "gconv",
    "lintian",
    "locale",
    "man",
    "perl",
    "perl-base",
];

/// The part of the initial file system that guests of one kind share.
#[derive(Debug)]
pub(crate) struct Base {
    target: Target,
    archives: Vec<u8>,
}

impl Base {
    /// Packs busybox, a first process of our own, and what it starts: little, so that a guest is
    /// up in seconds.
    pub(crate) fn build(
        workspace: &Workspace,
        target: Target,
        built: &Programs,
    ) -> anyhow::Result<Self> {
        let root = userland::root(workspace, target)?;
        let mut cpio = Cpio::default();
        cpio.console()?;
        cpio.file("/init", INIT.as_bytes(), true)?;
        for (path, text) in ETC {
            cpio.file(path, text.as_bytes(), false)?;
        }
        let mut programs = packages(&root, &mut cpio)?;
        for program in built.iter().filter(|program| program.name != SYSTEM_TESTS) {
            cpio.copy(&program.file, &format!("/vm/{}", program.name))?;
            programs.push(program.file.clone());
        }
        cpio.copy(&root.join("bin/busybox"), "/bin/busybox")?;
        cpio.symlink("/bin/sh", "busybox")?;
        if target.is_own() {
            let setarch = PathBuf::from("/usr/bin/setarch");
            cpio.copy(&setarch, "/vm/setarch")?;
            programs.push(setarch);
            for library in libraries(workspace, &programs)? {
                cpio.copy(&library, &library.to_string_lossy())?;
            }
        }
        Ok(Self::from_archives(target, cpio.finish()?))
    }

    /// From archives, packed or not, laid end to end.
    pub(super) const fn from_archives(target: Target, archives: Vec<u8>) -> Self {
        Self { target, archives }
    }

    /// Writes the initial file system for one guest: the kernel's modules, the variables that tell
    /// the guest what to do, and the shared part.
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
        let line = ("LINE", Board::of(self.target).line_device);
        let variables = [&[line], variables].concat();
        cpio.file("/vm/case", shell(&variables).as_bytes(), false)?;
        let mut bytes = cpio.finish()?;
        bytes.extend(&self.archives);
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

/// Packs the packages that are unpacked at `root` and returns the programs among them.
fn packages(root: &Path, cpio: &mut Cpio) -> anyhow::Result<Vec<PathBuf>> {
    let mut programs = Vec::new();
    for file in files_below(root)? {
        let path = file.strip_prefix(root)?;
        if path
            .iter()
            .any(|part| UNUSED.iter().any(|name| part == *name))
        {
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
pub(super) fn libraries(
    workspace: &Workspace,
    programs: &[PathBuf],
) -> anyhow::Result<BTreeSet<PathBuf>> {
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
