use std::{
    io::{BufReader, Read, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixDatagram,
    thread,
};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivateKeyDer};
use serde_json::{Value, json};

use super::*;
use crate::{
    config::{Stream, Tls},
    sink::{document::Kind, spool::Entry, tls::provider},
};

fn alert(number: u32) -> Entry {
    let body = json!({
        "@timestamp": "2026-03-05T12:00:00.123456789Z",
        "kibana": {"alert": {"severity": "critical"}},
        "number": number,
    });
    Entry {
        kind: Kind::Alert,
        body: body.to_string().into_bytes(),
    }
}

fn batch(numbers: std::ops::Range<u32>) -> Batch {
    Batch {
        stream: Stream::Alerts,
        entries: numbers.map(alert).collect(),
    }
}

fn server(address: SyslogAddress, tls: Tls) -> Result<SyslogServer, String> {
    SyslogServer::new(&config::Syslog {
        address,
        tls,
        timeout: Duration::from_secs(10),
        ..config::Syslog::default()
    })
}

/// The messages of an octet-counted stream (RFC 6587 3.4.1).
fn frames(stream: &mut impl Read) -> io::Result<Vec<String>> {
    let mut out = Vec::new();
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = Vec::new();
        loop {
            let mut byte = [0];
            match reader.read(&mut byte) {
                Ok(0) => return Ok(out),
                Ok(_) if byte == *b" " => break,
                Ok(_) => length.push(byte[0]),
                Err(error) => return Err(error),
            }
        }
        let length: usize = String::from_utf8(length)
            .expect("digits")
            .parse()
            .expect("a length");
        let mut message = vec![0; length];
        reader.read_exact(&mut message)?;
        out.push(String::from_utf8(message).expect("UTF-8"));
    }
}

fn numbers(messages: &[String]) -> Vec<u64> {
    let number = |message: &String| {
        let json = message.split_once(" - {").expect("a body").1;
        let value: Value = serde_json::from_str(&format!("{{{json}")).expect("JSON");
        value["number"].as_u64().expect("number")
    };
    messages.iter().map(number).collect()
}

#[test]
fn a_message_is_rfc_5424() {
    let header = message::Header::new(&config::Syslog::default(), "web 1");
    let text = String::from_utf8(header.message(&alert(1)).expect("a message")).expect("UTF-8");
    let pid = std::process::id();
    // authpriv is 10, critical is 2.
    let head = format!("<82>1 2026-03-05T12:00:00.123456Z web1 telnet-monitor {pid} alerts - {{");
    assert!(text.starts_with(&head), "{text}");
    let nothing = Entry {
        kind: Kind::Event,
        body: b"{}".to_vec(),
    };
    let text = header.message(&nothing).expect("a message");
    assert!(
        text.starts_with(b"<86>1 - web1 "),
        "no time is said as none"
    );
}

#[test]
fn a_unix_socket_gets_one_datagram_each() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("log");
    let socket = UnixDatagram::bind(&path).expect("bound");
    let mut server = server(SyslogAddress::Unix(path), Tls::default()).expect("set up");
    let receipt = server.deliver(&batch(0..2)).expect("delivered");
    assert_eq!(receipt, Receipt::Certain { rejected: 0 });
    for _ in 0..2 {
        let mut buffer = [0; 4096];
        let count = socket.recv(&mut buffer).expect("received");
        assert!(buffer[..count].starts_with(b"<82>1 "));
    }
    let huge = Entry {
        kind: Kind::Event,
        body: json!({"x": "y".repeat(1 << 20)}).to_string().into_bytes(),
    };
    let huge = Batch {
        stream: Stream::Events,
        entries: vec![huge],
    };
    let receipt = server.deliver(&huge).expect("passed over");
    assert_eq!(receipt, Receipt::Certain { rejected: 1 });
}

fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("address").port();
    (listener, port)
}

fn tcp(port: u16) -> SyslogAddress {
    SyslogAddress::Tcp {
        host: "127.0.0.1".to_owned(),
        port,
    }
}

