//! Index patterns of a rule, as Elasticsearch reads a multi-target expression.

use crate::rules::wildcard::Wildcard;

/// Whether `patterns` select any of `streams`; no pattern at all selects all.
///
/// A pattern that starts with `-` takes away from what the ones before it selected.
pub(super) fn searches(patterns: &[String], streams: &[String]) -> bool {
    patterns.is_empty() || streams.iter().any(|stream| selects(patterns, stream))
}

fn selects(patterns: &[String], stream: &str) -> bool {
    let mut selected = false;
    for pattern in patterns {
        // A remote cluster cannot hold the events of this host.
        match pattern.strip_prefix('-') {
            Some(pattern) if fits(pattern, stream) => selected = false,
            None if fits(pattern, stream) => selected = true,
            _ => {}
        }
    }
    selected
}

/// Only `*` is special in an index pattern.
fn fits(pattern: &str, stream: &str) -> bool {
    let escaped = pattern.replace('\\', "\\\\").replace('?', "\\?");
    Wildcard::new(&escaped, false).matches(stream)
}

#[cfg(test)]
mod tests {
    use super::searches;

    #[test]
    fn patterns_select_streams() {
        let stream = "logs-network_traffic.telnet-default".to_owned();
        let cases: [(&[&str], bool); 8] = [
            (&[], true),
            (&["logs-network_traffic.*"], true),
            (&["auditbeat-*", "logs-*"], true),
            (&["logs-*", "-logs-network_traffic.*"], false),
            (&["-logs-network_traffic.*", "logs-*"], true),
            (&["logs-network_traffic"], false),
            (&["logs-network_traffic?telnet-default"], false),
            (&["remote:logs-*"], false),
        ];
        for (patterns, expected) in cases {
            let owned: Vec<String> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
            assert_eq!(
                searches(&owned, std::slice::from_ref(&stream)),
                expected,
                "{patterns:?}"
            );
        }
    }
}
