//! Processes and their kin.

use super::super::FieldType::{Boolean, Date, Ip, Keyword, Long};
use super::super::Set;
use super::artifact::{CODE_SIGNATURE, ELF, HASH, MACHO, PE};
use super::identity::{GROUP, USER};

pub(super) static PROCESS: Set = Set {
    fields: &[
        (
            Boolean,
            "interactive io.max_bytes_per_process_exceeded same_as_process",
        ),
        (Date, "end start"),
        (Ip, "entry_meta.source.ip"),
        (
            Keyword,
            "args command_line entity_id entry_meta.type env_vars executable io.text io.type name \
             thread.capabilities.effective thread.capabilities.permitted thread.name title \
             working_directory",
        ),
        (
            Long,
            "args_count exit_code io.bytes_skipped.length io.bytes_skipped.offset \
             io.total_bytes_captured io.total_bytes_skipped pid thread.id tty.char_device.major \
             tty.char_device.minor tty.columns tty.rows uptime vpid",
        ),
    ],
    sets: &[
        ("attested_groups", &GROUP),
        ("attested_user", &USER),
        ("code_signature", &CODE_SIGNATURE),
        ("elf", &ELF),
        ("entry_leader", &PROCESS),
        ("group", &GROUP),
        ("group_leader", &PROCESS),
        ("hash", &HASH),
        ("macho", &MACHO),
        ("parent", &PROCESS),
        ("pe", &PE),
        ("previous", &PROCESS),
        ("real_group", &GROUP),
        ("real_user", &USER),
        ("saved_group", &GROUP),
        ("saved_user", &USER),
        ("session_leader", &PROCESS),
        ("supplemental_groups", &GROUP),
        ("user", &USER),
    ],
};
