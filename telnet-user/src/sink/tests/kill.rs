//! Ten thousand alerts while the search server is down, the process killed again and again.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::json;

use super::sinks;
use crate::{
    config,
    sink::{Document, Kind, Sinks, elastic::tests::server::Server},
};

const ALERTS: usize = 10_000;
const KILLS: usize = 5;
/// The folder of the process that is killed; set only for it.
const FOLDER: &str = "TELNET_TEST_KILL_FOLDER";
const PATIENCE: Duration = Duration::from_mins(2);

fn id(number: usize) -> String {
    format!("alert-{number:05}")
}

/// What the agent remembers behind each document, as its state folder does.
fn remembered(folder: &Path) -> usize {
    fs::read_to_string(folder.join("remembered")).map_or(0, |text| text.lines().count())
}

fn configuration(folder: &Path) -> (Vec<config::Sink>, config::Spool) {
    let node = fs::read_to_string(folder.join("node")).expect("the address");
    sinks(
        folder,
        &format!(
            "[[sinks]]\ntype = \"elasticsearch\"\nstreams = [\"alerts\"]\nnodes = [\"{node}\"]\n\
             backoff_max = \"300ms\"\n"
        ),
    )
}

/// The process that is killed: not a test by itself, so that it does nothing unless it is asked.
#[test]
fn process_that_makes_alerts() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let folder = Path::new(&folder);
    let (config, spool) = configuration(folder);
    let mut sinks = Sinks::open(&config, &spool).expect("opened");
    let mut memory = OpenOptions::new()
        .append(true)
        .create(true)
        .open(folder.join("remembered"))
        .expect("opened");
    for number in remembered(folder)..ALERTS {
        let alert = json!({
            "@timestamp": "2026-03-05T12:00:00.000Z",
            "kibana": {"alert": {"uuid": id(number)}},
            "message": "x".repeat(500),
        });
        sinks
            .write(&Document::new(Kind::Alert, alert.to_string()))
            .expect("written");
        // Behind the document: killed in between, the alert is made once more.
        memory.write_all(b".\n").expect("remembered");
    }
    let statuses = sinks.statuses();
    let deadline = Instant::now() + PATIENCE;
    while statuses.report()[0].spool.expect("a spool").pending > 0 {
        assert!(Instant::now() < deadline, "{:?}", statuses.report());
        std::thread::sleep(Duration::from_millis(10));
    }
    sinks.finish(Duration::from_secs(5));
}

/// Kills the process if the test fails before it does.
struct Running(Child);

impl Running {
    fn start(folder: &Path) -> Self {
        let me = std::env::current_exe().expect("a path");
        let mut command = Command::new(me);
        command
            .args(["--exact", "sink::tests::kill::process_that_makes_alerts"])
            .stdout(Stdio::null())
            .env(FOLDER, folder);
        Self(command.spawn().expect("started"))
    }

    /// Waits until `done`, which the process must live to see.
    fn until(&mut self, what: &str, done: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done() {
            let ended = self.0.try_wait().expect("a child");
            assert!(ended.is_none(), "ended before {what}: {ended:?}");
            assert!(Instant::now() < deadline, "waited for {what}");
            std::thread::yield_now();
        }
    }

    fn kill(mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("gone");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn every_alert_arrives_exactly_once_however_often_the_agent_is_killed() {
    let folder = tempfile::tempdir().expect("folder");
    let down = Server::start();
    let address = down.address();
    down.stop();
    drop(down);
    fs::write(folder.path().join("node"), format!("http://{address}")).expect("written");

    // At random points, each after the one before.
    let mut points: Vec<usize> = (0..KILLS).map(|_| fastrand::usize(1..ALERTS)).collect();
    points.sort_unstable();
    for point in &points {
        let mut process = Running::start(folder.path());
        process.until("its point", || remembered(folder.path()) >= *point);
        process.kill();
    }
    let mut process = Running::start(folder.path());
    process.until("all alerts", || remembered(folder.path()) >= ALERTS);

    // Once more while it delivers.
    let server = Server::start_at(address);
    process.until("some deliveries", || server.count() > ALERTS / 10);
    process.kill();
    let mut process = Running::start(folder.path());
    let ended = process.0.wait().expect("a child");
    assert!(ended.success(), "{ended:?}, killed at {points:?}");

    let stream = "logs-telnet_monitor.alerts-default";
    for number in 0..ALERTS {
        let alert = server.document(stream, &id(number));
        assert!(
            alert.is_some(),
            "alert {number} is lost, killed at {points:?}"
        );
    }
    assert_eq!(server.count(), ALERTS);
    assert_eq!(server.complaints(), Vec::<String>::new());
}