#[test]
fn tcp_is_certain_once_the_server_has_closed_too() {
    let (listener, port) = listen();
    let reader = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("accepted");
        frames(&mut stream).expect("frames")
    });
    let mut server = server(tcp(port), Tls::default()).expect("set up");
    assert_eq!(server.deliver(&batch(0..3)).expect("sent"), Receipt::Open);
    assert_eq!(server.deliver(&batch(3..5)).expect("sent"), Receipt::Open);
    server.settle().expect("settled");
    assert_eq!(numbers(&reader.join().expect("read")), [0, 1, 2, 3, 4]);
}

#[test]
fn tcp_tells_when_the_server_went_before_it_read() {
    let (listener, port) = listen();
    let mut server = server(tcp(port), Tls::default()).expect("set up");
    server.deliver(&batch(0..3)).expect("sent");
    // Closed with unread data: what a server does that is killed.
    let (stream, _) = listener.accept().expect("accepted");
    wait_for_data(&stream);
    drop(stream);
    // Not "closed": whichever way the reset is noticed, the documents count as not arrived.
    server.settle().expect_err("lost");
}

fn wait_for_data(stream: &TcpStream) {
    let mut byte = [0];
    stream.peek(&mut byte).expect("data");
}

/// A certificate for `name`, and the files that a client needs.
fn certificate(name: &str) -> (CertifiedKey<rcgen::KeyPair>, tempfile::TempDir) {
    let certified = generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("ca.pem"), certified.cert.pem()).expect("written");
    (certified, folder)
}

fn serve_tls(
    listener: TcpListener,
    certified: &CertifiedKey<rcgen::KeyPair>,
) -> thread::JoinHandle<io::Result<Vec<String>>> {
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .expect("a configuration");
    thread::spawn(move || {
        let (socket, _) = listener.accept()?;
        let session = ServerConnection::new(Arc::new(config)).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(session, socket);
        let read = frames(&mut stream)?;
        stream.conn.send_close_notify();
        stream.flush()?;
        Ok(read)
    })
}

fn tls_address(port: u16, host: &str) -> SyslogAddress {
    SyslogAddress::Tls {
        host: host.to_owned(),
        port,
    }
}

#[test]
fn tls_trusts_the_authority_of_the_file_and_nobody_else() {
    let (certified, folder) = certificate("localhost");
    let trusted = Tls {
        ca_file: Some(folder.path().join("ca.pem")),
        ..Tls::default()
    };
    let (listener, port) = listen();
    let reader = serve_tls(listener, &certified);
    let mut client = server(tls_address(port, "localhost"), trusted.clone()).expect("set up");
    client.deliver(&batch(0..3)).expect("sent");
    client.settle().expect("settled");
    let messages = reader.join().expect("ended").expect("read");
    assert_eq!(numbers(&messages), [0, 1, 2]);

    // Another certificate, and the right one under another name.
    let (other, _folder) = certificate("localhost");
    let (listener, port) = listen();
    let reader = serve_tls(listener, &other);
    let mut client = server(tls_address(port, "localhost"), trusted.clone()).expect("set up");
    let error = client.deliver(&batch(0..1)).expect_err("a stranger");
    assert!(error.to_string().contains("certificate"), "{error}");
    assert!(reader.join().expect("ended").is_err());
    let (listener, port) = listen();
    let reader = serve_tls(listener, &certified);
    let mut client = server(tls_address(port, "127.0.0.1"), trusted).expect("set up");
    let error = client.deliver(&batch(0..1)).expect_err("another name");
    assert!(error.to_string().contains("not valid for name"), "{error}");
    assert!(reader.join().expect("ended").is_err());
}

#[test]
fn certificates_that_are_none_are_told_at_start() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, "hello").expect("written");
    let wrong = Tls {
        ca_file: Some(file.clone()),
        ..Tls::default()
    };
    let error = server(tls_address(1, "localhost"), wrong).expect_err("no certificate");
    assert_eq!(error, format!("{}: no certificate (PEM)", file.display()));
}
