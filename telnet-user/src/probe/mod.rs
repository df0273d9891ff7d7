//! The kernel side as the agent sees it: load, attach, read, decode, count.
//!
//! [`Probe`] is the only thing that touches the kernel; [`record`] is what it yields. Knows
//! nothing of sessions or rules.

pub mod btf;
mod classic;
pub mod decode;
mod error;
pub mod filter;
mod ledger;
mod load;
mod object;
mod offsets;
mod programs;
mod protocol;
pub mod record;
mod require;

use std::{fmt, io, os::fd::AsRawFd, time::Duration};

use aya::maps::{
    Array, MapData, MapError, PerCpuArray, RingBuf,
    lpm_trie::{Key, LpmTrie},
};
use aya_log::EbpfLogger;
use telnet_common::{
    KernelCounters, MAP_ADDRESSES, MAP_COUNTERS, MAP_EVENTS, MAP_PORTS, PROGRAM_STATE,
    PROGRAM_STATE_CLASSIC, WAKE_EVERY_NS,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::timeout,
};
use tracing::warn;

pub use self::{
    classic::FormatError,
    error::LoadError,
    ledger::Ledger,
    load::{AcceptorHook, Options},
    object::Missing,
    protocol::ProtocolLook,
};
use self::{
    filter::{Filter, Prefix},
    ledger::Sequences,
    record::{Hook, Record},
};

/// How long after a wake-up the ring buffer is looked at again.
const LOOK_AGAIN: Duration = Duration::from_nanos(4 * WAKE_EVERY_NS);
/// Looks in a row that found nothing, ten seconds of them, after which the agent sleeps even if the
/// books do not balance: a count that was lost for good must not keep it awake.
const MAX_IDLE_LOOKS: u32 = 10_000;

/// The words of one CPU's [`KernelCounters`].
type CounterWords = [u64; size_of::<KernelCounters>() / size_of::<u64>()];

/// The loaded and attached probe. Dropping it detaches it.
pub struct Probe {
    ring: AsyncFd<RingBuf<MapData>>,
    counters: PerCpuArray<MapData, CounterWords>,
    ports: Array<MapData, u64>,
    addresses: LpmTrie<MapData, [u8; 16], u8>,
    filter: Filter,
    sequences: Sequences,
    received: u64,
    undecodable: u64,
    acceptor: Option<Hook>,
    tells_namespaces: bool,
    protocol: ProtocolLook,
    degraded: Vec<&'static str>,
    /// The programs; none once detached.
    attached: Option<aya::Ebpf>,
    missed: u64,
    /// Whether records may have come since that woke nobody.
    is_recent: bool,
    /// Looks since the last record that found nothing.
    idle_looks: u32,
}

impl fmt::Debug for Probe {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Probe")
            .field("filter", &self.filter)
            .field("acceptor", &self.acceptor)
            .finish_non_exhaustive()
    }
}

impl Probe {
    /// Loads and attaches the probe; it reports nothing until [`Self::set_filter`].
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// See [`LoadError`].
    pub fn load(options: Options) -> Result<Self, LoadError> {
        let load::Loaded {
            mut ebpf,
            acceptor,
            tells_namespaces,
            protocol,
            degraded,
        } = load::load(options)?;
        if options.log {
            forward_log(&mut ebpf);
        }
        let ring = take(&mut ebpf, MAP_EVENTS)?;
        let counters = take(&mut ebpf, MAP_COUNTERS)?;
        let ports = take(&mut ebpf, MAP_PORTS)?;
        let addresses = take(&mut ebpf, MAP_ADDRESSES)?;
        Ok(Self {
            ring: watch(ring).map_err(|error| LoadError::Refused(error.to_string()))?,
            counters,
            ports,
            addresses,
            filter: Filter::none(),
            sequences: Sequences::default(),
            received: 0,
            undecodable: 0,
            acceptor,
            tells_namespaces,
            protocol,
            degraded,
            attached: Some(ebpf),
            missed: 0,
            is_recent: false,
            idle_looks: 0,
        })
    }

    /// The hook that reports who accepted; without one userspace has to find out.
    pub const fn acceptor(&self) -> Option<Hook> {
        self.acceptor
    }

    /// Whether records say in which network namespace a socket is.
    pub const fn tells_namespaces(&self) -> bool {
        self.tells_namespaces
    }

    /// Whether the protocol of sessions is looked for.
    pub const fn protocol(&self) -> &ProtocolLook {
        &self.protocol
    }

    /// What this kernel does not give, in words.
    pub fn degraded(&self) -> &[&'static str] {
        &self.degraded
    }

    /// Replaces the kernel's filter. In between it reports what either of the two does, so that
    /// nothing that both want is missed.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to change a map.
    pub fn set_filter(&mut self, filter: Filter) -> Result<(), MapError> {
        let both = self.filter.or(&filter);
        // Addresses first: a port that depends on them finds them there.
        for (prefix, ends) in both.prefixes() {
            self.addresses.insert(&key(prefix), ends, 0)?;
        }
        self.set_ports(&self.filter.clone(), &both)?;
        self.set_ports(&both, &filter)?;
        let kept = filter.prefixes();
        for prefix in both.prefixes().into_keys() {
            match kept.get(&prefix) {
                Some(ends) => self.addresses.insert(&key(prefix), ends, 0)?,
                None => self.addresses.remove(&key(prefix))?,
            }
        }
        self.filter = filter;
        Ok(())
    }

    fn set_ports(&mut self, from: &Filter, to: &Filter) -> Result<(), MapError> {
        let changed = from.words().zip(to.words()).filter(|(old, new)| old != new);
        for (_, (index, word)) in changed {
            self.ports.set(index, word, 0)?;
        }
        Ok(())
    }

