//! What is wrong with a rule file, and exactly where.

use std::fmt;

use super::terminal::printable;

/// Longest value repeated in a message, in characters.
const VALUE_LIMIT: usize = 80;
/// Characters of a source line shown on each side of the caret: an NDJSON line
/// holds a whole rule and would fill the screen.
const EXCERPT_SIDE: usize = 60;

/// How much a [`Problem`] costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The rule runs; something about it deserves a look.
    Warning,
    /// The rule is well formed and asks for something this agent does not do.
    /// It does not run.
    Unsupported,
    /// The rule, or the whole file, is broken. It does not run.
    Error,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Unsupported => "not supported",
            Self::Error => "error",
        })
    }
}

/// A place in a text file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
}

impl Position {
    /// Position of the byte `offset` of `text`; the end for an offset beyond it.
    pub(crate) fn of(text: &str, offset: usize) -> Self {
        let mut line = 1;
        let mut column = 1;
        for (at, character) in text.char_indices() {
            if at >= offset {
                break;
            }
            if character == '\n' {
                line += 1;
                column = 1;
            } else {
                column += 1;
            }
        }
        Self { line, column }
    }
}

/// One finding about a rule file.
///
/// `Display` is the one-line form `FILE:LINE:COLUMN: PATH: MESSAGE`;
/// [`render`](Self::render) adds the source line and a caret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What the finding costs.
    pub level: Level,
    /// File as the user named it, or `shipped/NAME` for an embedded rule.
    pub file: String,
    /// Where in the file; absent when the file could not be read at all.
    pub position: Option<Position>,
    /// JSON path inside the file, such as `rule.threat[0].tactic.id`; empty for
    /// the file itself.
    pub path: String,
    /// The offending value as JSON text, shortened, control characters escaped.
    pub value: Option<String>,
    /// The sentence: lower case, no full stop.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Name of the rule it is about, when known.
    pub rule: Option<String>,
    /// The line of the file that holds the position.
    pub source_line: Option<String>,
}

impl Problem {
    /// A finding about a file as a whole.
    pub(crate) fn of_file(level: Level, file: &str, message: String) -> Self {
        Self {
            level,
            file: file.to_owned(),
            position: None,
            path: String::new(),
            value: None,
            message,
            hint: None,
            rule: None,
            source_line: None,
        }
    }

    /// Several lines for a person: the finding, its line with a caret, the hint.
    ///
    /// Control characters of the file are escaped, so the text is safe to print.
    pub fn render(&self) -> String {
        let mut rows = vec![format!("{}: {}", self.level, printable(&self.to_string()))];
        if let (Some(position), Some(line)) = (self.position, &self.source_line) {
            let (text, caret) = excerpt(line, position.column);
            let gutter = position.line.to_string();
            let blank = " ".repeat(gutter.len());
            rows.push(format!("{blank} |"));
            rows.push(format!("{gutter} | {text}"));
            rows.push(format!("{blank} | {}^", " ".repeat(caret)));
        }
        if let Some(hint) = &self.hint {
            rows.push(format!("  = hint: {}", printable(hint)));
        }
        rows.join("\n")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(Position { line, column }) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(value) = &self.value {
            write!(f, " (value {value})")?;
        }
        Ok(())
    }
}

/// `value` as JSON text that fits into a message.
pub(crate) fn short_value(value: &serde_json::Value) -> String {
    shorten(&value.to_string())
}

/// `text` cut to what fits into a message, safe to print.
pub(crate) fn shorten(text: &str) -> String {
    let mut out: String = text.chars().take(VALUE_LIMIT).collect();
    if text.chars().nth(VALUE_LIMIT).is_some() {
        out.push('…');
    }
    printable(&out)
}

/// The part of `line` around `column` and the width in front of the caret.
fn excerpt(line: &str, column: usize) -> (String, usize) {
    let start = column.saturating_sub(EXCERPT_SIDE + 1);
    let mut text = String::new();
    let mut caret = 0;
    if start > 0 {
        text.push('…');
    }
    for (index, character) in line.trim_end_matches('\r').chars().enumerate().skip(start) {
        if index + 1 == column {
            caret = text.chars().count();
        }
        if index >= start + 2 * EXCERPT_SIDE {
            text.push('…');
            break;
        }
        match character {
            '\t' => text.push(' '),
            other => text.push_str(&printable(other.encode_utf8(&mut [0; 4]))),
        }
    }
    if caret == 0 && column > 1 {
        caret = text.chars().count();
    }
    (text, caret)
}

#[cfg(test)]
mod tests {
    use super::{Level, Position, Problem};

    fn problem(line: &str, column: usize) -> Problem {
        Problem {
            position: Some(Position { line: 7, column }),
            path: "rule.query".to_owned(),
            source_line: Some(line.to_owned()),
            hint: Some("quote it".to_owned()),
            ..Problem::of_file(Level::Error, "a.toml", "bad".to_owned())
        }
    }

    #[test]
    fn render_points_at_the_column() {
        let text = problem("query = 'x:>1'", 12).render();
        assert_eq!(
            text,
            "error: a.toml:7:12: rule.query: bad\n  |\n7 | query = 'x:>1'\n  |            ^\n  = hint: quote it"
        );
    }

    #[test]
    fn render_shows_a_window_of_a_long_line() {
        let line = format!("{}X{}", "a".repeat(500), "b".repeat(500));
        let text = problem(&line, 501).render();
        let rows: Vec<&str> = text.lines().collect();
        assert!(rows[2].chars().count() < 140, "{text}");
        assert_eq!(
            rows[2].chars().nth(rows[3].chars().count() - 1),
            Some('X'),
            "{text}"
        );
    }

    #[test]
    fn render_escapes_terminal_controls() {
        let text = problem("\u{1b}[2J\u{202e}", 1).render();
        assert!(
            !text.contains('\u{1b}') && !text.contains('\u{202e}'),
            "{text:?}"
        );
    }

    #[test]
    fn position_counts_characters() {
        assert_eq!(Position::of("äb\ncd", 3), Position { line: 1, column: 3 });
        assert_eq!(Position::of("äb\ncd", 5), Position { line: 2, column: 2 });
        assert_eq!(Position::of("a", 99), Position { line: 1, column: 2 });
    }
}
