//! Analyzed text: what Elasticsearch's standard analyzer does to `text` and `match_only_text`.

use unicode_segmentation::UnicodeSegmentation as _;

use crate::kql::ast::{Literal, LiteralKind, Pattern};

/// The words of `text` by Unicode's word boundaries (UAX 29), lower-cased.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.unicode_words().map(str::to_lowercase)
}

/// What a literal asks of analyzed text.
#[derive(Debug, Clone)]
pub(in crate::kql) enum TextTest {
    /// These words next to each other, in this order. None: only the empty text.
    Phrase(Vec<String>),
    /// Any of these words.
    Words(Vec<Pattern>),
}

impl TextTest {
    pub(in crate::kql) fn new(literal: &Literal) -> Self {
        match &literal.kind {
            LiteralKind::Quoted(text) => Self::Phrase(words(text).collect()),
            LiteralKind::Bare(pattern) => match pattern.text() {
                Some(text) => Self::Words(words(text).map(Pattern::plain).collect()),
                None => Self::Words(split(pattern)),
            },
        }
    }

    pub(in crate::kql) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Phrase(phrase) if phrase.is_empty() => text.is_empty(),
            Self::Phrase(phrase) => {
                let words: Vec<String> = words(text).collect();
                words
                    .windows(phrase.len())
                    .any(|window| window == phrase.as_slice())
            }
            Self::Words(wanted) => {
                words(text).any(|word| wanted.iter().any(|pattern| pattern.matches(&word)))
            }
        }
    }
}

/// The blank-separated pieces of a pattern: each with a wildcard stays a pattern for one word, each
/// without is analyzed.
fn split(pattern: &Pattern) -> Vec<Pattern> {
    let mut pieces = Vec::new();
    let mut current: Vec<String> = Vec::new();
    for (index, part) in pattern.parts().enumerate() {
        for (piece_index, piece) in part.split(char::is_whitespace).enumerate() {
            if piece_index == 0 && index > 0 {
                current.push(piece.to_lowercase());
            } else {
                finish(
                    &mut pieces,
                    std::mem::replace(&mut current, vec![piece.to_lowercase()]),
                );
            }
        }
    }
    finish(&mut pieces, current);
    pieces
}

fn finish(pieces: &mut Vec<Pattern>, parts: Vec<String>) {
    let mut parts = parts.into_iter();
    let Some(first) = parts.next() else { return };
    let rest: Vec<String> = parts.collect();
    if rest.is_empty() {
        pieces.extend(words(&first).map(Pattern::plain));
    } else {
        pieces.push(Pattern::new(first, rest));
    }
}

/// Whether some word of `text` is in a range, by `holds` on its bytes.
pub(in crate::kql) fn any_word(text: &str, holds: impl Fn(&str) -> bool) -> bool {
    words(text).any(|word| holds(&word))
}
