//! What a terminal would act on.

/// Whether a terminal takes the character for an order: control characters, and those that change
/// the direction of the text around them (Unicode UAX #9).
pub(crate) fn steers(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// `text` with such characters written as `\u{..}`.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if steers(character) {
            out.extend(character.escape_unicode());
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        let hostile = "a\u{1b}[2J\u{9b}\u{7f}\u{61c}\u{202e}\u{2066}é";
        let shown = printable(hostile);
        assert!(!shown.contains(steers), "{shown:?}");
        assert!(shown.starts_with('a') && shown.ends_with('é'), "{shown:?}");
    }
}
