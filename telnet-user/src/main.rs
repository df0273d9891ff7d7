//! The `telnet-monitor` command.
fn main() {}
