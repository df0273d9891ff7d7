//! What outlasts a restart: small files of lines in one folder.
//!
//! The module that owns a file's lines says how they change, and the change travels to the writer
//! behind the documents that it speaks of. So a crash repeats a document instead of losing it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use crate::lock::Lock;

/// Largest file read, in bytes: twice the largest one written.
const FILE_BYTES: u64 = 64 << 20;
/// Most bytes kept for a file that cannot be written at the moment.
const BACKLOG_BYTES: usize = 1 << 20;

/// One of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// Which alerts were made.
    Alerted,
    /// Which sessions and listening sockets are open, and were reported.
    Open,
}

impl Name {
    const fn file(self) -> &'static str {
        match self {
            Self::Alerted => "alerted",
            Self::Open => "open",
        }
    }

    /// First line of the file; another version would not be read.
    const fn header(self) -> &'static str {
        match self {
            Self::Alerted => "telnet-monitor alerted ids, version 1",
            Self::Open => "telnet-monitor open sessions, version 1",
        }
    }
}

/// How a file changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The file.
    pub name: Name,
    /// Whole lines.
    pub lines: String,
    /// They stand for all lines before them.
    pub replaces: bool,
}

/// The whole lines of a file that another process keeps, without its header, and whether that
/// process is there; none when there is no such file. Takes nothing and changes nothing.
///
/// # Errors
///
/// Those of the file system, and `InvalidData` for a file that an agent of this version would not
/// write.
pub fn look(folder: &Path, name: Name) -> io::Result<Option<(String, bool)>> {
    let path = folder.join(name.file());
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let Some((header, lines)) = text.split_once('\n') else {
        // Nothing was written behind the header yet.
        return Ok(None);
    };
    if header != name.header() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{}: not a file of this agent", path.display()),
        ));
    }
    // The last line may not be complete yet.
    let end = lines.rfind('\n').map_or(0, |end| end + 1);
    let whole = lines.get(..end).unwrap_or_default().to_owned();
    Ok(Some((whole, Lock::is_taken(folder)?)))
}

/// The folder of the files.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    alerted: Appended,
    open: Appended,
    _lock: Lock,
}

/// A file that grows.
#[derive(Debug, Default)]
struct Appended {
    /// Absent until the first line and after an error.
    file: Option<File>,
    /// Lines that could not be written yet.
    backlog: String,
}

impl Folder {
    /// The folder at `path`, made when missing.
    ///
    /// # Errors
    ///
    /// When it cannot be made, or another agent uses it.
    pub fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        let lock = Lock::take(path)?;
        Ok(Self {
            path: path.to_owned(),
            alerted: Appended::default(),
            open: Appended::default(),
            _lock: lock,
        })
    }

    /// The lines of a file, without its header; none when there is no such file. Bytes that are
    /// not UTF-8 are replaced. A file that this agent would not write is set aside as
    /// `NAME.damaged`, with a warning in the log: a document too many is better than no agent.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn read(&self, name: Name) -> io::Result<String> {
        let path = self.path_of(name);
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
            Err(error) => return Err(error),
            Ok(metadata) if metadata.len() > FILE_BYTES => {
                set_aside(&path, "larger than this agent writes it")?;
                return Ok(String::new());
            }
            Ok(_) => {}
        }
        let bytes = fs::read(&path)?;
        let text = String::from_utf8_lossy(&bytes);
        match text.split_once('\n') {
            Some((first, lines)) if first == name.header() => Ok(lines.to_owned()),
            None if text.is_empty() => Ok(String::new()),
            Some(_) | None => {
                set_aside(&path, "not a file of this agent")?;
                Ok(String::new())
            }
        }
    }

    /// Changes a file.
    ///
    /// # Errors
    ///
    /// Those of the file system. The lines are kept, up to 1 MiB of them, and written with the
    /// next change.
    pub fn apply(&mut self, change: &Change) -> io::Result<()> {
        let path = self.path_of(change.name);
        let appended = match change.name {
            Name::Alerted => &mut self.alerted,
            Name::Open => &mut self.open,
        };
        let header = change.name.header();
        if change.replaces {
            appended.replace(&path, header, &change.lines)
        } else {
            appended.append(&path, header, &change.lines)
        }
    }

    fn path_of(&self, name: Name) -> PathBuf {
        self.path.join(name.file())
    }
}

impl Appended {
    fn append(&mut self, path: &Path, header: &str, lines: &str) -> io::Result<()> {
        if self.backlog.is_empty() && self.file.is_some() {
            return self.write(lines);
        }
        if self.backlog.len().saturating_add(lines.len()) <= BACKLOG_BYTES {
            self.backlog.push_str(lines);
        }
        let mut file = OpenOptions::new().append(true).create(true).open(path)?;
        // Behind a line that was torn by a crash or by an error this starts a new one.
        let start = if file.metadata()?.len() == 0 {
            format!("{header}\n")
        } else {
            "\n".to_owned()
        };
        file.write_all(start.as_bytes())?;
        self.file = Some(file);
        let lines = std::mem::take(&mut self.backlog);
        self.write(&lines)
    }

