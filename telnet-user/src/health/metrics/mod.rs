//! The report in the text format of `OpenMetrics`, which Prometheus scrapes.

mod families;

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, text::encode},
    metrics::MetricType,
    registry::{Registry, Unit},
};

use super::{
    Report,
    latency::{BOUNDS, as_f64},
};

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
        for family in families::all(report) {
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
            "from the kernel's event to the moment at which its alert is handed to the writer",
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        let sum = report.latency.sum.as_secs_f64();
        histogram.encode_histogram::<Labels>(sum, report.latency.count(), &buckets, None)
    }
}
