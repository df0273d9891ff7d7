//! The host the agent runs on.

use std::{
    collections::BTreeSet,
    fs::File,
    io::Read as _,
    net::{IpAddr, Ipv6Addr},
    path::Path,
};

use super::{
    Roots,
    facts::{Host, Os},
};

/// Longest file that is read. `fib_trie` is the long one.
const MAX_TEXT: u64 = 1024 * 1024;

/// Most addresses of a kind in an event.
const MAX_ADDRESSES: usize = 64;

/// Reads what there is to know; what cannot be read is absent.
pub fn read(roots: &Roots) -> Host {
    let uname = rustix::system::uname();
    let release = os_release(&roots.etc);
    let word = |key: &str| -> Option<String> {
        let found = release.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.clone())
    };
    Host {
        hostname: known(&uname.nodename().to_string_lossy()),
        id: line(&roots.etc.join("machine-id")).filter(|id| id != "uninitialized"),
        boot_id: boot_id(&roots.proc),
        architecture: known(&uname.machine().to_string_lossy()),
        ip: addresses(&roots.proc),
        mac: hardware_addresses(&roots.sys),
        os: Os {
            name: word("NAME"),
            version: word("VERSION_ID"),
            full: word("PRETTY_NAME"),
            platform: word("ID"),
            kernel: known(&uname.release().to_string_lossy()),
        },
    }
}

/// The id of this boot of the kernel.
pub fn boot_id(proc_root: &Path) -> Option<String> {
    line(&proc_root.join("sys/kernel/random/boot_id"))
}

fn known(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty() && text != "(none)").then(|| text.to_owned())
}

fn text(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    let file = File::open(path).ok()?;
    file.take(MAX_TEXT).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn line(path: &Path) -> Option<String> {
    known(text(path)?.lines().next()?)
}

/// Assignments of os-release(5), the administrator's file before the vendor's.
fn os_release(etc: &Path) -> Vec<(String, String)> {
    let text = text(&etc.join("os-release"))
        .or_else(|| text(&etc.parent()?.join("usr/lib/os-release")))
        .unwrap_or_default();
    text.lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim().to_owned(), unquote(value.trim())))
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

/// A value as a shell would read it: quoted or not, with escapes.
fn unquote(value: &str) -> String {
    let single = value.len() > 1 && value.starts_with('\'') && value.ends_with('\'');
    let double = value.len() > 1 && value.starts_with('"') && value.ends_with('"');
    let inner = if single || double {
        value.get(1..value.len() - 1).unwrap_or_default()
    } else {
        value
    };
    if single {
        return inner.to_owned();
    }
    let mut plain = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.extend(characters.next()),
            other => plain.push(other),
        }
    }
    plain
}

/// Addresses of this host but for loopback, IPv4 first.
fn addresses(proc_root: &Path) -> Vec<IpAddr> {
    let v4 = text(&proc_root.join("net/fib_trie")).unwrap_or_default();
    let v6 = text(&proc_root.join("net/if_inet6")).unwrap_or_default();
    let found: BTreeSet<IpAddr> = local_v4(&v4)
        .chain(local_v6(&v6))
        .filter(|address| !address.is_loopback() && !address.is_unspecified())
        .collect();
    found.into_iter().take(MAX_ADDRESSES).collect()
}

/// Leaves of the routing trie that are local host addresses: `|-- ADDRESS`, below it
/// `/32 host LOCAL`.
fn local_v4(trie: &str) -> impl Iterator<Item = IpAddr> {
    let mut leaf = None;
    trie.lines().filter_map(move |line| {
        if let Some((_, address)) = line.split_once("|-- ") {
            leaf = address.trim().parse().ok().map(IpAddr::V4);
            None
        } else if line.trim() == "/32 host LOCAL" {
            leaf
        } else {
            None
        }
    })
}

/// Lines of 32 hex digits, interface number, prefix, scope, flags and name.
fn local_v6(table: &str) -> impl Iterator<Item = IpAddr> {
    table.lines().filter_map(|line| {
        let digits = line.split_ascii_whitespace().next()?;
        let bits = (digits.len() == 32).then(|| u128::from_str_radix(digits, 16).ok())??;
        Some(IpAddr::V6(Ipv6Addr::from_bits(bits)))
    })
}

