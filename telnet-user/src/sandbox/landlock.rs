//! Files: nothing is executed, and nothing written but in the folders named (landlock(7)). The
//! kernel adds that other processes are out of sight, `/proc/PID/exe` and `fd` among it.

use std::path::PathBuf;

use landlock::{
    ABI, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, path_beneath_rules,
};

use super::Wall;

/// The newest that is asked for; an older kernel enforces what it knows.
const NEWEST: ABI = ABI::V5;

pub(super) fn restrict(writable: &[PathBuf]) -> Wall {
    match apply(writable) {
        Ok(RulesetStatus::FullyEnforced) => Wall::Enforced,
        Ok(RulesetStatus::PartiallyEnforced) => Wall::Partial,
        Ok(RulesetStatus::NotEnforced) => {
            Wall::Absent("this kernel has no landlock, or it is not enabled".to_owned())
        }
        Err(error) => Wall::Absent(error.to_string()),
    }
}

fn apply(writable: &[PathBuf]) -> Result<RulesetStatus, RulesetError> {
    let write = AccessFs::from_write(NEWEST);
    let restricted = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(write | AccessFs::Execute)?
        .create()?
        .add_rules(path_beneath_rules(writable, write))?
        .restrict_self()?;
    Ok(restricted.ruleset)
}
