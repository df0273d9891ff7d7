//! The parser: Kibana's grammar by recursive descent.
//!
//! Kibana's grammar is a PEG with ordered choice. A literal can be read in one way only, and what
//! follows it (`:`, an operator, anything else) decides the clause; a choice that fails after that
//! point fails the whole query in the PEG too. So no backtracking is needed, and the error is the
//! furthest point reached.

pub(super) mod chars;
mod hint;
mod literal;
mod values;

use super::ast::{Literal, Node, NodeKind, Query, RangeOp, Span};
use super::error::{Class, Error, quote};

/// Longest query accepted, in bytes.
pub const MAX_BYTES: usize = 64 * 1024;

/// Most parentheses and braces that may be open at once.
pub const MAX_DEPTH: usize = 100;

/// Parses a query.
///
/// Nothing but blanks is the query that every event matches.
pub fn parse(text: &str) -> Result<Query, Error> {
    if text.len() > MAX_BYTES {
        return Err(Error::new(
            Class::Syntax,
            text,
            0,
            format!(
                "query of {} bytes is longer than {MAX_BYTES} bytes",
                text.len()
            ),
        )
        .hint("split the query into several rules"));
    }
    let mut parser = Parser {
        text,
        pos: 0,
        depth: 0,
    };
    parser.skip_blanks();
    let root = if parser.at_end() {
        Node {
            span: Span {
                start: 0,
                end: text.len(),
            },
            kind: NodeKind::All,
        }
    } else {
        parser.any_of()?
    };
    parser.skip_blanks();
    if parser.at_end() {
        Ok(Query::new(text, root))
    } else {
        Err(parser.trailing())
    }
}

struct Parser<'t> {
    text: &'t str,
    pos: usize,
    depth: usize,
}

/// The words of the grammar that join or negate clauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keyword {
    Or,
    And,
    Not,
}

