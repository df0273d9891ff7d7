//! The text of `/proc/PID/{stat,status,cmdline}` (proc(5)). Any bytes may be in it: a process
//! names itself.

use crate::probe::record::Task;

/// Most arguments that are kept.
pub(super) const MAX_ARGS: usize = 256;

/// What is used of `/proc/PID/stat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    /// Field 2, bytes that are not UTF-8 replaced.
    pub(super) comm: String,
    /// Field 4.
    pub(super) parent: u32,
    /// Field 7, as major and minor number; none without a controlling terminal.
    pub(super) tty: Option<(u32, u32)>,
    /// Field 22: ticks after boot.
    pub(super) start: u64,
}

impl Stat {
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        // comm may hold spaces, parentheses and newlines: it ends at the last parenthesis.
        let open = text.iter().position(|byte| *byte == b'(')?;
        let close = text.iter().rposition(|byte| *byte == b')')?;
        let comm = text.get(open + 1..close)?;
        let rest = std::str::from_utf8(text.get(close + 1..)?).ok()?;
        // The first of these is field 3.
        let field = |number: usize| rest.split_ascii_whitespace().nth(number - 3);
        let device: i32 = field(7)?.parse().ok()?;
        Some(Self {
            comm: String::from_utf8_lossy(comm).into_owned(),
            parent: field(4)?.parse().ok()?,
            tty: device_numbers(device.cast_unsigned()),
            start: field(22)?.parse().ok()?,
        })
    }
}

/// Undoes the kernel's `new_encode_dev`.
const fn device_numbers(device: u32) -> Option<(u32, u32)> {
    if device == 0 {
        return None;
    }
    let major = (device >> 8) & 0xfff;
    let minor = (device & 0xff) | ((device >> 12) & 0xf_ff00);
    Some((major, minor))
}

/// What is used of `/proc/PID/status`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    /// Real and effective user id.
    pub(super) uid: Option<(u32, u32)>,
    /// Real and effective group id.
    pub(super) gid: Option<(u32, u32)>,
    /// Effective capabilities.
    pub(super) capabilities: u64,
}

impl Status {
    pub(super) fn parse(text: &[u8]) -> Self {
        let mut status = Self::default();
        // The name, which a process chooses, comes first and has its newlines escaped.
        for line in text.split(|byte| *byte == b'\n') {
            let Ok(line) = std::str::from_utf8(line) else {
                continue;
            };
            let Some((key, value)) = line.split_once(':') else {
                continue;
            };
            match key {
                "Uid" => status.uid = real_and_effective(value),
                "Gid" => status.gid = real_and_effective(value),
                "CapEff" => {
                    status.capabilities = u64::from_str_radix(value.trim(), 16).unwrap_or(0);
                }
                _ => {}
            }
        }
        status
    }

    /// Whether the real ids are those that the kernel reported.
    pub(super) fn is_run_as(&self, task: &Task) -> bool {
        let is = |ids: Option<(u32, u32)>, real| ids.is_some_and(|ids| ids.0 == real);
        is(self.uid, task.uid) && is(self.gid, task.gid)
    }
}

fn real_and_effective(value: &str) -> Option<(u32, u32)> {
    let mut ids = value.split_ascii_whitespace();
    Some((ids.next()?.parse().ok()?, ids.next()?.parse().ok()?))
}

/// Arguments of `/proc/PID/cmdline`, and whether there are more than [`MAX_ARGS`].
pub(super) fn arguments(text: &[u8]) -> (Vec<String>, bool) {
    // A process that shortened its title leaves zeroes behind.
    let end = text
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |i| i + 1);
    let text = text.get(..end).unwrap_or_default();
    if text.is_empty() {
        return (Vec::new(), false);
    }
    let mut parts = text.split(|byte| *byte == 0);
    let list = parts
        .by_ref()
        .take(MAX_ARGS)
        .map(|part| String::from_utf8_lossy(part).into_owned())
        .collect();
    (list, parts.next().is_some())
}

/// Names of the capabilities in a set, in the order of `linux/capability.h`.
pub(super) fn capability_names(set: u64) -> Vec<String> {
    (0..64)
        .filter(|bit| set >> bit & 1 == 1)
        .filter_map(|bit| CAPABILITIES.get(bit))
        .map(|name| format!("CAP_{name}"))
        .collect()
}

const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];
