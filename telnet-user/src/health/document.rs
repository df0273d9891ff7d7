//! The report as an ECS document: `event.kind` `metric`, the numbers under `telnet.health`.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{CanaryReport, PipelineReport, ProbeReport, Report, RuleReport, hook_name};
use crate::{
    flood,
    probe::Ledger,
    response,
    sandbox::{self, Wall},
    sink::SinkReport,
};

impl Report {
    /// The heartbeat at `now`; `envelope` is what all documents of this host share.
    pub fn document(&self, envelope: Map<String, Value>, now: Timestamp) -> Value {
        let is_degraded = !self.probe.degraded.is_empty()
            || self.probe.canary.status == "degraded"
            || self.sinks.iter().any(|sink| sink.is_down)
            || self.lost() > 0;
        let mut out = json!({
            "@timestamp": now.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
            "message": self.sentence(),
            "event": {
                "id": Uuid::new_v4().simple().to_string(),
                "kind": "metric",
                "category": ["process"],
                "type": ["info"],
                "action": "agent_heartbeat",
                "module": "telnet_monitor",
                "dataset": "telnet_monitor.health",
            },
            "telnet": {"health": {
                "status": if is_degraded { "degraded" } else { "ok" },
                "uptime": self.uptime.as_secs(),
                "lost": self.lost(),
                "reloads": {"done": self.reloads, "refused": self.refused_reloads},
                "sandbox": sandbox(self.sandbox.as_ref()),
                "probe": probe(&self.probe),
                "canary": canary(&self.probe.canary),
                "sessions": sessions(&self.pipeline),
                "responses": responses(&self.pipeline),
                "observations": observations(&self.pipeline),
                "rules": self.pipeline.rules.iter().map(rule).collect::<Value>(),
                "sinks": self.sinks.iter().map(sink).collect::<Value>(),
            }},
            "data_stream": {
                "type": "metrics", "dataset": "telnet_monitor.health", "namespace": "default",
            },
        });
        let latency = json!({
            "count": self.latency.count(),
            "p50_below": self.latency.quantile(0.5),
            "p99_below": self.latency.quantile(0.99),
        });
        if self.latency.count() > 0
            && let Some(Value::Object(health)) = out.pointer_mut("/telnet/health")
        {
            health.insert("alert_latency_ms".to_owned(), without_null(latency));
        }
        if let Value::Object(fields) = &mut out {
            fields.extend(envelope);
        }
        out
    }
}

fn probe(report: &ProbeReport) -> Value {
    let Ledger {
        seen,
        filtered,
        submitted,
        dropped_ring_full,
        seen_calls: _,
        missed,
        received,
        undecodable,
        lost,
        unfollowed,
    } = report.ledger;
    without_null(json!({
        "acceptor": hook_name(report.acceptor),
        "degraded": (!report.degraded.is_empty()).then_some(&report.degraded),
        "ports": report.ports,
        "ledger": {
            "seen": seen,
            "filtered": filtered,
            "submitted": submitted,
            "dropped_ring_full": dropped_ring_full,
            "missed": missed,
            "received": received,
            "undecodable": undecodable,
            "lost": lost,
            "unfollowed": unfollowed,
        },
    }))
}

fn sandbox(report: Option<&sandbox::Report>) -> Value {
    let Some(report) = report else {
        return json!({"status": "off"});
    };
    let walls = report.walls();
    let mut out = json!({
        "status": if report.is_whole() { "enforced" } else { "partial" },
        "capabilities": report.capabilities,
    });
    if let Value::Object(fields) = &mut out {
        let missing = walls.iter().filter(|(_, wall)| **wall != Wall::Enforced);
        let missing: Map<_, _> = missing
            .map(|(name, wall)| {
                let why = match wall {
                    Wall::Absent(reason) => json!({"status": wall.status(), "reason": reason}),
                    Wall::Enforced | Wall::Partial => json!({"status": wall.status()}),
                };
                ((*name).to_owned(), why)
            })
            .collect();
        if !missing.is_empty() {
            fields.insert("missing".to_owned(), Value::Object(missing));
        }
    }
    out
}

fn canary(report: &CanaryReport) -> Value {
    without_null(json!({
        "status": report.status,
        "took_ms": report.took.map(|took| took.as_millis()),
        "reason": report.reason,
    }))
}

fn sessions(report: &PipelineReport) -> Value {
    let mut fields = Map::new();
    fields.insert("open".to_owned(), report.open_sessions.into());
    fields.insert("listeners".to_owned(), report.open_listeners.into());
    let counters = report.counters.by_name().into_iter();
    fields.extend(counters.map(|(name, count)| (name.to_owned(), count.into())));
    Value::Object(fields)
}

fn responses(report: &PipelineReport) -> Value {
    let response::Counters {
        closed,
        gone,
        failed,
        dry_run,
        refused,
    } = report.response;
    json!({
        "closed": closed,
        "gone": gone,
        "failed": failed,
        "dry_run": dry_run,
        "refused": refused,
    })
}

fn observations(report: &PipelineReport) -> Value {
    let flood::Counters {
        observed,
        recalled,
        told,
        unsaid,
        shed_source,
        shed_shared,
    } = report.observations;
    json!({
        "observed": observed,
        "recalled": recalled,
        "told": told,
        "unsaid": unsaid,
        "shed": {"source": shed_source, "shared": shed_shared},
        "floods": report.floods,
    })
}

fn rule(report: &RuleReport) -> Value {
    let numbers = report.numbers;
    json!({
        "id": report.id,
        "name": report.name,
        "matched": numbers.matched,
        "alerted": numbers.alerted,
        "suppressed": numbers.suppressed,
        "excepted": numbers.excepted,
        "dropped": numbers.dropped,
    })
}

fn sink(report: &SinkReport) -> Value {
    let spool = report.spool.map(|spool| {
        json!({
            "pending": spool.pending,
            "bytes": spool.bytes,
            "lost": {
                "alerts": spool.lost_alerts,
                "events": spool.lost_events,
                "health": spool.lost_health,
            },
            "damaged_bytes": spool.damaged_bytes,
            "degraded": spool.degraded,
        })
    });
    without_null(json!({
        "name": report.name,
        "type": report.kind,
        "status": if report.is_down { "down" } else { "up" },
        "accepted": report.accepted,
        "delivered": report.delivered,
        "rejected": report.rejected,
        "lost": report.lost,
        "errors": report.errors,
        "last_error": report.last_error,
        "spool": spool,
    }))
}

/// Leaves out members without a value.
fn without_null(mut value: Value) -> Value {
    if let Value::Object(fields) = &mut value {
        fields.retain(|_, value| !value.is_null());
    }
    value
}