impl Keyword {
    fn word(self) -> &'static str {
        match self {
            Self::Or => "or",
            Self::And => "and",
            Self::Not => "not",
        }
    }
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.pos..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn at_end(&self) -> bool {
        self.pos >= self.text.len()
    }

    fn skip_blanks(&mut self) {
        self.pos = self.text.len() - self.rest().trim_start_matches(chars::is_blank).len();
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.pos += wanted.len_utf8();
        }
        found
    }

    /// What was read since `start`, without the blanks at its end.
    fn span_from(&self, start: usize) -> Span {
        let read = Span {
            start,
            end: self.pos,
        }
        .of(self.text);
        Span {
            start,
            end: start + read.trim_end_matches(chars::is_trimmed).len(),
        }
    }

    /// The offset after `keyword` and the blanks it needs, when it stands here.
    fn after(&self, keyword: Keyword) -> Option<usize> {
        let rest = self.rest();
        let word = rest.trim_start_matches(chars::is_blank);
        let led = word.len() < rest.len();
        if led == (keyword == Keyword::Not) {
            return None;
        }
        let after = chars::strip_word(word, keyword.word())?;
        let next = after.trim_start_matches(chars::is_blank);
        (next.len() < after.len()).then_some(self.text.len() - next.len())
    }

    fn eat_keyword(&mut self, keyword: Keyword) -> bool {
        match self.after(keyword) {
            Some(pos) => {
                self.pos = pos;
                true
            }
            None => false,
        }
    }

    /// One level deeper, for the length of `parse`.
    fn nested<T>(
        &mut self,
        open: usize,
        parse: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.depth == MAX_DEPTH {
            return Err(self
                .error(
                    open,
                    format!("more than {MAX_DEPTH} open parentheses or braces"),
                )
                .hint("value lists are flat: field:(a or b or c)"));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn error(&self, offset: usize, message: impl Into<String>) -> Error {
        Error::new(Class::Syntax, self.text, offset, message)
    }

    fn any_of(&mut self) -> Result<Node, Error> {
        self.chain(Keyword::Or, Self::all_of, NodeKind::Or)
    }

    fn all_of(&mut self) -> Result<Node, Error> {
        self.chain(Keyword::And, Self::unary, NodeKind::And)
    }

    fn chain(
        &mut self,
        keyword: Keyword,
        operand: fn(&mut Self) -> Result<Node, Error>,
        kind: fn(Vec<Node>) -> NodeKind,
    ) -> Result<Node, Error> {
        let start = self.pos;
        let mut nodes = vec![operand(self)?];
        while self.eat_keyword(keyword) {
            nodes.push(operand(self)?);
        }
        if nodes.len() == 1
            && let Some(only) = nodes.pop()
        {
            return Ok(only);
        }
        Ok(Node {
            span: self.span_from(start),
            kind: kind(nodes),
        })
    }

    fn unary(&mut self) -> Result<Node, Error> {
        let start = self.pos;
        if !self.eat_keyword(Keyword::Not) {
            return self.clause();
        }
        if self.after(Keyword::Not).is_some() {
            return Err(self
                .error(self.pos, "\"not not\" is not KQL")
                .hint("not (not …)"));
        }
        let node = self.clause()?;
        let kind = NodeKind::Not(Box::new(node));
        Ok(Node {
            span: self.span_from(start),
            kind,
        })
    }

    fn clause(&mut self) -> Result<Node, Error> {
        let start = self.pos;
        if self.eat('(') {
            return self.nested(start, |parser| {
                parser.skip_blanks();
                let node = parser.any_of()?;
                parser.close(start, '(', ')')?;
                Ok(node)
            });
        }
        let literal = self
            .literal()
            .map_err(|error| hint::clause(self.text, error))?;
        let after_literal = self.pos;
        self.skip_blanks();
        if let Some(op) = self.range_op() {
            return self.range(literal, op);
        }
        let colon = self.pos;
        if self.eat(':') {
            self.skip_blanks();
            return if self.peek() == Some('{') {
                self.nested_query(literal)
            } else {
                self.field_values(literal, colon)
            };
        }
        self.pos = after_literal;
        Ok(Node {
            span: literal.span,
            kind: NodeKind::Free(literal),
        })
    }

    fn nested_query(&mut self, path: Literal) -> Result<Node, Error> {
        let open = self.pos;
        self.pos += 1;
        self.nested(open, |parser| {
            parser.skip_blanks();
            let query = Box::new(parser.any_of()?);
            parser.close(open, '{', '}')?;
            let span = parser.span_from(path.span.start);
            Ok(Node {
                span,
                kind: NodeKind::Nested { path, query },
            })
        })
    }

    fn range_op(&mut self) -> Option<RangeOp> {
        let (op, length) = match self.rest().as_bytes() {
            [b'<', b'=', ..] => (RangeOp::LessOrEqual, 2),
            [b'>', b'=', ..] => (RangeOp::GreaterOrEqual, 2),
            [b'<', ..] => (RangeOp::Less, 1),
            [b'>', ..] => (RangeOp::Greater, 1),
            _ => return None,
        };
        self.pos += length;
        Some(op)
    }

    fn range(&mut self, field: Literal, op: RangeOp) -> Result<Node, Error> {
        self.skip_blanks();
        let bound = self
            .literal()
            .map_err(|error| hint::bound(self.text, error))?;
        let span = self.span_from(field.span.start);
        Ok(Node {
            span,
            kind: NodeKind::Range { field, op, bound },
        })
    }

    /// The bracket that closes the one at `open`.
    fn close(&mut self, open: usize, opening: char, closing: char) -> Result<(), Error> {
        self.skip_blanks();
        if self.eat(closing) {
            return Ok(());
        }
        if self.at_end() {
            return Err(self
                .error(open, format!("\"{opening}\" is never closed"))
                .expected(format!(
                    "\"{closing}\", \"and\" or \"or\" before the end of the query"
                )));
        }
        let expected = format!("\"and\", \"or\" or \"{closing}\"");
        Err(hint::unexpected(self.text, self.pos, &expected))
    }

    /// The error for what is left after a whole query.
    fn trailing(&self) -> Error {
        hint::unexpected(
            self.text,
            self.pos,
            "\"and\", \"or\" or the end of the query",
        )
    }
}

/// The error for a literal that is missing at `offset`.
fn missing(text: &str, offset: usize) -> Error {
    let rest = text.get(offset..).unwrap_or_default();
    let message = match rest.chars().next() {
        None => {
            // Blank lines at the end, as in rule files, are not where something is missing.
            let end = text.trim_end_matches(chars::is_blank).len();
            return Error::new(Class::Syntax, text, end, "the query ends too early");
        }
        Some(c) if chars::is_special(c) => format!("unexpected {}", quote(&c.to_string())),
        Some(_) => {
            let word = rest.split(chars::is_blank).find(|word| !word.is_empty());
            format!("unexpected {}", quote(word.unwrap_or_default()))
        }
    };
    Error::new(Class::Syntax, text, offset, message)
}
