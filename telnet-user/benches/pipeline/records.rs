//! Records of sessions as the kernel side writes them.

use std::net::Ipv4Addr;

use telnet_common::{
    AF_INET, ARGS_BYTES, CallRecord, IPPROTO_TCP, KIND_ACCEPT_FENTRY, KIND_STATE, RecordHeader,
    SocketRecord, StateRecord, TASK_COMM_LEN, TaskRecord,
};
use zerocopy::FromZeros as _;

fn socket(number: u64) -> SocketRecord {
    let mut socket = SocketRecord::new_zeroed();
    socket.sock = 0xffff_8881_0000_0000 + (number % (1 << 20)) * 2_048;
    socket.cookie = number;
    socket.netns = 4_026_531_840;
    socket.local_port = 23;
    socket.remote_port = u16::try_from(32_768 + number % 28_000).expect("a port");
    socket.family = AF_INET;
    socket.protocol = IPPROTO_TCP;
    let ends = [
        (&mut socket.local_address, Ipv4Addr::new(192, 0, 2, 23)),
        (&mut socket.remote_address, Ipv4Addr::new(198, 51, 100, 9)),
    ];
    for (bytes, address) in ends {
        let (head, _) = bytes.split_at_mut(4);
        head.copy_from_slice(&address.octets());
    }
    socket
}

fn header(kind: u32, number: u64, time_ns: u64) -> RecordHeader {
    RecordHeader {
        kind,
        cpu: 0,
        sequence: number,
        time_ns,
    }
}

pub(crate) fn state(number: u64, time: u64, (old, new): (u8, u8)) -> StateRecord {
    let mut record = StateRecord::new_zeroed();
    record.header = header(KIND_STATE, number, time);
    record.socket = socket(number);
    record.old_state = old;
    record.new_state = new;
    record.has_traffic = 1;
    record.fin_received = 1;
    record.bytes_received = 1_234;
    record.bytes_acked = 98_765;
    record.segs_in = 40;
    record.segs_out = 70;
    record
}

pub(crate) fn accept(number: u64, time: u64) -> CallRecord {
    let mut record = CallRecord::new_zeroed();
    record.header = header(KIND_ACCEPT_FENTRY, number, time);
    record.socket = socket(number);
    record.inode = number;
    let mut comm = [0; TASK_COMM_LEN];
    let mut args = [0; ARGS_BYTES];
    for (text, bytes) in [
        (&b"inetd"[..], &mut comm[..]),
        (b"/usr/sbin/inetd\0-d\0", &mut args[..]),
    ] {
        let (head, _) = bytes.split_at_mut(text.len());
        head.copy_from_slice(text);
    }
    record.task = TaskRecord {
        start_ns: 5_000_000_000,
        cgroup_id: 42,
        tgid: 700,
        tid: 700,
        parent_tgid: 1,
        uid: 0,
        gid: 0,
        args_len: 19,
        comm,
        args,
    };
    record
}
