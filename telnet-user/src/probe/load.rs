//! Loading: offsets from the running kernel, capabilities by trying, the best accept hook.

use std::io;

use aya::{
    Btf as KernelBtf, Ebpf, EbpfError, EbpfLoader,
    maps::MapError,
    programs::{FEntry, KProbe, Program, ProgramError, TracePoint},
};
use telnet_common::{MAP_EVENTS, MAP_UNDECIDED, NO_OFFSET};
use tracing::{debug, info, warn};

use super::{
    btf::{self, Btf},
    classic,
    error::{LoadError, chain, reason},
    object,
    offsets::OFFSETS,
    programs,
    protocol::{self, ProtocolLook},
    record::Hook,
    require,
};

/// From this kernel on a raw tracepoint's program is not run while it runs on the same CPU
/// (`kernel/trace/bpf_trace.c`, `__bpf_trace_run`).
const RECURSION_GUARD: (u32, u32) = (6, 2);

/// What is missing where no hook tells who accepts: whose forks and execs are of which session.
const NO_ACCEPT_HOOK: &str = "no hook on accept(2): who accepted is found by polling, and nothing is \
                              told of logins and commands";

/// What to load.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Size of the ring buffer in bytes; the kernel wants a power of two of pages.
    pub ring_bytes: u32,
    /// How to learn who accepted.
    pub acceptor: AcceptorHook,
    /// Look for the protocol of sessions in their first bytes.
    pub protocol: bool,
    /// Let the probe log each match at debug level.
    pub log: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ring_bytes: telnet_common::DEFAULT_RING_BYTES,
            acceptor: AcceptorHook::Auto,
            protocol: false,
            log: false,
        }
    }
}

/// Which hook reports who accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptorHook {
    /// The first of fentry, kprobe and system call exit that loads, else userspace.
    Auto,
    /// This one or nothing.
    Only(Hook),
    /// No hook: `sock_diag` and `/proc`.
    Userspace,
}

/// A loaded probe, attached, its maps still inside.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) ebpf: Ebpf,
    /// The hook that reports who accepted, none when userspace has to find out.
    pub(crate) acceptor: Option<Hook>,
    /// Records say in which network namespace a socket is.
    pub(crate) tells_namespaces: bool,
    /// Whether the protocol of sessions is looked for.
    pub(crate) protocol: ProtocolLook,
    /// What this kernel does not give, in words.
    pub(crate) degraded: Vec<&'static str>,
}

/// What the kernel may or may not allow, from best to least.
#[derive(Clone, Copy, Debug)]
struct Features {
    cookie: bool,
    task_btf: bool,
    probe_read: bool,
}

/// A kernel with cookies has the current task by type too.
const FEATURES: [Features; 6] = [
    Features::new(true, true, true),
    Features::new(false, true, true),
    Features::new(false, false, true),
    Features::new(true, true, false),
    Features::new(false, true, false),
    Features::new(false, false, false),
];

impl Features {
    const fn new(cookie: bool, task_btf: bool, probe_read: bool) -> Self {
        Self {
            cookie,
            task_btf,
            probe_read,
        }
    }

    fn degraded(self) -> Vec<&'static str> {
        let mut missing = Vec::new();
        if !self.cookie {
            missing.push("no socket cookies: sessions are told apart by socket address and time");
        }
        if !self.probe_read {
            missing.push(
                "no reading of memory by address (lockdown): arguments are those that /proc still \
                 has, who serves a session under an inetd is found by polling, and nothing is told of \
                 successful logins and bypasses",
            );
        }
        if !self.task_btf && !self.probe_read {
            missing.push("no start time and parent from the kernel");
        }
        missing
    }
}

/// Loads and attaches; the filter still rejects everything.
///
/// # Errors
///
/// See [`LoadError`].
pub(crate) fn load(options: Options) -> Result<Loaded, LoadError> {
    require::kernel()?;
    require::privileges()?;
    require::lift_memory_limit();
    match std::fs::read(btf::VMLINUX) {
        Ok(data) => load_typed(options, data),
        Err(source) => load_classic(options, source),
    }
}

