//! The table: what the ends do, and the documents that come of it.

use std::path::Path;

use anyhow::Result;

use super::{Stage, acts};

/// One sequence. `expected` are events as
/// `DIRECTION ACTION OUTCOME REASON PROCESS`, and `alert DIRECTION`, in any order.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) act: fn(&mut Stage<'_>) -> Result<()>,
    pub(super) expected: &'static [&'static str],
}

const OPENED_AND_FIN: &[&str] = &[
    "alert egress",
    "alert ingress",
    "egress connection_established success - client",
    "ingress connection_accepted success - server",
    "egress network_flow success fin client",
    "ingress network_flow success fin server",
];

const OPENED_AND_RESET: &[&str] = &[
    "alert egress",
    "alert ingress",
    "egress connection_established success - client",
    "ingress connection_accepted success - server",
    "egress network_flow success reset client",
    "ingress network_flow success reset server",
];

/// The table as this kernel plays it.
pub(super) fn rows() -> Result<Vec<Row>> {
    let mut rows = ROWS.to_vec();
    // Kernels are built with or without it; one without refuses the socket.
    rows.push(if Path::new("/proc/sys/net/mptcp").try_exists()? {
        Row {
            name: "MPTCP",
            act: acts::mptcp,
            expected: OPENED_AND_FIN,
        }
    } else {
        Row {
            name: "MPTCP on a kernel without it",
            act: acts::mptcp_refused,
            expected: &[],
        }
    });
    Ok(rows)
}

const ROWS: &[Row] = &[
    Row {
        name: "client closes first",
        act: acts::client_closes_first,
        expected: OPENED_AND_FIN,
    },
    Row {
        name: "server closes first",
        act: acts::server_closes_first,
        expected: OPENED_AND_FIN,
    },
    Row {
        name: "IPv6",
        act: acts::ipv6,
        expected: OPENED_AND_FIN,
    },
    Row {
        name: "IPv4 on a dual-stack listener",
        act: acts::mapped,
        expected: OPENED_AND_FIN,
    },
    Row {
        name: "refused",
        act: acts::refused,
        expected: &["egress denied failure ECONNREFUSED client"],
    },
    Row {
        name: "timed out",
        act: acts::timed_out,
        expected: &["egress timeout failure ETIMEDOUT client"],
    },
    Row {
        name: "unreachable",
        act: acts::unreachable,
        expected: &["egress flow_dropped failure EHOSTUNREACH client"],
    },
    Row {
        // The kernel sends nothing, so there is nothing to tell.
        name: "no route",
        act: acts::no_route,
        expected: &[],
    },
    Row {
        // Neither is there when it may not be sent.
        name: "blocked on this host",
        act: acts::prohibited,
        expected: &[],
    },
    Row {
        name: "non-blocking connect, given up",
        act: acts::given_up,
        expected: &["egress flow_terminated failure aborted client"],
    },
    Row {
        name: "TCP Fast Open",
        act: acts::fast_open,
        expected: OPENED_AND_FIN,
    },
    Row {
        name: "client resets",
        act: acts::client_resets,
        expected: OPENED_AND_RESET,
    },
    Row {
        name: "server resets",
        act: acts::server_resets,
        expected: OPENED_AND_RESET,
    },
    Row {
        name: "server closes on unread data",
        act: acts::unread_data,
        expected: OPENED_AND_RESET,
    },
    Row {
        name: "never accepted, listener closed",
        act: acts::never_accepted,
        expected: OPENED_AND_RESET,
    },
    Row {
        name: "accepted late",
        act: acts::accepted_late,
        expected: OPENED_AND_FIN,
    },
    Row {
        name: "disconnected by AF_UNSPEC",
        act: acts::disconnected,
        expected: OPENED_AND_RESET,
    },
    Row {
        name: "disconnected by AF_UNSPEC before accept",
        act: acts::disconnected_early,
        expected: OPENED_AND_RESET,
    },
    Row {
        name: "half-closed before accept",
        act: acts::half_closed_early,
        expected: OPENED_AND_FIN,
    },
    Row {
        name: "half-closed by the server",
        act: acts::half_closed_by_server,
        expected: OPENED_AND_FIN,
    },
    Row {
        name: "client killed",
        act: acts::client_killed,
        expected: OPENED_AND_FIN,
    },
    Row {
        name: "server killed",
        act: acts::server_killed,
        expected: OPENED_AND_FIN,
    },
    Row {
        name: "the same four-tuple twice",
        act: acts::same_ports_twice,
        expected: &[
            "alert egress",
            "alert ingress",
            "egress connection_established success - client",
            "ingress connection_accepted success - server",
            "egress network_flow success reset client",
            "ingress network_flow success reset server",
            "alert egress",
            "alert ingress",
            "egress connection_established success - client",
            "ingress connection_accepted success - server",
            "egress network_flow success fin client",
            "ingress network_flow success fin server",
        ],
    },
    Row {
        name: "reconnected on one socket",
        act: acts::reconnected,
        expected: &[
            "egress denied failure ECONNREFUSED client",
            "alert egress",
            "alert ingress",
            "egress connection_established success - client",
            "ingress connection_accepted success - server",
            "egress network_flow success fin client",
            "ingress network_flow success fin server",
        ],
    },
    Row {
        name: "two peers on one socket",
        act: acts::moved_on,
        expected: &[
            "alert egress",
            "alert egress",
            "alert ingress",
            "alert ingress",
            "egress connection_established success - client",
            "egress connection_established success - client",
            "ingress connection_accepted success - server",
            "ingress connection_accepted success - server",
            "egress network_flow success reset client",
            "egress network_flow success fin client",
            "ingress network_flow success reset server",
            "ingress network_flow success fin server",
        ],
    },
];
