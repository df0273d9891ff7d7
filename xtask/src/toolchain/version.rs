//! Versions, as `rustc -vV` and `cargo install` tell them.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use crate::{process, workspace::Workspace};

/// Major, minor, patch; parts that are not given count as 0.
pub(crate) type Version = (u32, u32, u32);

/// Reads the numbers at the head of `text`, as in `1.95`, `22.1.2` or `1.97.0-nightly`.
pub(crate) fn parse_version(text: &str) -> Option<Version> {
    let numbers = text.split(['-', '+', ' ']).next()?;
    let mut parts = numbers.split('.').map(str::parse::<u32>);
    let major = parts.next()?.ok()?;
    let mut rest = || parts.next().map_or(Some(0), Result::ok);
    Some((major, rest()?, rest()?))
}

/// A Rust compiler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rustc {
    /// Its own version as it prints it.
    pub(crate) release: String,
    /// The target triple it runs on.
    pub(crate) host: String,
    /// Major version of the LLVM it writes bitcode with.
    pub(crate) llvm: u32,
    /// Whether the source of the standard library is where `-Z build-std` looks for it.
    pub(crate) has_source: bool,
}

impl Rustc {
    /// Reads the output of `rustc -vV`.
    fn parse(text: &str, has_source: bool) -> Option<Self> {
        let value = |key: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(key))
                .map(str::trim)
        };
        Some(Self {
            release: value("release:")?.to_owned(),
            host: value("host:")?.to_owned(),
            llvm: parse_version(value("LLVM version:")?)?.0,
            has_source,
        })
    }

    /// Whether it can compile this workspace.
    pub(crate) fn is_new_enough(&self) -> bool {
        parse_version(&self.release) >= parse_version(env!("CARGO_PKG_RUST_VERSION"))
    }
}

/// The compiler that cargo uses in this workspace.
pub(super) const HOST_RUSTC: &str = "rustc";

/// Where the compiler `program` has the source of the standard library, or would have it.
pub(crate) fn rust_source(workspace: &Workspace, program: &Path) -> anyhow::Result<PathBuf> {
    let sysroot = process::capture(workspace.command(program).args(["--print", "sysroot"]))?;
    Ok(PathBuf::from(sysroot.trim()).join("lib/rustlib/src/rust"))
}

/// What the standard library that came with the pinned compiler calls its source where it was
/// compiled. The compiler replaces that by the folder, on machines that have the source.
pub(crate) fn rust_source_name(workspace: &Workspace) -> anyhow::Result<String> {
    let text = process::capture(workspace.command(HOST_RUSTC).arg("-vV"))?;
    source_name(&text).with_context(|| format!("cannot read the output of `{HOST_RUSTC} -vV`"))
}

fn source_name(text: &str) -> Option<String> {
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
    let commit = value("commit-hash: ").filter(|commit| *commit != "unknown");
    Some(format!("/rustc/{}", commit.or_else(|| value("release: "))?))
}

/// Asks the compiler `program`.
pub(crate) fn ask_rustc(workspace: &Workspace, program: &Path) -> anyhow::Result<Rustc> {
    let text = process::capture(workspace.command(program).arg("-vV"))?;
    let source = rust_source(workspace, program)?;
    let has_source = source.join("library/core/Cargo.toml").is_file();
    Rustc::parse(&text, has_source)
        .with_context(|| format!("cannot read the output of `{} -vV`", program.display()))
}

/// Asks the compiler that cargo uses in this workspace.
pub(crate) fn host_rustc(workspace: &Workspace) -> anyhow::Result<Rustc> {
    ask_rustc(workspace, Path::new(HOST_RUSTC))
}

/// A package that `cargo install --root` recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Installed {
    /// Its version.
    pub(crate) version: String,
    /// The features it was built with.
    pub(crate) features: Vec<String>,
}

impl Installed {
    /// Finds `package` in the text of a `.crates2.json`.
    pub(crate) fn find(record: &str, package: &str) -> Option<Self> {
        let record: Value = serde_json::from_str(record).ok()?;
        let installs = record.get("installs")?.as_object()?;
        installs.iter().find_map(|(id, details)| {
            let mut words = id.split(' ');
            let (name, version) = (words.next()?, words.next()?);
            let features = details.get("features")?.as_array()?;
            (name == package).then(|| Self {
                version: version.to_owned(),
                features: features
                    .iter()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect(),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (text, expected) in [
            ("1.95", Some((1, 95, 0))),
            ("1.95.0", Some((1, 95, 0))),
            ("1.97.0-nightly", Some((1, 97, 0))),
            ("22.1.2", Some((22, 1, 2))),
            ("23.0.0+rust", Some((23, 0, 0))),
            ("22", Some((22, 0, 0))),
            ("", None),
            ("x.1", None),
            ("1.x", None),
        ] {
            assert_eq!(parse_version(text), expected, "{text}");
        }
    }

    #[test]
    fn compiler_from_its_own_words() {
        let text = "rustc 1.95.0 (59807616e 2026-04-14)\nbinary: rustc\n\
                    host: x86_64-unknown-linux-gnu\nrelease: 1.95.0\nLLVM version: 22.1.2\n";
        let rustc = Rustc::parse(text, true).unwrap();
        assert_eq!(rustc.release, "1.95.0");
        assert_eq!(rustc.host, "x86_64-unknown-linux-gnu");
        assert_eq!(rustc.llvm, 22);
        assert_eq!(Rustc::parse("release: 1.95.0\n", true), None);
    }

    #[test]
    fn source_is_called_after_its_commit() {
        for (text, expected) in [
            (
                "commit-hash: 5980761\nrelease: 1.95.0\n",
                Some("/rustc/5980761"),
            ),
            (
                "commit-hash: unknown\nrelease: 1.95.0\n",
                Some("/rustc/1.95.0"),
            ),
            ("rustc 1.95.0\n", None),
        ] {
            assert_eq!(source_name(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn compiler_must_not_be_older_than_the_workspace_asks() {
        let rustc = |release: &str| Rustc {
            release: release.to_owned(),
            host: String::new(),
            llvm: 22,
            has_source: true,
        };
        for (release, expected) in [("1.95.0", true), ("1.96.0", true), ("1.85.0", false)] {
            assert_eq!(rustc(release).is_new_enough(), expected, "{release}");
        }
    }

    #[test]
    fn installed_package_from_cargos_record() {
        let record = r#"{"installs":{
            "bpf-linker-extra 9.9.9 (registry+x)":{"features":[]},
            "bpf-linker 0.13.0 (registry+x)":{"features":["llvm-22"]}}}"#;
        assert_eq!(
            Installed::find(record, "bpf-linker"),
            Some(Installed {
                version: "0.13.0".to_owned(),
                features: vec!["llvm-22".to_owned()],
            })
        );
        assert_eq!(Installed::find(record, "cargo-deny"), None);
        assert_eq!(Installed::find("not json", "bpf-linker"), None);
    }
}
