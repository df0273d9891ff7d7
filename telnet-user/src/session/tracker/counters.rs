//! What could not be done, counted.

/// What the tracker could not do, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Sessions that gave way to newer ones: their closing event is lost.
    pub evicted_sessions: u64,
    /// Listening sockets that gave way to newer ones.
    pub evicted_listeners: u64,
    /// Processes of sessions, and sessions whose processes were followed, that gave way to newer ones:
    /// who serves a session, or what was done in it, may be missing.
    pub evicted_processes: u64,
    /// Listening sockets that were found and not taken in, the table being full: once for each list
    /// that has them.
    pub refused_listeners: u64,
    /// Sessions that were found open and not taken in, the table being full, once for each list.
    pub refused_sessions: u64,
    /// Sessions that were known by something else before the record of their start, or without it, which
    /// was lost: by accept(2), which is first where TCP Fast Open is used, or by the end of an attempt.
    pub unseen_starts: u64,
    /// Accept records for which no session came, and that cannot begin one: of a socket that is closed,
    /// is MPTCP's or has no cookie.
    pub unmatched_accepts: u64,
    /// Sessions whose end was not seen, since no agent ran or the record was lost: their closing
    /// event, if any, does not tell when and how they ended.
    pub unseen_ends: u64,
    /// Sockets that closed and were not known: opened before the agent, or their record was lost.
    pub unknown_closes: u64,
    /// Proofs of a protocol for which there was no session: its record was lost, or it gave way.
    pub unmatched_protocols: u64,
    /// Looks for the holder of a session's socket that were left out, since earlier ones took too
    /// much of the time. The session is reported, its owners as far as they are known.
    pub put_off_looks: u64,
}

impl Counters {
    /// Each with the name that it has in the health document and in the metrics.
    pub const fn by_name(&self) -> [(&'static str, u64); 11] {
        let Self {
            evicted_sessions,
            evicted_listeners,
            evicted_processes,
            refused_sessions,
            refused_listeners,
            unseen_starts,
            unmatched_accepts,
            unseen_ends,
            unknown_closes,
            unmatched_protocols,
            put_off_looks,
        } = *self;
        [
            ("evicted_sessions", evicted_sessions),
            ("evicted_listeners", evicted_listeners),
            ("evicted_processes", evicted_processes),
            ("refused_sessions", refused_sessions),
            ("refused_listeners", refused_listeners),
            ("unseen_starts", unseen_starts),
            ("unmatched_accepts", unmatched_accepts),
            ("unseen_ends", unseen_ends),
            ("unknown_closes", unknown_closes),
            ("unmatched_protocols", unmatched_protocols),
            ("put_off_looks", put_off_looks),
        ]
    }
}
