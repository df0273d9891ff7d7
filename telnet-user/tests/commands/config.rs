//! `-c`: what a configuration file does to `check` and `run`.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use super::{Folder, Outcome, command, rule};

fn run_with_env(folder: &Folder, arguments: &[&str], variables: &[(&str, &str)]) -> Outcome {
    let output = command(folder.0.path(), arguments)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    Outcome {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn write(folder: &Folder, name: &str, text: &str) -> String {
    let path = folder.write(name, text);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

#[test]
fn the_shipped_example_passes_and_its_routes_are_printed() {
    let folder = Folder::new();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/config.toml");
    let path = write(&folder, "c.toml", &fs::read_to_string(example).unwrap());
    let outcome = folder.run(&["check", "-c", &path]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let rows: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(
        rows[rows.len() - 5..],
        [
            "kernel filter: inbound to port 23; outbound to port 23",
            "flood: 5000 connections of an address are told at once, then 600 a minute; 4096 addresses apart",
            "sink stdout: stdout <- alerts",
            "no sink takes health",
            "no sink takes events",
        ]
    );
}

#[test]
fn a_mistake_is_shown_with_its_place_and_the_nearest_name() {
    let folder = Folder::new();
    let path = write(&folder, "c.toml", "[health]\nintervall = \"1m\"\n");
    for words in [&["check", "-c", &path][..], &["run", "-c", &path]] {
        let outcome = folder.run(words);
        assert_eq!(outcome.code, 1, "{outcome:?}");
        let expected = format!(
            "error: {path}:2:1: health.intervall: unknown key (value \"1m\")\n  |\n\
             2 | intervall = \"1m\"\n  | ^\n  = hint: did you mean interval?\n"
        );
        assert_eq!(outcome.stderr, expected);
    }
}

/// An agent would not start with it, nor take it up.
#[test]
fn a_configuration_that_monitors_nothing_does_not_pass() {
    let folder = Folder::new();
    let rule = write(&folder, "r.toml", &rule("destination.port:70000", ""));
    let path = write(
        &folder,
        "c.toml",
        &format!("[rules]\npaths = [\"{rule}\"]\n"),
    );
    for words in [&["check", "-c", &path][..], &["run", "-c", &path]] {
        let outcome = folder.run(words);
        assert_eq!(outcome.code, 1, "{outcome:?}");
        let sentence = "no enabled rule can match any session: nothing would be monitored";
        assert!(outcome.stderr.contains(sentence), "{outcome:?}");
    }
}

#[test]
fn a_named_file_must_be_there() {
    let folder = Folder::new();
    let outcome = folder.run(&["run", "-c", "/nonexistent/c.toml"]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert_eq!(
        outcome.stderr,
        "error: /nonexistent/c.toml: cannot be read: No such file or directory (os error 2)\n"
    );
}

#[test]
fn what_others_may_write_is_refused_with_the_remedy() {
    let folder = Folder::new();
    let rules = write(&folder, "r.toml", &rule("destination.port:23", ""));
    let path = write(
        &folder,
        "c.toml",
        &format!("[rules]\npaths = [\"{rules}\"]\n"),
    );
    assert_eq!(folder.run(&["check", "-c", &path]).code, 0);
    for file in [&rules, &path] {
        fs::set_permissions(file, fs::Permissions::from_mode(0o666)).unwrap();
        let outcome = folder.run(&["check", "-c", &path]);
        assert_eq!(outcome.code, 1, "{outcome:?}");
        let expected = format!(
            "error: {file}: the file can be written by others than its owner (mode 0666)\n  \
             = hint: chmod go-w {file}\n"
        );
        assert_eq!(outcome.stderr, expected);
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn secrets_and_certificates_are_checked_too() {
    let folder = Folder::new();
    let key = folder.path("key").display().to_string();
    let text = format!(
        "[[sinks]]\ntype = \"elasticsearch\"\nstreams = [\"alerts\"]\n\
         nodes = [\"http://127.0.0.1:9200\"]\napi_key_file = \"{key}\"\n"
    );
    let path = write(&folder, "c.toml", &text);
    let outcome = folder.run(&["check", "-c", &path]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    let expected = format!(
        "error: sink elasticsearch: {key}: cannot be read: No such file or directory (os error 2)\n"
    );
    assert_eq!(outcome.stderr, expected);
    write(&folder, "key", "c2VjcmV0\n");
    let outcome = folder.run(&["check", "-c", &path]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(
        outcome
            .stdout
            .contains("sink elasticsearch: elasticsearch http://127.0.0.1:9200 <- alerts"),
        "{outcome:?}"
    );
    assert!(!outcome.stdout.contains("c2VjcmV0") && !outcome.stderr.contains("c2VjcmV0"));
}

/// What `check` says of a sink with `option`, where FILE stands for a file with this content and
/// mode.
fn say(option: &str, content: &[u8], mode: u32) -> String {
    let folder = Folder::new();
    let file = write(&folder, "file", "");
    fs::write(&file, content).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    let text = format!(
        "[[sinks]]\ntype = \"elasticsearch\"\nstreams = [\"alerts\"]\n\
         nodes = [\"https://127.0.0.1:9200\"]\n{}\n",
        option.replace("FILE", &file)
    );
    let path = write(&folder, "c.toml", &text);
    let outcome = folder.run(&["check", "-c", &path]);
    assert_eq!(outcome.code, 1, "{option}: {outcome:?}");
    outcome.stderr.replace(&file, "FILE")
}

/// Each file beside the configuration that can be bad, and what is said of it.
#[test]
fn bad_secrets_and_certificates_are_named_with_what_is_wrong() {
    const KEY: &str = "api_key_file = \"FILE\"";
    const CA: &str = "ca_file = \"FILE\"";
    const CLIENT: &str = "certificate_file = \"FILE\"\nkey_file = \"FILE\"";
    const TORN: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let certificate = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["b".to_owned()]).unwrap();
    let pair = certificate.cert.pem() + &other.signing_key.serialize_pem();
    let others = "can be written by others than its owner (mode 0622) (chmod go-w FILE)";
    let torn = "FILE: certificate 1 cannot be trusted as an authority: ";
    let cases: [(&str, &[u8], u32, &str); 8] = [
        (KEY, b"key\n", 0o622, others),
        (KEY, b"", 0o600, "expected one line with the secret"),
        (KEY, b"a\nb\n", 0o600, "expected one line with the secret"),
        (KEY, b"\xff", 0o600, "FILE: not UTF-8"),
        (CA, b"text", 0o600, "FILE: no certificate (PEM)"),
        (CA, TORN.as_bytes(), 0o600, torn),
        (CLIENT, TORN.as_bytes(), 0o600, "no private key (PEM)"),
        (
            CLIENT,
            pair.as_bytes(),
            0o600,
            "certificate and key do not fit: ",
        ),
    ];
    for (option, content, mode, expected) in cases {
        let said = say(option, content, mode);
        assert!(said.starts_with("error: sink elasticsearch: "), "{said}");
        assert!(said.contains(expected), "{option}: {expected}\n{said}");
    }
}

/// Flag over environment over file, told by which of several bad log levels is complained of.
#[test]
fn typed_words_are_stronger_than_the_environment_and_that_than_the_file() {
    let folder = Folder::new();
    let good = write(&folder, "good.toml", "log = \"info\"\n");
    let bad = write(&folder, "bad.toml", "log = \"of=file=x\"\n");
    let worse = write(&folder, "worse.toml", "\nlog = \"of=file=x\"\n");
    let environment = ("TELNET_MONITOR_LOG", "of=environment=x");
    let complaint = |arguments: &[&str], file: &str, variables: &[(&str, &str)]| {
        let variables = [&[("TELNET_MONITOR_CONFIG", file)], variables].concat();
        let outcome = run_with_env(&folder, arguments, &variables);
        (outcome.code, outcome.stderr)
    };
    let is = |(code, said): (i32, String), expected_code, expected: &str| {
        assert_eq!(code, expected_code, "{said}");
        assert!(said.contains(expected), "{said}");
    };
    is(complaint(&["run"], &bad, &[]), 1, "bad.toml:1:7: log: ");
    is(complaint(&["check"], &bad, &[]), 1, "bad.toml:1:7: log: ");
    is(
        complaint(&["run"], &good, &[environment]),
        2,
        "of=environment=x",
    );
    let typed = ["run", "--log", "of=flag=x"];
    is(complaint(&typed, &good, &[environment]), 2, "of=flag=x");
    // The file that is typed is stronger than that of the environment.
    let other = ["run", "-c", &worse];
    is(complaint(&other, &bad, &[]), 1, "worse.toml:2:7: log: ");
}
