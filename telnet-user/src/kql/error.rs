//! What is wrong with a query, and where.

use super::ast::Span;

/// Why a query is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Kibana's grammar refuses it too.
    Syntax,
    /// It parses, but a value does not fit the type of its field.
    Type,
    /// Legal, but surely not what was meant; allowed when lenient.
    Lint,
}

/// One error or warning, with its place in the query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {message}")]
pub struct Error {
    /// Why the query is refused.
    pub class: Class,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, with the text at fault; control characters are escaped.
    pub message: String,
    /// What would be right at this place, where that can be said.
    pub expected: Option<String>,
    /// How to say in KQL what was probably meant.
    pub hint: Option<String>,
    /// Byte offset in the query.
    pub(in crate::kql) offset: usize,
    /// The line at fault around the column, escaped.
    shown: Box<str>,
    /// Characters of `shown` before the column.
    caret: u16,
}

/// Characters of context kept on each side of the column when a line is shown.
const CONTEXT: usize = 60;

impl Error {
    pub(in crate::kql) fn new(
        class: Class,
        source: &str,
        offset: usize,
        message: impl Into<String>,
    ) -> Self {
        let (before, after) = source.split_at_checked(offset).unwrap_or((source, ""));
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let in_line = before.get(line_start..).unwrap_or_default();
        let (shown, caret) = excerpt(
            in_line,
            after.split(['\r', '\n']).next().unwrap_or_default(),
        );
        Self {
            class,
            line: before.matches('\n').count() + 1,
            column: in_line.chars().count() + 1,
            message: message.into(),
            expected: None,
            hint: None,
            offset,
            shown: shown.into(),
            caret: u16::try_from(caret).unwrap_or(u16::MAX),
        }
    }

    pub(in crate::kql) fn at(
        class: Class,
        source: &str,
        span: Span,
        message: impl Into<String>,
    ) -> Self {
        Self::new(class, source, span.start, message)
    }

    pub(in crate::kql) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    pub(in crate::kql) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The error for a person: `NAME:LINE:COLUMN: message`, the line with a caret under the
    /// column, what was expected and the hint. Control characters are escaped, long lines cut.
    pub fn render(&self, source_name: &str) -> String {
        let gutter = self.line.to_string();
        let margin = " ".repeat(gutter.len());
        let shown = &self.shown;
        let mut lines = vec![
            format!("{}:{self}", escape(source_name)),
            format!("{margin} |"),
            format!("{gutter} | {shown}"),
            format!("{margin} | {}^", " ".repeat(self.caret.into())),
        ];
        for (name, text) in [("expected", &self.expected), ("hint", &self.hint)] {
            lines.extend(
                text.as_ref()
                    .map(|text| format!("{margin} = {name}: {text}")),
            );
        }
        lines.join("\n")
    }
}

/// The part of a line around a column, escaped, and the number of characters before the column.
fn excerpt(before: &str, after: &str) -> (String, usize) {
    let start = before
        .char_indices()
        .rev()
        .nth(CONTEXT - 1)
        .map_or(0, |(start, _)| start);
    let end = after
        .char_indices()
        .nth(CONTEXT)
        .map_or(after.len(), |(end, _)| end);
    let left = if start > 0 { "…" } else { "" };
    let right = if end < after.len() { "…" } else { "" };
    let head = format!("{left}{}", escape(before.get(start..).unwrap_or_default()));
    let caret = head.chars().count();
    (
        format!(
            "{head}{}{right}",
            escape(after.get(..end).unwrap_or_default())
        ),
        caret,
    )
}

/// `text` in quotes for a message, escaped and cut to a readable length.
pub(in crate::kql) fn quote(text: &str) -> String {
    format!("\"{}\"", shorten(text))
}

/// `text` for a message, escaped and cut to a readable length.
pub(in crate::kql) fn shorten(text: &str) -> String {
    let end = text
        .char_indices()
        .nth(CONTEXT)
        .map_or(text.len(), |(end, _)| end);
    let cut = if end < text.len() { "…" } else { "" };
    format!("{}{cut}", escape(text.get(..end).unwrap_or_default()))
}

fn escape(text: &str) -> String {
    let mut out = String::new();
    text.chars().for_each(|c| push_escaped(&mut out, c));
    out
}

/// Appends `c`, escaped when a terminal would act on it or not show it.
fn push_escaped(out: &mut String, c: char) {
    let invisible = c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}');
    if invisible {
        out.extend(c.escape_default());
    } else {
        out.push(c);
    }
}
