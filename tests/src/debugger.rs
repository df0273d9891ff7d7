//! System calls made by another process, as a debugger makes it do them: what a person with root
//! can do to an agent, and nothing but that can do.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, Result, ensure};
use nix::libc::user_regs_struct;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::wait;

/// The file descriptors of a process whose entry in `/proc/PID/fdinfo` has a line `key: value`.
pub fn find_fds(pid: u32, key: &str, value: &str) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        let entry = entry?;
        // Closed meanwhile: not the one.
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        if lines.any(|(k, v)| k == key && v.trim() == value) {
            let name = entry.file_name();
            found.push(
                name.to_string_lossy()
                    .parse()
                    .context("name of an fdinfo")?,
            );
        }
    }
    ensure!(
        !found.is_empty(),
        "process {pid} has no file descriptor with {key}: {value}"
    );
    Ok(found)
}

/// Makes process `pid` put a copy of its standard error where its file descriptor `fd` is, which
/// closes what that was.
pub fn replace_fd(pid: u32, fd: u32) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(pid)?);
    let result = wait::until("the process is in a system call", || {
        let stopped = Stopped::stop(pid)?;
        let at = stopped.system_call()?;
        let result = at.map(|regs| stopped.run(regs, SYS_DUP3, [2, u64::from(fd), 0]));
        stopped.go_on()?;
        result.transpose()
    })?;
    ensure!(result == u64::from(fd), "dup3 in {pid}: {result:#x}");
    Ok(())
}

/// A process that this one traces and that does not run.
struct Stopped(Pid);

impl Stopped {
    fn stop(pid: Pid) -> Result<Self> {
        ptrace::attach(pid).context("ptrace")?;
        Self(pid).wait_for(Signal::SIGSTOP)
    }

    fn wait_for(self, signal: Signal) -> Result<Self> {
        let status = waitpid(self.0, None)?;
        ensure!(
            status == WaitStatus::Stopped(self.0, signal),
            "{status:?}, not stopped by {signal}"
        );
        Ok(self)
    }

    /// The registers, when it was stopped in a system call: the instruction for another one is
    /// right before where it will go on.
    fn system_call(&self) -> Result<Option<user_regs_struct>> {
        let regs = ptrace::getregs(self.0)?;
        let memory = File::open(format!("/proc/{}/mem", self.0))?;
        let mut bytes = [0; SYSCALL.len()];
        memory.read_exact_at(&mut bytes, before(&regs))?;
        Ok((bytes == SYSCALL).then_some(regs))
    }

    /// Makes it do one system call, and restores the registers; the result.
    fn run(&self, regs: user_regs_struct, number: u64, arguments: [u64; 3]) -> Result<u64> {
        ptrace::setregs(self.0, calling(regs, number, arguments))?;
        ptrace::step(self.0, None)?;
        Self(self.0).wait_for(Signal::SIGTRAP)?;
        let result = result(&ptrace::getregs(self.0)?);
        ptrace::setregs(self.0, regs)?;
        Ok(result)
    }

    fn go_on(self) -> Result<()> {
        ptrace::detach(self.0, None).context("ptrace")
    }
}

#[cfg(target_arch = "x86_64")]
const SYS_DUP3: u64 = 292;
#[cfg(target_arch = "aarch64")]
const SYS_DUP3: u64 = 24;

/// The instruction `syscall`.
#[cfg(target_arch = "x86_64")]
const SYSCALL: [u8; 2] = [0x0f, 0x05];
/// The instruction `svc #0`.
#[cfg(target_arch = "aarch64")]
const SYSCALL: [u8; 4] = [0x01, 0x00, 0x00, 0xd4];

#[cfg(target_arch = "x86_64")]
const fn before(regs: &user_regs_struct) -> u64 {
    regs.rip.wrapping_sub(2)
}

#[cfg(target_arch = "aarch64")]
const fn before(regs: &user_regs_struct) -> u64 {
    regs.pc.wrapping_sub(4)
}

#[cfg(target_arch = "x86_64")]
const fn calling(regs: user_regs_struct, number: u64, [a, b, c]: [u64; 3]) -> user_regs_struct {
    user_regs_struct {
        rip: before(&regs),
        rax: number,
        // In no system call: the kernel must not want to repeat the one it was stopped in.
        orig_rax: u64::MAX,
        rdi: a,
        rsi: b,
        rdx: c,
        ..regs
    }
}

#[cfg(target_arch = "x86_64")]
const fn result(regs: &user_regs_struct) -> u64 {
    regs.rax
}

#[cfg(target_arch = "aarch64")]
const fn calling(mut regs: user_regs_struct, number: u64, [a, b, c]: [u64; 3]) -> user_regs_struct {
    regs.pc = before(&regs);
    [regs.regs[0], regs.regs[1], regs.regs[2], regs.regs[8]] = [a, b, c, number];
    regs
}

#[cfg(target_arch = "aarch64")]
const fn result(regs: &user_regs_struct) -> u64 {
    regs.regs[0]
}
