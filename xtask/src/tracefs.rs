//! tracefs, which the accept hook on system call tracepoints needs.

use std::{fs, path::Path};

use crate::{process, toolchain::Privilege, workspace::Workspace};

const POINT: &str = "/sys/kernel/tracing";

/// Mounts tracefs where systemd would, when nobody has: a system without systemd leaves that to
/// whoever needs it. The agent itself changes nothing on the host; without tracefs it finds
/// acceptors by other means, so a failure here is only told.
pub(crate) fn ensure(workspace: &Workspace) {
    if is_mounted() {
        return;
    }
    println!("tracefs is not mounted; mounting it at {POINT}, as systemd does");
    let mut command = match Privilege::here() {
        Privilege::Root => workspace.command("mount"),
        Privilege::Sudo => {
            let mut command = workspace.command("sudo");
            command.args(["--", "mount"]);
            command
        }
        Privilege::Missing => return,
    };
    command.args(["-t", "tracefs", "tracefs", POINT]);
    if let Err(error) = process::run(&mut command) {
        println!("tracefs stays unmounted: {error:#}");
    }
}

fn is_mounted() -> bool {
    // A mount table that cannot be read is no reason to mount anything.
    let Ok(mounts) = fs::read_to_string("/proc/self/mounts") else {
        return true;
    };
    lists_tracefs(&mounts) || !Path::new(POINT).is_dir()
}

/// Whether a mount table has tracefs at its usual place, also inside debugfs.
fn lists_tracefs(mounts: &str) -> bool {
    mounts.lines().any(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        fields.next() == Some(POINT) && fields.next() == Some("tracefs")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracefs_counts_only_at_its_place() {
        assert!(lists_tracefs("tracefs /sys/kernel/tracing tracefs rw 0 0\n"));
        assert!(!lists_tracefs("tracefs /mnt tracefs rw 0 0\nproc /proc proc rw 0 0\n"));
        assert!(!lists_tracefs("none /sys/kernel/tracing tmpfs rw 0 0\n"));
        assert!(!lists_tracefs(""));
    }
}
