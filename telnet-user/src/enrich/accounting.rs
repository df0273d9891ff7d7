//! Who logged in, and how often it failed, as login(1) keeps books: utmp, wtmp and btmp.
//!
//! Of failures only the number is taken. The name in a record of btmp is whatever was typed at the
//! prompt, now and then a password.

use std::{
    fs::{File, read_to_string},
    io::{Read as _, Seek as _, SeekFrom},
    os::fd::OwnedFd,
    path::Path,
    sync::OnceLock,
};

use rustix::fs::{self, Mode, OFlags};

/// How the C library lays out a `struct utmp` up to and behind its times (`bits/utmp.h` of glibc).
#[derive(Clone, Copy, Debug)]
struct Layout {
    /// Bytes of a record.
    record: usize,
    /// Where the seconds of `ut_tv` are, behind which are its microseconds.
    seconds: usize,
    /// Bytes of each.
    width: usize,
}

/// Where 32-bit programs write the same files: x86 (`__WORDSIZE_TIME64_COMPAT32`).
const SHARED: Layout = Layout {
    record: 384,
    seconds: 340,
    width: 4,
};

/// With the times of a 64-bit processor, such as aarch64.
const NATIVE: Layout = Layout {
    record: 400,
    seconds: 344,
    width: 8,
};

/// That of this processor.
const HERE: Layout = if cfg!(target_arch = "x86_64") {
    SHARED
} else {
    NATIVE
};

/// Records that are read from the end of a file: nobody makes more while a login asks.
const MAX_RECORDS: usize = 1_024;
/// Bytes of `/etc/passwd` that are looked at.
const MAX_PASSWD: u64 = 1 << 20;
/// `USER_PROCESS` of `ut_type`.
const USER_PROCESS: i16 = 7;

/// A record that a login has left.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    kind: i16,
    pid: u32,
    line: String,
    user: String,
    /// Seconds since 1970.
    time: i64,
    /// Microseconds since 1970.
    micros: i64,
}

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// Its terminal, `pts/3`.
    pub(super) line: Option<&'a str>,
    /// Seconds since 1970: nothing older counts, process ids come again.
    pub(super) since: i64,
    /// Microseconds since 1970: no failure after that counts. A login whose terminal is hung up writes
    /// down a failure for each time that it could not read a name.
    pub(super) until: i64,
}

/// The books of the file system that a process sees.
#[derive(Debug)]
pub(super) struct Books {
    root: OwnedFd,
    /// The id of the process in its own pid namespace, which is what it writes down.
    pid: u32,
    /// Who logged in, once that was read: the terminal is soon another login's.
    user: OnceLock<Said>,
}

