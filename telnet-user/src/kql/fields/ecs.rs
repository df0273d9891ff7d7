//! ECS field sets.

use super::FieldType::{Date, Ip, Keyword, Long, Text};
use super::Set;

pub(super) static ROOT: Set = Set {
    fields: &[
        (Date, &["@timestamp"]),
        (Text, &["message"]),
        (Keyword, &["tags"]),
    ],
    sets: &[
        ("destination", &ENDPOINT),
        ("source", &ENDPOINT),
        ("event", &EVENT),
    ],
};

static ENDPOINT: Set = Set {
    fields: &[
        (Ip, &["ip"]),
        (Long, &["port", "bytes", "packets"]),
        (Keyword, &["address"]),
    ],
    sets: &[],
};

static EVENT: Set = Set {
    fields: &[
        (Date, &["created", "end", "ingested", "start"]),
        (Long, &["duration", "sequence", "severity"]),
        (
            Keyword,
            &[
                "action", "category", "code", "dataset", "kind", "reason", "type",
            ],
        ),
    ],
    sets: &[],
};
