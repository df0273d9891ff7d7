//! `cargo xtask package`: .deb, .rpm and .tar.gz under target/package.

use anyhow::bail;

use crate::{
    package::{self, Package},
    toolchain::{self, Need},
    workspace::Workspace,
};

/// What `package` can be told.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Build everything a second time, in another folder, and compare
    #[arg(long)]
    verify: bool,
    /// Install, upgrade and remove the .deb and the .rpm in a Debian of their own, as root
    #[arg(long)]
    test: bool,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    let Options { verify, test } = options;
    let ready = toolchain::ensure(workspace, &[Need::Probe, Need::Packages], None)?;
    let packages = package::make(workspace, ready.toolchain, package::BUILD)?;
    if *verify {
        let again = package::make(workspace, ready.toolchain, "package/build-again")?;
        compare(&packages, &again)?;
        println!("built twice, the same bytes");
    }
    for Package { file, sha256 } in &packages {
        println!("{sha256}  {}", file.display());
    }
    package::check(workspace, &packages)?;
    if *test {
        package::install(workspace, &packages)?;
    }
    Ok(())
}

fn compare(first: &[Package], second: &[Package]) -> anyhow::Result<()> {
    for (one, other) in first.iter().zip(second) {
        if one != other {
            bail!(
                "{} was {} and, built again, is {}",
                one.file.display(),
                one.sha256,
                other.sha256
            );
        }
    }
    Ok(())
}
