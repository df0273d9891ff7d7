//! What `cargo xtask bench` compares with and measures by, unpacked beside the build.

use std::{fs, path::PathBuf};

use anyhow::Context as _;

use super::apt;
use crate::workspace::Workspace;

/// Each with the libraries that this machine lacks.
const PACKAGES: [&str; 3] = ["bpftrace", "libbpf-tools", "valgrind"];

/// Unpacks them if they are not, and says so before; the root of the tree. The stamp is written
/// last, so that an interrupted run is repeated.
pub(crate) fn ensure(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let root = workspace.tools().join("peers");
    let stamp = root.join("unpacked");
    let wanted = PACKAGES.join(" ");
    if fs::read_to_string(&stamp).is_ok_and(|text| text == wanted) {
        return Ok(root);
    }
    println!("setup: unpack (not install) into target/tools/peers: {wanted}");
    apt::download_and_unpack(workspace, &PACKAGES, &root)?;
    fs::write(&stamp, wanted).with_context(|| stamp.display().to_string())?;
    Ok(root)
}