/// A user name, and which file said it.
pub(super) type Said = (String, &'static str);

impl Books {
    /// Those below the root of a process, as containers have their own; none when it is gone.
    /// Stay open after its end.
    pub(super) fn open(proc_root: &Path, pid: u32) -> Option<Self> {
        let folder = proc_root.join(pid.to_string());
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = fs::open(folder.join("root"), flags, Mode::empty()).ok()?;
        let status = read_to_string(folder.join("status")).ok()?;
        let ids = status
            .lines()
            .find_map(|line| line.strip_prefix("NSpid:"))?;
        let pid = ids.split_whitespace().next_back()?.parse().ok()?;
        let user = OnceLock::new();
        Some(Self { root, pid, user })
    }

    /// Who logged in; to be asked for the first time while the login lasts.
    pub(super) fn user(&self, wanted: Wanted<'_>) -> Option<Said> {
        if self.user.get().is_none() {
            let said = self.read_user(wanted)?;
            return Some(self.user.get_or_init(|| said).clone());
        }
        self.user.get().cloned()
    }

    fn read_user(&self, wanted: Wanted<'_>) -> Option<Said> {
        [
            ("run/utmp", "utmp"),
            ("var/run/utmp", "utmp"),
            ("var/log/wtmp", "wtmp"),
        ]
        .into_iter()
        .find_map(|(path, name)| {
            let entries = self.entries(path)?;
            // Some write the id of login(1), others that of the shell: the line is what counts.
            let entry = entries.into_iter().rev().find(|entry| {
                let is_line = wanted
                    .line
                    .map_or(entry.pid == self.pid, |line| entry.line == line);
                entry.kind == USER_PROCESS
                    && !entry.user.is_empty()
                    && entry.time >= wanted.since
                    && is_line
            })?;
            Some((entry.user, name))
        })
    }

    /// The name of a user in the accounts that login(1) knows.
    pub(super) fn name(&self, id: u32) -> Option<String> {
        let mut text = String::new();
        let file = self.open_file("etc/passwd")?;
        file.take(MAX_PASSWD).read_to_string(&mut text).ok()?;
        text.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|name| !name.is_empty())?;
            (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
        })
    }

    /// How often it failed before; none when no book is kept of that.
    pub(super) fn failures(&self, wanted: Wanted<'_>) -> Option<u64> {
        let entries = self.entries("var/log/btmp")?;
        let count = entries
            .iter()
            .filter(|entry| self.has(entry, wanted) && entry.micros <= wanted.until)
            .count();
        u64::try_from(count).ok()
    }

    fn has(&self, entry: &Entry, wanted: Wanted<'_>) -> bool {
        let is_line = wanted.line.is_none_or(|line| entry.line == line);
        entry.pid == self.pid && entry.time >= wanted.since && is_line
    }

    fn entries(&self, path: &str) -> Option<Vec<Entry>> {
        let mut file = self.open_file(path)?;
        let length = usize::try_from(file.metadata().ok()?.len()).ok()?;
        let record = HERE.record;
        let skipped = (length / record).saturating_sub(MAX_RECORDS) * record;
        file.seek(SeekFrom::Start(u64::try_from(skipped).ok()?))
            .ok()?;
        let mut bytes = Vec::new();
        let most = u64::try_from(MAX_RECORDS * record).ok()?;
        file.take(most).read_to_end(&mut bytes).ok()?;
        let records = bytes.chunks_exact(record);
        Some(records.filter_map(|record| parse(record, HERE)).collect())
    }

    /// A file of that root. No link is followed, since those of a container may lead out of it,
    /// and a pipe is not waited for.
    ///
    /// Step by step and not by openat2(2), whose flags the sandbox could not look at.
    fn open_file(&self, path: &str) -> Option<File> {
        let always = OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let step = OFlags::PATH | OFlags::DIRECTORY | always;
        let (folders, name) = path.rsplit_once('/')?;
        let mut folder = self.root.try_clone().ok()?;
        for part in folders.split('/') {
            folder = fs::openat(&folder, part, step, Mode::empty()).ok()?;
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | always;
        let file = File::from(fs::openat(&folder, name, flags, Mode::empty()).ok()?);
        let metadata = file.metadata().ok()?;
        metadata.is_file().then_some(file)
    }
}