    fn write(&mut self, lines: &str) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        file.write_all(lines.as_bytes()).inspect_err(|_| {
            self.file = None;
            self.backlog.push_str(lines);
        })
    }

    /// Replaces the file in one step.
    fn replace(&mut self, path: &Path, header: &str, lines: &str) -> io::Result<()> {
        let mut temporary = path.to_owned().into_os_string();
        temporary.push(".new");
        fs::write(&temporary, format!("{header}\n{lines}"))?;
        fs::rename(&temporary, path)?;
        self.backlog.clear();
        self.file = Some(OpenOptions::new().append(true).open(path)?);
        Ok(())
    }
}

fn set_aside(path: &Path, why: &str) -> io::Result<()> {
    let mut aside = path.to_owned().into_os_string();
    aside.push(".damaged");
    tracing::warn!(
        path = %path.display(),
        kept = %Path::new(&aside).display(),
        why,
        "a file of the agent's state cannot be used, documents may be repeated"
    );
    fs::rename(path, aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(lines: &str, replaces: bool) -> Change {
        Change {
            name: Name::Open,
            lines: lines.to_owned(),
            replaces,
        }
    }

    /// Lines as their owners read them: an empty one says nothing.
    fn lines(folder: &Folder) -> Vec<String> {
        let text = folder.read(Name::Open).expect("read");
        let lines = text.lines().filter(|line| !line.is_empty());
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn what_was_appended_or_replaced_is_read_by_the_next_one() {
        let dir = tempfile::tempdir().expect("folder");
        let mut folder = Folder::open(&dir.path().join("made")).expect("opened");
        assert!(lines(&folder).is_empty());
        folder.apply(&change("a\n", false)).expect("appended");
        folder.apply(&change("b\n", false)).expect("appended");
        let refused = Folder::open(&dir.path().join("made")).expect_err("in use");
        assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy);
        drop(folder);
        let mut next = Folder::open(&dir.path().join("made")).expect("opened");
        assert_eq!(lines(&next), ["a", "b"]);
        next.apply(&change("c\n", false)).expect("appended");
        assert_eq!(lines(&next), ["a", "b", "c"]);
        next.apply(&change("d\n", true)).expect("replaced");
        next.apply(&change("e\n", false)).expect("appended");
        assert_eq!(lines(&next), ["d", "e"]);
    }

    #[test]
    fn another_process_sees_whole_lines() {
        let dir = tempfile::tempdir().expect("folder");
        let seen = || look(dir.path(), Name::Open).expect("read");
        assert_eq!(seen(), None);
        let mut folder = Folder::open(dir.path()).expect("opened");
        folder.apply(&change("a\nb\nto", false)).expect("appended");
        assert_eq!(seen(), Some(("a\nb\n".to_owned(), true)));
        drop(folder);
        assert_eq!(seen(), Some(("a\nb\n".to_owned(), false)));
        fs::write(dir.path().join("open"), "something else\n").expect("written");
        let refused = look(dir.path(), Name::Open).expect_err("foreign");
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_torn_line_spoils_only_itself() {
        let dir = tempfile::tempdir().expect("folder");
        let mut folder = Folder::open(dir.path()).expect("opened");
        folder.apply(&change("a\n", false)).expect("appended");
        let path = dir.path().join("open");
        let mut bytes = fs::read(&path).expect("read");
        bytes.extend(b"to\xff");
        fs::write(&path, bytes).expect("written");
        drop(folder);
        let mut next = Folder::open(dir.path()).expect("opened");
        next.apply(&change("b\n", false)).expect("appended");
        assert_eq!(lines(&next), ["a", "to\u{fffd}", "b"]);
    }

    #[test]
    fn a_foreign_file_is_set_aside() {
        let dir = tempfile::tempdir().expect("folder");
        fs::write(dir.path().join("open"), "something else\n").expect("written");
        let folder = Folder::open(dir.path()).expect("opened");
        assert!(lines(&folder).is_empty());
        let kept = fs::read_to_string(dir.path().join("open.damaged")).expect("kept");
        assert_eq!(kept, "something else\n");
    }

    #[test]
    fn what_cannot_be_written_waits_for_the_next_change() {
        let dir = tempfile::tempdir().expect("folder");
        let mut folder = Folder::open(dir.path()).expect("opened");
        // A folder in the file's place: not even root can write that.
        fs::create_dir(dir.path().join("open")).expect("made");
        folder.apply(&change("a\n", false)).expect_err("no file");
        fs::remove_dir(dir.path().join("open")).expect("removed");
        folder.apply(&change("b\n", false)).expect("appended");
        assert_eq!(lines(&folder), ["a", "b"]);
    }
}
