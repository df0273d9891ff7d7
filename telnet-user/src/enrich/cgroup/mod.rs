//! `/proc/PID/cgroup`: which container, systemd unit and slice a process is in.
//!
//! Shapes: cgroups(7); unit and slice as systemd's own `cg_path_get_unit` reads them; container
//! ids as the runtimes' cgroupfs and systemd drivers name them.

use std::path::Path;

use super::facts::Container;

/// What a process's cgroup paths say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// The innermost container.
    pub container: Option<Container>,
    /// Unit of the system's service manager, as `systemctl status PID` names it: a program of a
    /// user's own manager is in `user@1000.service`.
    pub unit: Option<String>,
    /// The slice the unit is in.
    pub slice: Option<String>,
}

/// Unit types that have processes.
const UNIT_SUFFIXES: [&str; 5] = [".service", ".scope", ".socket", ".mount", ".swap"];

/// Longest name of a unit (`UNIT_NAME_MAX`) and of a file (`NAME_MAX`).
const NAME_MAX: usize = 255;

/// Prefixes before a container id in a scope's or folder's name.
const RUNTIMES: [(&str, &str); 7] = [
    ("docker", "docker"),
    ("libpod", "podman"),
    ("cri-containerd", "containerd"),
    ("containerd", "containerd"),
    ("nerdctl", "containerd"),
    ("crio", "cri-o"),
    ("cri-o", "cri-o"),
];

/// Reads the text of `/proc/PID/cgroup`, all hierarchies of it.
pub fn parse(text: &str) -> Membership {
    let mut unified = None;
    let mut named = None;
    let mut others = Vec::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(number), Some(controllers), Some(path)) =
            (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        if number == "0" && controllers.is_empty() {
            unified = Some(path);
        } else if controllers == "name=systemd" {
            named = Some(path);
        } else {
            others.push(path);
        }
    }
    // The service manager uses the unified hierarchy where it can, else its own named one.
    let managed = [unified, named]
        .into_iter()
        .flatten()
        .find(|path| *path != "/");
    let (unit, slice) = managed.map_or((None, None), unit_and_slice);
    let container = [unified, named]
        .into_iter()
        .flatten()
        .chain(others)
        .find_map(container);
    Membership {
        container,
        unit,
        slice,
    }
}

/// The id of the unified cgroup in the text: the inode number of its folder under `root`, the
/// mount point of the hierarchy, is what `bpf_get_current_cgroup_id` returns. None when the path
/// leads out of the reader's cgroup namespace, and of the topmost cgroup, which tells nothing: where
/// the older hierarchies say who is in which container, everybody is in it.
pub fn id(root: &Path, text: &str) -> Option<u64> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    if path == "/" || path.split('/').any(|name| name == "..") {
        return None;
    }
    let folder = rustix::fs::stat(root.join(path.trim_start_matches('/'))).ok()?;
    Some(folder.st_ino)
}

/// Folder names of a path; `..` appears when the reader is in a cgroup namespace of its own.
fn components(path: &str) -> impl DoubleEndedIterator<Item = &str> + Clone {
    path.split('/')
        .filter(|name| !name.is_empty() && *name != "..")
}

fn unit_and_slice(path: &str) -> (Option<String>, Option<String>) {
    let mut slice = None;
    for name in components(path) {
        // A name that would clash with a kernel file has an underscore before it.
        let name = name.strip_prefix('_').unwrap_or(name);
        if is_unit(name, &[".slice"]) {
            slice = Some(name.to_owned());
        } else {
            let unit = is_unit(name, &UNIT_SUFFIXES).then(|| name.to_owned());
            return (unit, slice);
        }
    }
    (None, slice)
}

fn is_unit(name: &str, suffixes: &[&str]) -> bool {
    name.len() <= NAME_MAX
        && suffixes
            .iter()
            .any(|suffix| name.len() > suffix.len() && name.ends_with(suffix))
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte))
}

