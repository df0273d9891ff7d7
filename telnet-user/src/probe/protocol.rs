//! The programs that look for the protocol of sessions, on the packets of all sockets.

use std::{fs::File, io, os::unix::fs::MetadataExt as _, path::Path};

use aya::{
    Ebpf,
    programs::{CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, ProgramError},
};
use rustix::thread::{CapabilitySet, capabilities};
use tracing::info;

use super::{error::reason, load::named};

/// Where cgroup v2 is mounted: alone, or beside v1.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// Inode number of the root of cgroup v2. That of a container's own root is another.
const ROOT: u64 = 1;
const SIDES: [CgroupSkbAttachType; 2] = [CgroupSkbAttachType::Egress, CgroupSkbAttachType::Ingress];

/// Whether the protocol of sessions is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProtocolLook {
    /// It need not be.
    Unasked,
    /// It is.
    On,
    /// It cannot be, for this reason.
    Refused(String),
}

/// Loads and attaches them.
///
/// # Errors
///
/// Why they cannot be had.
pub(super) fn attach(ebpf: &mut Ebpf) -> Result<(), String> {
    let root = root()?;
    let programs = telnet_common::PROGRAMS_PROTOCOL.into_iter().zip(SIDES);
    for (name, side) in programs {
        attach_to(ebpf, name, &root, side).map_err(|error| {
            let reason = reason(&error);
            // Some kernels ask for it, some for CAP_SYS_ADMIN.
            let may = capabilities(None)
                .is_ok_and(|sets| sets.effective.contains(CapabilitySet::NET_ADMIN));
            if may {
                reason
            } else {
                format!("{reason}; this process has no CAP_NET_ADMIN")
            }
        })?;
    }
    info!("first bytes of sessions are looked at");
    Ok(())
}

fn attach_to(
    ebpf: &mut Ebpf,
    name: &str,
    root: &File,
    side: CgroupSkbAttachType,
) -> Result<(), ProgramError> {
    let program: &mut CgroupSkb = named(ebpf, name)?;
    program.load()?;
    // By a link, beside which there may always be others: it takes no mode.
    program.attach(root, side, CgroupAttachMode::Single)?;
    Ok(())
}

/// The root of cgroup v2, in which all sockets of the host are.
fn root() -> Result<File, String> {
    for mount in MOUNTS {
        let said = |error: io::Error| format!("{mount}: {error}");
        let controllers = Path::new(mount).join("cgroup.controllers");
        if controllers.try_exists().map_err(said)? {
            let folder = File::open(mount).map_err(said)?;
            if folder.metadata().map_err(said)?.ino() == ROOT {
                return Ok(folder);
            }
            return Err(format!("{mount} is not the root of the host's cgroups"));
        }
    }
    Err(format!("no cgroup v2 on {}", MOUNTS.join(" or ")))
}
