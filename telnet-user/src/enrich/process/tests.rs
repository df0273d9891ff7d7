use std::{fs, os::unix::fs::symlink, path::Path};

use tempfile::TempDir;

use super::*;

/// Start of the processes, in ticks and in nanoseconds within that tick.
const TICKS: u64 = 4711;
const NANOS: u64 = 47_114_711_000;

/// A `/proc` of our own, and executables beside it.
struct Tree(TempDir);

impl Tree {
    fn new() -> Self {
        let tree = Self(tempfile::tempdir().expect("a folder"));
        fs::create_dir(tree.0.path().join("proc")).expect("a folder");
        tree
    }

    fn proc(&self) -> PathBuf {
        self.0.path().join("proc")
    }

    fn reader(&self) -> ProcessReader {
        ProcessReader::new(self.proc(), Some("boot".into()))
    }

    fn executable(&self, name: &str) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, name).expect("a file");
        path.to_str().expect("a path").to_owned()
    }

    /// A process of user 3000001000 (effective 0) that runs `program`, called `comm`.
    fn process(&self, pid: u32, parent: u32, start: u64, program: &str, args: &str) {
        let folder = self.proc().join(pid.to_string());
        fs::create_dir_all(&folder).expect("a folder");
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("a file");
        write(
            "stat",
            &format!(
                "{pid} ({program}) S {parent} 0 0 34817 {}{start} 0",
                "0 ".repeat(14)
            ),
        );
        write(
            "status",
            "Name:\tx\nUid:\t3000001000\t0\t0\t0\nGid:\t3000000100\t0\t0\t0\nCapEff:\t0400\n",
        );
        write("cmdline", args);
        write("cgroup", "0::/system.slice/inetd.service\n");
        link(Path::new("/srv"), &folder.join("cwd"));
        link(Path::new(&self.executable(program)), &folder.join("exe"));
    }
}

fn link(target: &Path, path: &Path) {
    if path.is_symlink() {
        fs::remove_file(path).expect("a link");
    }
    symlink(target, path).expect("a link");
}

fn task(pid: u32, comm: &str) -> Task {
    Task {
        pid,
        tid: pid,
        uid: 3_000_001_000,
        gid: 3_000_000_100,
        start: Some(BootTime::from_nanos(NANOS)),
        comm: comm.into(),
        parent: None,
        cgroup: None,
        args: None,
    }
}

fn args(list: &[&str], truncated: bool) -> Args {
    Args {
        list: list.iter().map(|text| (*text).to_owned()).collect(),
        truncated,
    }
}

#[test]
fn the_kernel_s_report_is_completed_and_wins() {
    let tree = Tree::new();
    tree.process(1, 0, 0, "init", "/sbin/init\0");
    tree.process(70, 1, 20, "inetd", "inetd\0");
    tree.process(71, 70, TICKS, "telnetd", "telnetd\0-h\0long\0");
    let mut reported = task(71, "telnetd");
    reported.args = Some(args(&["telnetd", "-h", "lo"], true));
    let process = tree.reader().describe(&reported);

    assert_eq!(process.start, reported.start, "to the nanosecond");
    assert_eq!(
        process.executable.as_deref(),
        Some(tree.executable("telnetd").as_str())
    );
    assert_eq!(process.name.as_deref(), Some("telnetd"));
    assert_eq!(
        (process.args.join(" ").as_str(), process.args_truncated),
        ("telnetd -h long", false)
    );
    assert_eq!(process.working_directory.as_deref(), Some("/srv"));
    assert_eq!(process.tty, Some((136, 1)));
    assert_eq!(
        (process.user.id, process.group.id),
        (3_000_001_000, 3_000_000_100)
    );
    assert_eq!(process.effective_user.as_ref().map(|user| user.id), Some(0));
    assert_eq!(process.unit.as_deref(), Some("inetd.service"));
    assert!(process.capabilities.is_empty(), "root has them all");
    let ancestors: Vec<_> = process
        .ancestors
        .iter()
        .map(|ancestor| {
            (
                ancestor.pid,
                ancestor.name.as_deref(),
                ancestor.entity_id.is_some(),
            )
        })
        .collect();
    assert_eq!(
        ancestors,
        [(70, Some("inetd"), true), (1, Some("init"), true)]
    );
}

#[test]
fn another_process_by_the_same_pid_adds_nothing() {
    let tree = Tree::new();
    tree.process(71, 1, TICKS + 1, "telnetd", "telnetd\0");
    let mut reader = tree.reader();
    let process = reader.describe(&task(71, "telnetd"));
    assert_eq!(process.name.as_deref(), Some("telnetd"), "by comm");
    assert!(process.entity_id.is_some(), "of the one that was reported");
    assert_eq!(
        (&process.executable, &process.unit, process.tty),
        (&None, &None, None)
    );
    assert_eq!(process.args, [""; 0]);
    assert_eq!(reader.counters().incomplete, 1);
    // Read again next time, not remembered as it is.
    tree.process(71, 1, TICKS, "telnetd", "telnetd\0");
    assert!(reader.describe(&task(71, "telnetd")).executable.is_some());
}

