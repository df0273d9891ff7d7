//! Community ID version 1, written from its specification and independent of the agent's.

use std::net::{IpAddr, SocketAddr};

use sha1::{Digest as _, Sha1};

const TCP: u8 = 6;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The id of a TCP flow with seed 0; the same from both ends.
pub fn tcp(one: SocketAddr, other: SocketAddr) -> String {
    let (low, high) = if key(one) <= key(other) {
        (one, other)
    } else {
        (other, one)
    };
    let mut hash = Sha1::new();
    hash.update([0, 0]);
    hash.update(octets(low.ip()));
    hash.update(octets(high.ip()));
    hash.update([TCP, 0]);
    hash.update(low.port().to_be_bytes());
    hash.update(high.port().to_be_bytes());
    format!("1:{}", base64(&hash.finalize()))
}

fn key(end: SocketAddr) -> (Vec<u8>, u16) {
    (octets(end.ip()), end.port())
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = (0..3).fold(0_u32, |word, i| {
            word << 8 | u32::from(chunk.get(i).copied().unwrap_or_default())
        });
        for digit in 0..4_usize {
            let index = usize::try_from(word >> (18 - 6 * digit) & 63).unwrap_or_default();
            let letter = ALPHABET.get(index).copied().map_or('=', char::from);
            text.push(if digit <= chunk.len() { letter } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_ids_come_out_from_both_ends() {
        // From the Community ID specification's and Zeek's own tests.
        let published = [
            (
                "128.232.110.120:34855",
                "66.35.250.204:80",
                "1:LQU9qZlK+B5F3KDmev6m5PMibrg=",
            ),
            (
                "1.2.3.4:1122",
                "5.6.7.8:3344",
                "1:wCb3OG7yAFWelaUydu0D+125CLM=",
            ),
        ];
        for (one, other, id) in published {
            let (one, other) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!(tcp(one, other), id);
            assert_eq!(tcp(other, one), id);
        }
    }

    #[test]
    fn base64_pads_each_remainder() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