fn parse(record: &[u8], layout: Layout) -> Option<Entry> {
    let text = |at: usize, len: usize| -> Option<String> {
        let bytes = record.get(at..at + len)?.split(|byte| *byte == 0).next()?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    };
    let number = |at: usize, width: usize| -> Option<i64> {
        let bytes = record.get(at..at + width)?;
        match width {
            8 => Some(i64::from_le_bytes(bytes.try_into().ok()?)),
            _ => Some(i32::from_le_bytes(bytes.try_into().ok()?).into()),
        }
    };
    let Layout { seconds, width, .. } = layout;
    let micros = number(seconds + width, width)?;
    let seconds = number(seconds, width)?;
    Some(Entry {
        kind: i16::from_le_bytes(record.get(0..2)?.try_into().ok()?),
        pid: u32::try_from(number(4, 4)?).ok()?,
        line: text(8, 32)?.trim_start_matches("/dev/").to_owned(),
        user: text(44, 32)?,
        time: seconds,
        micros: seconds.saturating_mul(1_000_000).saturating_add(micros),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn record(kind: i16, pid: u32, line: &str, user: &str, time: i32) -> Vec<u8> {
        record_of(HERE, kind, pid, line, user, time)
    }

    fn record_of(
        layout: Layout,
        kind: i16,
        pid: u32,
        line: &str,
        user: &str,
        time: i32,
    ) -> Vec<u8> {
        let mut bytes = vec![0; layout.record];
        let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
        put(0, &kind.to_le_bytes());
        put(4, &pid.to_le_bytes());
        put(8, line.as_bytes());
        put(44, user.as_bytes());
        put(layout.seconds, &time.to_le_bytes());
        bytes
    }

    fn books(files: &[(&str, Vec<u8>)]) -> (tempfile::TempDir, Books) {
        let proc = tempfile::tempdir().expect("a folder");
        for (path, content) in files {
            let path = proc.path().join("7/root").join(path);
            fs::create_dir_all(path.parent().expect("below")).expect("made");
            fs::write(path, content).expect("written");
        }
        fs::create_dir_all(proc.path().join("7/root")).expect("made");
        fs::write(proc.path().join("7/status"), "Name:\tx\nNSpid:\t7\t70\n").expect("written");
        let books = Books::open(proc.path(), 7).expect("a root");
        (proc, books)
    }

    const ALICE: Wanted<'_> = Wanted {
        line: Some("pts/3"),
        since: 1_000,
        until: i64::MAX,
    };

    #[test]
    fn records_are_read_as_each_processor_writes_them() {
        for layout in [SHARED, NATIVE] {
            let record = record_of(layout, 7, 70, "/dev/pts/3", "alice", 1_001);
            let entry = parse(&record, layout).expect("an entry");
            assert_eq!(
                (entry.line.as_str(), entry.user.as_str()),
                ("pts/3", "alice")
            );
            assert_eq!((entry.time, entry.micros), (1_001, 1_001_000_000));
            assert!(layout.seconds + 2 * layout.width + 16 + 20 <= layout.record);
        }
    }

    #[test]
    fn what_fails_because_the_session_is_over_was_not_tried() {
        let at = |micros: i32| {
            let mut bytes = record(6, 70, "pts/3", "UNKNOWN", 1_001);
            let at = HERE.seconds + HERE.width;
            bytes[at..at + 4].copy_from_slice(&micros.to_le_bytes());
            bytes
        };
        let (_proc, books) = books(&[("var/log/btmp", [at(0), at(500), at(501)].concat())]);
        let until = |micros: i64| Wanted {
            until: 1_001_000_000 + micros,
            ..ALICE
        };
        let failures = [-1, 0, 500, 501].map(|micros| books.failures(until(micros)));
        assert_eq!(failures, [Some(0), Some(1), Some(2), Some(3)]);
    }

    #[test]
    fn only_records_of_this_very_login_count() {
        let btmp = [
            record(6, 70, "pts/3", "alice", 1_000),
            record(6, 70, "pts/3", "hunter2", 1_001),
            // Another login, another terminal, and another one long ago.
            record(6, 71, "pts/3", "bob", 1_001),
            record(6, 70, "pts/4", "bob", 1_001),
            record(6, 70, "pts/3", "bob", 999),
            // Torn while it is being written.
            vec![6; 100],
        ]
        .concat();
        let (_proc, books) = books(&[("var/log/btmp", btmp)]);
        assert_eq!(books.failures(ALICE), Some(2));
        assert_eq!(books.user(ALICE), None);
    }

    #[test]
    fn the_user_is_who_was_let_in() {
        let entries = [
            record(6, 70, "pts/3", "LOGIN", 1_001),
            record(USER_PROCESS, 70, "pts/3", "alice", 1_002),
            record(8, 70, "pts/3", "", 1_003),
        ]
        .concat();
        for (path, name) in [("run/utmp", "utmp"), ("var/log/wtmp", "wtmp")] {
            let (_proc, books) = books(&[(path, entries.clone())]);
            assert_eq!(books.user(ALICE), Some(("alice".to_owned(), name)));
            assert_eq!(books.failures(ALICE), None, "no book, no number");
        }
    }

    #[test]
    fn whoever_gets_the_terminal_next_is_somebody_else() {
        let entry = |user| record(USER_PROCESS, 70, "pts/3", user, 1_002);
        let (proc, books) = books(&[("run/utmp", entry("alice"))]);
        let alice = Some(("alice".to_owned(), "utmp"));
        assert_eq!(books.user(ALICE), alice);
        fs::write(proc.path().join("7/root/run/utmp"), entry("bob")).expect("written");
        assert_eq!(books.user(ALICE), alice);
    }

    #[test]
    fn a_house_has_users_of_its_own() {
        let passwd = b"root:x:0:0::/:/bin/sh\nbroken\n:x:5\nalice:x:4711:4711::/:/bin/sh\n";
        let (_proc, books) = books(&[("etc/passwd", passwd.to_vec())]);
        assert_eq!(books.name(4_711).as_deref(), Some("alice"));
        assert_eq!((books.name(5), books.name(6)), (None, None));
    }

    #[test]
    fn no_link_leads_out_of_the_house() {
        let secret = record(USER_PROCESS, 70, "pts/3", "secret", 1_002);
        let (proc, books) = books(&[("elsewhere/utmp", secret)]);
        let root = proc.path().join("7/root");
        fs::create_dir(root.join("run")).expect("made");
        let file = root.join("elsewhere/utmp");
        std::os::unix::fs::symlink(&file, root.join("run/utmp")).expect("a link");
        std::os::unix::fs::symlink(root.join("elsewhere"), root.join("var")).expect("a link");
        assert_eq!(books.user(ALICE), None);
        fs::remove_file(root.join("run/utmp")).expect("removed");
        fs::rename(file, root.join("run/utmp")).expect("moved");
        assert_eq!(books.user(ALICE), Some(("secret".to_owned(), "utmp")));
    }

    #[test]
    fn any_bytes_are_read_without_harm() {
        for content in [vec![], vec![0xff; 50], vec![0xff; HERE.record * 3]] {
            let (_proc, books) = books(&[("run/utmp", content.clone()), ("var/log/btmp", content)]);
            assert_eq!((books.user(ALICE), books.failures(ALICE)), (None, Some(0)));
        }
    }
}
