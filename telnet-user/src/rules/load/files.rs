//! Finds and reads rule files.

use crate::source::{Level, Position, Problem, TrustError, check_trusted, shorten};
use std::fs;
use std::path::{Path, PathBuf};

/// Deepest folder looked into; ends a loop of symbolic links.
const DEPTH: usize = 16;
/// Most files taken from one folder.
const FILES: usize = 20_000;
/// Largest TOML rule file in bytes: ten times the largest published rule.
const TOML_BYTES: u64 = 1 << 20;
/// Largest export in bytes: a whole Kibana installation fits several times.
const NDJSON_BYTES: u64 = 64 << 20;

/// What a file holds, by the ending of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One rule.
    Toml,
    /// One rule, exception list, item or summary a line.
    Ndjson,
}

impl Kind {
    /// The kind of a file called `name`; `None` for any other ending.
    pub(super) fn of(name: &str) -> Option<Self> {
        let extension = Path::new(name).extension()?;
        if extension.eq_ignore_ascii_case("toml") {
            Some(Self::Toml)
        } else if extension.eq_ignore_ascii_case("ndjson") {
            Some(Self::Ndjson)
        } else {
            None
        }
    }

    const fn limit(self) -> u64 {
        match self {
            Self::Toml => TOML_BYTES,
            Self::Ndjson => NDJSON_BYTES,
        }
    }
}

/// A rule file in memory.
#[derive(Debug)]
pub(super) struct File {
    /// Name as the user gave it, extended by the path inside a folder.
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) text: String,
}

/// Reads the rule file at `path`, or every one below it in the order of names.
///
/// Hidden entries and other endings are passed over inside a folder. Whatever
/// cannot be read becomes a problem, and the rest is read all the same. With `trusted` so does
/// what others than root and the agent's user could change.
pub(super) fn read(
    path: &Path,
    trusted: bool,
    each: &mut impl FnMut(File),
    problems: &mut Vec<Problem>,
) {
    let mut reader = Reader {
        each,
        problems,
        left: FILES,
        trusted,
    };
    if !reader.accepts(path) {
        return;
    }
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            let before = reader.left;
            reader.folder(path, DEPTH);
            if reader.left == before {
                reader.problem(path, "the folder holds no .toml or .ndjson file".to_owned());
            }
        }
        Ok(_) => match Kind::of(&path.to_string_lossy()) {
            Some(kind) => reader.file(path, kind),
            None => reader.problem(path, "a rule file ends in .toml or .ndjson".to_owned()),
        },
        Err(error) => reader.problem(path, format!("cannot be read: {error}")),
    }
}

struct Reader<'r, F> {
    each: &'r mut F,
    problems: &'r mut Vec<Problem>,
    left: usize,
    trusted: bool,
}

impl<F: FnMut(File)> Reader<'_, F> {
    fn problem(&mut self, path: &Path, message: String) {
        let name = path.to_string_lossy();
        self.problems
            .push(Problem::of_file(Level::Error, &name, message));
    }

    /// Whether nobody else could have changed `path`; a problem when somebody could.
    fn accepts(&mut self, path: &Path) -> bool {
        if !self.trusted {
            return true;
        }
        match check_trusted(path) {
            // What cannot be read is told by whoever reads it.
            Ok(()) | Err(TrustError::Unreadable(_)) => true,
            Err(error) => {
                let name = path.to_string_lossy();
                self.problems.push(Problem {
                    hint: error.hint(path),
                    ..Problem::of_file(Level::Error, &name, error.to_string())
                });
                false
            }
        }
    }

    fn folder(&mut self, path: &Path, depth: usize) {
        let Some(depth) = depth.checked_sub(1) else {
            self.problem(path, format!("folders are nested deeper than {DEPTH}"));
            return;
        };
        for entry in self.entries(path) {
            let name = entry
                .file_name()
                .map(|name| name.to_string_lossy().into_owned());
            let name = name.unwrap_or_default();
            if name.starts_with('.') {
                continue;
            }
            let kind = Kind::of(&name);
            if (kind.is_some() || entry.is_dir()) && !self.accepts(&entry) {
                continue;
            }
            match (fs::metadata(&entry), kind) {
                (Ok(metadata), _) if metadata.is_dir() => self.folder(&entry, depth),
                (Ok(_), Some(kind)) => {
                    let Some(left) = self.left.checked_sub(1) else {
                        self.problem(&entry, format!("more than {FILES} files, not read"));
                        return;
                    };
                    self.left = left;
                    self.file(&entry, kind);
                }
                (Ok(_), None) => {}
                (Err(error), _) => self.problem(&entry, format!("cannot be read: {error}")),
            }
        }
    }

    /// The entries of a folder, sorted, so that every load is the same.
    fn entries(&mut self, path: &Path) -> Vec<PathBuf> {
        let listed: Result<Vec<_>, _> = fs::read_dir(path).and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect()
        });
        match listed {
            Ok(mut entries) => {
                entries.sort();
                entries
            }
            Err(error) => {
                self.problem(path, format!("cannot be read: {error}"));
                Vec::new()
            }
        }
    }

    fn file(&mut self, path: &Path, kind: Kind) {
        let name = path.to_string_lossy().into_owned();
        match fs::metadata(path) {
            Ok(metadata) if !metadata.is_file() => {
                return self.problem(path, "not a regular file".to_owned());
            }
            Ok(metadata) if metadata.len() > kind.limit() => {
                let message = format!(
                    "{} bytes, more than the {} allowed",
                    metadata.len(),
                    kind.limit()
                );
                return self.problem(path, message);
            }
            Ok(_) => {}
            Err(error) => return self.problem(path, format!("cannot be read: {error}")),
        }
        match fs::read(path).map(String::from_utf8) {
            Ok(Ok(text)) => {
                let text = text
                    .strip_prefix('\u{feff}')
                    .map_or(text.clone(), str::to_owned);
                (self.each)(File { name, kind, text });
            }
            Ok(Err(error)) => {
                let valid = error.utf8_error().valid_up_to();
                let bytes = error.into_bytes();
                let head = String::from_utf8_lossy(bytes.get(..valid).unwrap_or_default());
                let line = head.rsplit('\n').next().map(shorten);
                self.problems.push(Problem {
                    position: Some(Position::of(&head, valid)),
                    source_line: line,
                    ..Problem::of_file(Level::Error, &name, "not UTF-8".to_owned())
                });
            }
            Err(error) => self.problem(path, format!("cannot be read: {error}")),
        }
    }
}