/// On a kernel that exposes its types.
fn load_typed(options: Options, data: Vec<u8>) -> Result<Loaded, LoadError> {
    let types = Btf::parse(data).map_err(|source| LoadError::Btf { source })?;
    let offsets = offsets(&types);
    drop(types);
    let kernel = KernelBtf::from_sys_fs().map_err(|error| LoadError::Refused(error.to_string()))?;

    let mut refusals = Vec::new();
    for features in FEATURES {
        let (mut ebpf, protocol) = open_looking(options, &offsets, features)?;
        let attached = programs::attach(&mut ebpf, &kernel);
        match attached {
            Ok(()) => {
                let acceptor = attach_acceptor(&mut ebpf, &kernel, options.acceptor)?;
                let mut degraded = features.degraded();
                degraded.extend(acceptor.is_none().then_some(NO_ACCEPT_HOOK));
                return Ok(Loaded {
                    ebpf,
                    acceptor,
                    tells_namespaces: true,
                    protocol,
                    degraded,
                });
            }
            Err(error) => {
                let error = reason(&error);
                debug!(?features, error, "kernel refused the probe");
                // The first one may be only for what this kernel is known to lack.
                if !refusals.contains(&error) {
                    refusals.push(error);
                }
            }
        }
    }
    Err(LoadError::Refused(refusals.join("; with less: ")))
}

/// On a kernel without types: no hook that reads a socket or a process can be had.
fn load_classic(options: Options, no_types: io::Error) -> Result<Loaded, LoadError> {
    if let AcceptorHook::Only(hook) = options.acceptor {
        return Err(LoadError::Hook {
            hook,
            reason: format!("it needs the kernel's types ({}: {no_types})", btf::VMLINUX),
        });
    }
    let offsets = classic::offsets().map_err(|classic| LoadError::NoBtf {
        source: no_types,
        classic,
    })?;
    let features = Features::new(false, false, true);
    let mut ebpf = open(options, &offsets, (features, false))?;
    attach_classic(&mut ebpf).map_err(|error| LoadError::Refused(reason(&error)))?;
    Ok(Loaded {
        ebpf,
        acceptor: None,
        tells_namespaces: false,
        protocol: if options.protocol {
            ProtocolLook::Refused("it needs the kernel's types".to_owned())
        } else {
            ProtocolLook::Unasked
        },
        degraded: classic::DEGRADED.to_vec(),
    })
}

/// Offsets by symbol; a member this kernel lacks disables only its field.
fn offsets(types: &Btf) -> Vec<(&'static str, u32)> {
    OFFSETS
        .iter()
        .map(|&(symbol, structure, path)| {
            let offset = types.offset_of(structure, path);
            if offset.is_none() {
                warn!(
                    structure,
                    path, "kernel lacks a member, its field stays empty"
                );
            }
            (symbol, offset.unwrap_or(NO_OFFSET))
        })
        .collect()
}

