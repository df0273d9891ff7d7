//! A file system of a server's own, with users who can log in.
//!
//! The servers run in a mount namespace below a folder of the lab: programs and libraries are the
//! machine's, accounts and the books of logins (utmp, btmp) are the house's.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::lab::Lab;
use crate::process::Spawned;
use crate::tools;
use crate::wait::PATIENCE;

/// An account without rights; its id is [`USER_ID`].
pub const USER: &str = "alice";
/// User id of [`USER`].
pub const USER_ID: u32 = 4_711;
/// Password of everybody. Nothing but the server may ever see it.
pub const PASSWORD: &str = "Tr0ub4dor-and-3";

/// Which login(1) the house has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// Debian's, which asks PAM and keeps books.
    Debian,
    /// busybox', which becomes the shell.
    Busybox,
    /// A script of that name which lets everybody in as root: what an intruder leaves behind, and
    /// the processes that CVE-2026-24061 makes.
    Forced,
}

/// Where servers find their users.
#[derive(Debug)]
pub struct House {
    root: PathBuf,
    script: PathBuf,
}

impl House {
    /// Makes one in the lab's folder.
    pub fn build(lab: &Lab, login: Login) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("house-")
            .tempdir_in(lab.dir())?;
        // Goes with the lab's folder.
        let root = folder.keep();
        let house = Self {
            script: root.with_extension("sh"),
            root,
        };
        fs::write(&house.script, enter(lab, &house.root)?)?;
        fs::set_permissions(lab.dir(), fs::Permissions::from_mode(0o755))?;
        for dir in ["bin", "real", "etc/pam.d", "run", "var/log", "tmp"] {
            fs::create_dir_all(house.root.join(dir))?;
        }
        house.accounts(lab)?;
        let busybox = tools::find("busybox")?;
        symlink(tools::find("dash")?.path(), house.root.join("bin/sh"))?;
        for name in ["sleep", "id", "wget", "ls", "nohup", "busybox"] {
            symlink(busybox.path(), house.root.join("bin").join(name))?;
        }
        symlink("../run", house.root.join("var/run"))?;
        let (debian, bin) = (tools::find("login")?, house.root.join("bin/login"));
        symlink(busybox.path(), house.root.join("real/login"))?;
        match login {
            Login::Debian => symlink(debian.path(), bin)?,
            Login::Busybox => symlink(busybox.path(), bin)?,
            Login::Forced => {
                house.program("bin/login", "exec /real/login -p -h 198.51.100.7 -f root")?;
            }
        }
        Ok(house)
    }

    /// Another account without rights, with the password of everybody.
    pub fn add_user(&self, name: &str, id: u32) -> Result<()> {
        let etc = self.root.join("etc");
        let shadow = fs::read_to_string(etc.join("shadow"))?;
        let hash = shadow.split(':').nth(1).context("no hash")?;
        for (file, line) in [
            ("passwd", format!("{name}:x:{id}:{id}::/:/bin/sh\n")),
            ("shadow", format!("{name}:{hash}:19000::::::\n")),
            ("group", format!("{name}:x:{id}:\n")),
        ] {
            let path = etc.join(file);
            let mut text = fs::read_to_string(&path)?;
            text.push_str(&line);
            fs::write(path, text)?;
        }
        Ok(())
    }

    /// Delays what comes after a failed attempt, as Debian does: a login(1) that is hung up writes
    /// down a failure for each name that it could not read, and is quicker than a server on a busy
    /// machine that has closed its terminal and has yet to close its socket.
    pub fn delay_failures(&self) -> Result<()> {
        let path = self.root.join("etc/pam.d/login");
        let rules = fs::read_to_string(&path)?;
        let delay = "auth optional pam_faildelay.so delay=3000000\n";
        Ok(fs::write(path, format!("{delay}{rules}"))?)
    }

    /// Writes a script that servers can start.
    pub fn program(&self, path: &str, commands: &str) -> Result<()> {
        let path = self.root.join(path);
        fs::write(&path, format!("#!/bin/sh\n{commands}\n"))?;
        Ok(fs::set_permissions(
            path,
            fs::Permissions::from_mode(0o755),
        )?)
    }

    /// The command, run inside. Its process id stays that of the command.
    pub fn command(&self, inner: &Command) -> Result<Command> {
        let busybox = tools::find("busybox")?;
        let mut command = busybox.command();
        command.args(["unshare", "-m"]).arg(busybox.path());
        command.arg("sh").arg(&self.script).arg(busybox.path());
        command.arg(inner.get_program()).args(inner.get_args());
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Ok(command)
    }

    fn accounts(&self, lab: &Lab) -> Result<()> {
        let mut mkpasswd = tools::find("busybox")?.command();
        mkpasswd.args(["mkpasswd", "-m", "sha512", PASSWORD]);
        let mut mkpasswd = Spawned::start("mkpasswd", Some(&lab.net), &mut mkpasswd)?;
        mkpasswd.wait(PATIENCE)?;
        let whole = |text: &crate::process::Captured| {
            (!text.is_open()).then(|| text.text().trim().to_owned())
        };
        let hash = mkpasswd.stdout.wait_for(PATIENCE, whole)?;
        let etc = self.root.join("etc");
        let passwd =
            format!("root:x:0:0:root:/:/bin/sh\n{USER}:x:{USER_ID}:{USER_ID}::/:/bin/sh\n");
        let shadow = format!("root:{hash}:19000::::::\n{USER}:{hash}:19000::::::\n");
        let pam = "auth required pam_unix.so nodelay\naccount required pam_unix.so\n\
                   session required pam_unix.so\n";
        for (name, text) in [
            ("passwd", passwd.as_str()),
            ("shadow", &shadow),
            (
                "group",
                &format!("root:x:0:\ntty:x:5:\n{USER}:x:{USER_ID}:\n"),
            ),
            ("pam.d/login", pam),
            ("pam.d/other", pam),
            ("protocols", "tcp 6 TCP\n"),
            (
                "nsswitch.conf",
                "passwd: files\nshadow: files\ngroup: files\n",
            ),
            ("login.defs", "FTMP_FILE /var/log/btmp\nLOGIN_RETRIES 3\n"),
        ] {
            fs::write(etc.join(name), text).with_context(|| name.to_owned())?;
        }
        for book in ["run/utmp", "var/log/wtmp", "var/log/btmp"] {
            fs::write(self.root.join(book), "")?;
        }
        Ok(())
    }
}

/// What makes the house's file system, in a mount namespace of its own, and runs what follows.
fn enter(lab: &Lab, root: &Path) -> Result<String> {
    let tools = tools::root().unwrap_or_default();
    let peer = tools::peer()?;
    let peer = peer.path().parent().context("a folder")?.to_owned();
    let shared: Vec<String> = [Path::new("/usr"), Path::new("/lib"), Path::new("/lib64")]
        .into_iter()
        .chain([
            Path::new("/dev"),
            Path::new("/proc"),
            &tools,
            &peer,
            lab.dir(),
        ])
        .filter(|path| path.is_dir())
        .map(|path| path.display().to_string())
        .collect();
    Ok(format!(
        "set -e\nbb=$1; shift\nroot={}\n$bb mount --make-rprivate / 2>/dev/null || true\n\
         for dir in {}; do\n  $bb mkdir -p \"$root$dir\"\n  \
         $bb mount --rbind \"$dir\" \"$root$dir\"\ndone\n\
         exec $bb chroot \"$root\" \"$@\"\n",
        root.display(),
        shared.join(" "),
    ))
}
