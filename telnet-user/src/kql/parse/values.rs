//! The right-hand side of `field:`.

use super::{Keyword, Parser, hint};
use crate::kql::ast::{Literal, Node, NodeKind, Values, ValuesKind};
use crate::kql::error::Error;

impl Parser<'_> {
    pub(super) fn field_values(&mut self, field: Literal, colon: usize) -> Result<Node, Error> {
        let values = self
            .values()
            .map_err(|error| hint::value(self.text, colon, error))?;
        let span = self.span_from(field.span.start);
        Ok(Node {
            span,
            kind: NodeKind::Match { field, values },
        })
    }

    fn values(&mut self) -> Result<Values, Error> {
        let open = self.pos;
        if self.eat('(') {
            return self.nested(open, |parser| {
                parser.skip_blanks();
                let values = parser.any_of_values()?;
                parser.close(open, '(', ')')?;
                Ok(values)
            });
        }
        let literal = self.literal()?;
        Ok(Values {
            span: literal.span,
            kind: ValuesKind::Literal(literal),
        })
    }

    fn any_of_values(&mut self) -> Result<Values, Error> {
        self.value_chain(Keyword::Or, Self::all_of_values, ValuesKind::Or)
    }

    fn all_of_values(&mut self) -> Result<Values, Error> {
        self.value_chain(Keyword::And, Self::unary_values, ValuesKind::And)
    }

    fn value_chain(
        &mut self,
        keyword: Keyword,
        operand: fn(&mut Self) -> Result<Values, Error>,
        kind: fn(Vec<Values>) -> ValuesKind,
    ) -> Result<Values, Error> {
        let start = self.pos;
        let mut list = vec![operand(self)?];
        while self.eat_keyword(keyword) {
            list.push(operand(self)?);
        }
        if list.len() == 1
            && let Some(only) = list.pop()
        {
            return Ok(only);
        }
        Ok(Values {
            span: self.span_from(start),
            kind: kind(list),
        })
    }

    fn unary_values(&mut self) -> Result<Values, Error> {
        let start = self.pos;
        if !self.eat_keyword(Keyword::Not) {
            return self.values();
        }
        let values = self.values()?;
        let span = self.span_from(start);
        Ok(Values {
            span,
            kind: ValuesKind::Not(Box::new(values)),
        })
    }
}
