//! The report in the text format of `OpenMetrics`, which Prometheus scrapes.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, text::encode},
    metrics::MetricType,
    registry::{Registry, Unit},
};

use super::{
    Report, hook_name,
    latency::{BOUNDS, as_f64},
};
use crate::{flood, probe::Ledger, response, sink::SinkReport};

/// Media type of [`Report::metrics`].
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Vec<(&'static str, String)>;

impl Report {
    /// The numbers for Prometheus.
    pub fn metrics(&self) -> String {
        let mut registry = Registry::with_prefix("telnet_monitor");
        registry.register_collector(Box::new(Families(self.clone())));
        let mut out = String::new();
        // Writing to a String does not fail.
        let written = encode(&mut out, &registry);
        debug_assert!(written.is_ok(), "text is infallible");
        out
    }
}

/// One number under several sets of labels.
struct Family {
    name: &'static str,
    help: &'static str,
    is_counter: bool,
    values: Vec<(Labels, u64)>,
}

impl Family {
    fn counter(name: &'static str, help: &'static str, values: Vec<(Labels, u64)>) -> Self {
        Self {
            name,
            help,
            is_counter: true,
            values,
        }
    }

    fn gauge(name: &'static str, help: &'static str, values: Vec<(Labels, u64)>) -> Self {
        Self {
            is_counter: false,
            ..Self::counter(name, help, values)
        }
    }

    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let kind = if self.is_counter {
            MetricType::Counter
        } else {
            MetricType::Gauge
        };
        let mut family = encoder.encode_descriptor(self.name, self.help, None, kind)?;
        for (labels, value) in &self.values {
            if self.is_counter {
                family
                    .encode_family(labels)?
                    .encode_counter::<Labels, u64, u64>(value, None)?;
            } else {
                let value = i64::try_from(*value).unwrap_or(i64::MAX);
                family.encode_family(labels)?.encode_gauge(&value)?;
            }
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Families(Report);

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let report = &self.0;
        let families = [
            agent(report),
            observations(report),
            rules(report),
            sinks(report),
            spools(report),
        ];
        for family in families.iter().flatten() {
            family.encode(&mut encoder)?;
        }
        let mut below = 0;
        let mut buckets: Vec<(f64, u64)> = Vec::new();
        for (bound, count) in BOUNDS.iter().zip(&report.latency.counts) {
            buckets.push((as_f64(*bound) / 1_000.0, *count));
            below += count;
        }
        buckets.push((f64::INFINITY, report.latency.count() - below));
        let mut histogram = encoder.encode_descriptor(
            "alert_latency",
            "from the kernel's event to the moment at which the sinks have its alert",
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        let sum = report.latency.sum.as_secs_f64();
        histogram.encode_histogram::<Labels>(sum, report.latency.count(), &buckets, None)
    }
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
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
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
            "canary_alive",
            "whether the last session of the agent's own came out",
            plain(u64::from(report.probe.canary.status == "alive")),
        ),
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
        responses(report.pipeline.response),
        Family::counter(
            "lost",
            "documents and records lost on the whole way",
            plain(report.lost()),
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
    let floods = u64::try_from(report.pipeline.floods).unwrap_or(u64::MAX);
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
        Family::gauge("floods", "floods that are not over", plain(floods)),
    ]
}

fn rules(report: &Report) -> Vec<Family> {
    let mut values = Vec::new();
    for rule in &report.pipeline.rules {
        let states = [
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
        "what became of each rule's matches",
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
    let (mut pending, mut bytes, mut lost) = (Vec::new(), Vec::new(), Vec::new());
    for sink in &report.sinks {
        let Some(spool) = sink.spool else {
            continue;
        };
        pending.push((sink_labels(sink), spool.pending));
        bytes.push((sink_labels(sink), spool.bytes));
        let streams = [
            ("alerts", spool.lost_alerts),
            ("events", spool.lost_events),
            ("health", spool.lost_health),
        ];
        for (stream, value) in streams {
            let mut labels = sink_labels(sink);
            labels.push(("stream", stream.to_owned()));
            lost.push((labels, value));
        }
    }
    vec![
        Family::gauge(
            "spool_documents",
            "documents that are not delivered",
            pending,
        ),
        Family::gauge("spool_bytes", "bytes on disk", bytes),
        Family::counter(
            "spool_lost",
            "documents that gave way in a full spool",
            lost,
        ),
    ]
}
