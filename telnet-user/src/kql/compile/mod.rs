//! From a syntax tree to a predicate: every literal gets the type of its field.

mod expr;
mod lint;
mod literal;
mod untyped;

use std::sync::Arc;

use self::expr::Compiler;
pub(super) use self::expr::{Expr, ExprKind, Field, ValueTest};
pub(super) use self::literal::{Bound, Test};
pub(super) use self::untyped::{Untyped, UntypedBound};
use super::ast::Query;
use super::error::Error;

/// How strict compilation is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Turns lint errors into warnings. Syntax and type errors stay errors.
    pub lenient: bool,
}

/// Most errors, and most warnings, that one query is reported with.
const MAX_REPORTS: usize = 100;

/// A compiled query, cheap to clone and to share between threads.
#[derive(Debug, Clone)]
pub struct Predicate(pub(super) Arc<Compiled>);

#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) query: Query,
    pub(super) root: Expr,
    fields: Vec<String>,
    warnings: Vec<Error>,
}

impl Predicate {
    /// What is odd about the query without being refused, in the order of the text.
    pub fn warnings(&self) -> &[Error] {
        &self.0.warnings
    }

    /// The query this was compiled from.
    pub fn query(&self) -> &Query {
        &self.0.query
    }

    /// The fields the query names, in full (inside braces with the path), as written with
    /// wildcards; each once, sorted.
    pub fn fields(&self) -> &[String] {
        &self.0.fields
    }
}

/// Compiles a query against the field table. All literals are checked, so that one pass reports
/// every error, up to a hundred.
pub fn compile(query: &Query, options: &Options) -> Result<Predicate, Vec<Error>> {
    let mut compiler = Compiler::new(query.source());
    let root = compiler.node(query.root());
    let Compiler {
        mut errors,
        mut warnings,
        fields,
        ..
    } = compiler;
    let lints = lint::check(query, &mut warnings);
    if options.lenient {
        warnings.extend(lints.into_iter().map(|(_, lint)| lint));
    } else {
        // `port:23 and` is a dangling operator first, and only therefore no number.
        errors.retain(|error| lints.iter().all(|(span, _)| span.start != error.offset));
        errors.extend(lints.into_iter().map(|(_, lint)| lint));
    }
    errors.sort_by_key(|error| error.offset);
    warnings.sort_by_key(|warning| warning.offset);
    if !errors.is_empty() {
        return Err(errors);
    }
    let fields = fields.into_iter().collect();
    Ok(Predicate(Arc::new(Compiled {
        query: query.clone(),
        root,
        fields,
        warnings,
    })))
}