#[test]
fn without_a_start_time_name_and_user_must_match() {
    let tree = Tree::new();
    tree.process(71, 1, TICKS, "telnetd", "telnetd\0");
    for (comm, uid, known) in [
        ("telnetd", 3_000_001_000, true),
        ("telnetd", 1001, false),
        ("x", 3_000_001_000, false),
    ] {
        let mut reported = task(71, comm);
        (reported.start, reported.uid) = (None, uid);
        let process = tree.reader().describe(&reported);
        assert_eq!(process.executable.is_some(), known, "{comm} {uid}");
        assert_eq!(process.entity_id.is_some(), known, "{comm} {uid}");
    }
}

#[test]
fn what_exec_replaced_is_not_taken_for_what_was_reported() {
    let tree = Tree::new();
    tree.process(70, 1, 20, "inetd", "inetd\0");
    // The kernel saw the fork of inetd; by now it is telnetd.
    tree.process(71, 70, TICKS, "telnetd", "telnetd\0");
    let mut reader = tree.reader();
    let mut before = task(71, "inetd");
    before.args = Some(args(&["inetd"], false));
    let process = reader.describe(&before);
    assert_eq!(
        (&process.executable, process.args.join(" ").as_str()),
        (&None, "inetd")
    );
    assert_eq!(process.name.as_deref(), Some("inetd"));
    assert_eq!(process.effective_user, None, "may be of the new program");
    assert_eq!(
        process.unit.as_deref(),
        Some("inetd.service"),
        "exec does not move it"
    );
    assert_eq!(process.ancestors.len(), 2);
    // A process that only changed its name, or only its arguments, is still what it was.
    for (comm, list) in [("other", "telnetd"), ("telnetd", "title")] {
        let mut reported = task(71, comm);
        reported.args = Some(args(&[list], false));
        let process = reader.describe(&reported);
        assert!(process.executable.is_some(), "{comm} {list}");
        assert_eq!(process.args, [list]);
    }
}

#[test]
fn what_was_known_survives_the_process_and_its_exec() {
    let tree = Tree::new();
    tree.process(71, 1, TICKS, "inetd", "inetd\0");
    let mut reader = tree.reader();
    let first = reader.describe(&task(71, "inetd"));
    reader.describe(&task(71, "inetd"));
    assert_eq!(
        (reader.counters().completed, reader.counters().cached),
        (1, 1)
    );
    // It calls exec: its new program does not become what it was, nor the other way round.
    tree.process(71, 1, TICKS, "telnetd", "telnetd\0");
    assert_eq!(
        reader.describe(&task(71, "inetd")).executable,
        first.executable
    );
    let second = reader.describe(&task(71, "telnetd"));
    assert_eq!(second.name.as_deref(), Some("telnetd"));
    // It is gone, and its pid is another's.
    fs::remove_dir_all(tree.proc().join("71")).expect("a folder");
    assert_eq!(
        reader.describe(&task(71, "inetd")).executable,
        first.executable
    );
    tree.process(71, 1, TICKS + 9, "sh", "sh\0");
    assert_eq!(
        reader.describe(&task(71, "inetd")).executable,
        first.executable
    );
    assert_eq!(
        reader.describe(&task(71, "telnetd")).executable,
        second.executable
    );
}

#[test]
fn another_script_of_the_same_shell_is_another_program() {
    let tree = Tree::new();
    let mut reader = tree.reader();
    for script in ["a", "b"] {
        tree.process(71, 1, TICKS, "sh", &format!("sh\0{script}\0"));
        let mut reported = task(71, "sh");
        reported.args = Some(args(&["sh", script], false));
        assert_eq!(reader.describe(&reported).args, ["sh", script]);
    }
}

#[test]
fn a_daemon_that_runs_its_upgrade_is_read_anew() {
    let tree = Tree::new();
    tree.process(71, 1, TICKS, "telnetd", "telnetd\0");
    let mut reader = tree.reader();
    reader.describe(&task(71, "telnetd"));
    let upgraded = tree.executable("telnetd-2");
    link(Path::new(&upgraded), &tree.proc().join("71/exe"));
    let process = reader.describe(&task(71, "telnetd"));
    assert_eq!(process.executable.as_deref(), Some(upgraded.as_str()));
}

#[test]
fn a_parent_must_be_older_than_its_child() {
    let tree = Tree::new();
    tree.process(70, 1, TICKS + 1, "stranger", "x\0");
    tree.process(71, 70, TICKS, "telnetd", "telnetd\0");
    let ancestors = &tree.reader().describe(&task(71, "telnetd")).ancestors;
    let [parent] = ancestors.as_slice() else {
        panic!("one ancestor in {ancestors:?}");
    };
    assert_eq!(
        (parent.pid, &parent.name, &parent.entity_id),
        (70, &None, &None)
    );
}

