//! The pattern language of Elasticsearch's `wildcard` query: `*` and `?`.

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wildcard {
    pattern: Vec<Token>,
    ignore_case: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    /// Any run of characters, also none.
    Many,
    /// Exactly one character.
    One,
    Literal(char),
}

impl Wildcard {
    /// Compiles `text`; a backslash makes the next character literal.
    pub(crate) fn new(text: &str, ignore_case: bool) -> Self {
        let mut pattern = Vec::new();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            let token = match character {
                '*' => Token::Many,
                '?' => Token::One,
                '\\' => Token::Literal(characters.next().unwrap_or('\\')),
                other => Token::Literal(other),
            };
            if token != Token::Many || pattern.last() != Some(&Token::Many) {
                pattern.push(token);
            }
        }
        Self {
            pattern,
            ignore_case,
        }
    }

    /// Whether the whole of `text` fits the pattern.
    ///
    /// Linear in memory, at worst pattern length times text length in time.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let (mut at, mut token) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        while at < text.len() {
            let here = self.pattern.get(token).copied();
            if here == Some(Token::Many) {
                retry = Some((token, at));
                token += 1;
            } else if self.fits(here, text.get(at).copied()) {
                at += 1;
                token += 1;
            } else if let Some((star, taken)) = retry {
                retry = Some((star, taken + 1));
                token = star + 1;
                at = taken + 1;
            } else {
                return false;
            }
        }
        self.pattern
            .get(token..)
            .unwrap_or_default()
            .iter()
            .all(|token| *token == Token::Many)
    }

    fn fits(&self, token: Option<Token>, character: Option<char>) -> bool {
        match (token, character) {
            (Some(Token::One), Some(_)) => true,
            (Some(Token::Literal(expected)), Some(found)) => {
                expected == found
                    || self.ignore_case && expected.to_lowercase().eq(found.to_lowercase())
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Wildcard;

    #[test]
    fn matches_the_whole_text() {
        let cases = [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*b*b*", "abab", true),
            ("a\\*c", "a*c", true),
            ("a\\*c", "abc", false),
            ("", "", true),
            ("", "a", false),
            ("A*", "ab", false),
            ("?", "ä", true),
            ("a**b", "ab", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(
                Wildcard::new(pattern, false).matches(text),
                expected,
                "{pattern} {text}"
            );
        }
        assert!(Wildcard::new("?:\\\\WINDOWS\\\\*", true).matches("c:\\Windows\\x"));
    }
}
