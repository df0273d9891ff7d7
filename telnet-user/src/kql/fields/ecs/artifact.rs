//! Files, libraries, packages and what describes them.

use super::super::FieldType::{Boolean, Date, Flattened, Keyword, Long};
use super::super::Set;

pub(super) static FILE: Set = Set {
    fields: &[
        (Date, "accessed created ctime mtime"),
        (
            Keyword,
            "attributes device directory drive_letter extension fork_name gid group inode \
             mime_type mode name origin_referrer_url origin_url owner path target_path type uid",
        ),
        (Long, "size"),
    ],
    sets: &[
        ("code_signature", &CODE_SIGNATURE),
        ("elf", &ELF),
        ("hash", &HASH),
        ("macho", &MACHO),
        ("pe", &PE),
        ("x509", &X509),
    ],
};

pub(super) static DLL: Set = Set {
    fields: &[(Keyword, "name origin_referrer_url origin_url path")],
    sets: &[
        ("code_signature", &CODE_SIGNATURE),
        ("hash", &HASH),
        ("pe", &PE),
    ],
};

pub(super) static HASH: Set = Set {
    fields: &[(Keyword, "cdhash md5 sha1 sha256 sha384 sha512 ssdeep tlsh")],
    sets: &[],
};

pub(super) static CODE_SIGNATURE: Set = Set {
    fields: &[
        (Boolean, "exists trusted valid"),
        (
            Keyword,
            "digest_algorithm flags signing_id status subject_name team_id thumbprint_sha256",
        ),
        (Date, "timestamp"),
    ],
    sets: &[],
};

pub(super) static ELF: Set = Set {
    fields: &[
        (Boolean, "go_stripped"),
        (Date, "creation_date"),
        (Flattened, "exports go_imports imports"),
        (
            Keyword,
            "architecture byte_order cpu_type go_import_hash header.abi_version header.class \
             header.data header.object_version header.os_abi header.type header.version \
             import_hash sections.flags sections.name sections.physical_offset sections.type \
             segments.sections segments.type shared_libraries telfhash",
        ),
        (
            Long,
            "header.entrypoint sections.chi2 sections.virtual_address",
        ),
    ],
    sets: &[("", &BINARY)],
};

pub(super) static MACHO: Set = Set {
    fields: &[
        (Boolean, "go_stripped"),
        (Flattened, "go_imports imports"),
        (Keyword, "go_import_hash import_hash sections.name symhash"),
    ],
    sets: &[("", &BINARY)],
};

pub(super) static PE: Set = Set {
    fields: &[
        (Boolean, "go_stripped"),
        (Flattened, "go_imports imports"),
        (
            Keyword,
            "architecture company description file_version go_import_hash imphash import_hash \
             original_file_name pehash product sections.name",
        ),
    ],
    sets: &[("", &BINARY)],
};

/// The measures that the three executable formats share.
static BINARY: Set = Set {
    fields: &[(
        Long,
        "go_imports_names_entropy go_imports_names_var_entropy imports_names_entropy \
         imports_names_var_entropy sections.entropy sections.physical_size sections.var_entropy \
         sections.virtual_size",
    )],
    sets: &[],
};

pub(super) static X509: Set = Set {
    fields: &[
        (Date, "not_after not_before"),
        (
            Keyword,
            "alternative_names public_key_algorithm public_key_curve serial_number \
             signature_algorithm version_number",
        ),
        (Long, "public_key_exponent public_key_size"),
    ],
    sets: &[
        ("issuer", &DISTINGUISHED_NAME),
        ("subject", &DISTINGUISHED_NAME),
    ],
};

static DISTINGUISHED_NAME: Set = Set {
    fields: &[(
        Keyword,
        "common_name country distinguished_name locality organization organizational_unit \
         state_or_province",
    )],
    sets: &[],
};

pub(super) static PACKAGE: Set = Set {
    fields: &[
        (Date, "installed"),
        (
            Keyword,
            "architecture build_version checksum description install_scope license name path \
             reference type version",
        ),
        (Long, "size"),
    ],
    sets: &[],
};

pub(super) static REGISTRY: Set = Set {
    fields: &[(
        Keyword,
        "data.bytes data.strings data.type hive key path value",
    )],
    sets: &[],
};

pub(super) static URL: Set = Set {
    fields: &[
        (
            Keyword,
            "domain extension fragment full original password path query registered_domain scheme \
             subdomain top_level_domain username",
        ),
        (Long, "port"),
    ],
    sets: &[],
};
