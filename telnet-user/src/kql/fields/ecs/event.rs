//! Events, logs, rules and threats.

use super::super::FieldType::{Date, Double, Flattened, Ip, Keyword, Long, Text};
use super::super::Set;
use super::artifact::{FILE, REGISTRY, URL, X509};
use super::endpoint::{AS, GEO};

pub(super) static EVENT: Set = Set {
    fields: &[
        (Date, "created end ingested start"),
        (Double, "risk_score risk_score_norm"),
        (
            Keyword,
            "action agent_id_status category code dataset hash id kind module original outcome \
             provider reason reference timezone type url",
        ),
        (Long, "duration sequence severity"),
    ],
    sets: &[],
};

pub(super) static ERROR: Set = Set {
    fields: &[(Keyword, "code id stack_trace type"), (Text, "message")],
    sets: &[],
};

pub(super) static LOG: Set = Set {
    fields: &[
        (Flattened, "syslog.structured_data"),
        (
            Keyword,
            "file.path level logger origin.file.name origin.function syslog.appname \
             syslog.facility.name syslog.hostname syslog.msgid syslog.procid syslog.severity.name \
             syslog.version",
        ),
        (
            Long,
            "origin.file.line syslog.facility.code syslog.priority syslog.severity.code",
        ),
    ],
    sets: &[],
};

pub(super) static RULE: Set = Set {
    fields: &[(
        Keyword,
        "author category description id license name reference ruleset uuid version",
    )],
    sets: &[],
};

pub(super) static VULNERABILITY: Set = Set {
    fields: &[
        (Double, "score.base score.environmental score.temporal"),
        (
            Keyword,
            "category classification description enumeration id reference report_id \
             scanner.vendor score.version severity status",
        ),
    ],
    sets: &[],
};

pub(super) static THREAT: Set = Set {
    fields: &[
        (Date, "enrichments.matched.occurred"),
        (
            Keyword,
            "enrichments.matched.atomic enrichments.matched.field enrichments.matched.id \
             enrichments.matched.index enrichments.matched.type feed.dashboard_id feed.description \
             feed.name feed.reference framework group.alias group.id group.name group.reference \
             software.alias software.id software.name software.platforms software.reference \
             software.type tactic.id tactic.name tactic.reference technique.id technique.name \
             technique.reference technique.subtechnique.id technique.subtechnique.name \
             technique.subtechnique.reference",
        ),
    ],
    sets: &[
        ("enrichments.indicator", &INDICATOR),
        ("indicator", &INDICATOR),
    ],
};

static INDICATOR: Set = Set {
    fields: &[
        (Date, "first_seen last_seen modified_at"),
        (Ip, "ip"),
        (
            Keyword,
            "confidence description email.address id marking.tlp marking.tlp_version name provider \
             reference type",
        ),
        (Long, "port scanner_stats sightings"),
    ],
    sets: &[
        ("as", &AS),
        ("file", &FILE),
        ("geo", &GEO),
        ("registry", &REGISTRY),
        ("url", &URL),
        ("x509", &X509),
    ],
};
