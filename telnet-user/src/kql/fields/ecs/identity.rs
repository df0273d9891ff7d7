//! Users, groups and entities.

use super::super::FieldType::{Boolean, Date, Double, Keyword};
use super::super::Set;

pub(super) static USER: Set = Set {
    fields: &[(Keyword, "domain email full_name hash id name roles")],
    sets: &[
        ("changes", &USER),
        ("effective", &USER),
        ("entity", &ENTITY),
        ("group", &GROUP),
        ("risk", &RISK),
        ("target", &USER),
    ],
};

pub(super) static GROUP: Set = Set {
    fields: &[(Keyword, "domain id name")],
    sets: &[],
};

pub(super) static RISK: Set = Set {
    fields: &[
        (
            Double,
            "calculated_score calculated_score_norm static_score static_score_norm",
        ),
        (Keyword, "calculated_level static_level"),
    ],
    sets: &[],
};

pub(super) static ENTITY: Set = Set {
    fields: &[
        (Boolean, "attributes.managed attributes.mfa_enabled"),
        (Date, "last_seen_timestamp lifecycle.last_activity"),
        (
            Keyword,
            "attributes.known_redirects attributes.oauth_consent_restriction \
             attributes.permissions attributes.storage_class display_name id name reference source \
             sub_type type",
        ),
    ],
    sets: &[
        ("relationships.administers", &RELATED),
        ("relationships.depends_on", &RELATED),
        ("relationships.owns", &RELATED),
        ("relationships.supervises", &RELATED),
        ("target", &ENTITY),
    ],
};

/// What an entity is related to.
static RELATED: Set = Set {
    fields: &[(
        Keyword,
        "entity.id host.id host.name service.id service.name user.domain user.email user.id \
         user.name",
    )],
    sets: &[],
};
