//! The maps the agent knows by name.

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, RingBuf},
};
use telnet_common::{DEFAULT_RING_BYTES, KernelCounters, MAX_PREFIXES, PORT_WORDS};

use crate::{budget::Budget, last::Arguments, protocol::Undecided};

/// Records, in the order the kernel reserved them.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(DEFAULT_RING_BYTES, 0);

/// One [`KernelCounters`] per CPU.
#[map]
pub(crate) static COUNTERS: PerCpuArray<KernelCounters> = PerCpuArray::with_max_entries(1, 0);

/// When each CPU will have used up its wake-ups, see [`crate::wake`].
#[map]
pub(crate) static WAKES: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Wanted ports. An array, so that the JIT inlines the look-up.
#[map]
pub(crate) static PORTS: Array<u64> = Array::with_max_entries(PORT_WORDS, 0);

/// Wanted addresses.
#[map]
pub(crate) static ADDRESSES: LpmTrie<[u8; 16], u8> = LpmTrie::with_max_entries(MAX_PREFIXES, 0);

/// A process whose life is reported.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Tracked {
    /// `bpf_ktime_get_boot_ns` until which its forks are reported.
    pub(crate) until: u64,
    /// The child of an acceptor that it descends from; 0 for an acceptor.
    pub(crate) family: u32,
    /// 1 when its fork was reported, so that its end has to be.
    pub(crate) reported: u32,
    /// `start_boottime`, 0 of an acceptor: an entry whose end was missed is not the next process with
    /// its number.
    pub(crate) start_ns: u64,
    /// `self_exec_id` as of its fork or the last exec that was dealt with: 0 before.
    pub(crate) exec_id: u64,
}

/// Processes whose forks, execs and exits are reported. The least recently used gives way: a lost
/// entry is a handler that userspace has to find.
#[map]
pub(crate) static TRACKED: LruHashMap<u32, Tracked> = LruHashMap::with_max_entries(16_384, 0);

/// The last wanted change of state of each socket, by its cookie: the old state and the new one. Only
/// where programs have stand-ins. A change whose entry gave way may be reported twice.
#[map]
pub(crate) static CHANGES: LruHashMap<u64, u32> = LruHashMap::with_max_entries(4_096, 0);

/// The change of state that each CPU dealt with last. Only where programs have stand-ins.
#[map]
pub(crate) static LAST_CHANGE: PerCpuArray<Arguments> = PerCpuArray::with_max_entries(1, 0);

/// How much each family has reported: see [`crate::budget`].
#[map]
pub(crate) static BUDGETS: LruHashMap<u32, Budget> = LruHashMap::with_max_entries(4_096, 0);

/// Open sessions whose protocol is looked for, by the address of their socket. When it is full, a new
/// one is not looked at, and counted. An entry whose end was missed is taken over by the next socket
/// at that address.
#[map]
pub(crate) static UNDECIDED: HashMap<u64, Undecided> = HashMap::with_max_entries(16_384, 0);
