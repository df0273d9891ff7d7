//! Text with wildcards.

/// Unquoted text: literal parts with a `*` (any run of characters, also none) between them.
///
/// One part is plain text; runs of `*` count as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    first: String,
    rest: Vec<String>,
}

impl Pattern {
    /// Plain text.
    pub fn plain(text: impl Into<String>) -> Self {
        Self {
            first: text.into(),
            rest: Vec::new(),
        }
    }

    pub(in crate::kql) fn new(first: String, rest: Vec<String>) -> Self {
        Self { first, rest }
    }

    /// The text when there is no wildcard.
    pub fn text(&self) -> Option<&str> {
        self.rest.is_empty().then_some(self.first.as_str())
    }

    /// The literal parts, at least one; a wildcard stands between any two.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.first.as_str()).chain(self.rest.iter().map(String::as_str))
    }

    /// Whether it is `*` alone.
    pub fn is_any(&self) -> bool {
        self.first.is_empty() && matches!(self.rest.as_slice(), [last] if last.is_empty())
    }

    /// Whether the whole of `text` fits the pattern, case included.
    ///
    /// Each inner part is taken at its leftmost place, which never rules out a later part, so the
    /// time is linear in the length of `text` whatever the pattern.
    pub fn matches(&self, text: &str) -> bool {
        let Some((last, inner)) = self.rest.split_last() else {
            return text == self.first;
        };
        let Some(mut rest) = text.strip_prefix(self.first.as_str()) else {
            return false;
        };
        for part in inner {
            match rest.split_once(part.as_str()) {
                Some((_, after)) => rest = after,
                None => return false,
            }
        }
        rest.ends_with(last.as_str())
    }
}