    /// Waits until the ring buffer may have records. Under a flood not every record wakes the
    /// agent, so it looks again until a moment passed without any and the books balance.
    ///
    /// # Errors
    ///
    /// When the kernel cannot be waited on.
    pub async fn ready(&mut self) -> io::Result<()> {
        // Cleared before the drain that follows, so that a record that arrives during it makes
        // the descriptor ready again.
        let readable = self.ring.readable_mut();
        if self.is_recent {
            match timeout(LOOK_AGAIN, readable).await {
                Ok(ring) => ring?.clear_ready(),
                // A program that was held up after it had decided to wake nobody hands its record
                // over later than any wait that can be chosen, and until that one is read no other
                // wakes the agent either.
                Err(_elapsed) => {
                    let counted = self.counted().map_err(io::Error::other)?;
                    self.idle_looks += 1;
                    self.is_recent = !counted.balances() && self.idle_looks < MAX_IDLE_LOOKS;
                }
            }
        } else {
            readable.await?.clear_ready();
            self.is_recent = true;
        }
        Ok(())
    }

    /// Takes the next record out of the ring buffer, `None` when it is empty.
    pub fn take_record(&mut self) -> Option<Record> {
        loop {
            let item = self.ring.get_mut().next()?;
            self.received += 1;
            self.idle_looks = 0;
            // The kernel wakes nobody while something is unread, so until nothing was found the
            // agent must not rely on being woken.
            self.is_recent = true;
            match decode::decode(&item) {
                Ok(record) => {
                    self.sequences.note(record.cpu, record.sequence);
                    return Some(record);
                }
                Err(error) => {
                    if self.undecodable == 0 {
                        warn!(%error, "record refused; counted, later ones are not logged");
                    }
                    self.undecodable += 1;
                }
            }
        }
    }

    /// Records taken so far, those that could not be decoded included.
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// Detaches the programs: nothing is counted or submitted any more. What is in the ring
    /// buffer can still be read.
    pub fn detach(&mut self) {
        match self.count_missed() {
            Ok(missed) => self.missed = missed,
            Err(error) => warn!(%error, "events that the kernel missed are not counted to the end"),
        }
        self.attached = None;
    }

    /// What was seen, filtered, submitted, dropped and received so far.
    ///
    /// # Errors
    ///
    /// When the kernel's counters cannot be read.
    pub fn ledger(&self) -> Result<Ledger, MapError> {
        Ok(Ledger {
            undecodable: self.undecodable,
            lost: self.sequences.missing(),
            missed: self.count_missed()?,
            ..self.counted()?
        })
    }

    /// What the programs counted, and what was received of that.
    fn counted(&self) -> Result<Ledger, MapError> {
        let mut ledger = Ledger {
            received: self.received,
            ..Ledger::default()
        };
        for words in self.counters.get(&0, 0)?.iter() {
            ledger.add(&zerocopy::transmute!(*words));
        }
        Ok(ledger)
    }

    /// How often the program on state changes ran and how long that took in all, as far as the
    /// kernel counts it (sysctl `kernel.bpf_stats_enabled`).
    pub fn runs(&self) -> Runs {
        let programs = self.attached.iter().flat_map(aya::Ebpf::programs);
        let state = programs
            .filter(|(name, _)| [PROGRAM_STATE, PROGRAM_STATE_CLASSIC].contains(name))
            .filter_map(|(_, program)| program.info().ok());
        state.fold(Runs::default(), |sum, info| Runs {
            count: sum.count + info.run_count(),
            time: sum.time + info.run_time(),
        })
    }

    /// See [`programs::missed`].
    fn count_missed(&self) -> io::Result<u64> {
        let Some(ebpf) = &self.attached else {
            return Ok(self.missed);
        };
        let mut stood_in = 0;
        for words in self.counters.get(&0, 0).map_err(io::Error::other)?.iter() {
            let cpu: KernelCounters = zerocopy::transmute!(*words);
            stood_in += cpu.stood_in;
        }
        programs::missed(ebpf, stood_in)
    }
}

/// Runs of a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    /// Their number.
    pub count: u64,
    /// Time spent in all of them.
    pub time: Duration,
}

#[expect(
    deprecated,
    reason = "the replacement is an unsafe function, and the agent has no unsafe code"
)]
fn watch<T: AsRawFd>(inner: T) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(inner, Interest::READABLE)
}

fn take<T>(ebpf: &mut aya::Ebpf, name: &'static str) -> Result<T, LoadError>
where
    T: TryFrom<aya::maps::Map, Error = MapError>,
{
    let map = ebpf
        .take_map(name)
        .ok_or_else(|| LoadError::Refused(format!("the probe has no map {name}")))?;
    T::try_from(map).map_err(|error| LoadError::Refused(error.to_string()))
}

/// A prefix as the kernel's map has it: network order.
const fn key((address, length): Prefix) -> Key<[u8; 16]> {
    #[expect(
        clippy::as_conversions,
        reason = "widening, in a constant function where From cannot be called"
    )]
    let length = length as u32;
    Key::new(length, address.to_be_bytes())
}

/// Hands the probe's own log lines to the agent's log.
fn forward_log(ebpf: &mut aya::Ebpf) {
    let logger = match EbpfLogger::init(ebpf)
        .map_err(|error| error.to_string())
        .and_then(|logger| watch(logger).map_err(|error| error.to_string()))
    {
        Ok(logger) => logger,
        Err(error) => {
            warn!(error, "the probe's own log cannot be read");
            return;
        }
    };
    tokio::spawn(read_log(logger));
}

async fn read_log(mut logger: AsyncFd<EbpfLogger<&'static dyn log::Log>>) {
    while let Ok(mut guard) = logger.readable_mut().await {
        guard.get_inner_mut().flush();
        guard.clear_ready();
    }
}
