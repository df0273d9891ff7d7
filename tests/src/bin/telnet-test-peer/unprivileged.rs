//! Who may not do everything: the process becomes another program with fewer capabilities.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, Gid, Uid, configure_capability_in_ambient_set,
    remove_capability_from_bounding_set, set_capabilities, set_keep_capabilities, set_no_new_privs,
    set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

/// What the unit of the packages leaves the agent.
const OF_THE_SERVICE: CapabilitySet = CapabilitySet::SYS_ADMIN
    .union(CapabilitySet::SYS_PTRACE)
    .union(CapabilitySet::DAC_READ_SEARCH);

/// Becomes `program`, which as root gets whatever the bounding set has left.
pub(crate) fn without_net_admin(program: &str, args: &[&str]) -> Result<()> {
    remove_capability_from_bounding_set(CapabilitySet::NET_ADMIN)?;
    become_program(program, args)
}

/// Becomes `program` as a service manager starts the agent: another user, with some capabilities and
/// no way to more.
pub(crate) fn as_service(user: u32, program: &str, args: &[&str]) -> Result<()> {
    // Before 5.11 the memory of BPF counts as locked; the unit has `LimitMEMLOCK=infinity`. Where root
    // may not raise it, as in a container, the kernel is newer, or the agent says what it lacks.
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    let _kept = setrlimit(Resource::Memlock, unlimited);
    for capability in CapabilitySet::all() - OF_THE_SERVICE {
        // Of those that this kernel does not know there are none to lose.
        let _unknown = remove_capability_from_bounding_set(capability);
    }
    set_keep_capabilities(true)?;
    // This process has one thread.
    set_thread_groups(&[])?;
    let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(user));
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    let sets = CapabilitySets {
        effective: OF_THE_SERVICE,
        permitted: OF_THE_SERVICE,
        inheritable: OF_THE_SERVICE,
    };
    set_capabilities(None, sets)?;
    for capability in OF_THE_SERVICE {
        configure_capability_in_ambient_set(capability, true)?;
    }
    set_no_new_privs(true)?;
    become_program(program, args)
}

fn become_program(program: &str, args: &[&str]) -> Result<()> {
    let error = Command::new(program).args(args).exec();
    Err(error).with_context(|| format!("cannot become {program}"))
}
