use std::{
    collections::VecDeque,
    fs::{self, OpenOptions},
    os::unix::fs::FileExt as _,
    path::PathBuf,
    time::Instant,
};

use proptest::prelude::*;

use super::*;
use crate::sink::document::Kind;

const MAX: u64 = 1 << 20;
const ALL: Limits = Limits {
    documents: 1_000_000,
    bytes: u64::MAX,
};

fn open(dir: &Path) -> Spool {
    Spool::open(dir, MAX, Sync::Never).expect("opened")
}

fn entry(kind: Kind, text: &str) -> Entry {
    Entry {
        kind,
        body: text.as_bytes().to_vec(),
    }
}

fn limits(documents: usize) -> Limits {
    Limits { documents, ..ALL }
}

/// What is there now, without waiting.
fn read(spool: &Spool, limits: Limits) -> Vec<String> {
    let batch = spool.read(limits, Some(Instant::now())).expect("readable");
    let entries = batch.map_or_else(Vec::new, |batch| batch.entries);
    let text = |entry: Entry| String::from_utf8(entry.body).expect("UTF-8");
    entries.into_iter().map(text).collect()
}

fn segments(dir: &Path, stream: Stream) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(dir.join(stream.name()))
        .expect("folder")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "seg"))
        .collect();
    found.sort();
    found
}

#[test]
fn what_is_committed_is_gone_and_the_rest_outlasts_the_process() {
    let dir = tempfile::tempdir().expect("folder");
    let spool = open(dir.path());
    for text in ["a", "b", "c"] {
        spool.append(entry(Kind::Alert, text));
    }
    assert_eq!(read(&spool, limits(1)), ["a"]);
    spool.commit();
    assert_eq!(read(&spool, limits(1)), ["b"], "read and not committed");
    drop(spool);
    let spool = open(dir.path());
    assert_eq!(spool.numbers().pending, 2);
    spool.append(entry(Kind::Alert, "d"));
    assert_eq!(read(&spool, ALL), ["b", "c", "d"]);
    spool.rewind();
    assert_eq!(read(&spool, ALL), ["b", "c", "d"], "again after a failure");
    spool.commit();
    assert_eq!(spool.numbers().pending, 0);
    drop(spool);
    let spool = open(dir.path());
    assert!(read(&spool, ALL).is_empty());
    assert!(
        segments(dir.path(), Stream::Alerts).is_empty(),
        "delivered files are removed"
    );
}

#[test]
fn alerts_come_first_and_each_stream_keeps_its_order() {
    let dir = tempfile::tempdir().expect("folder");
    let spool = open(dir.path());
    for (kind, text) in [
        (Kind::Event, "e1"),
        (Kind::Health, "h1"),
        (Kind::Alert, "a1"),
        (Kind::Event, "e2"),
        (Kind::Update, "a2"),
        (Kind::Summary, "a3"),
    ] {
        spool.append(entry(kind, text));
    }
    assert_eq!(read(&spool, ALL), ["a1", "a2", "a3"]);
    assert_eq!(read(&spool, ALL), ["h1"]);
    assert_eq!(read(&spool, ALL), ["e1", "e2"]);
    assert!(read(&spool, ALL).is_empty());
}

#[test]
fn one_process_at_a_time() {
    let dir = tempfile::tempdir().expect("folder");
    let _first = open(dir.path());
    let error = Spool::open(dir.path(), MAX, Sync::Never).expect_err("locked");
    assert!(error.to_string().ends_with("is in use already"), "{error}");
}

#[test]
fn a_torn_last_record_costs_nothing_else() {
    for cut in 1..20 {
        let dir = tempfile::tempdir().expect("folder");
        let spool = open(dir.path());
        spool.append(entry(Kind::Alert, "whole"));
        spool.append(entry(Kind::Alert, "torn record"));
        drop(spool);
        let file = &segments(dir.path(), Stream::Alerts)[0];
        let length = fs::metadata(file).expect("there").len();
        let opened = OpenOptions::new().write(true).open(file).expect("opened");
        opened.set_len(length - cut).expect("cut");
        let spool = open(dir.path());
        spool.append(entry(Kind::Alert, "next"));
        assert_eq!(read(&spool, ALL), ["whole", "next"], "{cut} bytes cut");
        assert_eq!(spool.numbers().damaged_bytes, 20 - cut);
    }
}

