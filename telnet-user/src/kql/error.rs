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
    /// The line at fault, unchanged.
    source_line: Box<str>,
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
        let before = source.get(..offset).unwrap_or(source);
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = source
            .get(start..)
            .and_then(|rest| rest.split('\n').next())
            .unwrap_or_default();
        Self {
            class,
            line: before.matches('\n').count() + 1,
            column: before.get(start..).unwrap_or_default().chars().count() + 1,
            message: message.into(),
            expected: None,
            hint: None,
            offset,
            source_line: line.trim_end_matches('\r').into(),
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
        let (shown, caret) = self.window();
        let mut lines = vec![
            format!("{}:{self}", escape(source_name)),
            format!("{margin} |"),
            format!("{gutter} | {shown}"),
            format!("{margin} | {}^", " ".repeat(caret)),
        ];
        for (name, text) in [("expected", &self.expected), ("hint", &self.hint)] {
            lines.extend(
                text.as_ref()
                    .map(|text| format!("{margin} = {name}: {text}")),
            );
        }
        lines.join("\n")
    }

    /// The part of the line around the column, escaped, and the caret's place below it.
    fn window(&self) -> (String, usize) {
        let target = self.column - 1;
        let first = target.saturating_sub(CONTEXT);
        let mut shown = String::new();
        let mut caret = 0;
        if first > 0 {
            shown.push('…');
        }
        let mut more = false;
        for (index, c) in self.source_line.chars().enumerate().skip(first) {
            if index == target {
                caret = shown.chars().count();
            }
            if index > target + CONTEXT {
                more = true;
                break;
            }
            push_escaped(&mut shown, c);
        }
        if self.source_line.chars().count() <= target {
            caret = shown.chars().count();
        }
        if more {
            shown.push('…');
        }
        (shown, caret)
    }
}

/// `text` in quotes for a message, escaped and cut to a readable length.
pub(in crate::kql) fn quote(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut out = String::from("\"");
    for c in text.chars().take(LONGEST) {
        push_escaped(&mut out, c);
    }
    if text.chars().nth(LONGEST).is_some() {
        out.push('…');
    }
    out.push('"');
    out
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
