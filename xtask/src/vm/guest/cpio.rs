//! Initial file systems in the format that the kernel unpacks (`newc`,
//! Documentation/driver-api/early-userspace/buffer-format.rst).

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _, path::Path};

use anyhow::{Context as _, bail};

const FILE: u32 = 0o10_0000;
const DIRECTORY: u32 = 0o4_0000;
const SYMLINK: u32 = 0o12_0000;
const CHARACTER_DEVICE: u32 = 0o2_0000;

/// An archive under construction. Several can be laid end to end.
#[derive(Debug, Default)]
pub(crate) struct Cpio {
    bytes: Vec<u8>,
    folders: BTreeSet<String>,
    inode: u32,
}

impl Cpio {
    /// Adds a file at the absolute path `path`, and the folders it is in.
    pub(crate) fn file(
        &mut self,
        path: &str,
        content: &[u8],
        executable: bool,
    ) -> anyhow::Result<()> {
        let mode = FILE | if executable { 0o755 } else { 0o644 };
        self.parents(path)?;
        self.entry(path, mode, (0, 0), content)
    }

    /// Adds a copy of the file at `from`, following links.
    pub(crate) fn copy(&mut self, from: &Path, path: &str) -> anyhow::Result<()> {
        let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        let executable = fs::metadata(from)?.permissions().mode() & 0o100 != 0;
        self.file(path, &content, executable)
    }

    /// Adds a symbolic link.
    pub(crate) fn symlink(&mut self, path: &str, target: &str) -> anyhow::Result<()> {
        self.parents(path)?;
        self.entry(path, SYMLINK | 0o777, (0, 0), target.as_bytes())
    }

    /// Adds a folder and those it is in.
    pub(crate) fn folder(&mut self, path: &str) -> anyhow::Result<()> {
        self.parents(path)?;
        if self.folders.insert(path.to_owned()) {
            self.entry(path, DIRECTORY | 0o755, (0, 0), &[])?;
        }
        Ok(())
    }

    /// Adds `/dev/console`, which the kernel opens for the first process.
    pub(crate) fn console(&mut self) -> anyhow::Result<()> {
        self.parents("/dev/console")?;
        self.entry("/dev/console", CHARACTER_DEVICE | 0o600, (5, 1), &[])
    }

    /// Ends the archive.
    pub(crate) fn finish(mut self) -> anyhow::Result<Vec<u8>> {
        self.entry("/TRAILER!!!", 0, (0, 0), &[])?;
        Ok(self.bytes)
    }

    fn parents(&mut self, path: &str) -> anyhow::Result<()> {
        if !path.starts_with('/') {
            bail!("{path} is not absolute");
        }
        match path.rsplit_once('/') {
            Some((parent, _)) if !parent.is_empty() => self.folder(parent),
            _ => Ok(()),
        }
    }

    fn entry(
        &mut self,
        path: &str,
        mode: u32,
        (major, minor): (u32, u32),
        content: &[u8],
    ) -> anyhow::Result<()> {
        self.inode += 1;
        let name = path.trim_start_matches('/');
        let size = u32::try_from(content.len()).with_context(|| format!("{path} is too large"))?;
        let name_size = u32::try_from(name.len() + 1)?;
        let links = 1;
        let fields = [
            self.inode, mode, 0, 0, links, 0, size, 0, 0, major, minor, name_size, 0,
        ];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend(content);
        self.align();
        Ok(())
    }

    fn align(&mut self) {
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_once_and_before_what_is_in_them() {
        let mut cpio = Cpio::default();
        cpio.file("/a/b/one", b"1", false).unwrap();
        cpio.file("/a/b/two", b"22", true).unwrap();
        let text = String::from_utf8(cpio.finish().unwrap()).unwrap();
        let at = |name: &str| text.find(name).unwrap();
        assert!(at("a\0") < at("a/b\0") && at("a/b\0") < at("a/b/one\0"));
        assert_eq!(text.matches("a/b\0").count(), 1);
        assert!(text.len().is_multiple_of(4));
    }

    #[test]
    fn relative_paths_are_refused() {
        Cpio::default().file("a", b"", false).unwrap_err();
    }

    /// What an archive says of a path: its mode, device and content.
    type Entry = (String, u32, (u32, u32), Vec<u8>);

    /// Reads what the format says: a header, the path with a NUL behind it, and the content, which
    /// begin at multiples of four.
    fn read(archive: &[u8]) -> Vec<Entry> {
        const HEADER: usize = 6 + 13 * 8;
        let mut entries = Vec::new();
        let mut at = 0;
        loop {
            let header = archive.get(at..at + HEADER).unwrap();
            assert!(header.starts_with(b"070701"), "no header at {at}");
            let field = |index: usize| {
                let digits = header.get(6 + 8 * index..14 + 8 * index).unwrap();
                u32::from_str_radix(str::from_utf8(digits).unwrap(), 16).unwrap()
            };
            let [size, path_size] = [6, 11].map(|index| usize::try_from(field(index)).unwrap());
            at += HEADER;
            let path = archive.get(at..at + path_size).unwrap();
            let path = String::from_utf8(path.strip_suffix(b"\0").unwrap().to_vec()).unwrap();
            at = (at + path_size).next_multiple_of(4);
            let content = archive.get(at..at + size).unwrap().to_vec();
            at = (at + size).next_multiple_of(4);
            if path == "TRAILER!!!" {
                assert_eq!(at, archive.len());
                return entries;
            }
            entries.push((path, field(1), (field(9), field(10)), content));
        }
    }

    #[test]
    fn what_is_added_is_read_back() {
        let mut cpio = Cpio::default();
        cpio.console().unwrap();
        cpio.file("/bin/tool", b"#!/bin/sh\n", true).unwrap();
        cpio.symlink("/bin/alias", "tool").unwrap();
        cpio.file("/bin/text", b"1", false).unwrap();
        let none = (0, 0);
        let expected = [
            ("dev", 0o4_0755, none, ""),
            ("dev/console", 0o2_0600, (5, 1), ""),
            ("bin", 0o4_0755, none, ""),
            ("bin/tool", 0o10_0755, none, "#!/bin/sh\n"),
            ("bin/alias", 0o12_0777, none, "tool"),
            ("bin/text", 0o10_0644, none, "1"),
        ]
        .map(|(path, mode, device, text)| (path.to_owned(), mode, device, text.into()));
        assert_eq!(read(&cpio.finish().unwrap()), expected);
    }
}
