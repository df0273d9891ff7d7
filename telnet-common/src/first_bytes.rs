//! What the first bytes of a TCP stream prove: what no other protocol in use begins with.

use crate::protocol;

/// Bytes at the beginning of a segment that are looked at.
pub const LOOK_BYTES: usize = 16;
/// Segments with payload that are looked at, in each direction.
pub const LOOK_SEGMENTS: u32 = 4;
/// Telnet commands that prove telnet: one can be chance, in audio data for example.
pub const TELNET_PROOF: u32 = 2;

/// The protocol that the first bytes of one direction of a connection prove; 0 when none. What is
/// not there is 0 in `bytes`.
#[must_use]
pub const fn opening(bytes: &[u8; LOOK_BYTES]) -> u32 {
    match *bytes {
        // Identification string, RFC 4253 section 4.2.
        [b'S', b'S', b'H', b'-', b'1', b'.', ..]
        | [b'S', b'S', b'H', b'-', b'2', b'.', b'0', b'-', ..] => protocol::SSH,
        // Status line, RFC 9112 section 4. A request line ends too far behind its method, and other
        // protocols have a GET too.
        [
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            b'1',
            b'.',
            b'0'..=b'9',
            b' ',
            b'1'..=b'5',
            b'0'..=b'9',
            b'0'..=b'9',
            ..,
        ] => protocol::HTTP,
        // Record with a `ClientHello` or `ServerHello` of more than 36 bytes, RFC 8446 sections 4, 5.1.
        [22, 3, 1..=3, 0..=64, _, 1 | 2, 0, high, low, 3, 1..=3, ..] if high > 0 || low > 36 => {
            protocol::TLS
        }
        _ => 0,
    }
}

/// Telnet commands about options with which a segment of `length` bytes begins, of at most two: IAC
/// WILL, WONT, DO, DONT or SB with an option that IANA has assigned (RFC 854, RFC 855). As data of
/// telnet the IAC would be doubled.
#[must_use]
pub const fn negotiations(bytes: &[u8; LOOK_BYTES], length: u32) -> u32 {
    let [first, command, option, second, next, last, ..] = *bytes;
    if length < 3 || !is_negotiation(first, command, option) {
        return 0;
    }
    // Not behind SB, whose length stands at its end.
    let has_second = length >= 6 && command != SB && is_negotiation(second, next, last);
    if has_second { 2 } else { 1 }
}

const IAC: u8 = 255;
const SB: u8 = 250;
const WILL: u8 = 251;
const DONT: u8 = 254;

const fn is_negotiation(first: u8, command: u8, option: u8) -> bool {
    first == IAC && matches!(command, SB | WILL..=DONT) && matches!(option, 0..=49 | 138..=140)
}