#[test]
fn a_changed_byte_is_noticed_and_counted() {
    let dir = tempfile::tempdir().expect("folder");
    let spool = open(dir.path());
    for text in ["first", "second", "third"] {
        spool.append(entry(Kind::Event, text));
    }
    // While it runs: what was whole when it was written is not any more.
    let file = &segments(dir.path(), Stream::Events)[0];
    let opened = OpenOptions::new().write(true).open(file).expect("opened");
    let second = 8 + (9 + 5) + 9;
    opened.write_all_at(b"X", second).expect("changed");
    spool.append(entry(Kind::Event, "fourth"));
    assert_eq!(read(&spool, ALL), ["first"]);
    let damaged = spool.numbers().damaged_bytes;
    assert_eq!(damaged, 3 * 9 + 6 + 5 + 6, "the rest of that file");
}

#[test]
fn a_lost_cursor_delivers_again_instead_of_losing() {
    let dir = tempfile::tempdir().expect("folder");
    let spool = open(dir.path());
    for text in ["a", "b"] {
        spool.append(entry(Kind::Alert, text));
    }
    read(&spool, limits(1));
    spool.commit();
    drop(spool);
    fs::write(dir.path().join("alerts/cursor"), [7; 28]).expect("overwritten");
    assert_eq!(read(&open(dir.path()), ALL), ["a", "b"]);
}

#[test]
fn events_give_way_before_alerts_and_the_oldest_first() {
    let dir = tempfile::tempdir().expect("folder");
    let spool = open(dir.path());
    let text = "x".repeat(10_000);
    for _ in 0..60 {
        spool.append(entry(Kind::Event, &text));
    }
    assert_eq!(spool.numbers().lost_events, 0);
    for number in 0..100 {
        spool.append(entry(Kind::Alert, &format!("{number:04}{text}")));
    }
    let numbers = spool.numbers();
    assert!(numbers.bytes <= MAX, "{numbers:?}");
    assert_eq!(numbers.lost_alerts, 0, "there were events to give up");
    assert!(numbers.lost_events > 50, "{numbers:?}");
    // Nothing less precious is left: the oldest alerts go.
    spool.append(entry(Kind::Event, &text));
    for number in 100..200 {
        spool.append(entry(Kind::Alert, &format!("{number:04}{text}")));
    }
    let numbers = spool.numbers();
    assert!(numbers.bytes <= MAX, "{numbers:?}");
    let kept = read(&spool, ALL);
    let lost = usize::try_from(numbers.lost_alerts).expect("few");
    assert_eq!(kept.len() + lost, 200);
    assert!(kept[0].starts_with(&format!("{lost:04}")), "{lost} lost");
    spool.append(entry(Kind::Event, &text));
    assert!(
        spool.numbers().lost_events >= numbers.lost_events,
        "an event never costs an alert"
    );
    assert_eq!(spool.numbers().lost_alerts, numbers.lost_alerts);
}

#[test]
fn while_the_disk_takes_nothing_documents_wait_in_memory_in_order() {
    let dir = tempfile::tempdir().expect("folder");
    let spool = open(dir.path());
    spool.append(entry(Kind::Alert, "on disk"));
    read(&spool, ALL);
    spool.commit();
    // The next segment cannot be made.
    let alerts = dir.path().join("alerts");
    let hidden = dir.path().join("hidden");
    drop(spool);
    let spool = open(dir.path());
    fs::rename(&alerts, &hidden).expect("renamed");
    for text in ["a", "b"] {
        spool.append(entry(Kind::Alert, text));
    }
    assert!(spool.numbers().degraded);
    assert_eq!(read(&spool, limits(1)), ["a"], "delivery goes on");
    spool.commit();
    assert_eq!(spool.numbers().pending, 1);
    fs::rename(&hidden, &alerts).expect("renamed");
    spool.tick();
    assert!(!spool.numbers().degraded, "recovered");
    spool.append(entry(Kind::Alert, "c"));
    drop(spool);
    assert_eq!(
        read(&open(dir.path()), ALL),
        ["b", "c"],
        "on disk, in order"
    );
}

