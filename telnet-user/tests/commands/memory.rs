//! What a long replay takes in memory.

use std::{
    fs,
    io::{Read as _, Write as _},
    process::{ChildStdin, Stdio},
};

use super::{Folder, command, rule};

/// Most memory of a replay, in KiB.
const MOST: u64 = 64 << 10;
/// Events of a replay.
const EVENTS: u64 = 24_000;

/// One matching event after the other, 200 to a run of the rule: all of them together are more
/// than [`MOST`].
fn feed(stdin: &mut ChildStdin) {
    let pad = "x".repeat(3_000);
    let start = 1_772_700_000_000_u64;
    for n in 0..EVENTS {
        writeln!(
            stdin,
            r#"{{"@timestamp":{},"event":{{"id":"{n}","kind":"event"}},"message":"{pad}"}}"#,
            start + n * 1_500,
        )
        .unwrap();
    }
}

/// The most memory that process `pid` had so far, in KiB.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let value = line.unwrap().split_whitespace().next().unwrap();
    value.parse().unwrap()
}

#[test]
fn memory_does_not_grow_with_the_input() {
    let folder = Folder::new();
    folder.write("rule.toml", rule("event.kind:event", ""));
    for mode in ["schedule", "stream"] {
        let arguments = ["replay", "--rules", "rule.toml", "--mode", mode];
        let mut child = command(folder.0.path(), &arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        feed(&mut stdin);
        // All but what the pipe holds is read, and nothing is given back before the end.
        let peak = peak(child.id());
        drop(stdin);
        let mut summary = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut summary)
            .unwrap();
        assert!(child.wait().unwrap().success(), "{summary}");
        assert!(summary.contains("24000 events"), "{summary}");
        assert!(peak < MOST, "{mode}: {peak} KiB\n{summary}");
    }
}
