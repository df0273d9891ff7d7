//! Sockets by `/proc/PID/net/tcp` and `tcp6` (`proc_pid_net(5)`): slower than `sock_diag` and
//! without cookies, but there on every kernel and without entering the namespace.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

use super::wire::{Entry, canonical, tcp_state};

/// Most that is read of a table: room for a million sockets.
const MAX_TABLE: u64 = 192 * 1024 * 1024;

/// All sockets of the network namespace that `process`, a `/proc/PID`, is in.
pub(super) fn list(process: &Path, mut each: impl FnMut(Entry)) -> io::Result<()> {
    read(&process.join("net/tcp"), &mut each)?;
    match read(&process.join("net/tcp6"), &mut each) {
        // IPv6 is switched off.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn read(path: &Path, each: &mut impl FnMut(Entry)) -> io::Result<()> {
    let table = BufReader::new(File::open(path)?.take(MAX_TABLE));
    for line in table.split(b'\n') {
        if let Some(entry) = std::str::from_utf8(&line?).ok().and_then(parse) {
            each(entry);
        }
    }
    Ok(())
}

/// The `TIMER` of what stays of a connection that is over.
const TIME_WAIT: &str = "03:";

/// `SLOT: LOCAL REMOTE STATE QUEUES TIMER RETRANSMITS UID TIMEOUT INODE …`; none as by
/// [`super::wire::entry`].
fn parse(line: &str) -> Option<Entry> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let local = end(fields.next()?)?;
    let remote = end(fields.next()?)?;
    let state = tcp_state(u8::from_str_radix(fields.next()?, 16).ok()?)?;
    if fields.nth(1)?.starts_with(TIME_WAIT) {
        return None;
    }
    let inode = fields.nth(3)?.parse().ok()?;
    Some(Entry {
        local,
        remote,
        state,
        cookie: None,
        inode,
        interface: 0,
        counters: None,
    })
}

/// `ADDRESS:PORT` in hex, the address as words of host order.
fn end(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |index: usize| -> Option<[u8; 4]> {
        let digits = address.get(index * 8..index * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let ip = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut octets = [0; 16];
            for (index, to) in octets.chunks_exact_mut(4).enumerate() {
                to.copy_from_slice(&word(index)?);
            }
            IpAddr::V6(Ipv6Addr::from(octets))
        }
        _ => return None,
    };
    Some(canonical(SocketAddr::new(ip, port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: &str = "   0: 0100007F:0017 0200007F:C001 01 00000000:00000000 00:00000000 \
                      00000000     0        0 21557 1 ffff 20 4 24 10 -1";
    const V6: &str = "   1: 00000000000000000000000001000000:0017 \
                      00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 \
                      00000000  1000        0 4711 1 ffff";
    const MAPPED: &str = "   2: 0000000000000000FFFF00000100007F:0017 \
                          0000000000000000FFFF00000200007F:C001 08 00000000:00000000 00:00000000 \
                          00000000  1000        0 4712 1 ffff";

    const REMAINS: &str = "   3: 0100007F:0017 0200007F:C001 05 00000000:00000000 03:000016E1 \
                           00000000     0        0 0 3 ffff";

    #[test]
    fn what_stays_of_a_connection_is_none() {
        assert_eq!(parse(REMAINS), None);
        let open = REMAINS.replace("03:", "00:");
        let state = parse(&open).map(|entry| entry.state);
        assert_eq!(state, Some(TcpState::FinWait2));
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn lines_are_read() {
        for (line, local, remote, state, inode) in [
            (
                V4,
                "127.0.0.1:23",
                "127.0.0.2:49153",
                TcpState::Established,
                21557,
            ),
            (V6, "[::1]:23", "[::]:0", TcpState::Listen, 4711),
            (
                MAPPED,
                "127.0.0.1:23",
                "127.0.0.2:49153",
                TcpState::CloseWait,
                4712,
            ),
        ] {
            let expected = Entry {
                local: local.parse().expect("an address"),
                remote: remote.parse().expect("an address"),
                state,
                cookie: None,
                inode,
                interface: 0,
                counters: None,
            };
            assert_eq!(parse(line), Some(expected), "{line}");
        }
    }

    #[test]
    fn other_lines_are_skipped() {
        for line in [
            "",
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt",
            "0: 0100007F:0017 0100007F:C001 06 0 0 0 0 0 0",
            "0: é100007F:0017 0100007F:C001 01 0 0 0 0 0 1",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    use crate::probe::record::TcpState;
}