/// Addresses of the interfaces, each once, in ECS's form (RFC 7042: upper case, hyphens).
fn hardware_addresses(sys_root: &Path) -> Vec<String> {
    let Ok(interfaces) = std::fs::read_dir(sys_root.join("class/net")) else {
        return Vec::new();
    };
    let found: BTreeSet<String> = interfaces
        .filter_map(|entry| line(&entry.ok()?.path().join("address")))
        .filter_map(|address| hardware_address(&address))
        .collect();
    found.into_iter().take(MAX_ADDRESSES).collect()
}

fn hardware_address(text: &str) -> Option<String> {
    let octets: Vec<&str> = text.split(':').collect();
    let sound = octets.len() == 6
        && octets
            .iter()
            .all(|octet| octet.len() == 2 && octet.bytes().all(|b| b.is_ascii_hexdigit()));
    let zero = octets.iter().all(|octet| *octet == "00");
    (sound && !zero).then(|| octets.join("-").to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn fixture() -> Roots {
        Roots {
            proc: Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/proc"),
            etc: "/nonexistent/etc".into(),
            sys: "/nonexistent".into(),
        }
    }

    #[test]
    fn addresses_are_those_that_others_can_reach() {
        let host = read(&fixture());
        let addresses: Vec<String> = host.ip.iter().map(ToString::to_string).collect();
        assert_eq!(
            addresses,
            [
                "192.0.2.2",
                "198.51.100.7",
                "2001:db8::2",
                "fe80::fc:ff:fe00:1"
            ]
        );
        let boot_id = "f5a1ba36-4e1c-4a0e-9bd6-5b8d3f1a2c3d";
        assert_eq!(host.boot_id.as_deref(), Some(boot_id));
    }

    #[test]
    fn what_is_not_there_is_absent() {
        let mut roots = fixture();
        roots.proc = "/nonexistent".into();
        let host = read(&roots);
        assert_eq!((host.id, host.boot_id, host.os.name), (None, None, None));
        assert!(host.ip.is_empty() && host.mac.is_empty());
        assert!(host.architecture.is_some(), "uname needs no file");
    }

    #[test]
    fn the_distribution_is_named() {
        let root = tempfile::tempdir().expect("a folder");
        let etc = root.path().join("etc");
        let vendor = root.path().join("usr/lib");
        for folder in [&etc, &vendor] {
            fs::create_dir_all(folder).expect("a folder");
        }
        let text = "# NAME=no\nNAME=\"A \\\"B\\\"\"\nID=b\nVERSION_ID='12'\nPRETTY_NAME=\n\nx\n";
        fs::write(vendor.join("os-release"), text).expect("a file");
        fs::write(etc.join("machine-id"), "uninitialized\n").expect("a file");
        let mut roots = fixture();
        roots.etc = etc;
        let host = read(&roots);
        assert_eq!(host.os.name.as_deref(), Some("A \"B\""));
        assert_eq!(host.os.platform.as_deref(), Some("b"));
        assert_eq!(host.os.version.as_deref(), Some("12"));
        assert_eq!((host.os.full, host.id), (None, None));
    }

    #[test]
    fn hardware_addresses_in_the_form_of_ecs() {
        for (text, expected) in [
            ("00:00:5e:00:53:23", Some("00-00-5E-00-53-23")),
            ("00:00:00:00:00:00", None),
            (
                "80:00:02:08:fe:80:00:00:00:00:00:00:00:02:c9:03:00:21:33:bd",
                None,
            ),
            ("0:0:5e:0:53:23", None),
            ("", None),
        ] {
            assert_eq!(hardware_address(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn the_tables_are_bounded() {
        use std::fmt::Write as _;

        let root = tempfile::tempdir().expect("a folder");
        fs::create_dir(root.path().join("net")).expect("a folder");
        let mut trie = String::new();
        for host in 0..200 {
            writeln!(trie, "|-- 10.0.0.{host}\n   /32 host LOCAL").expect("memory");
        }
        fs::write(root.path().join("net/fib_trie"), trie).expect("a file");
        assert_eq!(addresses(root.path()).len(), MAX_ADDRESSES);
    }
}
