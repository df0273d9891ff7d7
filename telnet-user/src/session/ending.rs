//! Why a session ended and what went over it, from its last state change.

use rustix::io::Errno;

use super::{Direction, Ending, Traffic};
use crate::probe::record::{SocketError, TcpCounters, TcpState};

/// `sk_err` of who was reset (`tcp_reset`, `tcp_disconnect`) or aborted (`tcp_abort`). Any other comes
/// from `tcp_write_err`, when nobody answered for too long: `ETIMEDOUT`, or what a router or the
/// neighbour table said meanwhile, such as `EHOSTUNREACH`.
const RESET: [Errno; 3] = [Errno::CONNRESET, Errno::PIPE, Errno::CONNABORTED];

fn is(error: SocketError, some: &[Errno]) -> bool {
    let raw = error.errno().map(i32::from);
    some.iter().any(|errno| raw == Some(errno.raw_os_error()))
}

/// Why an open session went to CLOSE, from the state before and `sk_err`.
pub(super) fn ending(before: TcpState, error: SocketError) -> Ending {
    let was_reset = is(error, &[Errno::CONNRESET, Errno::CONNABORTED]);
    let is_told = matches!(error, SocketError::Errno(_));
    if is_told && !is(error, &RESET) {
        return Ending::Timeout;
    }
    match before {
        TcpState::FinWait2 if !was_reset => Ending::Fin {
            local_first: Some(true),
        },
        TcpState::LastAck if !was_reset => Ending::Fin {
            local_first: Some(false),
        },
        TcpState::Closing if !was_reset => Ending::Fin { local_first: None },
        _ if error == SocketError::Unknown => Ending::Unknown,
        // No close handshake took place: a reset came or went, or the socket was aborted.
        TcpState::Established
        | TcpState::SynSent
        | TcpState::SynRecv
        | TcpState::FinWait1
        | TcpState::FinWait2
        | TcpState::Close
        | TcpState::CloseWait
        | TcpState::LastAck
        | TcpState::Listen
        | TcpState::Closing => Ending::Reset,
    }
}

/// Payload only, of a session that went to CLOSE: takes the sequence numbers of SYN and FIN out of
/// the kernel's byte counts.
pub(super) fn traffic(
    direction: Direction,
    (before, ending): (TcpState, Ending),
    counters: TcpCounters,
) -> Traffic {
    // A reset may come before the acknowledgement.
    let is_last = matches!(before, TcpState::LastAck | TcpState::Closing);
    let is_fin_acked =
        before == TcpState::FinWait2 || is_last && matches!(ending, Ending::Fin { .. });
    payload(direction, is_fin_acked, counters)
}

impl Traffic {
    /// Payload only, of a session that is still in `state`.
    pub fn so_far(direction: Direction, state: TcpState, counters: TcpCounters) -> Self {
        payload(direction, state == TcpState::FinWait2, counters)
    }
}

fn payload(direction: Direction, is_fin_acked: bool, counters: TcpCounters) -> Traffic {
    // The side that connected has its SYN counted; the accepted socket starts after it.
    let syn = u64::from(direction == Direction::Egress);
    let fin = u64::from(is_fin_acked);
    Traffic {
        bytes_received: counters
            .bytes_received
            .saturating_sub(u64::from(counters.fin_received)),
        bytes_sent: counters.bytes_acked.saturating_sub(syn + fin),
        segments_received: counters.segments_in,
        segments_sent: counters.segments_out,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_before_and_the_error_tell_why() {
        use SocketError::{Clear, Errno, Unknown};
        let fin = |local_first| Ending::Fin { local_first };
        let cases = [
            (TcpState::FinWait2, Clear, fin(Some(true))),
            (TcpState::LastAck, Clear, fin(Some(false))),
            (TcpState::LastAck, Errno(32), fin(Some(false))),
            (TcpState::Closing, Clear, fin(None)),
            (TcpState::Established, Clear, Ending::Reset),
            (TcpState::Established, Errno(104), Ending::Reset),
            (TcpState::CloseWait, Errno(32), Ending::Reset),
            (TcpState::LastAck, Errno(104), Ending::Reset),
            (TcpState::FinWait1, Clear, Ending::Reset),
            (TcpState::Established, Errno(110), Ending::Timeout),
            (TcpState::FinWait1, Errno(110), Ending::Timeout),
            (TcpState::LastAck, Errno(110), Ending::Timeout),
            // What was heard of a peer that did not answer.
            (TcpState::Established, Errno(113), Ending::Timeout),
            (TcpState::LastAck, Errno(101), Ending::Timeout),
            // Aborted by this host.
            (TcpState::Established, Errno(103), Ending::Reset),
            (TcpState::LastAck, Unknown, fin(Some(false))),
            (TcpState::Established, Unknown, Ending::Unknown),
        ];
        for (before, error, expected) in cases {
            assert_eq!(ending(before, error), expected, "{before:?} {error:?}");
        }
    }

    #[test]
    fn syn_and_fin_are_not_payload() {
        let counters = TcpCounters {
            bytes_received: 101,
            bytes_acked: 52,
            segments_in: 7,
            segments_out: 6,
            fin_received: true,
        };
        let fin = Ending::Fin { local_first: None };
        let client = traffic(Direction::Egress, (TcpState::FinWait2, fin), counters);
        assert_eq!((client.bytes_received, client.bytes_sent), (100, 50));
        let reset = TcpCounters {
            fin_received: false,
            ..counters
        };
        let was_open = (TcpState::Established, Ending::Reset);
        let server = traffic(Direction::Ingress, was_open, reset);
        assert_eq!((server.bytes_received, server.bytes_sent), (101, 52));
        assert_eq!((server.segments_received, server.segments_sent), (7, 6));
        for (ending, sent) in [(fin, 51), (Ending::Reset, 52), (Ending::Timeout, 52)] {
            let last = (TcpState::LastAck, ending);
            assert_eq!(traffic(Direction::Ingress, last, reset).bytes_sent, sent);
        }
    }

    #[test]
    fn a_fin_counts_once_it_is_acknowledged() {
        let counters = TcpCounters {
            bytes_received: 8,
            bytes_acked: 6,
            segments_in: 1,
            segments_out: 1,
            fin_received: false,
        };
        for (state, sent) in [
            (TcpState::Established, 5),
            (TcpState::FinWait1, 5),
            (TcpState::FinWait2, 4),
            (TcpState::LastAck, 5),
        ] {
            let traffic = Traffic::so_far(Direction::Egress, state, counters);
            assert_eq!(traffic.bytes_sent, sent, "{state:?}");
            assert_eq!(traffic.bytes_received, 8, "{state:?}");
        }
    }
}
