//! What somebody would try who has taken an agent over: each attempt, and what came of it.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use nix::sys::ptrace;
use nix::unistd::Pid;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::system::init_module;
use rustix::thread::{Uid, UnshareFlags, set_thread_uid};
use serde_json::json;
use telnet_user::sandbox;

use crate::report;

/// Goes into the sandbox as `role`, or nowhere, and tries everything. `folder` is writable, its
/// neighbour `outside` not; `victim` is a process of somebody else.
pub(crate) fn run(role: &str, folder: &str, victim: &str) -> Result<()> {
    let folder = PathBuf::from(folder);
    let victim: i32 = victim.parse()?;
    match role {
        "free" => {}
        "looks" => {
            drop(sandbox::enter(std::slice::from_ref(&folder), false));
            sandbox::only_look();
        }
        "writes" => {
            drop(sandbox::enter(std::slice::from_ref(&folder), false));
            sandbox::only_write();
        }
        _ => bail!("no role {role}"),
    }
    let own = write(&folder.join("own"));
    // What each thread is there for.
    told("write inside", own)?;
    told(
        "look at a process",
        fs::read_link(format!("/proc/{victim}/exe")).map(drop),
    )?;
    // What neither is.
    told("exec", Command::new("/bin/true").status().map(drop))?;
    let outside = folder.parent().context("a folder above")?.join("outside");
    told("write elsewhere", write(&outside))?;
    told("write elsewhere by openat2", write_by_openat2(&outside))?;
    told(
        "write to a process",
        write(Path::new(&format!("/proc/{victim}/mem"))),
    )?;
    let module = init_module(&[], c"").map_err(io::Error::from);
    // Without the sandbox the kernel looks at it: it is no module.
    told("load a module", module.or_else(unless_refused))?;
    told("load a program", load_program())?;
    // Ends with this process.
    let attached = ptrace::attach(Pid::from_raw(victim)).map_err(io::Error::from);
    told("trace a process", attached)?;
    #[expect(deprecated, reason = "safe as long as the flags leave FILES out")]
    let moved = rustix::thread::unshare(UnshareFlags::NEWNS);
    told("mount namespace", moved.map_err(io::Error::from))?;
    // Last: it cannot be undone.
    let other = set_thread_uid(Uid::from_raw(65_534));
    told("become another user", other.map_err(io::Error::from))?;
    Ok(())
}

fn write(path: &Path) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map(drop)
}

/// Its flags are in memory, where a filter of system calls cannot look.
fn write_by_openat2(path: &Path) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let opened = openat2(CWD, path, flags, mode, ResolveFlags::empty());
    opened.map(drop).map_err(io::Error::from)
}

/// The least the kernel takes: return 0.
fn load_program() -> io::Result<()> {
    match aya::sys::is_program_supported(aya::programs::ProgramType::SocketFilter) {
        Ok(true) => Ok(()),
        Ok(false) => Err(io::Error::from(io::ErrorKind::PermissionDenied)),
        Err(error) => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            error.to_string(),
        )),
    }
}

fn unless_refused(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::PermissionDenied {
        Err(error)
    } else {
        Ok(())
    }
}

fn told(attempt: &str, outcome: io::Result<()>) -> Result<()> {
    let outcome = match outcome {
        Ok(()) => "done".to_owned(),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => "refused".to_owned(),
        Err(error) => error.to_string(),
    };
    report::line(&json!({"attempt": attempt, "outcome": outcome}))
}
