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
    /// Field 3 is `Z` or `X`: it has ended, and its parent has not asked how.
    pub(super) is_dead: bool,
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
            is_dead: matches!(field(3)?, "Z" | "X"),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stat_lines() {
        let rest = "S 1 2 3 34816 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        for (comm, expected) in [
            (&b"inetd"[..], "inetd"),
            (b"a b", "a b"),
            (b") R 9 (", ") R 9 ("),
            (b"new\nline", "new\nline"),
            (b"\xff\x1b", "\u{fffd}\u{1b}"),
            (b"", ""),
        ] {
            let line = [b"7 (", comm, b") ", rest.as_bytes(), b"\n"].concat();
            let stat = Stat {
                comm: expected.into(),
                is_dead: false,
                parent: 1,
                tty: Some((136, 0)),
                start: 4711,
            };
            assert_eq!(Stat::parse(&line), Some(stat), "{comm:?}");
        }
    }

    #[test]
    fn stat_lines_that_are_not_whole() {
        for line in ["", "7", "7 (x", "7 )x(", "7 (x)", "7 (x) S 1 2 3 0 5 6"] {
            assert_eq!(Stat::parse(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn terminals() {
        // new_encode_dev: pts/300 is major 137, minor 44; a minor above 255 is split.
        for (device, numbers) in [
            (0, None),
            (1025, Some((4, 1))),
            (0x8800, Some((136, 0))),
            (0x0010_8801, Some((136, 0x101))),
            (u32::MAX, Some((0xfff, 0xf_ffff))),
        ] {
            assert_eq!(device_numbers(device), numbers, "{device:#x}");
        }
    }

    #[test]
    fn status_lines() {
        let text = b"Name:\tUid:\nUmask:\t0022\nUid:\t1000\t0\t0\t0\nGid:\t5\t6\t7\t8\n\
                     CapEff:\t0000000000000400\n\xff\n";
        let expected = Status {
            uid: Some((1000, 0)),
            gid: Some((5, 6)),
            capabilities: 1 << 10,
        };
        assert_eq!(Status::parse(text), expected);
        assert_eq!(
            capability_names(1 << 10 | 1),
            ["CAP_CHOWN", "CAP_NET_BIND_SERVICE"]
        );
        assert_eq!(capability_names(u64::MAX).len(), 41);
    }

    #[test]
    fn command_lines() {
        let full = vec!["x"; MAX_ARGS].join("\0");
        for (text, args, more) in [
            ("", vec![], false),
            ("\0\0", vec![], false),
            (
                "telnet\0-l\0\0host\0",
                vec!["telnet", "-l", "", "host"],
                false,
            ),
            ("title [x]\0\0\0\0", vec!["title [x]"], false),
            ("\x1b[2J\0é\0", vec!["\x1b[2J", "é"], false),
            (&full, vec!["x"; MAX_ARGS], false),
            (&format!("{full}\0x\0"), vec!["x"; MAX_ARGS], true),
        ] {
            let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
            assert_eq!(arguments(text.as_bytes()), (args, more), "{text:?}");
        }
        let (args, _) = arguments(b"a\xffb\0");
        assert_eq!(args, ["a\u{fffd}b"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let (args, _) = arguments(&bytes);
            prop_assert!(args.len() <= MAX_ARGS);
            prop_assert!(Stat::parse(&bytes).is_none_or(|stat| bytes.len() > stat.comm.len() / 3));
            prop_assert!(Status::parse(&bytes).uid.is_none());
        }

        #[test]
        fn any_name_is_kept(comm in "(?s).{0,20}", start: u64, parent: u32) {
            let line = format!("1 ({comm}) S {parent} 0 0 0 {}{start} 0", "0 ".repeat(14));
            let stat = Stat::parse(line.as_bytes()).expect("a whole line");
            prop_assert_eq!((stat.comm, stat.start, stat.parent), (comm, start, parent));
        }
    }
}
