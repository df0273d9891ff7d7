//! Where things are.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

use crate::{process, target::Target};

/// The folders of this checkout and the cargo that works on it.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
    cargo: PathBuf,
}

impl Workspace {
    /// The checkout that this program was started in by `cargo xtask`.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let package = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = package
            .parent()
            .with_context(|| format!("{} has no parent folder", package.display()))?
            .to_path_buf();
        let target = env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| root.join("target"), |dir| root.join(dir));
        let cargo = env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
        Ok(Self {
            root,
            target,
            cargo,
        })
    }

    /// The repository root.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Cargo's output folder.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// What `setup` keeps for this checkout alone.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// A program that `cargo install` put under [`Self::tools`].
    pub(crate) fn tool(&self, name: &str) -> PathBuf {
        self.tools().join("bin").join(name)
    }

    /// Unpacked Debian packages that the tests run: the root of a file tree, not on any `PATH`.
    pub(crate) fn test_root(&self) -> PathBuf {
        self.tools().join("root")
    }

    /// Kernels and guests.
    pub(crate) fn vm(&self) -> PathBuf {
        self.target.join("vm")
    }

    /// The agent's binary as `cargo xtask build` leaves it.
    pub(crate) fn agent(&self, release: bool) -> PathBuf {
        let profile = if release { "release" } else { "debug" };
        self.target.join(profile).join("telnet-monitor")
    }

    /// The same of another target than the host's.
    pub(crate) fn agent_for(&self, release: bool, target: Target) -> PathBuf {
        let profile = if release { "release" } else { "debug" };
        let folder = self.target.join(target.triple()).join(profile);
        folder.join("telnet-monitor")
    }

    /// A cargo call in the repository root that shares this checkout's output folder.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = self.command(&self.cargo);
        command.env("CARGO_TARGET_DIR", &self.target);
        command
    }

    /// Any other program, in the repository root.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = process::command(program.as_ref(), &self.added_by_cargo());
        command.current_dir(&self.root);
        command
    }

    /// Prefixes of what `cargo run` puts in front of the library path of this program.
    fn added_by_cargo(&self) -> Vec<PathBuf> {
        let toolchain = self.cargo.parent().and_then(Path::parent);
        [Some(self.target.as_path()), toolchain]
            .into_iter()
            .flatten()
            .filter(|prefix| prefix.is_absolute())
            .map(Path::to_path_buf)
            .collect()
    }
}
