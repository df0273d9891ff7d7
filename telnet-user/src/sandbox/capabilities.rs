//! Capabilities of the calling thread.

use rustix::{
    io,
    thread::{
        CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
        remove_capability_from_bounding_set, set_capabilities,
    },
};

/// Keeps those of `wanted` that the thread has, and nothing else.
pub(super) fn keep(wanted: CapabilitySet) -> io::Result<()> {
    // Only who may change capabilities can take them from what exec would give; seccomp refuses
    // exec anyway.
    if capabilities(None)?
        .effective
        .contains(CapabilitySet::SETPCAP)
    {
        for one in CapabilitySet::all().difference(wanted).iter() {
            match remove_capability_from_bounding_set(one) {
                // This kernel does not know it.
                Ok(()) | Err(io::Errno::INVAL) => {}
                Err(error) => return Err(error),
            }
        }
    }
    clear_ambient_capability_set()?;
    let kept = capabilities(None)?.permitted.intersection(wanted);
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets)
}

/// Whether all of `wanted` are in effect.
pub(super) fn has(wanted: CapabilitySet) -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.contains(wanted))
}

/// Names of those in effect, as in capabilities(7).
pub(super) fn names() -> Vec<String> {
    let Ok(sets) = capabilities(None) else {
        return Vec::new();
    };
    let names = sets.effective.iter_names();
    names.map(|(name, _)| format!("CAP_{name}")).collect()
}
