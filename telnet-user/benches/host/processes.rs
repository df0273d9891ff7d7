//! What watching costs the processes of the host while no session is open on a monitored port:
//! each one made, run and ended passes the probe's programs for fork, exec and exit.

use anyhow::Context as _;

use crate::{
    rounds::Spread,
    subjects::{Running, Subject},
    traffic,
};

/// In the report, and what runs. No probe is measured twice in a round: how far that is from itself
/// is what the machine's noise comes to.
const MEASURED: [(&str, Subject); 5] = [
    ("no probe", Subject::Nothing),
    ("no probe, once more", Subject::Nothing),
    ("probe and reader", Subject::Probe),
    ("the same, no accept hook", Subject::Unhooked),
    ("agent, alerts and events", Subject::Agent),
];

/// What one of them costs.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Processes per second.
    pub(crate) rate: Spread,
    /// The same, to the first one in the same round.
    pub(crate) ratio: Spread,
    /// Nanoseconds that a process takes longer.
    pub(crate) added: Spread,
}

/// Measures each in `rounds` rounds of `millis` milliseconds, in an order that rotates.
pub(crate) fn measure(rounds: usize, millis: u64) -> anyhow::Result<Vec<Row>> {
    let mut rates: Vec<Vec<f64>> = vec![Vec::new(); MEASURED.len()];
    for round in 0..rounds {
        println!("processes, round {} of {rounds}", round + 1);
        for step in 0..MEASURED.len() {
            let index = (round + step) % MEASURED.len();
            if let (Some((_, subject)), Some(rates)) = (MEASURED.get(index), rates.get_mut(index)) {
                rates.push(rate(*subject, millis)?);
            }
        }
    }
    let baseline = rates.first().cloned().unwrap_or_default();
    let rows = MEASURED.iter().zip(rates).map(|((name, _), rates)| {
        let pairs = || rates.iter().zip(&baseline);
        let none = "a round";
        Ok(Row {
            name,
            ratio: Spread::of(pairs().map(|(rate, base)| rate / base).collect()).context(none)?,
            added: Spread::of(
                pairs()
                    .map(|(rate, base)| 1e9 / rate - 1e9 / base)
                    .collect(),
            )
            .context(none)?,
            rate: Spread::of(rates).context(none)?,
        })
    });
    rows.collect()
}

fn rate(subject: Subject, millis: u64) -> anyhow::Result<f64> {
    let running = Running::start(subject)?;
    let load = traffic::run(&["processes", &millis.to_string()])?;
    running.stop()?;
    Ok(traffic::number(&load, "processes")? / traffic::number(&load, "seconds")?)
}
