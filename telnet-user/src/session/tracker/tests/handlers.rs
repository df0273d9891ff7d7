//! Who serves a session.

use super::*;

#[test]
fn a_child_that_runs_with_the_socket_as_standard_input_is_the_handler() {
    let exec = |pid, address| {
        KernelEvent::Exec(Exec {
            task: child(pid, 7),
            stdin: Some(address),
            tty: None,
            effective_uid: 0,
            left_out: 0,
        })
    };
    let (out, _) = run(vec![
        (0, state(socket(1), SynRecv, Established)),
        (1, accept(1, 7)),
        (4, fork(child(8, 7))),
        (12, exec(8, socket(1).key.address)),
        // What the telnetd starts on the same socket is not the handler.
        (13, fork(child(9, 8))),
        (14, exec(9, socket(1).key.address)),
        (20, state(socket(1), LastAck, Close)),
    ]);
    assert_eq!(
        words(&out),
        [
            "accepted by Some(7)",
            "task-9 Started",
            "fin Some(false) by Some(8)"
        ]
    );
}

#[test]
fn the_last_holder_that_closes_is_the_handler() {
    let close = |pid| KernelEvent::Close(socket(1), child(pid, 7));
    let (out, _) = run(vec![
        (0, state(socket(1), SynRecv, Established)),
        (1, accept(1, 7)),
        (2, fork(child(8, 7))),
        (3, close(8)),
        (4, state(socket(1), FinWait2, Close)),
    ]);
    assert_eq!(
        words(&out),
        ["accepted by Some(7)", "fin Some(true) by Some(8)"]
    );
}

#[test]
fn who_holds_the_socket_is_asked_of_the_acceptor_and_its_children_only() {
    let (_, mut tracker) = run_until(
        vec![
            (0, fork(child(5, 7))),
            (1, state(socket(1), SynRecv, Established)),
            (2, accept(1, 7)),
            (3, fork(child(8, 7))),
            (3, fork(child(9, 8))),
            (3, fork(child(20, 19))),
        ],
        10,
    );
    assert_eq!(tracker.deadline(), Some(at(22)));
    let checks = tracker.checks(at(22));
    let [check] = checks.as_slice() else {
        panic!("one check expected: {checks:?}");
    };
    let mut pids: Vec<u32> = check.candidates.iter().map(|one| one.task.pid).collect();
    pids.sort_unstable();
    assert_eq!((check.inode, pids), (1_000, vec![7, 8, 9]));
    let mut out = Vec::new();
    tracker.settle(check, &[7, 8, 9], &mut out);
    let session = tracker.session(socket(1).key).expect("open");
    assert_eq!(session.owners.handler, None, "all of them have copies yet");
    let checks = tracker.checks(at(252));
    let check = checks.first().expect("a second look");
    tracker.settle(check, &[8, 9], &mut out);
    assert_eq!(out, [], "a fork says nothing");
    let session = tracker.session(socket(1).key).expect("open");
    let handler = session.owners.handler.as_ref().expect("settled");
    assert_eq!((handler.task.pid, handler.source), (8, Attribution::Held));
}
