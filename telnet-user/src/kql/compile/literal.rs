//! Literals typed by their field: what does not fit is an error when the rule is loaded.

use super::expr::Compiler;
use super::untyped::{Untyped, UntypedBound};
use crate::kql::ast::{Literal, Pattern, RangeOp};
use crate::kql::error::{Error, shorten};
use crate::kql::fields::FieldType;
use crate::kql::value::date::DateTest;
use crate::kql::value::ip::{Network, parse_address};
use crate::kql::value::number::Number;
use crate::kql::value::text::TextTest;

/// What one value of an event is held against.
#[derive(Debug)]
pub(in crate::kql) enum Test {
    /// Exactly this text.
    Keyword(String),
    /// Text that fits.
    Pattern(Pattern),
    Text(TextTest),
    Number(Number),
    Boolean(bool),
    Ip(Network),
    Date(DateTest),
    /// By the type of the field at hand, or of the value when the field has none.
    Untyped(Box<Untyped>),
    Range(RangeOp, Bound),
}

/// The end of a range.
#[derive(Debug)]
pub(in crate::kql) enum Bound {
    Keyword(String),
    /// A word of analyzed text.
    Word(String),
    Number(Number),
    Boolean(bool),
    Ip(u128),
    Date(DateTest),
    Untyped(Box<UntypedBound>),
}

/// The error for the unquoted word `null`.
pub(super) fn null(compiler: &Compiler<'_>, literal: &Literal, field: Option<&str>) -> Error {
    let field = shorten(field.unwrap_or("field"));
    compiler
        .type_error(literal, "null is no value to search for")
        .hint(format!(
            "a missing field: not {field}:*; the word: {field}:\"null\""
        ))
}

/// The test for `name:literal`; none after an error.
pub(super) fn value(
    compiler: &mut Compiler<'_>,
    name: &Literal,
    field_type: Option<FieldType>,
    literal: &Literal,
) -> Option<Test> {
    if compiler.is_full() {
        return None;
    }
    let Some(field_type) = field_type else {
        return untyped(compiler, literal);
    };
    let made = match (literal.is_null(), literal.text()) {
        (true, _) => Err(null(compiler, literal, name.text())),
        (false, None) => wildcard(compiler, name, field_type, literal),
        (false, Some(text)) => typed(field_type, text, literal)
            .map_err(|p| p.error(compiler, name, field_type, literal)),
    };
    report(compiler, made)
}

/// The test for a literal whose field has no type of its own.
pub(super) fn untyped(compiler: &mut Compiler<'_>, literal: &Literal) -> Option<Test> {
    if compiler.is_full() {
        return None;
    }
    let made = if literal.is_null() {
        Err(null(compiler, literal, None))
    } else {
        Ok(Test::Untyped(Box::new(Untyped::new(literal))))
    };
    report(compiler, made)
}

fn report<T>(compiler: &mut Compiler<'_>, made: Result<T, Error>) -> Option<T> {
    made.map_err(|error| compiler.errors.push(error)).ok()
}

/// Why a literal does not fit its field.
struct Problem {
    reason: String,
    hint: Option<&'static str>,
}

impl Problem {
    fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            hint: None,
        }
    }

    fn hint(self, hint: &'static str) -> Self {
        Self {
            hint: Some(hint),
            ..self
        }
    }

    fn error(
        self,
        compiler: &Compiler<'_>,
        name: &Literal,
        field_type: FieldType,
        literal: &Literal,
    ) -> Error {
        let Self { reason, hint } = self;
        let field = format!("{}{}", compiler.prefix, name.text().unwrap_or_default());
        let field = shorten(&field);
        let shown = compiler.shown(literal);
        let message = format!("{shown} {reason}; {field} is of type {}", field_type.name());
        let error =
            compiler
                .type_error(literal, message)
                .expected(if field_type == FieldType::GeoPoint {
                    "only *, for any value".to_owned()
                } else {
                    format!("{}, or * for any value", one_value(field_type))
                });
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// What a value of a type looks like.
fn one_value(field_type: FieldType) -> &'static str {
    match field_type {
        FieldType::Keyword | FieldType::Text | FieldType::Flattened => "text",
        FieldType::Long | FieldType::Double => "a number",
        FieldType::Boolean => "true or false",
        FieldType::Ip => "an IPv4 or IPv6 address or a CIDR block",
        FieldType::Date => "an ISO 8601 date, milliseconds since 1970 or date math (now-1d/d)",
        FieldType::GeoPoint => "a place",
    }
}

/// What a bound of a type looks like.
fn one_bound(field_type: FieldType) -> &'static str {
    match field_type {
        FieldType::Ip => "an IPv4 or IPv6 address",
        FieldType::GeoPoint => "field:*, for any value",
        FieldType::Keyword
        | FieldType::Text
        | FieldType::Flattened
        | FieldType::Long
        | FieldType::Double
        | FieldType::Boolean
        | FieldType::Date => one_value(field_type),
    }
}

