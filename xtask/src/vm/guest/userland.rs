//! Telnet servers and what else the live tests start, for the guest's processor.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use crate::{
    target::Target,
    toolchain::{TEST_PACKAGES, TEST_PROGRAMS},
    vm::kernel::{Archive, with_fresh_lists},
    workspace::Workspace,
};

/// Debian's release with the C library that its cross compiler links with.
const RELEASE: &str = "bookworm";

/// The root of the unpacked packages. This machine's own lack the libraries that it has; another
/// processor's are whole, and fetched once.
pub(super) fn root(workspace: &Workspace, target: Target) -> anyhow::Result<PathBuf> {
    if target.is_own() {
        return Ok(workspace.test_root());
    }
    let root = workspace.tools().join(format!("root-{}", target.debian()));
    let stamp = root.with_extension("stamp");
    let wanted = TEST_PACKAGES.join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|text| text == wanted) {
        return Ok(root);
    }
    unpack(workspace, target, &root)?;
    // Last, so that an interrupted download is repeated.
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(root)
}

fn unpack(workspace: &Workspace, target: Target, root: &Path) -> anyhow::Result<()> {
    println!(
        "fetching for {}: {}",
        target.debian(),
        TEST_PACKAGES.join(" ")
    );
    with_fresh_lists(|fresh| {
        Archive::open(workspace, target, fresh)?.unpack_whole(RELEASE, &TEST_PACKAGES, root)
    })?;
    for program in TEST_PROGRAMS {
        if !root.join(program).is_file() {
            bail!("{program} is not in the unpacked packages");
        }
    }
    Ok(())
}
