//! A login(1) for the telnetd of telnet.socket, and for nobody else, that asks for no password: the
//! processes that CVE-2026-24061 makes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Result;

use crate::guest::run;

const DEBIANS: &str = "/usr/bin/login";
const FOLDER: &str = "/run/forced-login";
/// Makes the service's telnetd find ours where Debian's is.
const DROP_INS: &str = "/run/systemd/system/telnet@.service.d";
/// As the telnetd of the flaw calls login(1).
pub(crate) const COMMAND_LINE: &str = "/run/forced-login/real/login -p -h 198.51.100.7 -f root";

/// Runs `test` while it is there.
pub(crate) fn with(test: impl FnOnce() -> Result<()>) -> Result<()> {
    set_up()?;
    let outcome = test();
    let taken_down = take_down();
    outcome.and(taken_down)
}

fn set_up() -> Result<()> {
    let folder = Path::new(FOLDER);
    fs::create_dir_all(folder.join("real"))?;
    fs::copy(DEBIANS, folder.join("real/login"))?;
    let script = folder.join("login");
    fs::write(&script, format!("#!/bin/sh\nexec {COMMAND_LINE}\n"))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    fs::create_dir_all(DROP_INS)?;
    let unit = format!(
        "[Service]\nBindReadOnlyPaths={}:{DEBIANS}\n",
        script.display()
    );
    fs::write(Path::new(DROP_INS).join("forced-login.conf"), unit)?;
    run("systemctl", &["daemon-reload"]).map(drop)
}

fn take_down() -> Result<()> {
    fs::remove_dir_all(DROP_INS)?;
    fs::remove_dir_all(FOLDER)?;
    run("systemctl", &["daemon-reload"]).map(drop)
}
