//! The rules of the house that a compiler does not check.
#![expect(
    clippy::tests_outside_test_module,
    reason = "all of an integration test is test code"
)]

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

/// Which modules each module may use: data flows one way, see ARCHITECTURE.md.
const ARROWS: [(&str, &[&str]); 25] = [
    ("clock", &[]),
    ("canary", &["sandbox", "session"]),
    ("json", &[]),
    ("kql", &["json"]),
    ("lock", &[]),
    ("input", &[]),
    ("source", &[]),
    ("config", &["source"]),
    ("probe", &["clock"]),
    ("session", &["clock", "probe", "state"]),
    ("enrich", &["clock", "probe", "sandbox", "session"]),
    ("flood", &["clock", "probe", "session"]),
    (
        "ecs",
        &[
            "clock", "enrich", "flood", "json", "probe", "response", "session",
        ],
    ),
    ("rules", &["alert", "json", "kql", "source", "state"]),
    ("alert", &["json", "rules"]),
    ("sink", &["alert", "config", "lock", "sandbox", "source"]),
    ("response", &["clock", "config", "kql", "probe", "session"]),
    (
        "health",
        &[
            "flood", "probe", "response", "rules", "sandbox", "session", "sink",
        ],
    ),
    ("sandbox", &[]),
    ("state", &["lock"]),
    ("replay", &["alert", "input", "rules"]),
    (
        "pipeline",
        &[
            "alert", "canary", "clock", "config", "flood", "health", "json", "probe", "response",
            "rules", "session", "sink", "state",
        ],
    ),
    (
        "agent",
        &[
            "canary", "clock", "config", "ecs", "enrich", "flood", "health", "json", "pipeline",
            "probe", "response", "rules", "sandbox", "session", "sink", "state",
        ],
    ),
    (
        "cli",
        &[
            "agent", "alert", "canary", "config", "ecs", "enrich", "flood", "health", "input",
            "json", "kql", "pipeline", "probe", "replay", "rules", "sandbox", "session", "sink",
            "source", "state",
        ],
    ),
    ("main", &["cli"]),
];
/// Longest source file, and longest file of nothing but tests.
const MAX_LINES: usize = 400;
const MAX_TEST_LINES: usize = 600;

type Outcome = Result<(), Box<dyn Error>>;

#[test]
fn modules_use_only_what_is_upstream_of_them() -> Outcome {
    let arrows: BTreeMap<_, _> = ARROWS.into_iter().collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for path in sources(&root)? {
        let relative = path.strip_prefix(&root)?;
        let first = relative.iter().next().and_then(|part| part.to_str());
        let module = first.unwrap_or_default().trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        let Some(allowed) = arrows.get(module) else {
            wrong.push(format!("{module}: not in the table of modules"));
            continue;
        };
        for used in modules_used(&fs::read_to_string(&path)?) {
            if used != module && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{}: uses {used}", relative.display()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "against the flow of data:\n{}",
        wrong.join("\n")
    );
    Ok(())
}

#[test]
fn files_stay_short_enough_to_read() -> Outcome {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut wrong = Vec::new();
    for package in [
        "telnet-common",
        "telnet-ebpf",
        "telnet-user",
        "xtask",
        "tests",
    ] {
        for path in sources(&workspace.join(package))? {
            let lines = fs::read_to_string(&path)?.lines().count();
            let is_test = path
                .iter()
                .any(|part| part == "tests" || part == "tests.rs");
            let most = if is_test { MAX_TEST_LINES } else { MAX_LINES };
            if lines > most {
                wrong.push(format!("{}: {lines} lines, {most} allowed", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "too long:\n{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn the_kernel_boundary_stays_small() -> Outcome {
    let common = Path::new(env!("CARGO_MANIFEST_DIR")).join("../telnet-common/src");
    let mut lines = 0;
    for path in sources(&common)? {
        let text = fs::read_to_string(&path)?;
        assert!(
            !text.contains("#[cfg("),
            "{}: two builds, one source",
            path.display()
        );
        lines += text.lines().count();
    }
    assert!(lines <= 350, "telnet-common has {lines} lines, 350 allowed");
    Ok(())
}

/// Modules of this crate that a source names, `crate::x` and each `x` of `crate::{x, y::z}`.
fn modules_used(text: &str) -> Vec<String> {
    let mut used = Vec::new();
    for after in text.split("crate::").skip(1) {
        let names: Vec<&str> = match after.strip_prefix('{') {
            Some(list) => top_level(list),
            None => vec![after],
        };
        used.extend(
            names
                .into_iter()
                .map(first_word)
                .filter(|name| !name.is_empty()),
        );
    }
    used
}

/// The parts of a `use` list that stand at its top level.
fn top_level(list: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut depth = 0i32;
    let mut start = 0;
    for (at, character) in list.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => {
                parts.extend(list.get(start..at));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.extend(list.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    parts
}

fn first_word(text: &str) -> String {
    text.trim_start()
        .chars()
        .take_while(|character| character.is_ascii_lowercase() || *character == '_')
        .collect()
}

fn sources(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && path.file_name().is_none_or(|name| name != "target") {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}