fn container(path: &str) -> Option<Container> {
    let names: Vec<&str> = components(path).collect();
    let (depth, (id, runtime)) = names.iter().enumerate().rev().find_map(|(depth, name)| {
        let parent = depth.checked_sub(1).and_then(|above| names.get(above));
        Some((depth, identify(name, parent.copied())?))
    })?;
    let pod_uid = names.iter().take(depth + 1).rev().find_map(|n| pod_uid(n));
    Some(Container {
        id,
        runtime,
        pod_uid,
    })
}

/// A container's id and runtime by the name of its folder and of the one above.
fn identify(name: &str, parent: Option<&str>) -> Option<(String, Option<&'static str>)> {
    let bare = name.strip_suffix(".scope").unwrap_or(name);
    // `SLICE:PREFIX:ID`: a systemd-style path that the cgroupfs driver took literally.
    let mut colons = bare.rsplitn(3, ':');
    if let (Some(id), Some(prefix), Some(_)) = (colons.next(), colons.next(), colons.next())
        && is_id(id)
    {
        return Some((id.to_owned(), runtime(prefix)));
    }
    if is_id(bare) {
        return Some((bare.to_owned(), parent.and_then(runtime)));
    }
    if let Some((prefix, id)) = bare.rsplit_once('-')
        && is_id(id)
        && let Some(runtime) = runtime(prefix)
    {
        return Some((id.to_owned(), Some(runtime)));
    }
    machine(name, parent)
}

/// Runtimes that name containers by a word: LXC and systemd-nspawn.
fn machine(name: &str, parent: Option<&str>) -> Option<(String, Option<&'static str>)> {
    let (name, runtime) = if let Some(name) = name.strip_prefix("lxc.payload.") {
        (name.to_owned(), "lxc")
    } else if matches!(parent, Some("lxc" | "lxc.payload")) {
        (name.to_owned(), "lxc")
    } else if let Some(name) = name
        .strip_prefix("systemd-nspawn@")
        .and_then(|rest| rest.strip_suffix(".service"))
    {
        (unescape(name), "systemd-nspawn")
    } else if parent == Some("machine.slice") {
        let name = name.strip_prefix("machine-")?.strip_suffix(".scope")?;
        let name = unescape(name);
        // libvirt registers its virtual machines here; they are no containers.
        if name.starts_with("qemu-") {
            return None;
        }
        match name.strip_prefix("lxc-") {
            Some(name) => (name.to_owned(), "lxc"),
            None => (name, "systemd-nspawn"),
        }
    } else {
        return None;
    };
    let sound = !name.is_empty()
        && name.len() <= NAME_MAX
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    sound.then_some((name, Some(runtime)))
}

fn runtime(prefix: &str) -> Option<&'static str> {
    RUNTIMES
        .iter()
        .find_map(|(word, runtime)| (*word == prefix).then_some(*runtime))
}

/// Runtimes that follow OCI conventions use 256 random bits in lower-case hex.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(is_lower_hex)
}

const fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// A pod's uid: `podUID` of the cgroupfs driver, `kubepods-QOS-podUID.slice` of the systemd one,
/// whose dashes would mean nested slices and are underscores.
fn pod_uid(name: &str) -> Option<String> {
    let name = name.split(':').next().unwrap_or(name);
    let uid = match name.strip_suffix(".slice") {
        Some(slice) if slice.starts_with("kubepods") => {
            slice.rsplit_once("-pod")?.1.replace('_', "-")
        }
        Some(_) => return None,
        None => name.strip_prefix("pod")?.to_owned(),
    };
    let sound = (32..=36).contains(&uid.len())
        && uid.bytes().all(|byte| is_lower_hex(byte) || byte == b'-');
    sound.then_some(uid)
}

/// Undoes systemd's `\xNN` in unit names, as far as it is plain ASCII.
fn unescape(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, after)) = rest.split_once("\\x") {
        plain.push_str(before);
        let decoded = after
            .get(..2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok())
            .filter(u8::is_ascii_graphic);
        rest = if let (Some(byte), Some(tail)) = (decoded, after.get(2..)) {
            plain.push(char::from(byte));
            tail
        } else {
            plain.push_str("\\x");
            after
        };
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests;
