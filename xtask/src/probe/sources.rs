//! The probe's sources, under names that are the same on every machine.
//!
//! Debug information and BTF have nothing but these names. LLVM also copies into BTF each line of
//! source that an instruction comes from, for the verifier's messages to show; it reads them as it
//! links, from the files that were named. So the linker runs in a folder from which the names lead
//! to the files.

use std::{
    ffi::OsString,
    fs::{self, Permissions},
    io::ErrorKind,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::{
    remap::{self, Names},
    toolchain::rust_source,
    workspace::Workspace,
};

/// What is run as linker.
const SCRIPT: &str = include_str!("linker.sh");

/// Flags by which `rustc` names the sources of a probe that is built in `build`, and links it with
/// bpf-linker. What they refer to is laid out in there.
pub(super) fn flags(
    workspace: &Workspace,
    rustc: &Path,
    build: &Path,
) -> anyhow::Result<Vec<OsString>> {
    let mut names = vec![
        (workspace.root().to_path_buf(), "telnet-monitor".to_owned()),
        (remap::cargo_home(workspace)?, "cargo".to_owned()),
        (rust_source(workspace, rustc)?, "rust".to_owned()),
    ];
    let script = lay_out(
        &build.join("sources"),
        &names,
        &workspace.tool("bpf-linker"),
    )?;
    names.push((build.to_path_buf(), "target".to_owned()));
    let mut flags = remap::flags(names);
    let mut linker = OsString::from("-Clinker=");
    linker.push(script);
    flags.push(linker);
    Ok(flags)
}

/// Makes a link to each source, by its name, and returns the program that runs `linker` among them.
/// What is right already stays as it is.
fn lay_out(folder: &Path, names: &Names, linker: &Path) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for (source, name) in names {
        link(source, &folder.join(name))?;
    }
    link(linker, &folder.join("linker"))?;
    // rustc tells by its name what kind of linker it is.
    let script = folder.join("bpf-linker");
    if !fs::read_to_string(&script).is_ok_and(|text| text == SCRIPT) {
        fs::write(&script, SCRIPT).with_context(|| format!("cannot write {}", script.display()))?;
    }
    fs::set_permissions(&script, Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", script.display()))?;
    Ok(script)
}

fn link(to: &Path, at: &Path) -> anyhow::Result<()> {
    if fs::read_link(at).is_ok_and(|now| now == to) {
        return Ok(());
    }
    match fs::remove_file(at) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => symlink(to, at),
    }
    .with_context(|| format!("cannot link {} to {}", at.display(), to.display()))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::process;

    #[test]
    fn the_linker_finds_sources_by_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let [old, new] = ["old source", "new source"].map(|name| folder.path().join(name));
        for source in [&old, &new] {
            fs::create_dir(source).unwrap();
            fs::write(source.join("main.rs"), source.display().to_string()).unwrap();
        }
        let build = folder.path().join("my build/sources");
        let cat = Path::new("/bin/cat");
        // As after the checkout was moved, or another toolchain chosen.
        for source in [&old, &new, &new] {
            let names = vec![(source.clone(), "telnet-monitor".to_owned())];
            let script = lay_out(&build, &names, cat).unwrap();
            assert_eq!(script.file_name(), Some("bpf-linker".as_ref()));
            let mode = fs::metadata(&script).unwrap().permissions().mode();
            assert_eq!(mode & 0o111, 0o111);
            let mut command = Command::new("sh");
            let text = process::capture(command.arg(&script).arg("telnet-monitor/main.rs"));
            assert_eq!(text.unwrap(), source.display().to_string());
        }
    }
}
