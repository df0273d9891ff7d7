//! The package on a system that runs: what installing, upgrading, removing and purging it do.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use telnet_tests::process::pid;
use telnet_tests::wait;

use crate::agent::{self, CONFIG, NAME, PACKAGE};
use crate::guest::{bare_guest, guest, main_pid, run};

/// What belongs to the service besides files of the package.
const FOLDERS: [&str; 3] = [
    "/var/lib/telnet-monitor",
    "/var/log/telnet-monitor",
    "/run/telnet-monitor",
];

/// Every file of the system that can have come with the agent: by its name, or by its owner.
fn traces() -> Result<BTreeSet<String>> {
    // The package that is waiting, the kernel's file systems, and the journal.
    let elsewhere = ["/vm", "/proc", "/sys", "/run/log"];
    let mut arguments = vec!["/"];
    for folder in elsewhere {
        arguments.extend(["-path", folder, "-prune", "-o"]);
    }
    let wanted = [
        "(",
        "-name",
        "*telnet-monitor*",
        "-o",
        "-nouser",
        "-o",
        "-nogroup",
        ")",
        "-print",
    ];
    arguments.extend(wanted);
    let found = run("find", &arguments)?;
    Ok(found.lines().map(str::to_owned).collect())
}

fn users() -> Result<String> {
    Ok(fs::read_to_string("/etc/passwd")? + &fs::read_to_string("/etc/group")?)
}

/// The package under a higher version, in every other way the same.
fn newer(version: &str) -> Result<PathBuf> {
    let folder = format!("/tmp/telnet-monitor-{version}");
    run("dpkg-deb", &["--raw-extract", PACKAGE, &folder])?;
    let control = format!("{folder}/DEBIAN/control");
    let text = fs::read_to_string(&control)?;
    let lines = text
        .lines()
        .map(|line| match line.strip_prefix("Version: ") {
            Some(_) => format!("Version: {version}\n"),
            None => format!("{line}\n"),
        });
    fs::write(&control, lines.collect::<String>())?;
    let package = PathBuf::from(format!("{folder}.deb"));
    // Packing it well takes an emulated processor a minute.
    let arguments = ["-Znone", "--root-owner-group", "--build", &folder];
    run(
        "dpkg-deb",
        &[&arguments[..], &[&package.to_string_lossy()]].concat(),
    )?;
    fs::remove_dir_all(&folder)?;
    Ok(package)
}

#[test]
fn installing_starts_and_enables_nothing_and_enabling_monitors() -> Result<()> {
    bare_guest(|| {
        agent::install(Path::new(PACKAGE))?;
        ensure!(agent::property("UnitFileState")? == "disabled");
        ensure!(agent::property("ActiveState")? == "inactive");
        ensure!(
            agent::property("InvocationID")?.is_empty(),
            "it was started"
        );
        for folder in FOLDERS {
            ensure!(!Path::new(folder).try_exists()?, "{folder} is there");
        }
        run("telnet-monitor", &["check", "-c", CONFIG])?;
        let changed = run("dpkg", &["--verify", NAME])?;
        ensure!(changed.is_empty(), "{changed}");
        run("systemctl", &["enable", "--now", NAME])?;
        ensure!(agent::is_active()?);
        agent::wait_for_log("monitoring")
    })
}

#[test]
fn an_upgrade_keeps_what_was_changed_and_restarts_what_ran() -> Result<()> {
    guest(|| {
        let config = fs::read_to_string(CONFIG)?;
        let before = main_pid(NAME)?;
        agent::install(&newer("999-1")?)?;
        let version = run("dpkg-query", &["-W", "-f", "${Version}", NAME])?;
        ensure!(version == "999-1", "{version}");
        ensure!(
            fs::read_to_string(CONFIG)? == config,
            "the configuration changed"
        );
        ensure!(agent::is_active()?);
        ensure!(main_pid(NAME)? != before, "it was not restarted");
        ensure!(agent::property("UnitFileState")? == "enabled");
        agent::wait_for_log("monitoring")?;

        run("systemctl", &["disable", "--now", NAME])?;
        agent::install(&newer("999-2")?)?;
        ensure!(
            agent::property("ActiveState")? == "inactive",
            "it was started"
        );
        ensure!(
            agent::property("UnitFileState")? == "disabled",
            "it was enabled"
        );
        agent::clear()
    })
}

#[test]
fn removing_stops_it_and_purging_leaves_nothing() -> Result<()> {
    bare_guest(|| {
        let (traces_before, users_before) = (traces()?, users()?);
        agent::set_up()?;
        let config = fs::read_to_string(CONFIG)?;
        let process = pid(u32::try_from(main_pid(NAME)?)?)?;
        agent::uninstall("remove")?;
        wait::until("the end of the agent", || {
            let gone = rustix::process::test_kill_process(process).is_err();
            Ok(gone.then_some(()))
        })?;
        // As Debian does it: nobody starts what is half there.
        let state = agent::property("LoadState")?;
        ensure!(state == "masked", "{state}");
        ensure!(fs::read_to_string(CONFIG).context(CONFIG)? == config);
        for folder in ["/var/lib/telnet-monitor", "/var/log/telnet-monitor"] {
            ensure!(Path::new(folder).try_exists()?, "removing took {folder}");
        }
        agent::uninstall("purge")?;
        let state = agent::property("LoadState")?;
        ensure!(state == "not-found", "{state}");
        let left: Vec<_> = traces()?.difference(&traces_before).cloned().collect();
        ensure!(left.is_empty(), "purging left {left:?}");
        ensure!(users()? == users_before, "{}", users()?);
        Ok(())
    })
}

/// The number counts exposure in tenths.
#[test]
fn the_service_is_exposed_by_2_0_at_most() -> Result<()> {
    guest(|| {
        let arguments = ["security", "--threshold=20", "--no-pager", NAME];
        run("systemd-analyze", &arguments).map(drop)
    })
}
