//! Nothing of the machine that a package was made on may be in it.

use std::{
    env, fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use crate::{
    remap,
    toolchain::{Toolchain, rust_source},
    workspace::Workspace,
};

/// Longest path that a message shows.
const MAX_SHOWN: usize = 160;

/// Refuses a `binary` that has a path of this machine in it. `toolchain` built its probe.
pub(super) fn check(
    workspace: &Workspace,
    toolchain: Toolchain,
    binary: &Path,
) -> anyhow::Result<()> {
    let mut folders = vec![
        workspace.root().to_path_buf(),
        remap::cargo_home(workspace)?,
    ];
    for toolchain in [Toolchain::Rustup, toolchain] {
        folders.push(rust_source(workspace, toolchain.rustc())?);
    }
    folders.extend(env::home_dir());
    let bytes = fs::read(binary).with_context(|| format!("cannot read {}", binary.display()))?;
    let mut forms = folders.into_iter().flat_map(remap::forms);
    if let Some(path) = forms.find_map(|folder| find(&bytes, &folder)) {
        bail!(
            "{} has a path of this machine in it: {path}",
            binary.display()
        );
    }
    Ok(())
}

/// The first path in `bytes` that leads into `folder`.
fn find(bytes: &[u8], folder: &Path) -> Option<String> {
    // Without a slash at its end.
    let folder: PathBuf = folder.components().collect();
    let name = folder.as_os_str().as_bytes();
    // Strings of a program are laid end to end, so anything may be before a path. Only that a name
    // as short as `/src` is part of many another path, and counts where it can be a beginning.
    let is_short = match folder.components().count() {
        0 | 1 => return None,
        components => components == 2,
    };
    let goes_on = |byte: Option<&u8>| byte.is_some_and(|byte| is_of_name(*byte));
    let mut places = bytes.windows(name.len()).enumerate();
    let (at, _) = places.find(|(at, window)| {
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        *window == name && !goes_on(bytes.get(at + name.len())) && !(is_short && goes_on(before))
    })?;
    let shown = bytes.iter().skip(at).take(MAX_SHOWN);
    let shown = shown.take_while(|byte| byte.is_ascii_graphic());
    Some(shown.copied().map(char::from).collect())
}

const fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_this_machine_are_found_and_shown() {
        for (text, folder, expected) in [
            ("\0/srv/agent\0", "/srv/agent", Some("/srv/agent")),
            (
                "state/home/me/w/src/lib.rs\x01",
                "/home/me/w",
                Some("/home/me/w/src/lib.rs"),
            ),
            ("\0/srv/agent/x\0", "/srv/agent/", Some("/srv/agent/x")),
            ("\0/srv/agents/x\0", "/srv/agent", None),
            ("\0telnet-monitor/src/lib.rs", "/srv/agent", None),
            // Those of one folder are part of others.
            ("\0/src/lib.rs\0", "/src", Some("/src/lib.rs")),
            ("\0telnet-monitor/src/lib.rs\0", "/src", None),
            ("\0/proc/1/root/etc\0", "/root", None),
            ("\0/root/.cargo/x\0", "/root", Some("/root/.cargo/x")),
            // A user without a home.
            ("\0/etc/passwd\0", "/", None),
            ("", "/srv/agent", None),
        ] {
            let found = find(text.as_bytes(), Path::new(folder));
            assert_eq!(found.as_deref(), expected, "{folder} in {text:?}");
        }
    }
}
