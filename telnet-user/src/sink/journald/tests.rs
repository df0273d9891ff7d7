use std::{io::Read as _, mem::MaybeUninit, os::fd::OwnedFd};

use rustix::{
    io::IoSliceMut,
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg},
};
use serde_json::json;

use super::*;
use crate::{config::Stream, sink::document::Kind};

/// The fields of an entry, by the rules of the protocol.
fn parse(mut bytes: &[u8]) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.iter().position(|&b| b == b'\n').expect("an end");
        let line = &bytes[..end];
        bytes = &bytes[end + 1..];
        let (name, value) = if let Some(at) = line.iter().position(|&b| b == b'=') {
            (&line[..at], line[at + 1..].to_vec())
        } else {
            let length = u64::from_le_bytes(bytes[..8].try_into().expect("a length"));
            let length = usize::try_from(length).expect("small");
            let value = bytes[8..8 + length].to_vec();
            assert_eq!(bytes[8 + length], b'\n');
            bytes = &bytes[9 + length..];
            (line, value)
        };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        fields.push((text(name), text(&value)));
    }
    fields
}

fn entry(value: &Value) -> Entry {
    Entry {
        kind: Kind::Alert,
        body: value.to_string().into_bytes(),
    }
}

fn batch(value: &Value) -> Batch {
    Batch {
        stream: Stream::Alerts,
        entries: vec![entry(value)],
    }
}

struct Peer {
    _folder: tempfile::TempDir,
    socket: UnixDatagram,
    journal: Journal,
}

fn peer() -> Peer {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("socket");
    let socket = UnixDatagram::bind(&path).expect("bound");
    let journal = Journal::new(&config::Journald {
        socket: path,
        ..config::Journald::default()
    });
    Peer {
        _folder: folder,
        socket,
        journal,
    }
}

#[test]
fn every_field_is_one_of_the_entry() {
    let mut peer = peer();
    let alert = json!({
        "@timestamp": "2026-03-05T12:00:00.000Z",
        "message": "not twice",
        "source": {"ip": "192.0.2.7", "port": 50000},
        "event": {"category": ["network", "session"]},
        "process": {"name": "a\nb", "args": []},
        "kibana": {"alert": {"severity": "high", "rule": {"parameters": {"query": "x"}}}},
        "rule": {"name": "R"},
        "nothing": null,
        "x".repeat(70): "too long a name",
    });
    peer.journal.deliver(&batch(&alert)).expect("delivered");
    let mut buffer = vec![0; 1 << 16];
    let count = peer.socket.recv(&mut buffer).expect("received");
    let fields = parse(&buffer[..count]);
    let all = |name: &str| -> Vec<&str> {
        let found = fields.iter().filter(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str()).collect()
    };
    assert_eq!(
        all("MESSAGE"),
        ["2026-03-05T12:00:00.000Z HIGH R: a\\u{a}b"]
    );
    assert_eq!(all("PRIORITY"), ["3"]);
    assert_eq!(all("SYSLOG_IDENTIFIER"), ["telnet-monitor"]);
    assert_eq!(all("TELNET_MONITOR_STREAM"), ["alerts"]);
    assert_eq!(all("SOURCE_IP"), ["192.0.2.7"]);
    assert_eq!(all("SOURCE_PORT"), ["50000"]);
    assert_eq!(all("EVENT_CATEGORY"), ["network", "session"]);
    assert_eq!(
        all("PROCESS_NAME"),
        ["a\nb"],
        "with its length, not its line end"
    );
    assert_eq!(all("TIMESTAMP"), ["2026-03-05T12:00:00.000Z"]);
    assert!(
        fields
            .iter()
            .all(|(name, _)| name.len() <= 64 && !name.contains("PARAMETERS"))
    );
}

#[test]
fn what_is_too_large_for_a_datagram_comes_as_a_sealed_file() {
    let mut peer = peer();
    let text = "y".repeat(1 << 20);
    peer.journal
        .deliver(&batch(&json!({"process": {"command_line": text}})))
        .expect("delivered");
    let mut byte = [0; 16];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut byte)];
    recvmsg(&peer.socket, &mut parts, &mut ancillary, RecvFlags::empty()).expect("received");
    let mut files: Vec<OwnedFd> = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            files.extend(received);
        }
    }
    let file = files.pop().expect("a file descriptor");
    let seals = rustix::fs::fcntl_get_seals(&file).expect("seals");
    assert!(seals.contains(SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW));
    let mut file = File::from(file);
    // The offset is shared with the sender, which wrote up to the end.
    io::Seek::rewind(&mut file).expect("rewound");
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).expect("readable");
    let fields = parse(&bytes);
    let found = fields
        .iter()
        .find(|(name, _)| name == "PROCESS_COMMAND_LINE");
    assert_eq!(found.map(|(_, value)| value.len()), Some(1 << 20));
}

#[test]
fn a_journal_that_is_not_there_is_named() {
    let mut journal = Journal::new(&config::Journald {
        socket: "/nonexistent/socket".into(),
        ..config::Journald::default()
    });
    let error = journal.deliver(&batch(&json!({}))).expect_err("nobody");
    assert!(
        error
            .to_string()
            .starts_with("/nonexistent/socket: No such file"),
        "{error}"
    );
}
