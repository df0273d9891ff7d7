//! `telnet-monitor check`.

use super::{Folder, rule};

#[test]
fn every_rule_and_its_kernel_filter_are_printed() {
    let folder = Folder::new();
    let outcome = folder.run(&["check"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let rows: Vec<&str> = outcome.stdout.lines().collect();
    assert!(rows[0].starts_with("Accepted Default Telnet Port Connection ("));
    assert!(rows[0].ends_with("enabled): inbound to port 23; outbound to port 23"));
    assert_eq!(
        rows[rows.len() - 2..],
        [
            "rules: 9 enabled, 3 disabled, 0 broken, 0 not supported, 0 deprecated",
            "kernel filter: inbound to port 23; outbound to port 23",
        ]
    );
}

#[test]
fn what_the_proof_of_a_protocol_costs_is_said() {
    let folder = Folder::new();
    folder.write("a.toml", rule("network.protocol:telnet", ""));
    let outcome = folder.run(&["check", "--rules", "."]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    for words in [
        "enabled): inbound, all; outbound, all; asks for the protocol\n",
        "network.protocol: the first bytes of these sessions are looked at in the kernel",
    ] {
        assert!(outcome.stdout.contains(words), "{}", outcome.stdout);
    }
}

#[test]
fn what_is_broken_is_pointed_at_and_the_rest_is_checked() {
    let folder = Folder::new();
    folder.write("a.toml", rule("destination.port:(23 or 2323)", ""));
    folder.write(
        "b.toml",
        rule("event.kind:event\nand destination.port:telnet", "")
            .replace("Test rule", "Bad rule")
            .replace("-0001", "-0002"),
    );
    let outcome = folder.run(&["check", "--rules", "."]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.stdout.contains("Test rule ("));
    assert!(
        outcome
            .stdout
            .contains("rules: 1 enabled, 0 disabled, 1 broken, 0 not supported")
    );
    assert!(
        outcome
            .stdout
            .contains("kernel filter: inbound to ports 23, 2323; outbound to ports 23, 2323\n"),
        "{}",
        outcome.stdout
    );
    let text = &outcome.stderr;
    assert!(
        text.contains("b.toml:") && text.contains("| and destination.port:telnet\n"),
        "{text}"
    );
    assert!(
        text.lines().any(|row| row.trim_end().ends_with('^')),
        "{text}"
    );
}

#[test]
fn warnings_and_what_is_not_supported_do_not_fail() {
    let folder = Folder::new();
    folder.write("a.toml", rule("dns.question.name:x", ""));
    folder.write(
        "b.toml",
        rule("", "")
            .replace("Test rule", "Other")
            .replace("-0001", "-0002")
            .replace(
                "type = \"query\"\nlanguage = \"kuery\"",
                "type = \"eql\"\nlanguage = \"eql\"",
            ),
    );
    let outcome = folder.run(&["check", "--rules", "a.toml", "--rules", "b.toml"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(outcome.stderr.contains("warning: a.toml:"), "{outcome:?}");
    assert!(
        outcome.stderr.contains("not supported: b.toml:"),
        "{outcome:?}"
    );
    assert!(outcome.stdout.contains("0 broken, 1 not supported"));
    let strict = folder.run(&["check", "--rules", "missing"]);
    assert_eq!(strict.code, 1);
}
