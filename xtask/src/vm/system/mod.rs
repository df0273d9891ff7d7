//! A whole Debian system with systemd: the agent's package, telnet servers behind every kind of
//! super-server, users who log in.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, bail};

use super::{
    guest::{Base, Cpio, Programs, SYSTEM_TESTS, libraries},
    kernel::{KEYRING, mirror},
};
use crate::{
    package, process,
    target::Target,
    toolchain::{Privilege, Toolchain},
    workspace::Workspace,
};

/// What puts the system together. The image is made anew when it changes.
const SCRIPT: &str = include_str!("make-image.sh");

/// Folder of units that come before those of packages.
const UNITS: &str = "/etc/systemd/system";

/// Units of the guest's own, by name.
const FILES: [(&str, &str); 9] = [
    ("demo.target", include_str!("files/demo.target")),
    ("demo.service", include_str!("files/demo.service")),
    (
        "system-tests.service",
        include_str!("files/system-tests.service"),
    ),
    ("telnet.socket", include_str!("files/telnet.socket")),
    ("telnet@.service", include_str!("files/telnet@.service")),
    ("tests.target", include_str!("files/tests.target")),
    ("vm-alive.service", include_str!("files/vm-alive.service")),
    (
        "vm-modules.service",
        include_str!("files/vm-modules.service"),
    ),
    ("xinetd.service", include_str!("files/xinetd.service")),
];

/// Where the guest finds the package, and installs it from.
const PACKAGE: &str = "/vm/telnet-monitor.deb";

/// Packs the system, the agent's package and the tests.
pub(super) fn build(
    workspace: &Workspace,
    toolchain: Toolchain,
    programs: &Programs,
) -> anyhow::Result<Base> {
    let mut cpio = Cpio::default();
    for (name, text) in FILES {
        cpio.file(&format!("{UNITS}/{name}"), text.as_bytes(), false)?;
    }
    enable(&mut cpio, "vm-modules.service", "sysinit.target")?;
    for (name, text) in [
        ("tests", include_str!("files/tests.sh")),
        ("demo", include_str!("files/demo.sh")),
    ] {
        cpio.file(&format!("/vm/{name}"), text.as_bytes(), true)?;
    }
    println!("making the package that the guest installs");
    let packages = package::make(workspace, toolchain, package::BUILD)?;
    cpio.copy(package::with_ending(&packages, "deb")?, PACKAGE)?;
    if let Some(tests) = programs.find(SYSTEM_TESTS) {
        cpio.copy(tests, "/vm/system")?;
        // Those the tests were linked with, whatever release of Debian this machine has.
        for library in libraries(workspace, &[tests.to_path_buf()])? {
            let name = library.file_name().unwrap_or_default().to_string_lossy();
            cpio.copy(&library, &format!("/vm/lib/{name}"))?;
        }
    }
    cpio.copy(&workspace.test_root().join("bin/busybox"), "/vm/busybox")?;
    cpio.symlink("/vm/telnetd", "busybox")?;
    let mut archives = cpio.finish()?;
    let image = image(workspace)?;
    archives.extend(fs::read(&image).with_context(|| format!("cannot read {}", image.display()))?);
    Ok(Base::from_archives(Target::X86_64, archives))
}

fn enable(cpio: &mut Cpio, unit: &str, target: &str) -> anyhow::Result<()> {
    let link = format!("{UNITS}/{target}.wants/{unit}");
    cpio.symlink(&link, &format!("{UNITS}/{unit}"))
}

/// The system without what is ours, from an earlier run if there was one.
fn image(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let folder = workspace.vm().join("system");
    let (image, stamp) = (folder.join("image.cpio.gz"), folder.join("stamp"));
    if image.is_file() && fs::read_to_string(&stamp).is_ok_and(|text| text == SCRIPT) {
        return Ok(image);
    }
    println!("building a Debian system with systemd, which takes a minute or two");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut command = match Privilege::here() {
        Privilege::Root => workspace.command("sh"),
        Privilege::Sudo => {
            let mut command = workspace.command("sudo");
            command.args(["--", "sh"]);
            command
        }
        Privilege::Missing => bail!("debootstrap needs root, and there is no sudo"),
    };
    let log = folder.join("log");
    let output = fs::File::create(&log).with_context(|| log.display().to_string())?;
    command
        .args(["-c", SCRIPT, "make-image.sh"])
        .args([&folder.join("root"), &image])
        .arg(workspace.test_root().join("usr/sbin/xinetd"))
        .args([&mirror(workspace)?, KEYRING])
        .stderr(output.try_clone()?)
        .stdout(output);
    process::run(&mut command).with_context(|| format!("see {}", log.display()))?;
    fs::write(&stamp, SCRIPT).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(image)
}
