use std::{fs, io::Read as _, os::unix::fs::PermissionsExt as _, path::Path, thread};

use flate2::read::GzDecoder;
use serde_json::json;

use super::*;
use crate::sink::Kind;

fn config(folder: &Path) -> config::File {
    config::File {
        path: folder.join("logs/d.ndjson"),
        max_bytes: 200,
        max_age: Duration::ZERO,
        keep: 3,
        compress: false,
        sync: Sync::Always,
    }
}

fn document(number: u32) -> Document {
    Document::new(
        Kind::Event,
        json!({"number": number, "text": "x".repeat(60)}).to_string(),
    )
}

fn numbers(text: &str) -> Vec<u64> {
    let number = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
        value["number"].as_u64().expect("number")
    };
    text.lines().map(number).collect()
}

#[test]
fn a_full_file_gives_way_and_the_oldest_goes() {
    let folder = tempfile::tempdir().expect("folder");
    let config = config(folder.path());
    let mut file = RotatingFile::open(&config).expect("opened");
    for number in 0..9 {
        file.write(&document(number)).expect("written");
    }
    let read = |name: &str| fs::read_to_string(folder.path().join("logs").join(name));
    let current = read("d.ndjson").expect("current");
    assert_eq!(numbers(&current), [8]);
    assert_eq!(numbers(&read("d.ndjson.1").expect("kept")), [6, 7]);
    assert_eq!(numbers(&read("d.ndjson.3").expect("kept")), [2, 3]);
    assert!(read("d.ndjson.4").is_err(), "the oldest is gone");
    let mode = fs::metadata(&config.path)
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o640);
}

#[test]
fn rotated_files_are_compressed_by_and_by() {
    let folder = tempfile::tempdir().expect("folder");
    let config = config::File {
        compress: true,
        ..config(folder.path())
    };
    let mut file = RotatingFile::open(&config).expect("opened");
    for number in 0..7 {
        file.write(&document(number)).expect("written");
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    let logs = folder.path().join("logs");
    for number in 1..=3_u32 {
        let path = logs.join(format!("d.ndjson.{number}.gz"));
        while !path.is_file() || logs.join(format!("d.ndjson.{number}")).is_file() {
            assert!(Instant::now() < deadline, "{} is missing", path.display());
            thread::yield_now();
        }
        let mut text = String::new();
        let compressed = File::open(&path).expect("opened");
        GzDecoder::new(compressed)
            .read_to_string(&mut text)
            .expect("gzip");
        let first = u64::from(6 - 2 * number);
        assert_eq!(numbers(&text), [first, first + 1]);
    }
}

#[test]
fn an_old_file_gives_way_without_a_document() {
    let folder = tempfile::tempdir().expect("folder");
    let config = config::File {
        max_bytes: 0,
        max_age: Duration::from_millis(20),
        ..config(folder.path())
    };
    let mut file = RotatingFile::open(&config).expect("opened");
    assert_eq!(file.deadline(), None, "an empty file is never old");
    file.write(&document(1)).expect("written");
    let due = file.deadline().expect("a deadline");
    thread::sleep(due.saturating_duration_since(Instant::now()) + Duration::from_millis(20));
    file.tick().expect("rotated");
    let rotated = folder.path().join("logs/d.ndjson.1");
    assert_eq!(numbers(&fs::read_to_string(rotated).expect("rotated")), [1]);
}

#[test]
fn a_file_that_cannot_be_rotated_goes_on() {
    let folder = tempfile::tempdir().expect("folder");
    let config = config::File {
        max_age: Duration::from_nanos(1),
        ..config(folder.path())
    };
    let named = |number| format!("{}.{number}", config.path.display());
    let mut file = RotatingFile::open(&config).expect("opened");
    // In the place of the oldest, and no file.
    fs::create_dir(named(3)).expect("made");
    for number in [1, 2] {
        fs::write(named(number), number.to_string()).expect("written");
    }
    for number in 0..9 {
        file.write(&document(number)).expect("written");
    }
    let current = fs::read_to_string(&config.path).expect("current");
    assert_eq!(numbers(&current), (0..9).collect::<Vec<_>>());
    for number in [1, 2] {
        let kept = fs::read_to_string(named(number)).expect("kept");
        assert_eq!(kept, number.to_string());
    }
    let due = file.deadline().expect("a deadline");
    assert!(due > Instant::now() + RETRY / 2, "tried again at once");

    fs::remove_dir(named(3)).expect("empty");
    file.retry = Some(Instant::now());
    file.write(&document(9)).expect("written");
    let current = fs::read_to_string(&config.path).expect("current");
    assert_eq!(numbers(&current), [9]);
    assert_eq!(fs::read_to_string(named(3)).expect("moved on"), "2");
    let entries = fs::read_dir(folder.path().join("logs")).expect("listed");
    assert_eq!(entries.count(), 4);
}

#[test]
fn a_half_written_line_of_before_stays_alone() {
    let folder = tempfile::tempdir().expect("folder");
    let config = config(folder.path());
    fs::create_dir_all(folder.path().join("logs")).expect("made");
    fs::write(&config.path, "{\"number\":1}\n{\"numb").expect("written");
    let mut file = RotatingFile::open(&config).expect("opened");
    file.write(&document(2)).expect("written");
    let text = fs::read_to_string(&config.path).expect("readable");
    assert_eq!(text.lines().nth(1), Some("{\"numb"));
    assert_eq!(numbers(text.lines().nth(2).expect("a line")), [2]);
}

#[test]
fn opened_anew_after_somebody_moved_it() {
    let folder = tempfile::tempdir().expect("folder");
    let config = config(folder.path());
    let mut file = RotatingFile::open(&config).expect("opened");
    file.write(&document(1)).expect("written");
    fs::rename(&config.path, folder.path().join("moved")).expect("moved");
    let mut file = RotatingFile::open(&config).expect("opened anew");
    file.write(&document(2)).expect("written");
    assert_eq!(
        numbers(&fs::read_to_string(&config.path).expect("there")),
        [2]
    );
}
