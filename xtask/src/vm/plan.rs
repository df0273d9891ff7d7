//! What runs where: guests by their labels, and their suites.

use super::{expect::Expected, kernel::NEWEST};
use crate::target::Target;

/// Labels of the guests that every change is tested in: the oldest supported kernel, the one most
/// installed, and whatever is newest.
pub(super) const SHARE: [&str; 3] = ["5.10", "6.1", NEWEST];
/// What they run of it: enough to see that the probe loads whole and reads the right memory, in
/// minutes although the processor is emulated.
const SHARE_SUITES: [&str; 3] = [KERNEL, AUTO, REFUSALS];
/// Labels of all guests.
pub(crate) const ALL: [&str; 12] = [
    "6.1-aarch64",
    "5.10",
    "6.1",
    "6.12",
    "6.18",
    "newest",
    "newest-lockdown",
    "5.10-systemd",
    "6.1-systemd",
    "6.12-systemd",
    "6.18-systemd",
    "newest-systemd",
];

/// Runs of the live tests, by the agent's names for the ways to learn who accepted a connection:
/// its own choice, then each one forced, the best first.
pub(super) const HOOKS: [&str; 5] = [AUTO, "fentry", "kprobe", "syscall-exit", "userspace"];

/// The agent's own choice.
pub(super) const AUTO: &str = "auto";

/// The live tests of who is on a socket, which read most of the kernel's memory, and of a login from
/// beginning to end: whether what a process does is told once.
const SHARE_TESTS: &str = "owners:: logins::told::";

/// The live tests that are left out without a hook: nothing is told of logins then, which a test among
/// them says wherever there is one.
const SKIP_UNHOOKED: &str = "--skip logins::";

/// Sessions in the tests with many of them: as many as on any machine take an emulated one minutes
/// for each test.
pub(super) const FEWER_SESSIONS: &str = "250";

/// What the kernel gives the agent: see [`Expected`].
pub(super) const KERNEL: &str = "kernel";

/// What the agent must refuse with a sentence: a kernel that is too old.
pub(super) const REFUSALS: &str = "refusals";

/// Tests of a whole Debian system from inside.
const SYSTEM: &str = "systemd";

/// Every suite, in the order in which a guest runs them.
pub(crate) fn suites() -> impl Iterator<Item = &'static str> {
    live_suites().chain([SYSTEM])
}

/// Those of a kernel that is used as it comes, with little around the tests.
fn live_suites() -> impl Iterator<Item = &'static str> {
    [KERNEL].into_iter().chain(HOOKS).chain([REFUSALS])
}

/// Which of the live tests to run.
#[derive(Clone, Debug)]
pub(crate) enum Tests {
    /// Those whose name contains this.
    Matching(String),
    /// Those of the share of every change.
    Share,
    /// All of them.
    All,
}

impl Tests {
    /// What is given to the test program.
    pub(super) fn filter(&self) -> &str {
        match self {
            Self::Matching(text) => text,
            Self::Share => SHARE_TESTS,
            Self::All => "",
        }
    }

    /// What is given besides where no hook tells who accepted.
    pub(super) const fn unhooked(&self) -> &str {
        match self {
            Self::Matching(_) | Self::Share => "",
            Self::All => SKIP_UNHOOKED,
        }
    }
}

/// A kernel, how it is started, and what runs on it.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    /// Short name in the output.
    pub(crate) label: String,
    pub(crate) target: Target,
    /// Kernel series.
    pub(crate) series: String,
    pub(crate) userland: Userland,
    /// Kernel parameters of its own.
    pub(crate) parameters: &'static str,
    /// Some of [`suites`].
    pub(crate) suites: Vec<String>,
    pub(crate) expected: Expected,
}

/// What runs on a guest's kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Userland {
    /// A first process of our own, busybox and what the tests bring.
    Busybox,
    /// Debian with systemd.
    Debian,
}

impl Userland {
    /// As QEMU takes it: the file system is in memory too.
    pub(super) const fn memory(self) -> &'static str {
        match self {
            Self::Busybox => "2G",
            Self::Debian => "3G",
        }
    }
}

/// Ends the label of a kernel under lockdown.
const LOCKED_DOWN: &str = "-lockdown";
/// Ends the label of a guest with a whole Debian system.
const WITH_SYSTEMD: &str = "-systemd";
/// Ends the label of a guest with that processor.
const ON_AARCH64: &str = "-aarch64";