#[test]
fn a_disk_that_takes_documents_again_is_noticed_without_one() {
    let dir = tempfile::tempdir().expect("folder");
    let spool = open(dir.path());
    let (alerts, hidden) = (dir.path().join("alerts"), dir.path().join("hidden"));
    fs::rename(&alerts, &hidden).expect("renamed");
    spool.append(entry(Kind::Alert, "a"));
    assert_eq!(read(&spool, ALL), ["a"]);
    fs::rename(&hidden, &alerts).expect("renamed");
    // Behind one that is being delivered from memory, and delivered from there too: the disk is
    // never asked by a document.
    spool.append(entry(Kind::Alert, "b"));
    assert_eq!(read(&spool, ALL), ["b"]);
    spool.commit();
    assert!(spool.numbers().degraded && spool.numbers().pending == 0);
    assert!(spool.deadline().is_some(), "will be asked");
    spool.tick();
    assert!(!spool.numbers().degraded, "asked");
    assert_eq!(spool.deadline(), None);
    let left: Vec<_> = fs::read_dir(dir.path()).expect("folder").collect();
    assert_eq!(left.len(), 4, "three streams and the lock: {left:?}");
}

#[test]
fn what_the_disk_takes_of_one_stream_says_nothing_of_another() {
    let dir = tempfile::tempdir().expect("folder");
    let spool = open(dir.path());
    fs::rename(dir.path().join("events"), dir.path().join("hidden")).expect("renamed");
    spool.append(entry(Kind::Event, "event"));
    spool.append(entry(Kind::Alert, "alert"));
    assert!(spool.numbers().degraded, "events still wait");
}

#[test]
fn memory_is_bounded_too_and_what_it_costs_is_counted() {
    let dir = tempfile::tempdir().expect("folder");
    let spool = open(dir.path());
    fs::rename(dir.path().join("events"), dir.path().join("hidden")).expect("renamed");
    let text = "x".repeat(100_000);
    for _ in 0..15 {
        spool.append(entry(Kind::Event, &text));
    }
    let numbers = spool.numbers();
    assert_eq!((numbers.pending, numbers.lost_events), (10, 5));
}

#[test]
fn a_reader_is_woken_by_a_document_and_by_a_nudge() {
    let dir = tempfile::tempdir().expect("folder");
    let spool = open(dir.path());
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| spool.read(ALL, None).expect("readable"));
        spool.append(entry(Kind::Alert, "a"));
        assert!(reader.join().expect("ended").is_some());
        let reader = scope.spawn(|| spool.read(ALL, None).expect("readable"));
        spool.nudge();
        assert!(reader.join().expect("ended").is_none());
    });
}

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Read(usize),
    Commit,
    Rewind,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_usize..40_000).prop_map(Step::Append),
        3 => (1_usize..5).prop_map(Step::Read),
        2 => Just(Step::Commit),
        1 => Just(Step::Rewind),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A queue in memory is the model: nothing committed comes again, nothing else is lost, and
    /// the order is kept, through any restarts and segment borders.
    #[test]
    fn behaves_like_a_queue(steps in proptest::collection::vec(step(), 1..60)) {
        let dir = tempfile::tempdir().expect("folder");
        let mut spool = Spool::open(dir.path(), 64 << 20, Sync::Never).expect("opened");
        let mut model: VecDeque<String> = VecDeque::new();
        let (mut ahead, mut next) = (0, 0);
        for step in steps {
            match step {
                Step::Append(length) => {
                    let text = format!("{next}:{}", "x".repeat(length));
                    next += 1;
                    spool.append(entry(Kind::Event, &text));
                    model.push_back(text);
                }
                Step::Read(count) => {
                    let expected: Vec<String> =
                        model.iter().skip(ahead).take(count).cloned().collect();
                    prop_assert_eq!(read(&spool, limits(count)), expected.clone());
                    ahead += expected.len();
                }
                Step::Commit => {
                    spool.commit();
                    model.drain(..std::mem::take(&mut ahead));
                }
                Step::Rewind => {
                    spool.rewind();
                    ahead = 0;
                }
                Step::Restart => {
                    drop(spool);
                    spool = Spool::open(dir.path(), 64 << 20, Sync::Never).expect("opened");
                    ahead = 0;
                }
            }
            let pending = usize::try_from(spool.numbers().pending).expect("few");
            prop_assert_eq!(pending, model.len());
        }
    }
}
