//! What the packages are made of: man pages and completions.

use super::Folder;

#[test]
fn pages_are_printed_one_by_one() {
    let folder = Folder::new();
    for (words, heading) in [
        (&["man"][..], ".TH telnet-monitor 1"),
        (&["man", "replay"], ".TH telnet-monitor-replay 1"),
    ] {
        let outcome = folder.run(words);
        assert_eq!(outcome.code, 0, "{outcome:?}");
        assert!(outcome.stdout.contains(heading), "{outcome:?}");
    }
    let outcome = folder.run(&["man", "no\u{1b}thing"]);
    assert_eq!(outcome.code, 2, "{outcome:?}");
    assert_eq!(outcome.stderr, "no command no\\u{1b}thing\n");
}

#[test]
fn help_and_page_of_a_command_tell_its_own_exit_codes() {
    let folder = Folder::new();
    let found = "An event matched.";
    let ended = "It ended as it was told to: by a signal or --duration.";
    for (words, code, meaning, other) in [
        (&["query", "--help"][..], "  0  ", found, ended),
        (&["man", "query"], ".TP\n0\n", found, ended),
        (&["--help"], "  0  ", ended, found),
        (&["run", "--help"], "  0  ", ended, found),
        (&["man"], ".TP\n0\n", ended, found),
    ] {
        let text = folder.run(words).stdout;
        assert!(text.contains(&format!("{code}{meaning}\n")), "{text}");
        assert!(!text.contains(other), "{text}");
    }
}

#[test]
fn completions_name_the_program_and_its_commands() {
    let folder = Folder::new();
    for shell in ["bash", "fish", "zsh"] {
        let outcome = folder.run(&["completions", shell]);
        assert_eq!(outcome.code, 0, "{outcome:?}");
        for word in ["telnet-monitor", "replay", "--canary-pause"] {
            let word = if shell == "fish" {
                word.trim_start_matches('-')
            } else {
                word
            };
            assert!(outcome.stdout.contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(folder.run(&["completions", "nothing"]).code, 2);
}
