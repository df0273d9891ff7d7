//! Both ends of a connection and what is said over it.

use super::super::FieldType::{Boolean, Date, GeoPoint, Ip, Keyword, Long};
use super::super::Set;
use super::artifact::{HASH, X509};
use super::host::OS;
use super::identity::USER;

/// `source`, `destination`, `client` and `server`.
pub(super) static ENDPOINT: Set = Set {
    fields: &[
        (
            Keyword,
            "address domain mac registered_domain subdomain top_level_domain",
        ),
        (Ip, "ip nat.ip"),
        (Long, "bytes nat.port packets port"),
    ],
    sets: &[("as", &AS), ("geo", &GEO), ("user", &USER)],
};

pub(super) static AS: Set = Set {
    fields: &[(Keyword, "organization.name"), (Long, "number")],
    sets: &[],
};

pub(super) static GEO: Set = Set {
    fields: &[
        (
            Keyword,
            "city_name continent_code continent_name country_iso_code country_name name \
             postal_code region_iso_code region_name timezone",
        ),
        (GeoPoint, "location"),
    ],
    sets: &[],
};

pub(super) static NETWORK: Set = Set {
    fields: &[
        (
            Keyword,
            "application community_id direction iana_number inner.vlan.id inner.vlan.name name \
             protocol transport type vlan.id vlan.name",
        ),
        (Ip, "forwarded_ip"),
        (Long, "bytes packets"),
    ],
    sets: &[],
};

pub(super) static OBSERVER: Set = Set {
    fields: &[
        (
            Keyword,
            "hostname mac name product serial_number type vendor version",
        ),
        (Ip, "ip"),
    ],
    sets: &[
        ("egress", &SIDE),
        ("geo", &GEO),
        ("ingress", &SIDE),
        ("os", &OS),
    ],
};

static SIDE: Set = Set {
    fields: &[(
        Keyword,
        "interface.alias interface.id interface.name vlan.id vlan.name zone",
    )],
    sets: &[],
};

pub(super) static DNS: Set = Set {
    fields: &[
        (
            Keyword,
            "answers.class answers.data answers.name answers.type header_flags id op_code \
             question.class question.name question.registered_domain question.subdomain \
             question.top_level_domain question.type response_code type",
        ),
        (Ip, "resolved_ip"),
        (Long, "answers.ttl"),
    ],
    sets: &[],
};

pub(super) static HTTP: Set = Set {
    fields: &[
        (
            Keyword,
            "request.body.content request.id request.method request.mime_type request.referrer \
             response.body.content response.mime_type version",
        ),
        (
            Long,
            "request.body.bytes request.bytes response.body.bytes response.bytes \
             response.status_code",
        ),
    ],
    sets: &[],
};

pub(super) static TLS: Set = Set {
    fields: &[
        (Boolean, "established resumed"),
        (
            Keyword,
            "cipher client.certificate client.certificate_chain client.issuer client.ja3 \
             client.server_name client.subject client.supported_ciphers curve next_protocol \
             server.certificate server.certificate_chain server.issuer server.ja3s server.subject \
             version version_protocol",
        ),
        (
            Date,
            "client.not_after client.not_before server.not_after server.not_before",
        ),
    ],
    sets: &[
        ("client.hash", &HASH),
        ("client.x509", &X509),
        ("server.hash", &HASH),
        ("server.x509", &X509),
    ],
};

pub(super) static EMAIL: Set = Set {
    fields: &[
        (
            Keyword,
            "attachments.file.extension attachments.file.mime_type attachments.file.name \
             bcc.address cc.address content_type direction from.address local_id message_id \
             reply_to.address sender.address subject to.address x_mailer",
        ),
        (Date, "delivery_timestamp origination_timestamp"),
        (Long, "attachments.file.size"),
    ],
    sets: &[("attachments.file.hash", &HASH)],
};

pub(super) static USER_AGENT: Set = Set {
    fields: &[(Keyword, "device.name name original version")],
    sets: &[("os", &OS)],
};