/// The probe that looks for the protocol of sessions, if that is asked for and can be had.
fn open_looking(
    options: Options,
    offsets: &[(&'static str, u32)],
    features: Features,
) -> Result<(Ebpf, ProtocolLook), LoadError> {
    let without = || open(options, offsets, (features, false));
    if !options.protocol {
        return Ok((without()?, ProtocolLook::Unasked));
    }
    let mut ebpf = open(options, offsets, (features, true))?;
    match protocol::attach(&mut ebpf) {
        Ok(()) => Ok((ebpf, ProtocolLook::On)),
        Err(reason) => Ok((without()?, ProtocolLook::Refused(reason))),
    }
}

fn open(
    options: Options,
    offsets: &[(&'static str, u32)],
    (features, looks_at_protocol): (Features, bool),
) -> Result<Ebpf, LoadError> {
    let object = object::bytes()?;
    let flags = [
        ("HAS_SOCKET_COOKIE", u32::from(features.cookie)),
        ("HAS_TASK_BTF", u32::from(features.task_btf)),
        ("HAS_PROBE_READ", u32::from(features.probe_read)),
        (
            "HAS_RECURSION_GUARD",
            require::is_kernel(RECURSION_GUARD).into(),
        ),
        ("HAS_STAND_IN", programs::need_stand_ins().into()),
        ("LOOKS_AT_PROTOCOL", u32::from(looks_at_protocol)),
    ];
    let level = if options.log {
        u8::from(LogLevel::Debug)
    } else {
        u8::from(LogLevel::Off)
    };
    let mut loader = EbpfLoader::new();
    loader.map_max_entries(MAP_EVENTS, options.ring_bytes);
    if !looks_at_protocol {
        // Nothing is ever put in.
        loader.map_max_entries(MAP_UNDECIDED, 1);
    }
    loader.override_global(aya_log::LEVEL, &level, true);
    for (symbol, value) in offsets.iter().chain(&flags) {
        loader.override_global(symbol, value, true);
    }
    loader.load(object).map_err(|error| {
        if let EbpfError::MapError(MapError::CreateError { name, io_error }) = error {
            if name == MAP_EVENTS {
                return LoadError::Ring {
                    bytes: options.ring_bytes,
                    source: io_error,
                };
            }
            return LoadError::Refused(format!("map {name}: {io_error}"));
        }
        LoadError::Refused(chain(&error))
    })
}

/// Levels as the probe compares them (`aya_log_common::Level`, 0 is off).
enum LogLevel {
    Off,
    Debug,
}

impl From<LogLevel> for u8 {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Off => 0,
            LogLevel::Debug => 4,
        }
    }
}

fn attach_classic(ebpf: &mut Ebpf) -> Result<(), ProgramError> {
    let program: &mut TracePoint = named(ebpf, telnet_common::PROGRAM_STATE_CLASSIC)?;
    program.load()?;
    program.attach("sock", "inet_sock_set_state")?;
    Ok(())
}

fn attach_acceptor(
    ebpf: &mut Ebpf,
    kernel: &KernelBtf,
    wanted: AcceptorHook,
) -> Result<Option<Hook>, LoadError> {
    let candidates: &[Hook] = match wanted {
        AcceptorHook::Auto => &[Hook::Fentry, Hook::Kprobe, Hook::SyscallExit],
        AcceptorHook::Only(hook) => &[hook],
        AcceptorHook::Userspace => &[],
    };
    for &hook in candidates {
        match attach_hook(ebpf, kernel, hook) {
            Ok(()) => {
                info!(hook = hook.as_str(), "accept hook attached");
                return Ok(Some(hook));
            }
            Err(error) if wanted == AcceptorHook::Auto => {
                debug!(
                    hook = hook.as_str(),
                    error = reason(&error),
                    "accept hook refused"
                );
            }
            Err(error) => {
                return Err(LoadError::Hook {
                    hook,
                    reason: reason(&error),
                });
            }
        }
    }
    Ok(None)
}

fn attach_hook(ebpf: &mut Ebpf, kernel: &KernelBtf, hook: Hook) -> Result<(), ProgramError> {
    const GRAFT: &str = "security_sock_graft";
    match hook {
        Hook::Fentry => {
            let program: &mut FEntry = named(ebpf, telnet_common::PROGRAM_ACCEPT_FENTRY)?;
            program.load(GRAFT, kernel)?;
            program.attach()?;
        }
        Hook::Kprobe => {
            let program: &mut KProbe = named(ebpf, telnet_common::PROGRAM_ACCEPT_KPROBE)?;
            program.load()?;
            program.attach(GRAFT, 0)?;
        }
        Hook::SyscallExit => {
            let program: &mut TracePoint = named(ebpf, telnet_common::PROGRAM_ACCEPT_SYSCALL)?;
            program.load()?;
            program.attach("syscalls", "sys_exit_accept")?;
            program.attach("syscalls", "sys_exit_accept4")?;
        }
    }
    Ok(())
}

pub(super) fn named<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut P, ProgramError>
where
    &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
{
    ebpf.program_mut(name)
        .ok_or_else(|| ProgramError::InvalidName {
            name: name.to_owned(),
        })?
        .try_into()
}
