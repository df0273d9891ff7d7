//! `cargo xtask package`: .deb, .rpm and .tar.gz under target/package.

use anyhow::bail;

use crate::{
    package::{self, Package},
    toolchain::{self, Need, Privilege},
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
    if *test {
        package::may_install(Privilege::here())?;
    }
    let ready = toolchain::ensure(workspace, &needs(*test), None)?;
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

/// A test makes a Debian, as virtual machines with one do.
fn needs(test: bool) -> Vec<Need> {
    let mut needs = vec![Need::Probe, Need::Packages];
    needs.extend(test.then_some(Need::Machines));
    needs
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_has_what_makes_a_debian_and_is_for_root() {
        assert!(needs(true).contains(&Need::Machines));
        assert!(!needs(false).contains(&Need::Machines));
        package::may_install(Privilege::Root).unwrap();
        for privilege in [Privilege::Sudo, Privilege::Missing] {
            package::may_install(privilege).unwrap_err();
        }
    }
}
