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
