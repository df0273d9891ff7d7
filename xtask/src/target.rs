//! Processors: what is built for them on this machine or across, and what Debian calls them.

use std::{env, ffi::OsString, process::Command};

use clap::ValueEnum;

/// A processor; by name with musl, which makes one binary for every distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    #[value(name = "x86_64-unknown-linux-musl")]
    X86_64,
    #[value(name = "aarch64-unknown-linux-musl")]
    Aarch64,
}

impl Target {
    /// Name for cargo and rustup.
    pub(crate) const fn triple(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-musl",
            Self::Aarch64 => "aarch64-unknown-linux-musl",
        }
    }

    /// The same with Debian's C library, for what does not build with musl.
    pub(crate) const fn gnu_triple(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
            Self::Aarch64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// The processor, as Debian's packages call it.
    pub(crate) const fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// Whether this machine has it.
    pub(crate) fn is_own(self) -> bool {
        self.arch() == env::consts::ARCH
    }

    /// The processor, as rustc calls it.
    pub(crate) const fn arch(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// Compiles the little C among the dependencies, and links. That C is freestanding: no
    /// compiler of musl's own.
    pub(crate) fn compiler(self) -> &'static str {
        match self {
            _ if self.is_own() => "cc",
            Self::X86_64 => "x86_64-linux-gnu-gcc",
            Self::Aarch64 => "aarch64-linux-gnu-gcc",
        }
    }

    /// Debian's packages of [`Self::compiler`] and the headers that even freestanding C includes;
    /// none for this machine's own.
    pub(crate) fn compiler_packages(self) -> &'static [&'static str] {
        match self {
            _ if self.is_own() => &[],
            Self::X86_64 => &["gcc-x86-64-linux-gnu", "libc6-dev-amd64-cross"],
            Self::Aarch64 => &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"],
        }
    }

    /// Has `command`, a cargo call, build for this target.
    pub(crate) fn choose(self, command: &mut Command) {
        self.choose_triple(command, self.triple());
    }

    /// The same by one of its two names.
    pub(crate) fn choose_triple(self, command: &mut Command, triple: &str) {
        command.args(["--target", triple]);
        if self.is_own() && triple == self.gnu_triple() {
            // Build scripts are linked with the same linker. To choose one, even the one that is
            // taken anyway, in some calls only has cargo compile everything anew in each.
            return;
        }
        let triple = triple.replace('-', "_");
        let linker = format!("CARGO_TARGET_{}_LINKER", triple.to_uppercase());
        command.env(format!("CC_{triple}"), self.compiler());
        // An explicit choice stays.
        if env::var_os(&linker).is_none() {
            command.env(linker, OsString::from(self.compiler()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_other_processors_need_a_compiler_of_their_own() {
        for target in Target::value_variants() {
            assert_eq!(target.compiler_packages().is_empty(), target.is_own());
            assert_eq!(target.compiler() == "cc", target.is_own());
        }
    }

    #[test]
    fn cargo_is_told_target_compiler_and_linker() {
        let mut command = Command::new("cargo");
        Target::Aarch64.choose(&mut command);
        let arguments: Vec<_> = command.get_args().collect();
        assert_eq!(arguments, ["--target", "aarch64-unknown-linux-musl"]);
        let names: Vec<_> = command.get_envs().map(|(name, _)| name).collect();
        assert!(names.contains(&"CC_aarch64_unknown_linux_musl".as_ref()));
        let mut command = Command::new("cargo");
        let target = Target::Aarch64;
        target.choose_triple(&mut command, target.gnu_triple());
        let arguments: Vec<_> = command.get_args().collect();
        assert_eq!(arguments, ["--target", "aarch64-unknown-linux-gnu"]);
        let own = Target::value_variants()
            .iter()
            .find(|target| target.is_own());
        let own = own.expect("this processor is one of them");
        let mut command = Command::new("cargo");
        own.choose_triple(&mut command, own.gnu_triple());
        assert_eq!(command.get_envs().count(), 0);
    }
}
