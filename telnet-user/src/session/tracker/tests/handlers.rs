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
    let checks = look(&mut tracker, at(22));
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
    let checks = look(&mut tracker, at(252));
    let check = checks.first().expect("a second look");
    tracker.settle(check, &[8, 9], &mut out);
    assert_eq!(out, [], "a fork says nothing");
    let session = tracker.session(socket(1).key).expect("open");
    let handler = session.owners.handler.as_ref().expect("settled");
    assert_eq!((handler.task.pid, handler.source), (8, Attribution::Held));
}

/// With inbound sessions 1 to `count`, accepted one after the other within the first millisecond.
fn accepted(limits: Limits, count: u64) -> Tracker {
    let mut tracker = Tracker::new(limits);
    let mut out = Vec::new();
    for id in 1..=count {
        let time = BootTime::from_nanos(id);
        for event in [state(socket(id), SynRecv, Established), accept(id, 7)] {
            tracker.push(
                Record {
                    time,
                    ..record(0, event)
                },
                &mut out,
            );
        }
    }
    tracker
}

#[test]
fn sessions_that_have_ended_are_not_looked_for() {
    let mut tracker = accepted(Limits::default(), 300);
    let mut out = Vec::new();
    for id in 1..300 {
        let end = record(1, state(socket(id), LastAck, Close));
        tracker.push(end, &mut out);
    }
    let live = look(&mut tracker, at(25));
    assert_eq!(
        live.iter().map(|check| check.key).collect::<Vec<_>>(),
        [socket(300).key],
        "none waits behind the dead"
    );
    let last = record(30, state(socket(300), LastAck, Close));
    tracker.push(last, &mut out);
    // Nor does it wait for its acceptor any more.
    tracker.tick(at(200), &mut out);
    assert_eq!(tracker.deadline(), None, "nothing is left to look for");
}

#[test]
fn sessions_that_gave_way_are_not_looked_for() {
    let few = Limits {
        sessions: 10,
        ..Limits::default()
    };
    let mut tracker = accepted(few, 200);
    let looked: Vec<u64> = look(&mut tracker, at(25))
        .iter()
        .filter_map(|check| check.key.cookie)
        .collect();
    assert_eq!(looked, (191..=200).collect::<Vec<_>>());
}

#[test]
fn looks_come_four_times_and_not_all_at_once() {
    let mut tracker = accepted(Limits::default(), 100);
    assert_eq!(look(&mut tracker, at(1)).len(), 0);
    for millis in [21, 252, 1_003, 3_004] {
        let looks = [(); 3].map(|()| look(&mut tracker, at(millis)).len());
        assert_eq!(looks, [64, 36, 0], "after {millis} ms");
    }
    assert_eq!(look(&mut tracker, at(1_000_000)).len(), 0);
}

#[test]
fn a_handler_that_the_kernel_told_is_not_looked_for() {
    let mut tracker = accepted(Limits::default(), 2);
    let exec = KernelEvent::Exec(Exec {
        task: child(8, 7),
        stdin: Some(socket(1).key.address),
        tty: None,
        effective_uid: 0,
        left_out: 0,
    });
    tracker.push(record(2, exec), &mut Vec::new());
    let looked = look(&mut tracker, at(25));
    let keys: Vec<_> = looked.iter().map(|check| check.key).collect();
    assert_eq!(keys, [socket(2).key]);
}

/// A server whose one process accepts and passes each socket to the same worker.
#[test]
fn sessions_of_a_worker_are_forgotten_when_they_are_over() {
    let worker = || task(20);
    let mut events = Vec::new();
    for id in 1..=5 {
        let time = id * 10_000;
        events.extend([
            (time, state(socket(id), SynRecv, Established)),
            (time, accept(id, 7)),
            (time + 1, KernelEvent::Close(socket(id), worker())),
            (time + 2, state(socket(id), FinWait2, Close)),
        ]);
    }
    let (out, tracker) = run(events);
    let ends = words(&out);
    let ends = ends.iter().filter(|word| word.starts_with("fin"));
    assert_eq!(ends.count(), 5);
    assert_eq!(tracker.trees.followed(), (0, 0));
}
