//! The classic tracepoint `sock/inet_sock_set_state`, for kernels that expose no types: where its
//! record keeps what, from its `format` in tracefs, which shifts between builds.

use std::{fs, io};

use thiserror::Error;

/// Where tracefs is: mounted by itself, or inside debugfs as it always was.
const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// Symbol of the global, field of the record, its bytes.
const FIELDS: [(&str, &str, u32); 11] = [
    ("CLASSIC_SKADDR", "skaddr", 8),
    ("CLASSIC_OLDSTATE", "oldstate", 4),
    ("CLASSIC_NEWSTATE", "newstate", 4),
    ("CLASSIC_SPORT", "sport", 2),
    ("CLASSIC_DPORT", "dport", 2),
    ("CLASSIC_FAMILY", "family", 2),
    ("CLASSIC_PROTOCOL", "protocol", 2),
    ("CLASSIC_SADDR", "saddr", 4),
    ("CLASSIC_DADDR", "daddr", 4),
    ("CLASSIC_SADDR_V6", "saddr_v6", 16),
    ("CLASSIC_DADDR_V6", "daddr_v6", 16),
];

/// What such a kernel does not give, in words.
pub(super) const DEGRADED: [&str; 3] = [
    "no kernel types: sessions are known from the classic tracepoint, without byte counts, reasons \
     of failures and network namespaces, and their sockets are looked up in the agent's own one",
    "no accept and process hooks: who serves a session is found by polling",
    "no start time, parent and arguments from the kernel",
];

/// Why the tracepoint cannot be used.
#[derive(Debug, Error)]
pub enum FormatError {
    /// Nowhere to be read.
    #[error("{path}: {source}", path = TRACEFS[0])]
    Read {
        /// What opening the first place said.
        source: io::Error,
    },
    /// A field that is not there, or not of the size that the probe reads.
    #[error("it has no field {name} of {bytes} bytes")]
    Field {
        /// Name of the field.
        name: &'static str,
        /// Its size.
        bytes: u32,
    },
}

/// Offsets in the tracepoint's record on this kernel, by symbol.
///
/// # Errors
///
/// When tracefs is not mounted, or the record is not what the probe can read.
pub(super) fn offsets() -> Result<Vec<(&'static str, u32)>, FormatError> {
    let [first, second] =
        TRACEFS.map(|folder| format!("{folder}/events/sock/inet_sock_set_state/format"));
    let format = fs::read_to_string(first)
        .or_else(|source| fs::read_to_string(second).map_err(|_second| source))
        .map_err(|source| FormatError::Read { source })?;
    parse(&format)
}

fn parse(format: &str) -> Result<Vec<(&'static str, u32)>, FormatError> {
    FIELDS
        .iter()
        .map(|&(symbol, name, bytes)| {
            format
                .lines()
                .filter_map(field)
                .find(|field| field.name == name && field.bytes == bytes)
                .map(|field| (symbol, field.offset))
                .ok_or(FormatError::Field { name, bytes })
        })
        .collect()
}

/// One field of a record.
#[derive(Debug, PartialEq, Eq)]
struct Field<'a> {
    name: &'a str,
    offset: u32,
    bytes: u32,
}

/// Reads `field:__u8 saddr[4];  offset:32;  size:4;  signed:0;`.
fn field(line: &str) -> Option<Field<'_>> {
    let mut parts = line.split(';').map(str::trim);
    let declaration = parts.next()?.strip_prefix("field:")?;
    let declarator = declaration.rsplit([' ', '*']).next()?;
    let offset = parts.next()?.strip_prefix("offset:")?.parse().ok()?;
    let bytes = parts.next()?.strip_prefix("size:")?.parse().ok()?;
    Some(Field {
        name: declarator.split('[').next()?,
        offset,
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of Linux 6.18, its first lines.
    const FORMAT: &str = "\
name: inet_sock_set_state
ID: 2287
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:const void * skaddr;\toffset:8;\tsize:8;\tsigned:0;
\tfield:int oldstate;\toffset:16;\tsize:4;\tsigned:1;
\tfield:int newstate;\toffset:20;\tsize:4;\tsigned:1;
\tfield:__u16 sport;\toffset:24;\tsize:2;\tsigned:0;
\tfield:__u16 dport;\toffset:26;\tsize:2;\tsigned:0;
\tfield:__u16 family;\toffset:28;\tsize:2;\tsigned:0;
\tfield:__u16 protocol;\toffset:30;\tsize:2;\tsigned:0;
\tfield:__u8 saddr[4];\toffset:32;\tsize:4;\tsigned:0;
\tfield:__u8 daddr[4];\toffset:36;\tsize:4;\tsigned:0;
\tfield:__u8 saddr_v6[16];\toffset:40;\tsize:16;\tsigned:0;
\tfield:__u8 daddr_v6[16];\toffset:56;\tsize:16;\tsigned:0;

print fmt: \"family=%s\", REC->family
";

    #[test]
    fn every_field_is_found_by_name() {
        let offsets = parse(FORMAT).expect("complete");
        let numbers: Vec<_> = offsets.iter().map(|(_, offset)| *offset).collect();
        assert_eq!(numbers, [8, 16, 20, 24, 26, 28, 30, 32, 36, 40, 56]);
    }

    #[test]
    fn a_shifted_record_is_read_where_it_is() {
        let shifted = FORMAT.replace("offset:56;", "offset:64;");
        let offsets = parse(&shifted).expect("complete");
        assert_eq!(offsets.last(), Some(&("CLASSIC_DADDR_V6", 64)));
    }

    #[test]
    fn a_field_that_is_missing_or_of_another_size_is_refused() {
        // Before 5.6 the protocol was one byte.
        let narrow = FORMAT.replace("offset:30;\tsize:2;", "offset:30;\tsize:1;");
        let renamed = FORMAT.replace("skaddr", "address");
        for (format, expected) in [
            (narrow.as_str(), "it has no field protocol of 2 bytes"),
            (renamed.as_str(), "it has no field skaddr of 8 bytes"),
            ("", "it has no field skaddr of 8 bytes"),
        ] {
            let error = parse(format).expect_err(expected);
            assert_eq!(error.to_string(), expected);
        }
    }
}
