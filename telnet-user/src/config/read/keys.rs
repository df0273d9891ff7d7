//! The keys there are.

/// What each table may hold, by its place; a sink's by its type, next to [`COMMON`].
pub(in crate::config) const KEYS: [(&str, &[&str]); 13] = [
    (
        "",
        &[
            "log",
            "state_dir",
            "probe",
            "events",
            "flood",
            "rules",
            "response",
            "health",
            "spool",
            "sinks",
        ],
    ),
    ("probe", &["acceptor", "acceptor_wait", "ring_bytes"]),
    ("events", &["attempts"]),
    ("flood", &["burst", "per_minute", "sources"]),
    ("rules", &["paths", "enable", "disable", "lenient"]),
    ("response", &["mode", "rules", "allow", "max_per_minute"]),
    ("health", &["interval", "metrics"]),
    ("spool", &["dir", "max_bytes", "sync"]),
    ("stdout", &["format"]),
    (
        "file",
        &["path", "max_bytes", "max_age", "keep", "compress", "sync"],
    ),
    ("journald", &["socket", "identifier"]),
    (
        "syslog",
        &[
            "address",
            "facility",
            "identifier",
            "timeout",
            "ca_file",
            "certificate_file",
            "key_file",
        ],
    ),
    (
        "elasticsearch",
        &[
            "nodes",
            "api_key_file",
            "username",
            "password_file",
            "ca_file",
            "certificate_file",
            "key_file",
            "alerts_stream",
            "events_stream",
            "health_stream",
            "batch_documents",
            "batch_bytes",
            "compress",
            "timeout",
            "backoff_max",
            "dead_letter_file",
            "dead_letter_max_bytes",
        ],
    ),
];
/// What every sink may hold.
pub(in crate::config) const COMMON: [&str; 3] = ["name", "type", "streams"];