#[test]
fn the_parent_of_a_process_that_is_gone_is_still_known() {
    let tree = Tree::new();
    tree.process(70, 0, 20, "bash", "bash\0");
    let mut reported = task(71, "telnet");
    reported.parent = Some(70);
    let process = tree.reader().describe(&reported);
    assert_eq!(process.ancestors[0].name.as_deref(), Some("bash"));
}

#[test]
fn ancestors_are_bounded() {
    let tree = Tree::new();
    // A circle, which no kernel makes.
    tree.process(70, 71, 5, "a", "a\0");
    tree.process(71, 70, 5, "b", "b\0");
    let mut reported = task(71, "b");
    reported.start = Some(BootTime::from_nanos(50_000_000));
    assert_eq!(tree.reader().describe(&reported).ancestors.len(), 16);
}

#[test]
fn a_task_from_proc_is_the_same_entity() {
    let tree = Tree::new();
    tree.process(71, 1, TICKS, "telnetd", "telnetd\0-h\0");
    let mut reader = tree.reader();
    let reported = reader.describe(&task(71, "telnetd")).entity_id.clone();
    let found = reader.task(71).expect("a process");
    assert_eq!(found.args, Some(args(&["telnetd", "-h"], false)));
    assert_eq!(
        (found.uid, found.gid, found.parent),
        (3_000_001_000, 3_000_000_100, Some(1))
    );
    assert_eq!(reader.describe(&found).entity_id, reported);
    assert_eq!(reader.task(72), None);
}

#[test]
fn hostile_processes_are_read() {
    let tree = Tree::new();
    tree.process(71, 1, TICKS, "x", "");
    let folder = tree.proc().join("71");
    fs::write(folder.join("cmdline"), vec![b'a'; 1 << 20]).expect("a file");
    fs::write(folder.join("cgroup"), b"0::/\xff\x1b\n").expect("a file");
    let process = tree.reader().describe(&task(71, "x"));
    assert_eq!(
        (process.args[0].len(), process.args_truncated),
        (8192, true)
    );
    fs::write(folder.join("cmdline"), b"\xff\0".repeat(4096)).expect("a file");
    let process = tree.reader().describe(&task(71, "x"));
    assert_eq!((process.args.len(), process.args_truncated), (256, true));
    for file in ["cmdline", "cgroup", "exe", "cwd"] {
        fs::remove_file(folder.join(file)).expect("a file");
        let process = tree.reader().describe(&task(71, "x"));
        assert_eq!(process.tty, Some((136, 1)), "without {file}");
    }
    for file in ["status", "stat"] {
        fs::remove_file(folder.join(file)).expect("a file");
        let process = tree.reader().describe(&task(71, "x"));
        assert_eq!((process.pid, process.tty), (71, None), "without {file}");
    }
}

#[test]
fn an_executable_is_hashed_for_later_events() {
    let tree = Tree::new();
    tree.process(71, 1, TICKS, "telnetd", "telnetd\0");
    let mut reader = tree.reader();
    let mut process = reader.describe(&task(71, "telnetd"));
    while process.sha256.is_none() {
        std::thread::yield_now();
        process = reader.describe(&task(71, "telnetd"));
        assert_eq!(reader.counters().hashes.refused, 0);
    }
    let expected = "83721cad8a3a48d9781ae882d1783e91d2b0767888562e6021f1088805fb13ed";
    assert_eq!(process.sha256.as_deref(), Some(expected));
    assert!(
        Arc::ptr_eq(&process, &reader.describe(&task(71, "telnetd"))),
        "remembered"
    );
}

#[test]
fn this_process_is_described() {
    let me = std::process::id();
    let mut reader = ProcessReader::new("/proc".into(), Some("boot".into()));
    let found = reader.task(me).expect("this process");
    let process = reader.describe(&found);
    let exe = std::env::current_exe().expect("a path");
    assert_eq!(process.executable.as_deref(), exe.to_str());
    assert_eq!(process.args, std::env::args().collect::<Vec<_>>());
    assert_eq!(process.user.id, rustix::process::getuid().as_raw());
    assert!(!process.ancestors.is_empty());
}

#[test]
fn only_the_very_process_is_still_there() {
    let tree = Tree::new();
    let reader = tree.reader();
    let started = task(71, "sleep");
    let unknown = Task {
        start: None,
        ..started.clone()
    };
    let is_there = || (reader.is_there(&started), reader.is_there(&unknown));
    assert_eq!(is_there(), (Some(false), Some(false)), "it is gone");
    tree.process(71, 1, TICKS, "sleep", "sleep\0");
    assert_eq!(is_there(), (Some(true), None));
    tree.process(71, 1, TICKS + 1, "sleep", "sleep\0");
    assert_eq!(is_there(), (Some(false), None), "another one with its id");
    let stat = tree.proc().join("71/stat");
    let dead = format!("71 (sleep) Z 1 0 0 0 {}{TICKS} 0", "0 ".repeat(14));
    fs::write(stat, dead).expect("written");
    assert_eq!(
        is_there(),
        (Some(false), None),
        "it only waits to be reaped"
    );
}
