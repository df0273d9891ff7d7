//! The nearest known name in "unknown key" messages.

/// The name of `known` that `name` is most likely a misspelling of.
pub(crate) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let limit = name.chars().count().div_ceil(3).min(4);
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), *candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    const KNOWN: [&str; 4] = ["max_signals", "query", "severity", "timestamp_override"];

    #[test]
    fn nearest_names() {
        let cases = [
            ("severty", Some("severity")),
            ("max_signal", Some("max_signals")),
            ("qurey", Some("query")),
            ("timestamp_overide", Some("timestamp_override")),
            ("zzzz", None),
            ("", None),
        ];
        for (name, expected) in cases {
            assert_eq!(nearest(name, &KNOWN), expected, "{name}");
        }
    }
}
