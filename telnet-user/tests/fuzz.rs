//! The fuzz targets on the pinned compiler: the committed corpus and a bounded number of
//! mutations of it, the same ones every time.
#![expect(
    clippy::tests_outside_test_module,
    clippy::expect_used,
    reason = "all of an integration test is test code"
)]

#[expect(unreachable_pub, reason = "public for cargo-fuzz")]
#[path = "../../tests/fuzz/src/lib.rs"]
mod targets;

use std::{fs, panic::catch_unwind, path::Path};

/// Longest input, in bytes.
const MAX_LEN: usize = 4_096;
/// Most changes made to one input.
const MAX_CHANGES: usize = 4;

#[test]
fn kql() {
    let words: [&[u8]; 14] = [
        b" and ", b" or ", b"not ", b"(", b")", b":", b"*", b"\"", b"\\", b"{", b"}", b">=",
        b"now-", b"\\u00",
    ];
    smoke("kql", targets::kql, &words, 8_000);
}

#[test]
fn rule_file() {
    let words: [&[u8]; 8] = [
        b"[rule]\n",
        b"[[rule.threat]]\n",
        b" = ",
        b"\"\"\"",
        b"'''",
        b"[{",
        b"}]",
        b"\"query\"",
    ];
    smoke("rule_file", targets::rule_file, &words, 1_500);
}

#[test]
fn event() {
    let words: [&[u8]; 10] = [
        b"{\"",
        b"\":",
        b"}",
        b"[",
        b"]",
        b"null",
        b"\n",
        b"1e999",
        b"\\ud800",
        b"\"_source\":",
    ];
    smoke("event", targets::event, &words, 1_500);
}

#[test]
fn kernel_record() {
    let words: [&[u8]; 5] = [&[0; 8], &[0xff; 8], &[1, 0, 0, 0], &[8, 0, 0, 0], &[10, 0]];
    smoke("kernel_record", targets::kernel_record, &words, 20_000);
}

/// Runs `target` on its corpus and on `rounds` mutations of it.
fn smoke(name: &str, target: fn(&[u8]), words: &[&[u8]], rounds: usize) {
    let corpus = corpus(name);
    for input in &corpus {
        run(name, target, input);
    }
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..rounds {
        let mut input = random.of(&corpus).clone();
        for _ in 0..=random.below(MAX_CHANGES) {
            mutate(&mut input, &mut random, &corpus, words);
        }
        input.truncate(MAX_LEN);
        run(name, target, &input);
    }
}

/// The files of one corpus, in the order of their names.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fuzz/corpus")
        .join(name);
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .expect("corpus")
        .map(|entry| entry.expect("entry").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{name}: no corpus");
    paths
        .iter()
        .map(|path| fs::read(path).expect("readable"))
        .collect()
}

fn run(name: &str, target: fn(&[u8]), input: &[u8]) {
    let held = catch_unwind(|| target(input)).is_ok();
    assert!(held, "{name} fails on b\"{}\"", input.escape_ascii());
}

/// Makes one change.
fn mutate(input: &mut Vec<u8>, random: &mut Random, corpus: &[Vec<u8>], words: &[&[u8]]) {
    let at = random.below(input.len() + 1);
    let end = at + random.below((input.len() - at).min(64) + 1);
    match random.below(6) {
        0 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => drop(input.drain(at..end)),
        2 => {
            let repeated = input.get(at..end).unwrap_or_default().to_vec();
            input.splice(at..at, repeated);
        }
        3 => {
            input.splice(at..at, random.of(words).iter().copied());
        }
        4 => {
            input.splice(at..end, random.of(words).iter().copied());
        }
        _ => {
            let other = random.of(corpus);
            let from = random.below(other.len() + 1);
            input.truncate(at);
            input.extend_from_slice(other.get(from..).unwrap_or_default());
        }
    }
}

/// xorshift64: small, and the same on every machine.
struct Random(u64);

impl Random {
    /// A number below `end`; 0 when there is none.
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let low = usize::try_from(self.0 >> 32).unwrap_or_default();
        low.checked_rem(end).unwrap_or_default()
    }

    fn of<'t, T>(&mut self, list: &'t [T]) -> &'t T {
        let index = self.below(list.len());
        list.get(index).expect("not empty")
    }
}
