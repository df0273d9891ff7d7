//! The pure pipeline on one core: from the bytes of kernel records to the text of documents. What
//! is left out is what asks the system: processes and users, which the agent keeps, and sinks.
//!
//! The table at the end has sessions a second; a session is its opening, its acceptor and its end.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark says what it measured, and why it cannot start"
)]

#[path = "pipeline/load.rs"]
mod load;
#[path = "pipeline/records.rs"]
mod records;

use std::time::{Duration, Instant};

use divan::{Bencher, counter::ItemsCount};

use self::load::{Load, Rules};

/// Sessions of one round.
const SESSIONS: u64 = 2_000;
/// Rounds of each measurement; their median counts.
const ROUNDS: usize = 31;

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let ["--count", which, sessions, ..] = words.get(1..).unwrap_or_default() {
        count(which, sessions.parse().expect("a number of sessions"));
        return;
    }
    if let ["--hold", sessions, ..] = words.get(1..).unwrap_or_default() {
        hold(sessions.parse().expect("a number of sessions"));
        return;
    }
    divan::main();
    if !std::env::args().any(|argument| argument == "--list" || argument == "--test") {
        table();
    }
}

#[divan::bench(args = [Rules::Default, Rules::Uncapped, Rules::Many(1_000)])]
fn sessions(bencher: Bencher<'_, '_>, rules: Rules) {
    let mut load = Load::new(rules, true);
    bencher
        .counter(ItemsCount::new(SESSIONS))
        .bench_local(|| load.run(SESSIONS));
}

/// Sessions for a program that counts instructions, and nothing else.
fn count(which: &str, sessions: u64) {
    let (rules, events) = match which {
        "alerts" => (Rules::Uncapped, true),
        "rules-1" => (Rules::Many(1), false),
        "rules-1000" => (Rules::Many(1_000), false),
        other => {
            assert!(other == "default", "{other}");
            (Rules::Default, false)
        }
    };
    println!("{} bytes", Load::new(rules, events).run(sessions));
}

/// What sessions hold that stay open, as the kernel counts the memory of this process.
fn hold(sessions: u64) {
    let mut load = Load::new(Rules::Default, false);
    load.run(SESSIONS);
    let before = resident();
    load.open(sessions);
    let held = resident().saturating_sub(before);
    println!(
        "{} bytes for each of {sessions} open sessions",
        held / sessions
    );
}

/// Memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    kib.expect("a size").parse::<u64>().expect("a number") * 1_024
}

/// Median time of one session, and the fastest and slowest round.
fn measure(rules: Rules, events: bool) -> [Duration; 3] {
    let mut load = Load::new(rules, events);
    load.run(SESSIONS);
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            load.run(SESSIONS);
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    let at = |index: usize| {
        let time = times.get(index).copied().unwrap_or_default();
        time / u32::try_from(SESSIONS).expect("few sessions")
    };
    [at(ROUNDS / 2), at(0), at(ROUNDS - 1)]
}

fn table() {
    let rows = [
        ("default rules, alerts", Rules::Default, false),
        ("default rules, alerts and events", Rules::Default, true),
        ("the same, every session alerts", Rules::Uncapped, true),
        ("1 rule", Rules::Many(1), false),
        ("10 rules", Rules::Many(10), false),
        ("100 rules", Rules::Many(100), false),
        ("1,000 rules", Rules::Many(1_000), false),
    ];
    println!("\none session                          median   fastest   slowest   sessions/s");
    for (name, rules, events) in rows {
        let [median, fastest, slowest] = measure(rules, events);
        let rate = 1.0 / median.as_secs_f64();
        println!("{name:<34} {median:>8.1?}  {fastest:>8.1?}  {slowest:>8.1?}   {rate:>10.0}");
    }
}
