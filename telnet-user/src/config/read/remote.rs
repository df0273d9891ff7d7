//! Sinks on the other end of a connection.

use super::{
    keys::COMMON,
    sinks::identifier,
    values::{bytes, names_nothing, only, optional_path, text, wait},
};
use crate::{
    config::{Elasticsearch, Facility, Secret, Syslog, SyslogAddress, Tls},
    source::Table,
};

pub(super) fn syslog(table: &Table<'_>) -> Syslog {
    let default = Syslog::default();
    only(table, "syslog", &COMMON);
    let address = table.string("address").and_then(|text| {
        let address = syslog_address(text);
        if address.is_none() {
            let message = "address must be unix:/PATH, tcp://HOST:PORT or tls://HOST:PORT";
            table.error("address", message.to_owned());
        }
        address
    });
    Syslog {
        address: address.unwrap_or(default.address),
        facility: facility(table, default.facility),
        identifier: identifier(table, default.identifier),
        timeout: wait(table, "timeout", default.timeout),
        tls: tls(table),
    }
}

fn syslog_address(text: &str) -> Option<SyslogAddress> {
    if let Some(path) = text.strip_prefix("unix:") {
        return path
            .starts_with('/')
            .then(|| SyslogAddress::Unix(path.into()));
    }
    let (scheme, rest) = text.split_once("://")?;
    let (host, port) = rest.rsplit_once(':')?;
    let port = port.parse().ok().filter(|&port| port != 0)?;
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    if host.is_empty() || host.contains('/') {
        return None;
    }
    let host = host.to_owned();
    match scheme {
        "tcp" => Some(SyslogAddress::Tcp { host, port }),
        "tls" => Some(SyslogAddress::Tls { host, port }),
        _ => None,
    }
}

pub(super) fn elasticsearch(table: &Table<'_>) -> Elasticsearch {
    let default = Elasticsearch::default();
    only(table, "elasticsearch", &COMMON);
    let nodes = nodes(table, default.nodes);
    let batch_documents = match table.integer("batch_documents") {
        None => default.batch_documents,
        Some(count) => {
            let fits = usize::try_from(count).ok();
            fits.filter(|count| (1..=10_000).contains(count))
                .unwrap_or_else(|| {
                    let message = "batch_documents must be 1 to 10000".to_owned();
                    table.error("batch_documents", message);
                    default.batch_documents
                })
        }
    };
    let batch_bytes = bytes(table, "batch_bytes", default.batch_bytes);
    // http.max_content_length of a node, unless its operator raised it.
    if !(64 << 10..=100 << 20).contains(&batch_bytes) {
        let message = "batch_bytes must be 64KiB to 100MiB".to_owned();
        table.error("batch_bytes", message);
    }
    Elasticsearch {
        nodes,
        secret: secret(table),
        tls: tls(table),
        alerts_stream: stream(table, "alerts_stream", default.alerts_stream),
        events_stream: stream(table, "events_stream", default.events_stream),
        health_stream: stream(table, "health_stream", default.health_stream),
        batch_documents,
        batch_bytes,
        compress: table.boolean("compress").unwrap_or(default.compress),
        timeout: wait(table, "timeout", default.timeout),
        backoff_max: wait(table, "backoff_max", default.backoff_max),
        dead_letter_file: optional_path(table, "dead_letter_file"),
        dead_letter_max_bytes: bytes(
            table,
            "dead_letter_max_bytes",
            default.dead_letter_max_bytes,
        ),
    }
}

fn nodes(table: &Table<'_>, default: Vec<String>) -> Vec<String> {
    if !table.has("nodes") {
        return default;
    }
    let nodes = table.strings("nodes");
    if names_nothing(table, "nodes") {
        table.error("nodes", "nodes must name one at least".to_owned());
    }
    for node in &nodes {
        let rest = node
            .strip_prefix("https://")
            .or_else(|| node.strip_prefix("http://"));
        let is_url = rest.is_some_and(|rest| {
            !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic())
        });
        if !is_url {
            table.error("nodes", format!("{node:?} is no http:// or https:// URL"));
        } else if rest.is_some_and(|rest| rest.contains('@')) {
            // It would end in logs.
            let message = "a URL must not hold a password; use password_file".to_owned();
            table.error("nodes", message);
        }
    }
    let trimmed = nodes.iter().map(|node| node.trim_end_matches('/'));
    trimmed.map(str::to_owned).collect()
}

/// The name of a data stream, `TYPE-DATASET-NAMESPACE`.
fn stream(table: &Table<'_>, key: &str, default: String) -> String {
    let name = text(table, key, default);
    let parts: Vec<&str> = name.splitn(3, '-').collect();
    let fits = |part: &&str| {
        let allowed = |c: char| !c.is_uppercase() && !c.is_whitespace() && !c.is_control();
        !part.is_empty()
            && part.len() <= 100
            && part.chars().all(allowed)
            && !part.contains(['-', '\\', '/', '*', '?', '"', '<', '>', '|', ',', '#', ':'])
    };
    if parts.len() != 3 || !parts.iter().all(fits) {
        let message = format!(
            "{key} must be TYPE-DATASET-NAMESPACE in lower case, such as logs-telnet_monitor.alerts-default"
        );
        table.error(key, message);
    }
    name
}

/// Files with what a TLS client needs.
fn tls(table: &Table<'_>) -> Tls {
    let tls = Tls {
        ca_file: optional_path(table, "ca_file"),
        certificate_file: optional_path(table, "certificate_file"),
        key_file: optional_path(table, "key_file"),
    };
    if tls.certificate_file.is_some() != tls.key_file.is_some() {
        let (there, missing) = if tls.key_file.is_some() {
            ("key_file", "certificate_file")
        } else {
            ("certificate_file", "key_file")
        };
        table.error(there, format!("{there} needs {missing} beside it"));
    }
    tls
}

fn facility(table: &Table<'_>, default: Facility) -> Facility {
    let names = [
        ("daemon", Facility::Daemon),
        ("auth", Facility::Auth),
        ("authpriv", Facility::Authpriv),
        ("local0", Facility::Local(0)),
        ("local1", Facility::Local(1)),
        ("local2", Facility::Local(2)),
        ("local3", Facility::Local(3)),
        ("local4", Facility::Local(4)),
        ("local5", Facility::Local(5)),
        ("local6", Facility::Local(6)),
        ("local7", Facility::Local(7)),
    ];
    table.optional_one_of("facility", &names).unwrap_or(default)
}

fn secret(table: &Table<'_>) -> Secret {
    let key = optional_path(table, "api_key_file");
    let username = table.string("username").filter(|name| !name.is_empty());
    let password = optional_path(table, "password_file");
    match (key, username, password) {
        (None, None, None) => Secret::None,
        (Some(file), None, None) => Secret::ApiKey(file),
        (None, Some(username), Some(password_file)) => Secret::Basic {
            username: username.to_owned(),
            password_file,
        },
        (Some(_), _, _) => {
            let message = "api_key_file excludes username and password_file".to_owned();
            table.error("api_key_file", message);
            Secret::None
        }
        (None, Some(_), None) => {
            table.error(
                "username",
                "username needs password_file beside it".to_owned(),
            );
            Secret::None
        }
        (None, None, Some(_)) => {
            table.error(
                "password_file",
                "password_file needs username beside it".to_owned(),
            );
            Secret::None
        }
    }
}
