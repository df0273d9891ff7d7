//! What the host must give before anything is loaded.

use rustix::{
    process::{Resource, Rlimit, setrlimit},
    system::uname,
    thread::{CapabilitySet, capabilities},
};
use tracing::debug;

use super::error::{LoadError, MINIMUM};

/// Refuses a kernel that is too old.
pub(super) fn kernel() -> Result<(), LoadError> {
    let uname = uname();
    let release = uname.release().to_string_lossy();
    if parse_release(&release).is_some_and(|version| version < MINIMUM) {
        return Err(LoadError::TooOld {
            release: release.into_owned(),
        });
    }
    Ok(())
}

/// Whether the kernel is this one or a later one; not where its release is no number.
pub(super) fn is_kernel(version: (u32, u32)) -> bool {
    parse_release(&uname().release().to_string_lossy()).is_some_and(|found| found >= version)
}

/// Major and minor number of `uname -r`.
fn parse_release(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|byte: char| !byte.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Refuses a process that may not load programs.
pub(super) fn privileges() -> Result<(), LoadError> {
    // A kernel that cannot say is asked by loading.
    let Ok(sets) = capabilities(None) else {
        return Ok(());
    };
    let has = |set| sets.effective.contains(set);
    if has(CapabilitySet::SYS_ADMIN) || has(CapabilitySet::BPF) && has(CapabilitySet::PERFMON) {
        Ok(())
    } else {
        Err(LoadError::NotPermitted)
    }
}

/// Kernels before 5.11 charge maps to the locked-memory limit.
pub(super) fn lift_memory_limit() {
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    if let Err(error) = setrlimit(Resource::Memlock, unlimited) {
        debug!(%error, "locked-memory limit stays as it is");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_releases_compare_by_number() {
        for (release, expected) in [
            ("5.10.0-32-cloud-amd64", Some((5, 10))),
            ("6.18.44-fc-v669", Some((6, 18))),
            ("5.4.0", Some((5, 4))),
            ("7.3+", Some((7, 3))),
            ("4.19-rc1", Some((4, 19))),
            ("weird", None),
        ] {
            assert_eq!(parse_release(release), expected, "{release}");
        }
        assert!(parse_release("5.9.16") < Some(MINIMUM));
        assert!(parse_release("5.10") >= Some(MINIMUM));
    }
}
