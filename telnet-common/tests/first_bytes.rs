//! What first bytes prove, and what they do not.
#![expect(
    clippy::tests_outside_test_module,
    reason = "all of an integration test is test code"
)]

use proptest::prelude::*;
use telnet_common::{
    first_bytes::{LOOK_BYTES, negotiations, opening},
    protocol::{HTTP, SSH, TLS},
};

/// As the probe has them: the beginning of a segment, then zeros, and the length of the segment.
fn segment(bytes: &[u8]) -> ([u8; LOOK_BYTES], u32) {
    let mut head = [0; LOOK_BYTES];
    for (to, from) in head.iter_mut().zip(bytes) {
        *to = *from;
    }
    (head, u32::try_from(bytes.len()).unwrap_or(u32::MAX))
}

fn proves(bytes: &[u8]) -> u32 {
    opening(&segment(bytes).0)
}

fn commands(bytes: &[u8]) -> u32 {
    let (head, length) = segment(bytes);
    negotiations(&head, length)
}

#[test]
fn what_streams_begin_with() {
    let hello = |kind, version: [u8; 2]| {
        let mut bytes = vec![22, version[0], version[1], 2, 0, kind, 0, 1, 252, 3, 3];
        bytes.extend([7; 500]);
        bytes
    };
    let cases: &[(&[u8], u32)] = &[
        (b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n", SSH),
        (b"SSH-2.0-Go\r\n", SSH),
        (b"SSH-1.99-Cisco-1.25\n", SSH),
        (b"SSH-3", 0),
        (b"SSH is what we should use", 0),
        (b" SSH-2.0-x", 0),
        (b"HTTP/1.1 200 OK\r\n", HTTP),
        (b"HTTP/1.0 404 Not Found\r\n", HTTP),
        (b"HTTP/1.1 OK", 0),
        (b"HTTP/1.1", 0),
        // Redis has a GET too.
        (b"GET / HTTP/1.1\r\nHost: x\r\n", 0),
        (&hello(1, [3, 1]), TLS),
        (&hello(2, [3, 3]), TLS),
        (&hello(11, [3, 3]), 0),
        (&hello(1, [4, 3]), 0),
        (b"\x16\x03\x01", 0),
        (b"login: ", 0),
        (b"\r\n", 0),
        (b"", 0),
    ];
    for (bytes, expected) in cases {
        assert_eq!(proves(bytes), *expected, "{bytes:02x?}");
    }
}

#[test]
fn what_telnet_begins_with() {
    let cases: &[(&[u8], u32)] = &[
        // busybox telnetd: DO ECHO, DO NAWS, WILL ECHO, WILL SGA.
        (b"\xff\xfd\x01\xff\xfd\x1f\xff\xfb\x01\xff\xfb\x03", 2),
        // inetutils telnet: WILL SGA, then what it wants to talk about.
        (b"\xff\xfd\x03\xff\xfb\x18\xff\xfb\x1f\xff\xfb\x20", 2),
        (b"\xff\xfb\x01", 1),
        (b"\xff\xfb\x01login: ", 1),
        (b"\xff\xfc\x18\xff\xfa\x1f\x00\x50\x00\x18\xff\xf0", 2),
        (b"\xff\xfa\x18\x01\xff\xf0", 1),
        // Cut, no option, none that is assigned, no command about one.
        (b"\xff\xfb", 0),
        (b"\xff\xfb\x01\xff\xfb", 1),
        (b"\xff\xfb\x90\x64\x00", 0),
        (b"\xff\xf6", 0),
        (b"\xff\xff\xfb\x01", 0),
        (b"Welcome\r\n\xff\xfb\x01\xff\xfb\x03", 0),
        // The picture's and the sound's beginning.
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", 0),
        (b"\xff\xfb\x90\xc4\x00\x00\x00\x00", 0),
        (b"", 0),
    ];
    for (bytes, expected) in cases {
        assert_eq!(commands(bytes), *expected, "{bytes:02x?}");
    }
}

/// The same, as one would write it anywhere else.
fn reference(bytes: &[u8]) -> u32 {
    let is_command = |bytes: &[u8]| matches!(bytes, [255, 250..=254, option, ..] if *option < 50 || (138..141).contains(option));
    let first = is_command(bytes);
    let second = first && bytes.get(1) != Some(&250) && bytes.get(3..).is_some_and(is_command);
    u32::from(first) + u32::from(second)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    #[test]
    fn commands_are_counted_whatever_comes(
        bytes in prop::collection::vec(
            prop_oneof![Just(255u8), 249u8..=255, 0u8..60, any::<u8>()],
            0..12,
        ),
    ) {
        prop_assert_eq!(commands(&bytes), reference(&bytes));
    }

    #[test]
    fn text_is_nothing_but_what_it_says(text in "[ -~\r\n\t]{0,40}") {
        prop_assert_eq!(commands(text.as_bytes()), 0);
        let protocol = proves(text.as_bytes());
        prop_assert_eq!(protocol == SSH, text.starts_with("SSH-1.") || text.starts_with("SSH-2.0-"));
        prop_assert!(protocol != TLS);
        prop_assert!(protocol != HTTP || text.starts_with("HTTP/1."));
    }
}
