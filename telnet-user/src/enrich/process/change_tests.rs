//! Processes that change, or are gone, between one report and the next.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use super::*;

const PID: u32 = 4711;
const PARENT: u32 = 4700;
const ID: &str = "3f4e8a1b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f607";

/// Writes `/proc/PID` of a telnetd that started 1000 ticks after boot.
fn write(root: &Path, pid: u32, parent: u32, ids: &str, cgroup: &str) {
    let folder = root.join(pid.to_string());
    fs::create_dir_all(&folder).expect("a folder");
    let rest = "1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 1000 0 0";
    let put = |name: &str, text: String| fs::write(folder.join(name), text).expect("a file");
    put("stat", format!("{pid} (telnetd) S {parent} {rest}\n"));
    put(
        "status",
        format!("Name:\ttelnetd\nUid:\t{ids}\nGid:\t{ids}\nCapEff:\t0000000000003000\n"),
    );
    put("cmdline", "telnetd\0-F\0".to_owned());
    put("cgroup", format!("0::{cgroup}\n"));
}

fn reader(root: &Path) -> ProcessReader {
    let mut reader = ProcessReader::new(root.to_path_buf(), Some("boot".to_owned()));
    reader.memberships = Memberships::new(root.join("cgroup"));
    reader
}

fn task(uid: u32) -> Task {
    Task {
        pid: PID,
        tid: PID,
        uid,
        gid: uid,
        start: Some(BootTime::from_nanos(10_001_234_567)),
        comm: "telnetd".to_owned(),
        parent: Some(PARENT),
        cgroup: None,
        args: None,
    }
}

#[test]
fn a_daemon_that_drops_its_privileges_is_not_described_as_before() {
    let root = tempfile::tempdir().expect("a folder");
    write(root.path(), PID, PARENT, "0 0 0 0", "/");
    let mut reader = reader(root.path());
    let listener = reader.describe(&task(0));
    write(root.path(), PID, 1, "65534 65534 65534 65534", "/");
    let mut later = task(65534);
    later.parent = Some(1);
    let acceptor = reader.describe(&later);
    assert_eq!((listener.user.id, acceptor.user.id), (0, 65534));
    assert_eq!((listener.group.id, acceptor.group.id), (0, 65534));
    let parents = [&listener, &acceptor].map(|process| process.ancestors.first().map(|a| a.pid));
    assert_eq!(parents, [Some(PARENT), Some(1)]);
    assert_eq!(listener.entity_id, acceptor.entity_id, "one process");
}

#[test]
fn privileges_of_now_are_not_those_of_then() {
    let root = tempfile::tempdir().expect("a folder");
    write(root.path(), PID, PARENT, "65534 65534 65534 65534", "/");
    let process = reader(root.path()).describe(&task(0));
    assert_eq!(process.user.id, 0);
    assert_eq!(
        (&process.effective_user, &process.effective_group),
        (&None, &None)
    );
    assert!(process.capabilities.is_empty());
    let process = reader(root.path()).describe(&task(65534));
    assert_eq!(
        process.effective_user.as_ref().map(|user| user.id),
        Some(65534)
    );
    assert_eq!(process.capabilities, ["CAP_NET_ADMIN", "CAP_NET_RAW"]);
}

/// Makes the cgroup's folder and returns its id.
fn cgroup(root: &Path, path: &str) -> u64 {
    let folder = root.join("cgroup").join(path.trim_start_matches('/'));
    fs::create_dir_all(&folder).expect("a folder");
    fs::metadata(folder).expect("a folder").ino()
}

#[test]
fn a_process_that_is_gone_is_in_the_container_of_its_cgroup() {
    let root = tempfile::tempdir().expect("a folder");
    let path = format!("/system.slice/docker-{ID}.scope");
    let id = cgroup(root.path(), &path);
    let other = cgroup(root.path(), "/system.slice");
    write(root.path(), PARENT, 1, "0 0 0 0", &path);
    let container = |reader: &mut ProcessReader, task: &Task| {
        let process = reader.describe(task);
        process
            .container
            .as_ref()
            .map(|container| container.id.clone())
    };
    let mut gone = task(0);

    let mut fresh = reader(root.path());
    gone.cgroup = Some(other);
    assert_eq!(
        container(&mut fresh, &gone),
        None,
        "the parent's is another"
    );
    gone.cgroup = Some(id);
    assert_eq!(container(&mut fresh, &gone).as_deref(), Some(ID));

    fs::remove_dir_all(root.path().join(PARENT.to_string())).expect("the parent ends");
    gone.pid += 1;
    assert_eq!(
        container(&mut fresh, &gone).as_deref(),
        Some(ID),
        "remembered"
    );
    assert_eq!(container(&mut reader(root.path()), &gone), None);
}

#[test]
fn the_mark_of_a_deleted_file_is_not_part_of_its_path() {
    let root = tempfile::tempdir().expect("a folder");
    write(root.path(), PID, PARENT, "0 0 0 0", "/");
    let program = root.path().join("telnetd (deleted)");
    fs::write(&program, "").expect("a file");
    std::os::unix::fs::symlink(&program, root.path().join("4711/exe")).expect("a link");
    let process = reader(root.path()).describe(&task(0));
    assert_eq!(
        process.executable.as_deref(),
        program.to_str(),
        "the file is there"
    );

    let mut child = run_deleted(root.path());
    let mut live = ProcessReader::new("/proc".into(), None);
    let task = live.task(child.id()).expect("a task");
    let process = live.describe(&task);
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    let expected = root.path().join("sleeper");
    assert_eq!(process.executable.as_deref(), expected.to_str());
}

/// A process whose executable is unlinked while it runs.
fn run_deleted(folder: &Path) -> std::process::Child {
    let program = folder.join("sleeper");
    fs::copy("/bin/sleep", &program).expect("a copy");
    let child = std::process::Command::new(&program)
        .arg("60")
        .spawn()
        .expect("it starts");
    fs::remove_file(program).expect("it is there");
    child
}

/// A child of the task above that is gone before `/proc` could be read.
fn gone_child(parent: u32) -> Task {
    Task {
        pid: PID + 1,
        tid: PID + 1,
        start: Some(BootTime::from_nanos(10_101_234_567)),
        parent: Some(parent),
        ..task(0)
    }
}

#[test]
fn a_forked_child_is_what_its_parent_is_but_for_its_identity() {
    let root = tempfile::tempdir().expect("a folder");
    write(root.path(), PID, PARENT, "0 0 0 0", "/");
    let mut reader = reader(root.path());
    let parent = reader.describe(&task(0));
    reader.inherit(&gone_child(PID));
    let child = reader.describe(&gone_child(PID));
    assert_eq!(child.pid, PID + 1);
    assert_eq!(child.args, parent.args);
    assert_eq!(child.ancestors.first().map(|above| above.pid), Some(PID));
    assert_ne!(child.entity_id, parent.entity_id);
}

#[test]
fn nothing_is_inherited_from_a_stranger() {
    let root = tempfile::tempdir().expect("a folder");
    write(root.path(), PID, PARENT, "0 0 0 0", "/");
    let mut reader = reader(root.path());
    reader.describe(&task(0));
    let older = Task {
        start: Some(BootTime::from_nanos(1)),
        ..gone_child(PID)
    };
    let other_user = Task {
        uid: 7,
        ..gone_child(PID)
    };
    for child in [gone_child(PID + 7), older, other_user] {
        reader.inherit(&child);
        assert!(reader.describe(&child).args.is_empty(), "{child:?}");
    }
}
