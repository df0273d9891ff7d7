//! What benchmarks compare with and measure by, unpacked beside the build.

use std::{fs, path::PathBuf};

use anyhow::Context as _;

use super::apt;
use crate::workspace::Workspace;

/// Debian packages, each with the libraries that this machine lacks.
#[derive(Clone, Copy)]
pub(crate) enum Kit {
    /// What the agent is compared with.
    Peers,
    /// Counts instructions.
    Valgrind,
}

impl Kit {
    const fn name(self) -> &'static str {
        match self {
            Self::Peers => "peers",
            Self::Valgrind => "valgrind",
        }
    }

    const fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Peers => &["bpftrace", "libbpf-tools"],
            Self::Valgrind => &["valgrind"],
        }
    }

    /// Unpacks it if it is not, and says so before; the root of the tree. The stamp is written
    /// last, so that an interrupted run is repeated.
    pub(crate) fn ensure(self, workspace: &Workspace) -> anyhow::Result<PathBuf> {
        let root = workspace.tools().join(self.name());
        let stamp = root.join("unpacked");
        let wanted = self.packages().join(" ");
        if fs::read_to_string(&stamp).is_ok_and(|text| text == wanted) {
            return Ok(root);
        }
        println!(
            "setup: unpack (not install) into target/tools/{}: {wanted}",
            self.name()
        );
        apt::download_and_unpack(workspace, self.packages(), &root)?;
        fs::write(&stamp, wanted).with_context(|| stamp.display().to_string())?;
        Ok(root)
    }
}
