//! Holds a probe attached until standard input ends, and reads what it reports; then says what the
//! kernel counted, as one line of JSON.

use std::io::Read as _;

use anyhow::{Context as _, bail};
use aya::{Btf, EbpfLoader, programs::BtfTracePoint};
use serde_json::{Value, json};
use telnet_user::probe::{AcceptorHook, Options, Probe, filter::Filter};
use tokio::sync::oneshot;

use crate::traffic;

/// The object with the empty program.
pub(crate) const EMPTY: &str = "TELNET_BENCH_EMPTY";

pub(crate) fn main(which: &str) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let said = match which {
        "empty" => empty()?,
        "probe" => runtime.block_on(probe(Options::default()))?,
        "probe-unhooked" => runtime.block_on(probe(Options {
            acceptor: AcceptorHook::Userspace,
            ..Options::default()
        }))?,
        "probe-protocol" => runtime.block_on(probe(Options {
            acceptor: AcceptorHook::Userspace,
            protocol: true,
            ..Options::default()
        }))?,
        other => bail!("unknown probe {other}"),
    };
    println!("{said}");
    Ok(())
}

fn wait_for_end() -> anyhow::Result<()> {
    println!("ready");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn empty() -> anyhow::Result<Value> {
    let object = std::fs::read(traffic::named(EMPTY)?)?;
    let mut loaded = EbpfLoader::new().load(&object)?;
    let program = loaded.program_mut("empty").context("no program empty")?;
    let program: &mut BtfTracePoint = program.try_into()?;
    program.load("inet_sock_set_state", &Btf::from_sys_fs()?)?;
    program.attach()?;
    wait_for_end()?;
    let info = program.info()?;
    Ok(json!({
        "runs": info.run_count(),
        "nanoseconds": u64::try_from(info.run_time().as_nanos()).unwrap_or(u64::MAX),
    }))
}

/// The probe of the agent with nothing behind its reader.
async fn probe(options: Options) -> anyhow::Result<Value> {
    let mut probe = Probe::load(options)?;
    probe.set_filter(Filter::ports(&[23].into()))?;
    let (ended, mut end) = oneshot::channel();
    std::thread::spawn(move || {
        // The receiver outlives this.
        let _sent = ended.send(wait_for_end());
    });
    loop {
        tokio::select! {
            ready = probe.ready() => ready?,
            outcome = &mut end => {
                outcome??;
                break;
            }
        }
        while probe.take_record().is_some() {}
    }
    let runs = probe.runs();
    probe.detach();
    while probe.take_record().is_some() {}
    let ledger = probe.ledger()?;
    Ok(json!({
        "runs": runs.count,
        "nanoseconds": u64::try_from(runs.time.as_nanos()).unwrap_or(u64::MAX),
        "seen": ledger.seen,
        "submitted": ledger.submitted,
        "received": ledger.received,
        "dropped": ledger.dropped_ring_full,
        "lost": ledger.lost,
    }))
}
