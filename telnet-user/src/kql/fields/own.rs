//! Fields outside ECS: those of alerts and this agent's own.

use super::FieldType::{Boolean, Date, Double, Keyword, Long, Text};
use super::Set;

pub(super) static ROOT: Set = Set {
    fields: &[],
    sets: &[("kibana.alert", &ALERT), ("telnet", &TELNET)],
};

static ALERT: Set = Set {
    fields: &[
        (Boolean, "building_block rule.enabled suppression.missing"),
        (
            Date,
            "end intended_timestamp last_detected original_event.created \
             original_event.end original_event.ingested original_event.start original_time \
             rule.created_at rule.execution.timestamp rule.updated_at start \
             suppression.end suppression.start workflow_status_updated_at",
        ),
        (Double, "risk_score rule.risk_score"),
        (
            Keyword,
            "ancestors.id ancestors.index ancestors.rule ancestors.type \
             building_block_type instance.id original_event.action original_event.category \
             original_event.code original_event.dataset original_event.id \
             original_event.kind original_event.module original_event.outcome \
             original_event.provider original_event.reason original_event.type reason \
             rule.author rule.category rule.consumer rule.description rule.execution.type \
             rule.execution.uuid rule.false_positives rule.from rule.indices rule.interval \
             rule.license rule.name rule.note rule.producer rule.references rule.rule_id \
             rule.rule_name_override rule.rule_type_id rule.severity rule.tags \
             rule.threat.framework rule.threat.tactic.id rule.threat.tactic.name \
             rule.threat.tactic.reference rule.threat.technique.id \
             rule.threat.technique.name rule.threat.technique.reference \
             rule.timestamp_override rule.to rule.type rule.uuid rule.version severity \
             status uuid workflow_assignee_ids workflow_status workflow_tags",
        ),
        (
            Long,
            "ancestors.depth depth original_event.duration original_event.sequence \
             original_event.severity rule.max_signals rule.revision suppression.docs_count",
        ),
        (Text, "reason.text"),
    ],
    sets: &[],
};

static TELNET: Set = Set {
    fields: &[
        (Boolean, "session.preexisting"),
        (
            Keyword,
            "ancestors.entity_id ancestors.executable ancestors.name attribution flood.id \
             flood.phase login.command_line login.executable login.failures_source login.method \
             login.reason login.source login.state login.user.id login.user.name \
             login.user_source login.verdict response.alert_id response.verdict \
             session.closed_by session.id session.last_command session.outcome \
             session.survivors.command_line session.survivors.name slice terminal.name unit",
        ),
        (
            Long,
            "ancestors.pid flood.connections flood.failed_logins flood.rate flood.shed \
             login.delay login.failures login.pid netns session.programs \
             session.programs_left_out session.survivors.pid terminal.pid",
        ),
    ],
    sets: &[
        ("acceptor", &ROLE),
        ("client", &ROLE),
        ("handler", &ROLE),
        ("listener", &ROLE),
    ],
};

/// A process on this end of a session.
static ROLE: Set = Set {
    fields: &[
        (Boolean, "preexisting"),
        (
            Keyword,
            "attribution entity_id executable name unit user.id user.name",
        ),
        (Long, "pid"),
    ],
    sets: &[],
};
