//! One process's folder under `/proc`.

use std::{
    fs::File,
    io,
    io::Read as _,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, Statx, StatxFlags, makedev, openat, readlinkat, statx},
    io::{read, retry_on_intr},
};

use super::parse;

/// Longest of the small texts: stat, status, cgroup.
const MAX_TEXT: u64 = 64 * 1024;

/// Longest command line that is read.
const MAX_COMMAND_LINE: usize = 8 * 1024;

/// An open `/proc/PID`. It stays with its process: when that is gone, reads fail even if the pid
/// is in use again.
#[derive(Debug)]
pub(super) struct ProcDir(OwnedFd);

impl ProcDir {
    pub(super) fn open(root: &Path, pid: u32) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(CWD, root.join(pid.to_string()), flags, Mode::empty())?;
        Ok(Self(folder))
    }

    pub(super) fn stat(&self) -> Option<parse::Stat> {
        parse::Stat::parse(&self.text("stat").ok()?)
    }

    /// A text that the kernel makes whole at the first read (`seq_file`).
    pub(super) fn text(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        self.file(name)?.take(MAX_TEXT).read_to_end(&mut text)?;
        Ok(text)
    }

    /// The command line as the process left it, and whether there is more of it than was read.
    ///
    /// In one read, for which the kernel keeps the memory of the process (`get_mm_cmdline`): a process
    /// that ends between two leaves the beginning, which looks like all of it.
    pub(super) fn command_line(&self) -> io::Result<(Vec<u8>, bool)> {
        let file = self.file("cmdline")?;
        let mut text = vec![0; MAX_COMMAND_LINE + 1];
        let length = retry_on_intr(|| read(&file, &mut text[..]))?;
        text.truncate(length.min(MAX_COMMAND_LINE));
        Ok((text, length > MAX_COMMAND_LINE))
    }

    /// What a link such as `exe` or `cwd` points to, bytes that are not UTF-8 replaced.
    pub(super) fn link(&self, name: &str) -> Option<String> {
        let target = readlinkat(&self.0, name, Vec::new()).ok()?;
        Some(String::from_utf8_lossy(target.as_bytes()).into_owned())
    }

    /// The text of `cgroup`.
    pub(super) fn cgroup(&self) -> Option<String> {
        let text = self.text("cgroup").ok()?;
        Some(String::from_utf8_lossy(&text).into_owned())
    }

    /// Path of the executable, without the mark that the kernel adds to that of a file that is
    /// gone, as after an upgrade of a running daemon: rules ask for the path.
    pub(super) fn executable(&self) -> Option<String> {
        let path = self.link("exe")?;
        let Some(unmarked) = path.strip_suffix(" (deleted)") else {
            return Some(path);
        };
        // The name of a file that is there may end like this, too.
        let is_gone = self.stat_executable().is_ok_and(|stat| stat.stx_nlink == 0);
        Some(if is_gone { unmarked.to_owned() } else { path })
    }

    /// The executable file itself, whatever its path is by now.
    pub(super) fn image(&self) -> Option<Image> {
        self.stat_executable().ok().map(|stat| Image::of(&stat))
    }

    /// As far as this host knows it: asking the server of a remote file system could take for ever.
    fn stat_executable(&self) -> rustix::io::Result<Statx> {
        let flags = AtFlags::STATX_DONT_SYNC;
        statx(&self.0, "exe", flags, StatxFlags::BASIC_STATS)
    }

    fn file(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        Ok(openat(&self.0, name, flags, Mode::empty())?.into())
    }
}

/// Identity and version of an executable file, by its inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::enrich) struct Image {
    pub(in crate::enrich) device: u64,
    pub(in crate::enrich) inode: u64,
    /// Bytes.
    pub(in crate::enrich) size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, u32),
    changed: (i64, u32),
}

impl Image {
    /// Of an open file.
    pub(in crate::enrich) fn of_file(file: impl AsFd) -> io::Result<Self> {
        let flags = AtFlags::EMPTY_PATH;
        Ok(Self::of(&statx(file, "", flags, StatxFlags::BASIC_STATS)?))
    }

    fn of(stat: &Statx) -> Self {
        Self {
            device: makedev(stat.stx_dev_major, stat.stx_dev_minor),
            inode: stat.stx_ino,
            size: stat.stx_size,
            modified: (stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec),
            changed: (stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn command_line_of_a_process_that_ends_is_whole_or_empty() {
        let last = "x".repeat(64);
        let whole = format!("sh\0-c\0read line\0{last}\0");
        for _ in 0..200 {
            let mut child = Command::new("sh")
                .args(["-c", "read line", &last])
                .stdin(Stdio::piped())
                .spawn()
                .expect("a process");
            let dir = ProcDir::open(Path::new("/proc"), child.id()).expect("not waited for");
            let read = || dir.command_line().expect("not waited for").0;
            // Until its execve has come to the arguments.
            while read().is_empty() {
                assert_eq!(child.try_wait().expect("our child"), None);
            }
            assert_eq!(read(), whole.as_bytes());

            drop(child.stdin.take());
            loop {
                let text = read();
                if text.is_empty() {
                    break;
                }
                assert_eq!(text, whole.as_bytes());
            }
            child.wait().expect("ended");
        }
    }
}
