//! The rules embedded in the binary.

/// Name for messages and content of every shipped rule file.
pub(crate) const FILES: [(&str, &str); 1] = [(
    "shipped/accepted_telnet_port_connection.toml",
    include_str!("../../rules/accepted_telnet_port_connection.toml"),
)];