fn wildcard(
    compiler: &Compiler<'_>,
    name: &Literal,
    field_type: FieldType,
    literal: &Literal,
) -> Result<Test, Error> {
    let problem = Problem::new("holds a wildcard");
    let problem = match (field_type, literal.wildcard()) {
        (FieldType::Keyword | FieldType::Flattened, Some(pattern)) => {
            return Ok(Test::Pattern(pattern.clone()));
        }
        (FieldType::Text, _) => return Ok(Test::Text(TextTest::new(literal))),
        (FieldType::Ip, _) => problem.hint("a range of addresses is a CIDR block: 10.0.0.0/8"),
        (FieldType::Long | FieldType::Double, _) => problem.hint("a range is field >= 20 and …"),
        (FieldType::Date, _) => problem.hint("\"2026-03-05\" covers the day; ranges cover more"),
        (
            FieldType::Keyword | FieldType::Flattened | FieldType::Boolean | FieldType::GeoPoint,
            _,
        ) => problem,
    };
    Err(problem.error(compiler, name, field_type, literal))
}

fn typed(field_type: FieldType, text: &str, literal: &Literal) -> Result<Test, Problem> {
    match field_type {
        FieldType::Keyword | FieldType::Flattened => Ok(Test::Keyword(text.to_owned())),
        FieldType::Text => Ok(Test::Text(TextTest::new(literal))),
        FieldType::Long | FieldType::Double => number(text).map(Test::Number),
        FieldType::Boolean => boolean(text).map(Test::Boolean),
        FieldType::Ip => Network::parse(text).map(Test::Ip).map_err(Problem::new),
        FieldType::Date => date(text).map(Test::Date),
        FieldType::GeoPoint => Err(Problem::new("cannot be compared with a place")),
    }
}

fn number(text: &str) -> Result<Number, Problem> {
    Number::parse(text).ok_or_else(|| {
        let problem = Problem::new("is not a number");
        if text.starts_with('=') {
            problem.hint("\":\" alone is the operator")
        } else {
            problem
        }
    })
}

fn boolean(text: &str) -> Result<bool, Problem> {
    text.parse()
        .map_err(|_e| Problem::new("is neither true nor false"))
}

fn date(text: &str) -> Result<DateTest, Problem> {
    DateTest::parse(text).map_err(|reason| {
        let problem = Problem::new(reason);
        if text.contains(' ') {
            problem.hint("date and time are separated by T: \"2026-03-05T10:00:00Z\"")
        } else {
            problem
        }
    })
}

/// The bound of `name op literal`; none after an error.
pub(super) fn bound(
    compiler: &mut Compiler<'_>,
    name: &Literal,
    field_type: Option<FieldType>,
    literal: &Literal,
) -> Option<Bound> {
    if compiler.is_full() {
        return None;
    }
    let Some(field_type) = field_type else {
        return untyped_bound(compiler, literal);
    };
    let made = bound_text(compiler, literal).and_then(|text| {
        typed_bound(field_type, text).map_err(|problem| {
            let error = problem.error(compiler, name, field_type, literal);
            error.expected(one_bound(field_type))
        })
    });
    report(compiler, made)
}

/// The bound of a range whose field has no type of its own.
pub(super) fn untyped_bound(compiler: &mut Compiler<'_>, literal: &Literal) -> Option<Bound> {
    if compiler.is_full() {
        return None;
    }
    let made =
        bound_text(compiler, literal).map(|text| Bound::Untyped(Box::new(UntypedBound::new(text))));
    report(compiler, made)
}

fn bound_text<'l>(compiler: &Compiler<'_>, literal: &'l Literal) -> Result<&'l str, Error> {
    if literal.is_null() {
        return Err(null(compiler, literal, None));
    }
    literal.text().ok_or_else(|| {
        let message = format!(
            "{} holds a wildcard, which has no order",
            compiler.shown(literal)
        );
        compiler
            .type_error(literal, message)
            .expected("one value")
            .hint("quote it when the star is meant literally")
    })
}

fn typed_bound(field_type: FieldType, text: &str) -> Result<Bound, Problem> {
    match field_type {
        FieldType::Keyword | FieldType::Flattened => Ok(Bound::Keyword(text.to_owned())),
        FieldType::Text => Ok(Bound::Word(text.to_owned())),
        FieldType::Long | FieldType::Double => number(text).map(Bound::Number),
        FieldType::Boolean => boolean(text).map(Bound::Boolean),
        FieldType::Ip => match parse_address(text) {
            Some(address) => Ok(Bound::Ip(address)),
            None if text.contains('/') => Err(Problem::new(
                "is a CIDR block, which has no place in an order",
            )
            .hint("field:10.0.0.0/8 asks for the addresses of a block")),
            None => Err(Problem::new("is not an IP address")),
        },
        FieldType::Date => date(text).map(Bound::Date),
        FieldType::GeoPoint => Err(Problem::new("cannot be compared with a place")),
    }
}
