//! Licence texts of everything that is linked into the agent or its probe: most of them want to
//! go where the binary goes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::stage::TARGET;
use crate::{process, workspace::Workspace};

/// What a static binary has beside crates, with the folder below `packaging` of its notice.
const RUNTIME: &str = "telnet-user/packaging/notices";
/// Beginnings of the names of files with a licence or a notice.
const NAMES: [&str; 5] = ["COPYING", "COPYRIGHT", "LICENCE", "LICENSE", "NOTICE"];

/// A crate, or another part of the binary.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    name: String,
    /// SPDX expression.
    licence: String,
}

/// The notices of all parts, each text once.
///
/// # Errors
///
/// When a crate brings no text and none of its licences has one that is the same for everybody.
pub(super) fn write(workspace: &Workspace) -> anyhow::Result<String> {
    let folders = folders(workspace)?;
    let mut parts = BTreeSet::new();
    for (package, target) in [
        ("telnet-user", TARGET.triple()),
        ("telnet-ebpf", "bpfel-unknown-none"),
    ] {
        parts.extend(linked(workspace, package, target)?);
    }
    let mut texts: BTreeMap<String, BTreeSet<Part>> = BTreeMap::new();
    for part in parts {
        let folder = folders.get(&part.name);
        let folder = folder.with_context(|| format!("{} is nowhere", part.name))?;
        let mut own = read_texts(folder)?;
        if own.is_empty() {
            own.push(common_text(workspace, &part)?);
        }
        for text in own {
            texts.entry(text).or_default().insert(part.clone());
        }
    }
    for text in read_texts(workspace.root().join(RUNTIME))? {
        texts.entry(text).or_default();
    }
    Ok(render(&texts))
}

fn render(texts: &BTreeMap<String, BTreeSet<Part>>) -> String {
    let mut out = String::from("What telnet-monitor is made of, and under which licences.\n");
    for (text, parts) in texts {
        out.push_str("\n----------------------------------------\n\n");
        for Part { name, licence } in parts {
            let _infallible = writeln!(out, "{name} ({licence})");
        }
        let _infallible = writeln!(out, "\n{text}");
    }
    out
}

/// What cargo links for `target`, without the workspace's own crates.
fn linked(workspace: &Workspace, package: &str, target: &str) -> anyhow::Result<Vec<Part>> {
    let mut command = workspace.cargo();
    command
        .args(["tree", "--locked", "--package", package, "--target", target])
        .args(["--edges", "normal,no-proc-macro"])
        .args(["--prefix", "none", "--no-dedupe", "--format", "{p}|{l}"]);
    let mut parts = Vec::new();
    for line in process::capture(&mut command)?.lines() {
        let (crate_, licence) = line
            .split_once('|')
            .context("cargo tree changed its form")?;
        // Only crates of the workspace have a path behind the version.
        if let [name, version] = crate_.split(' ').collect::<Vec<_>>()[..] {
            parts.push(Part {
                name: format!("{name} {version}"),
                licence: licence.to_owned(),
            });
        }
    }
    if parts.is_empty() {
        bail!("cargo tree names nothing that is linked into {package}");
    }
    Ok(parts)
}

/// Folders of all crates by name and version, as `cargo tree` writes them.
fn folders(workspace: &Workspace) -> anyhow::Result<BTreeMap<String, String>> {
    let mut command = workspace.cargo();
    command
        .args(["metadata", "--locked", "--format-version", "1"])
        .args(["--filter-platform", TARGET.triple()]);
    let metadata: Value = serde_json::from_str(&process::capture(&mut command)?)?;
    let packages = metadata.get("packages").and_then(Value::as_array);
    let packages = packages.context("cargo metadata names no packages")?;
    let folder = |package: &Value| {
        let text = |key| package.get(key).and_then(Value::as_str);
        let manifest = text("manifest_path")?;
        let folder = Path::new(manifest).parent()?.to_str()?.to_owned();
        Some((format!("{} v{}", text("name")?, text("version")?), folder))
    };
    Ok(packages.iter().filter_map(folder).collect())
}

/// Licences and notices in a folder, in the order of their names.
fn read_texts(folder: impl AsRef<Path>) -> anyhow::Result<Vec<String>> {
    let folder = folder.as_ref();
    let entries = fs::read_dir(folder);
    let mut files = Vec::new();
    for entry in entries.with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_uppercase();
        let is_notice = NAMES.iter().any(|start| name.starts_with(start));
        if is_notice && entry.file_type()?.is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    let texts = files.iter().map(|file| {
        let text = fs::read_to_string(file);
        let text = text.with_context(|| format!("cannot read {}", file.display()))?;
        Ok(text.trim().replace("\r\n", "\n"))
    });
    texts.collect()
}

/// The text of a crate that brings none: licences that are the same for everybody.
fn common_text(workspace: &Workspace, part: &Part) -> anyhow::Result<String> {
    let file = match &part.licence {
        licence if licence.contains("Apache-2.0") => "LICENSE-APACHE",
        licence if licence.contains("MIT") => "LICENSE-MIT",
        licence => bail!("{} is under {licence} and brings no text of it", part.name),
    };
    let text = fs::read_to_string(workspace.root().join(file))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> Workspace {
        Workspace::find().expect("a workspace")
    }

    #[test]
    fn every_part_comes_with_a_text() {
        let notices = write(&here()).expect("all have one");
        for expected in ["tokio v", "aya v", "aya-ebpf v", "serde_json v", "musl"] {
            assert!(notices.contains(expected), "{expected}");
        }
        for foreign in ["telnet-user", "proptest v", "cargo-deb"] {
            assert!(!notices.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_licence_without_a_common_text_must_be_brought() {
        let part = |licence: &str| Part {
            name: "x v1.0.0".to_owned(),
            licence: licence.to_owned(),
        };
        let text = common_text(&here(), &part("MIT/Apache-2.0")).expect("ours");
        assert!(text.contains("Apache License"), "{text}");
        let error = common_text(&here(), &part("ISC")).expect_err("none");
        assert!(error.to_string().contains("brings no text"), "{error}");
    }
}
