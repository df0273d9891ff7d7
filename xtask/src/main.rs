//! Build, test and release steps of telnet-monitor.
fn main() {}
