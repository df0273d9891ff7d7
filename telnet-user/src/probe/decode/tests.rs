use proptest::prelude::*;
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::*;

fn state_record() -> StateRecord {
    let mut record = StateRecord::new_zeroed();
    record.header.kind = KIND_STATE;
    record.header.cpu = 1;
    record.header.sequence = 7;
    record.header.time_ns = 1_000;
    record.socket = SocketRecord {
        sock: 0xffff_8880_0000_0001,
        cookie: 42,
        netns: 4_026_531_840,
        error: 0,
        local_port: 23,
        remote_port: 50_000,
        family: AF_INET,
        protocol: IPPROTO_TCP,
        local_address: [192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        remote_address: [198, 51, 100, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    };
    record.old_state = tcp_state::SYN_RECV;
    record.new_state = tcp_state::ESTABLISHED;
    record
}

fn call_record(kind: u32) -> CallRecord {
    let mut record = CallRecord::new_zeroed();
    record.header.kind = kind;
    record.socket = state_record().socket;
    record.task.tgid = 100;
    record.task.tid = 101;
    record.task.parent_tgid = 1;
    record.task.start_ns = 5;
    record.task.comm[..6].copy_from_slice(b"telnet");
    record
}

fn change(record: &StateRecord) -> StateChange {
    let event = decode(record.as_bytes()).expect("valid").event;
    let KernelEvent::State(change) = event else {
        panic!("not a state change: {event:?}");
    };
    change
}

#[test]
fn a_state_change_carries_its_socket() {
    let decoded = decode(state_record().as_bytes()).expect("valid");
    assert_eq!(
        (decoded.cpu, decoded.sequence, decoded.time),
        (1, 7, BootTime::from_nanos(1_000))
    );
    let change = change(&state_record());
    assert_eq!(change.old, TcpState::SynRecv);
    assert_eq!(change.new, TcpState::Established);
    assert_eq!(change.counters, None);
    assert_eq!(
        change.socket.local,
        "192.0.2.1:23".parse().expect("address")
    );
    assert_eq!(
        change.socket.remote,
        "198.51.100.9:50000".parse().expect("address")
    );
    assert_eq!(change.socket.key.cookie, Some(42));
    assert_eq!(change.socket.netns, Some(4_026_531_840));
    assert_eq!(change.socket.error, SocketError::Clear);
}

#[test]
fn ipv6_stays_and_mapped_ipv4_becomes_ipv4() {
    let mut record = state_record();
    record.socket.family = AF_INET6;
    record.socket.local_address = "2001:db8::1".parse::<Ipv6Addr>().expect("address").octets();
    record.socket.remote_address = "::ffff:192.0.2.7"
        .parse::<Ipv6Addr>()
        .expect("address")
        .octets();
    let socket = change(&record).socket;
    assert_eq!(socket.local, "[2001:db8::1]:23".parse().expect("address"));
    assert_eq!(socket.remote, "192.0.2.7:50000".parse().expect("address"));
}

#[test]
fn what_the_kernel_could_not_tell_is_absent() {
    let mut record = state_record();
    record.socket.cookie = 0;
    record.socket.netns = 0;
    let socket = change(&record).socket;
    assert_eq!((socket.key.cookie, socket.netns), (None, None));
    let KernelEvent::Connect(_, task) = decode(
        CallRecord {
            task: TaskRecord::new_zeroed(),
            ..call_record(KIND_CONNECT)
        }
        .as_bytes(),
    )
    .expect("valid")
    .event
    else {
        panic!("not a connect");
    };
    assert_eq!(
        (task.start, task.parent, task.cgroup, task.args),
        (None, None, None, None)
    );
}

#[test]
fn calls_name_their_hook_and_their_task() {
    for (kind, hook) in [
        (KIND_ACCEPT_FENTRY, Hook::Fentry),
        (KIND_ACCEPT_KPROBE, Hook::Kprobe),
        (KIND_ACCEPT_SYSCALL, Hook::SyscallExit),
    ] {
        let event = decode(call_record(kind).as_bytes()).expect("valid").event;
        let KernelEvent::Accept(accept) = event else {
            panic!("not an accept: {event:?}");
        };
        let Accept {
            socket,
            task,
            hook: found,
            inode,
        } = accept;
        assert_eq!((found, inode), (hook, None));
        assert!(!socket.mptcp);
        assert_eq!(
            (task.pid, task.tid, task.comm.as_str()),
            (100, 101, "telnet")
        );
        assert_eq!(task.parent, Some(1));
    }
}

#[test]
fn a_process_record_is_what_its_kind_says() {
    let mut record = ProcessRecord::new_zeroed();
    record.task = call_record(KIND_CONNECT).task;
    record.stdin = 0x1000;
    record.tty = 136 << 20 | 3;
    record.effective_uid = 1000;
    record.exit_status = 9;
    record.left_out = 2;
    let mut event = |kind| {
        record.header.kind = kind;
        decode(record.as_bytes()).expect("valid").event
    };
    assert!(matches!(event(KIND_FORK), KernelEvent::Fork(fork) if fork.child.pid == 100));
    assert!(
        matches!(event(KIND_EXIT), KernelEvent::Exit(exit) if exit.task.pid == 100
        && exit.status == ExitStatus::Signal(9) && exit.left_out == 2)
    );
    assert!(
        matches!(event(KIND_EXEC), KernelEvent::Exec(exec) if exec.stdin == Some(0x1000)
        && exec.effective_uid == 1000
        && exec.tty.and_then(Tty::name).as_deref() == Some("pts/3"))
    );
    assert_eq!(exit_status(0x0300), ExitStatus::Code(3));
    assert_eq!(
        tty(4 << 20 | 1).name(),
        None,
        "a console is no network terminal"
    );
}

#[test]
fn arguments_split_at_nul_and_say_when_they_are_cut() {
    let list = |bytes: &[u8], len: usize| {
        let mut head = [0; ARGS_BYTES];
        head[..bytes.len()].copy_from_slice(bytes);
        args(&head, u32::try_from(len).expect("small"))
    };
    let args = list(b"telnet\x00192.0.2.7\0", 17).expect("read");
    assert_eq!(args.list, ["telnet", "192.0.2.7"]);
    assert!(!args.truncated);
    assert_eq!(list(b"in\0\0", 4).expect("read").list, ["in", ""]);
    assert_eq!(
        list(b"title without end", 17).expect("read").list,
        ["title without end"]
    );
    assert_eq!(list(b"\xff\0", 2).expect("read").list, ["\u{fffd}"]);
    assert!(list(&[b'a'; ARGS_BYTES], 4_000).expect("read").truncated);
    assert_eq!(list(b"", 0), None);
}

#[test]
fn a_proof_names_its_socket_and_its_protocol() {
    let mut record = ProtocolRecord::new_zeroed();
    record.header.kind = KIND_PROTOCOL;
    record.socket = state_record().socket;
    let mut of = |number| {
        record.protocol = number;
        decode(record.as_bytes()).map(|record| record.event)
    };
    for (number, expected) in [
        (protocol::TELNET, Protocol::Telnet),
        (protocol::SSH, Protocol::Ssh),
        (protocol::HTTP, Protocol::Http),
        (protocol::TLS, Protocol::Tls),
    ] {
        let event = of(number).expect("valid");
        assert!(
            matches!(&event, KernelEvent::Protocol(socket, found)
                if socket.key.cookie == Some(42) && *found == expected),
            "{event:?}"
        );
    }
    assert_eq!(of(0), Err(DecodeError::Application(0)));
    assert_eq!(of(5), Err(DecodeError::Application(5)));
}

#[test]
fn refuses_what_it_does_not_know() {
    let with = |edit: fn(&mut StateRecord)| {
        let mut record = state_record();
        edit(&mut record);
        decode(record.as_bytes()).expect_err("refused")
    };
    assert_eq!(
        with(|record| record.header.kind = 99),
        DecodeError::Kind(99)
    );
    assert_eq!(
        with(|record| record.socket.family = 1),
        DecodeError::Family(1)
    );
    assert_eq!(
        with(|record| record.socket.protocol = 132),
        DecodeError::Protocol(132)
    );
    assert_eq!(with(|record| record.new_state = 6), DecodeError::State(6));
    assert_eq!(
        with(|record| record.header.kind = KIND_LISTEN),
        DecodeError::Size {
            kind: KIND_LISTEN,
            actual: size_of::<StateRecord>()
        }
    );
    assert_eq!(
        decode(&[1, 2, 3]),
        Err(DecodeError::Size { kind: 0, actual: 3 })
    );
}

proptest! {
    #[test]
    fn any_bytes_decode_or_are_refused(
        kind in 0u32..12,
        mut bytes in proptest::collection::vec(any::<u8>(), 0..500),
        right_size: bool,
    ) {
        if right_size {
            let size = match kind {
                KIND_STATE => size_of::<StateRecord>(),
                KIND_FORK | KIND_EXEC | KIND_EXIT => size_of::<ProcessRecord>(),
                KIND_PROTOCOL => size_of::<ProtocolRecord>(),
                _ => size_of::<CallRecord>(),
            };
            bytes.resize(size, 0);
        }
        if let Some(head) = bytes.first_chunk_mut::<4>() {
            *head = kind.to_ne_bytes();
        }
        let _result = decode(&bytes);
    }
}
