//! The report: Markdown, and a plot.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::Context as _;
use jiff::Timestamp;

use crate::{
    agent::{Latency, Memory},
    processes,
    rounds::{Books, Cost, PORTS, Row, Spread},
};

/// Writes `report.md` and `rate.svg`.
pub(crate) fn write(
    folder: &Path,
    cost: &Cost,
    processes: &[processes::Row],
    latency: &[Latency],
    memory: &Memory,
) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let mut text = String::new();
    machine(&mut text)?;
    costs(&mut text, cost)?;
    process_costs(&mut text, cost, processes)?;
    lateness(&mut text, latency)?;
    memories(&mut text, memory)?;
    fs::write(folder.join("report.md"), &text)?;
    fs::write(folder.join("rate.svg"), plot(cost)?)?;
    println!("{text}");
    Ok(())
}

fn machine(out: &mut String) -> anyhow::Result<()> {
    let read = |path: &str| fs::read_to_string(path).with_context(|| path.to_owned());
    let cpu = read("/proc/cpuinfo")?;
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model
        .unwrap_or_default()
        .trim_start_matches(['\t', ':', ' ']);
    let cpus = cpu.matches("processor\t").count();
    let load = read("/proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or_default();
    writeln!(out, "# What it costs\n")?;
    writeln!(
        out,
        "{:.0}, Linux {}, {cpus} CPUs ({model}), load average {load} at the end. Made by \
         `cargo xtask bench`; medians, quartiles in parentheses.\n",
        Timestamp::now(),
        read("/proc/sys/kernel/osrelease")?.trim(),
    )?;
    Ok(())
}

fn costs(out: &mut String, cost: &Cost) -> anyhow::Result<()> {
    let Cost {
        rounds,
        millis,
        rows,
        absent,
    } = cost;
    writeln!(out, "## Connections\n")?;
    writeln!(
        out,
        "One thread connects, accepts and resets over loopback. {rounds} rounds of {millis} ms for \
         each subject, in an order that rotates; ratios are to no probe in the same round. A \
         connection is six state changes.\n"
    )?;
    for (kind, port) in PORTS {
        writeln!(out, "### Port {port}: {kind}\n")?;
        writeln!(
            out,
            "| | connections/s | to no probe | ns added per state change | ns per program run \
             | CPU s per 100,000 |\n|---|---|---|---|---|---|"
        )?;
        for row in rows.iter().filter(|row| row.traffic == kind) {
            row_text(out, row)?;
        }
        writeln!(out)?;
        for row in rows.iter().filter(|row| row.traffic == kind) {
            if let Some(books) = row.ledger {
                account(out, books)?;
            }
        }
    }
    writeln!(out, "![connection rate to no probe](rate.svg)\n")?;
    for (subject, reason) in absent {
        writeln!(out, "- {}: not measured, {reason}", subject.name())?;
    }
    if !absent.is_empty() {
        writeln!(out)?;
    }
    Ok(())
}

fn row_text(out: &mut String, row: &Row) -> anyhow::Result<()> {
    let run = row.run.map_or_else(String::new, |run| format!("{run:.0}"));
    let cpu = row
        .cpu
        .map_or_else(String::new, |cpu| format!("{:.2}", cpu.median));
    writeln!(
        out,
        "| {} | {} | {run} | {cpu} |",
        row.subject.name(),
        cells(&row.rate, &row.ratio, &row.added)
    )?;
    Ok(())
}

/// A rate, its ratio to that of no probe, and the nanoseconds that were added.
fn cells(rate: &Spread, ratio: &Spread, added: &Spread) -> String {
    format!(
        "{:.0} | {:.3} ({:.3}-{:.3}) | {:.0} ({:.0}-{:.0})",
        rate.median, ratio.median, ratio.low, ratio.high, added.median, added.low, added.high,
    )
}

fn process_costs(out: &mut String, cost: &Cost, rows: &[processes::Row]) -> anyhow::Result<()> {
    writeln!(out, "## Processes\n")?;
    writeln!(
        out,
        "One thread starts `busybox true` and waits for its end, while no session is open on a \
         monitored port: a fork, an exec and an exit. {} rounds of {} ms each, in an order that \
         rotates; ratios are to the first line in the same round, and the second line is the \
         noise.\n",
        cost.rounds, cost.millis,
    )?;
    writeln!(
        out,
        "| | processes/s | to no probe | ns added per process |\n|---|---|---|---|"
    )?;
    for row in rows {
        writeln!(
            out,
            "| {} | {} |",
            row.name,
            cells(&row.rate, &row.ratio, &row.added)
        )?;
    }
    writeln!(out)?;
    Ok(())
}

fn account(out: &mut String, books: Books) -> anyhow::Result<()> {
    let Books {
        connections,
        active_opens,
        passive_opens,
        submitted,
        received,
        dropped,
    } = books;
    writeln!(
        out,
        "Of {connections} connections (the kernel's own counters in that namespace: \
         {active_opens} opened, {passive_opens} accepted) the probe submitted {submitted} records, \
         dropped {dropped}, and its reader received {received}.\n"
    )?;
    Ok(())
}

fn lateness(out: &mut String, latency: &[Latency]) -> anyhow::Result<()> {
    writeln!(out, "## Latency\n")?;
    writeln!(
        out,
        "From the time of the kernel to the line being read, in milliseconds: median / 99th \
         percentile / longest. The default rule makes at most 100 alerts in five minutes.\n"
    )?;
    writeln!(
        out,
        "| sessions/s wanted | reached | alerts | events | accepted by the kernel | reported |\n\
         |---|---|---|---|---|---|"
    )?;
    for row in latency {
        let shown = |values: Option<[f64; 3]>| match values {
            Some([median, high, most]) => format!("{median:.2} / {high:.2} / {most:.2}"),
            None => "none".to_owned(),
        };
        writeln!(
            out,
            "| {} | {:.0} | {} | {} | {} | {} |",
            row.wanted,
            row.reached,
            shown(row.alerts),
            shown(row.events),
            row.opened,
            row.reported,
        )?;
    }
    writeln!(out)?;
    Ok(())
}

fn memories(out: &mut String, memory: &Memory) -> anyhow::Result<()> {
    let Memory {
        start_to_monitoring,
        rest,
        open,
        flood,
    } = memory;
    writeln!(out, "## Memory and start\n")?;
    writeln!(
        out,
        "| | resident, MiB |\n|---|---|\n| at rest | {rest:.1} |"
    )?;
    for (sessions, reported, resident) in open {
        writeln!(
            out,
            "| {sessions} inbound sessions open, {reported} of them reported | {resident:.1} |"
        )?;
    }
    writeln!(out, "| under a flood, at most | {flood:.1} |\n")?;
    writeln!(
        out,
        "From start to monitoring: {} ms.",
        start_to_monitoring.as_millis()
    )?;
    Ok(())
}

/// A bar for each subject and kind of traffic, the quartiles as a line.
fn plot(cost: &Cost) -> anyhow::Result<String> {
    const LEFT: f64 = 240.0;
    const WIDTH: f64 = 400.0;
    const STEP: f64 = 18.0;
    let mut body = String::new();
    let mut y = 10.0;
    for (kind, _) in PORTS {
        writeln!(
            body,
            "<text x=\"4\" y=\"{:.0}\" font-weight=\"bold\">{kind}</text>",
            y + 12.0
        )?;
        y += STEP;
        for row in cost.rows.iter().filter(|row| row.traffic == kind) {
            let at = |ratio: f64| LEFT + ratio.clamp(0.0, 1.2) * WIDTH;
            let middle = y + STEP / 2.0 - 2.0;
            writeln!(
                body,
                "<text x=\"12\" y=\"{:.0}\">{}</text>\
                 <rect x=\"{LEFT}\" y=\"{y:.0}\" width=\"{:.1}\" height=\"12\" fill=\"#4878a8\"/>\
                 <line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle:.0}\" y2=\"{middle:.0}\" \
                 stroke=\"black\"/><text x=\"{:.0}\" y=\"{:.0}\">{:.2}</text>",
                y + 11.0,
                row.subject.name(),
                at(row.ratio.median) - LEFT,
                at(row.ratio.low),
                at(row.ratio.high),
                at(1.2) + 6.0,
                y + 11.0,
                row.ratio.median,
            )?;
            y += STEP;
        }
        y += STEP / 2.0;
    }
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"760\" height=\"{y:.0}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n{body}</svg>\n"
    ))
}
