//! Folders of this machine, and what compilers write instead: where something was built must not
//! be in what is shipped, nor change it.

use std::{env, ffi::OsString, path::PathBuf};

use anyhow::Context as _;

use crate::workspace::Workspace;

/// Folders by the names that compilers write for them.
pub(crate) type Names = Vec<(PathBuf, String)>;

/// Has rustc write these names. The last flag that fits is the one that counts, so a folder comes
/// after the one it is in.
pub(crate) fn flags(names: Names) -> Vec<OsString> {
    let each = |(folder, name): (PathBuf, String)| {
        let forms = forms(folder).into_iter();
        forms.map(move |folder| (folder, name.clone()))
    };
    let mut names: Names = names.into_iter().flat_map(each).collect();
    names.sort_by_key(|(folder, _)| folder.components().count());
    let flag = |(folder, name): (PathBuf, String)| {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(folder);
        flag.push("=");
        flag.push(name);
        flag
    };
    names.into_iter().map(flag).collect()
}

/// A folder as it was given and, if that is another path, without symbolic links: which is what a
/// compiler finds that is run in there.
pub(crate) fn forms(folder: PathBuf) -> Vec<PathBuf> {
    let real = folder.canonicalize().ok();
    let real = real.filter(|real| *real != folder);
    [folder].into_iter().chain(real).collect()
}

/// Cargo's own folder, which the sources of dependencies are in.
pub(crate) fn cargo_home(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    if let Some(folder) = env::var_os("CARGO_HOME").filter(|folder| !folder.is_empty()) {
        // Cargo is run in there.
        return Ok(workspace.root().join(folder));
    }
    let home = env::home_dir().context("where cargo keeps its sources: set HOME or CARGO_HOME")?;
    Ok(home.join(".cargo"))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    fn names(names: &[(&str, &str)]) -> Names {
        let owned = |(folder, name): &(&str, &str)| (PathBuf::from(folder), (*name).to_owned());
        names.iter().map(owned).collect()
    }

    #[test]
    fn a_folder_inside_another_has_the_last_word() {
        let names = names(&[
            ("/w/target/build", "target"),
            ("/w", "telnet-monitor"),
            ("/w/my cargo", "cargo"),
        ]);
        assert_eq!(
            flags(names),
            [
                "--remap-path-prefix=/w=telnet-monitor",
                "--remap-path-prefix=/w/my cargo=cargo",
                "--remap-path-prefix=/w/target/build=target",
            ]
        );
    }

    #[test]
    fn a_folder_behind_a_link_has_both_paths() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap().join("rustc-1.96.0");
        let link = real.with_file_name("rust");
        fs::create_dir(&real).unwrap();
        symlink(&real, &link).unwrap();
        let flag = |folder: &PathBuf| format!("--remap-path-prefix={}=rust", folder.display());
        assert_eq!(
            flags(vec![(link.clone(), "rust".to_owned())]),
            [flag(&link), flag(&real)].map(OsString::from)
        );
    }
}
