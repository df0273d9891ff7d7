//! The families of numbers, each filled from the report.

use super::{Family, Labels};
use crate::{
    flood,
    health::{Report, hook_name},
    probe::Ledger,
    response, sandbox,
    sink::{SinkReport, spool},
};

/// Every number of `report` but how long alerts took.
pub(super) fn all(report: &Report) -> impl Iterator<Item = Family> {
    let families = [
        agent(report),
        canary(report),
        sessions(report),
        observations(report),
        rules(report),
        sinks(report),
        spools(report),
    ];
    families.into_iter().flatten()
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn plain(value: u64) -> Vec<(Labels, u64)> {
    vec![(Vec::new(), value)]
}

fn by<const N: usize>(label: &'static str, values: [(&str, u64); N]) -> Vec<(Labels, u64)> {
    values
        .into_iter()
        .map(|(name, value)| (vec![(label, name.to_owned())], value))
        .collect()
}

fn agent(report: &Report) -> Vec<Family> {
    let version = vec![
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("acceptor", hook_name(report.probe.acceptor).to_owned()),
    ];
    let is_enforced = report
        .sandbox
        .as_ref()
        .is_some_and(sandbox::Report::is_whole);
    vec![
        Family::gauge(
            "build",
            "version, and the hook that reports who accepted",
            vec![(version, 1)],
        ),
        Family::gauge(
            "uptime_seconds",
            "how long the agent runs",
            plain(report.uptime.as_secs()),
        ),
        Family::counter(
            "reloads",
            "times configuration and rules were taken up anew, or refused",
            by(
                "outcome",
                [
                    ("done", report.reloads),
                    ("refused", report.refused_reloads),
                ],
            ),
        ),
        kernel(report.probe.ledger),
        Family::counter(
            "unfollowed_sessions",
            "sessions whose protocol is not looked for, because too many are open",
            plain(report.probe.ledger.unfollowed),
        ),
        Family::gauge(
            "degradations",
            "what this kernel does not give",
            plain(count(report.probe.degraded.len())),
        ),
        Family::gauge(
            "sandbox_enforced",
            "whether all of the sandbox stands",
            plain(u64::from(is_enforced)),
        ),
        responses(report.pipeline.response),
        Family::counter(
            "lost",
            "documents and records lost on the whole way",
            plain(report.lost()),
        ),
    ]
}

fn canary(report: &Report) -> Vec<Family> {
    let canary = &report.probe.canary;
    let took = canary.took.map(|took| took.as_millis());
    let took = took.and_then(|millis| u64::try_from(millis).ok());
    vec![
        Family::gauge(
            "canary_alive",
            "whether the last session of the agent's own came out",
            plain(u64::from(canary.status == "alive")),
        ),
        Family::gauge(
            "canary_took_milliseconds",
            "from the opening of the last session of the agent's own to the output",
            took.map(plain).unwrap_or_default(),
        ),
    ]
}

fn sessions(report: &Report) -> Vec<Family> {
    vec![
        Family::gauge(
            "open_sessions",
            "sessions open now",
            plain(count(report.pipeline.open_sessions)),
        ),
        Family::gauge(
            "open_listeners",
            "listening sockets open now",
            plain(count(report.pipeline.open_listeners)),
        ),
        Family::counter(
            "session_table",
            "what the session table could not do",
            by("state", report.pipeline.counters.by_name()),
        ),
    ]
}

fn responses(counters: response::Counters) -> Family {
    Family::counter(
        "responses",
        "sessions that rules wanted closed",
        by(
            "outcome",
            [
                ("closed", counters.closed),
                ("gone", counters.gone),
                ("failed", counters.failed),
                ("dry_run", counters.dry_run),
                ("refused", counters.refused),
            ],
        ),
    )
}

fn kernel(ledger: Ledger) -> Family {
    Family::counter(
        "kernel_events",
        "the kernel ledger: seen = filtered + submitted + dropped_ring_full",
        by(
            "state",
            [
                ("seen", ledger.seen),
                ("filtered", ledger.filtered),
                ("submitted", ledger.submitted),
                ("dropped_ring_full", ledger.dropped_ring_full),
                ("missed", ledger.missed),
                ("received", ledger.received),
                ("undecodable", ledger.undecodable),
                ("lost", ledger.lost),
            ],
        ),
    )
}

fn observations(report: &Report) -> Vec<Family> {
    let flood::Counters {
        observed,
        recalled,
        told,
        unsaid,
        shed_source,
        shed_shared,
    } = report.pipeline.observations;
    vec![
        Family::counter(
            "observations",
            "what became of what was observed: \
             observed + recalled = told + unsaid + shed_source + shed_shared",
            by(
                "state",
                [
                    ("observed", observed),
                    ("recalled", recalled),
                    ("told", told),
                    ("unsaid", unsaid),
                    ("shed_source", shed_source),
                    ("shed_shared", shed_shared),
                ],
            ),
        ),
        Family::gauge(
            "floods",
            "floods that are not over",
            plain(count(report.pipeline.floods)),
        ),
    ]
}

fn rules(report: &Report) -> Vec<Family> {
    let mut values = Vec::new();
    for rule in &report.pipeline.rules {
        let states = [
            ("matched", rule.numbers.matched),
            ("alerted", rule.numbers.alerted),
            ("suppressed", rule.numbers.suppressed),
            ("excepted", rule.numbers.excepted),
            ("dropped", rule.numbers.dropped),
        ];
        values.extend(states.map(|(outcome, value)| {
            let labels = vec![
                ("rule", rule.name.clone()),
                ("rule_id", rule.id.clone()),
                ("outcome", outcome.to_owned()),
            ];
            (labels, value)
        }));
    }
    vec![Family::counter(
        "rule_matches",
        "each rule's matches, and what became of them",
        values,
    )]
}

fn sink_labels(sink: &SinkReport) -> Labels {
    vec![("sink", sink.name.clone()), ("type", sink.kind.to_owned())]
}

fn sinks(report: &Report) -> Vec<Family> {
    let mut documents = Vec::new();
    for sink in &report.sinks {
        let states = [
            ("accepted", sink.accepted),
            ("delivered", sink.delivered),
            ("rejected", sink.rejected),
            ("lost", sink.lost),
        ];
        for (state, value) in states {
            let mut labels = sink_labels(sink);
            labels.push(("state", state.to_owned()));
            documents.push((labels, value));
        }
    }
    let each = |value: fn(&SinkReport) -> u64| {
        let sinks = report.sinks.iter();
        sinks.map(|sink| (sink_labels(sink), value(sink))).collect()
    };
    vec![
        Family::counter("sink_documents", "what became of documents", documents),
        Family::counter(
            "sink_errors",
            "attempts to deliver that failed",
            each(|sink| sink.errors),
        ),
        Family::gauge(
            "sink_up",
            "whether the last attempt went well",
            each(|sink| u64::from(!sink.is_down)),
        ),
    ]
}

fn spools(report: &Report) -> Vec<Family> {
    let spooled = || {
        let sinks = report.sinks.iter();
        sinks.filter_map(|sink| Some((sink_labels(sink), sink.spool?)))
    };
    let each = |value: fn(spool::Numbers) -> u64| {
        spooled()
            .map(|(labels, spool)| (labels, value(spool)))
            .collect()
    };
    let mut lost = Vec::new();
    for (sink, spool) in spooled() {
        let streams = [
            ("alerts", spool.lost_alerts),
            ("events", spool.lost_events),
            ("health", spool.lost_health),
        ];
        for (stream, value) in streams {
            let mut labels = sink.clone();
            labels.push(("stream", stream.to_owned()));
            lost.push((labels, value));
        }
    }
    vec![
        Family::gauge(
            "spool_documents",
            "documents that are not delivered",
            each(|spool| spool.pending),
        ),
        Family::gauge("spool_bytes", "bytes on disk", each(|spool| spool.bytes)),
        Family::counter(
            "spool_lost",
            "documents that gave way in a full spool",
            lost,
        ),
        Family::counter(
            "spool_damaged_bytes",
            "bytes that could not be read back",
            each(|spool| spool.damaged_bytes),
        ),
        Family::gauge(
            "spool_degraded",
            "whether the disk takes nothing just now",
            each(|spool| u64::from(spool.degraded)),
        ),
    ]
}
