//! The rules embedded in the binary.

#[cfg(test)]
mod tests;

/// Name for messages and content of every shipped rule file.
pub const FILES: [(&str, &str); 12] = [
    (
        "shipped/accepted_telnet_port_connection.toml",
        include_str!("../../../rules/accepted_telnet_port_connection.toml"),
    ),
    (
        "shipped/accepted_telnet_port_connection_tightened.toml",
        include_str!("../../../rules/accepted_telnet_port_connection_tightened.toml"),
    ),
    (
        "shipped/telnet_service_listening.toml",
        include_str!("../../../rules/telnet_service_listening.toml"),
    ),
    (
        "shipped/telnet_on_another_port.toml",
        include_str!("../../../rules/telnet_on_another_port.toml"),
    ),
    (
        "shipped/telnet_session_from_public_address.toml",
        include_str!("../../../rules/telnet_session_from_public_address.toml"),
    ),
    (
        "shipped/outbound_telnet_to_public_address.toml",
        include_str!("../../../rules/outbound_telnet_to_public_address.toml"),
    ),
    (
        "shipped/telnet_authentication_bypass.toml",
        include_str!("../../../rules/telnet_authentication_bypass.toml"),
    ),
    (
        "shipped/telnet_root_login.toml",
        include_str!("../../../rules/telnet_root_login.toml"),
    ),
    (
        "shipped/telnet_login_after_failures.toml",
        include_str!("../../../rules/telnet_login_after_failures.toml"),
    ),
    (
        "shipped/telnet_login_from_public_address.toml",
        include_str!("../../../rules/telnet_login_from_public_address.toml"),
    ),
    (
        "shipped/telnet_session_download.toml",
        include_str!("../../../rules/telnet_session_download.toml"),
    ),
    FLOOD,
];

/// The rule on what the agent holds back: it runs beside other rules, too.
pub(super) const FLOOD: (&str, &str) = (
    "shipped/telnet_connection_flood.toml",
    include_str!("../../../rules/telnet_connection_flood.toml"),
);