impl Guest {
    /// A guest by its label, which is a kernel series and what is special.
    pub(crate) fn labelled(label: &str) -> Self {
        if let Some(series) = label.strip_suffix(LOCKED_DOWN) {
            Self::locked_down(series)
        } else if let Some(series) = label.strip_suffix(WITH_SYSTEMD) {
            Self::with_systemd(series)
        } else if let Some(series) = label.strip_suffix(ON_AARCH64) {
            Self::on_aarch64(series)
        } else {
            Self::plain(label)
        }
    }

    /// The guests that every change is tested in, and what they run of it.
    pub(super) fn share() -> impl Iterator<Item = Self> {
        let suites = SHARE_SUITES.map(str::to_owned);
        let guests = SHARE.into_iter().map(Self::labelled);
        guests.filter_map(move |guest| guest.limited_to(&suites))
    }

    /// Only what it has of these suites; none for a guest that has none of them.
    pub(crate) fn limited_to(mut self, suites: &[String]) -> Option<Self> {
        self.suites.retain(|suite| suites.contains(suite));
        (!self.suites.is_empty()).then_some(self)
    }

    /// A kernel as it comes.
    fn plain(series: &str) -> Self {
        Self {
            label: series.to_owned(),
            target: Target::X86_64,
            series: series.to_owned(),
            userland: Userland::Busybox,
            parameters: "",
            suites: live_suites().map(str::to_owned).collect(),
            expected: Expected::of(Target::X86_64, series),
        }
    }

    /// The same kernel for another processor, which may not have the best hooks; what the agent
    /// must refuse is the same.
    fn on_aarch64(series: &str) -> Self {
        let expected = Expected::of(Target::Aarch64, series);
        let lacked = HOOKS.into_iter().skip(1);
        let lacked: Vec<_> = lacked.take_while(|hook| *hook != expected.hook).collect();
        let mut guest = Self {
            label: format!("{series}{ON_AARCH64}"),
            target: Target::Aarch64,
            expected,
            ..Self::plain(series)
        };
        guest
            .suites
            .retain(|suite| suite != REFUSALS && !lacked.contains(&suite.as_str()));
        guest
    }

    /// A kernel that lets not even root read its memory, as with Secure Boot at its strictest: no
    /// program with `bpf_probe_read_kernel` loads, and the agent has to choose those without.
    fn locked_down(series: &str) -> Self {
        Self {
            label: format!("{series}{LOCKED_DOWN}"),
            parameters: "lockdown=confidentiality",
            expected: Expected::locked_down(),
            suites: [KERNEL, AUTO].map(str::to_owned).into(),
            ..Self::plain(series)
        }
    }

    /// The system that servers run.
    fn with_systemd(series: &str) -> Self {
        Self {
            label: format!("{series}{WITH_SYSTEMD}"),
            userland: Userland::Debian,
            parameters: "systemd.unit=tests.target",
            suites: vec![SYSTEM.to_owned()],
            ..Self::plain(series)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_is_every_kernel_of_it_with_all_its_suites() {
        let suites: Vec<_> = Guest::share().map(|guest| guest.suites).collect();
        assert_eq!(suites, [SHARE_SUITES; SHARE.len()]);
    }

    #[test]
    fn guests_run_only_what_they_have() {
        let suites = ["auto", "fentry"].map(str::to_owned);
        let suites_of = |label| Guest::labelled(label).limited_to(&suites).map(|g| g.suites);
        assert_eq!(suites_of("6.1").unwrap(), suites);
        assert_eq!(suites_of("newest-lockdown").unwrap(), ["auto"]);
        assert_eq!(suites_of("6.1-systemd"), None);
        assert_eq!(suites_of("6.1-aarch64").unwrap(), ["auto"]);
    }

    #[test]
    fn aarch64_runs_what_its_kernel_has() {
        let guest = Guest::labelled("6.1-aarch64");
        assert_eq!(
            (guest.target, guest.series.as_str()),
            (Target::Aarch64, "6.1")
        );
        let suites = [KERNEL, AUTO, "kprobe", "syscall-exit", "userspace"];
        assert_eq!(guest.suites, suites);
        assert!(
            Guest::labelled("6.12-aarch64")
                .suites
                .contains(&"fentry".to_owned())
        );
    }
}
